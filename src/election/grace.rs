//! The times that `--shutdown-grace` allows. Every such time is defined here.
//!
//! Counted from the moment in which this instance steps down on purpose:
//!
//! ```text
//! 0                     grace            + seen within         + one call
//! |-----------------------|-------------------|-------------------|
//!   work, and the last      what is left of     work that is still   the process
//!   hook, were asked to     it is killed, and   there is overdue:    has left
//!   end                     seen to be gone     its lease runs out
//! ```
//!
//! The lease is vacated as soon as the work is confirmed gone, at any point on the line. A
//! supervisor that stops the program has to wait for longer than the whole line before it kills:
//! with the defaults 20 s, 2 s and 2.7 s, and 30 s in all deployment files.

use std::time::Duration;

use super::timing::Timing;

/// How late the end of killed work may be confirmed: the guard may need a push, which takes a
/// second, and has to look for leftovers.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// How long a hook has from the request to end until it is killed.
pub const HOOK_KILL_AFTER: Duration = Duration::from_secs(2);

/// The setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace(Duration);

impl Grace {
    /// As it was set.
    pub const fn new(grace: Duration) -> Self {
        Self(grace)
    }

    /// How long leader-only work may take to end, from SIGTERM to SIGKILL: the work of `run` and
    /// `once`, the work under a hold, and the work of an `only` that itself receives a signal to
    /// end.
    pub fn of_work(self) -> Duration {
        self.0
    }

    /// When to stop waiting for the work: it should have been killed, and its end was not
    /// confirmed. So a command that ignores SIGTERM still frees the lease when it dies.
    pub fn until_work_is_overdue(self) -> Duration {
        self.0.saturating_add(SEEN_WITHIN)
    }

    /// When a shutdown leaves an election, whatever remains to be done. Work that ended at the last
    /// moment still leaves time for the one call that vacates the lease.
    pub fn until_left(self, timing: &Timing) -> Duration {
        self.until_work_is_overdue().saturating_add(timing.call_timeout())
    }

    /// How long the last hook of a shutdown may take. The hook gets its event at the beginning of
    /// the shutdown.
    pub fn of_last_hook(self, timeout: Duration) -> Duration {
        timeout.min(self.0)
    }

    /// When a shutdown stops waiting for hooks: a running hook is killed, then the last hook has
    /// its time, and is killed.
    pub fn until_hooks_are_left(self) -> Duration {
        self.0.saturating_add(HOOK_KILL_AFTER * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn killed_work_is_waited_for_and_the_lease_is_vacated_within_what_platforms_wait() {
        let (grace, timing) = (Grace::new(Duration::from_secs(20)), Timing::default());
        assert_eq!(grace.of_work(), Duration::from_secs(20));
        assert!(grace.of_work() < grace.until_work_is_overdue());
        assert!(grace.until_work_is_overdue() + timing.call_timeout() <= grace.until_left(&timing));
        // TimeoutStopSec, stopTimeout and stop_grace_period in deploy/.
        let killed_after = Duration::from_secs(30);
        assert!(grace.until_left(&timing).max(grace.until_hooks_are_left()) < killed_after);
    }

    #[test]
    fn the_last_hook_has_its_own_time_but_no_more_than_the_grace() {
        let grace = Grace::new(Duration::from_secs(20));
        assert_eq!(grace.of_last_hook(Duration::from_secs(5)), Duration::from_secs(5));
        assert_eq!(grace.of_last_hook(Duration::from_secs(60)), Duration::from_secs(20));
        let running_and_last = Duration::from_secs(20 + 2 + 2);
        assert_eq!(grace.until_hooks_are_left(), running_and_last);
    }

    #[test]
    fn the_longest_grace_does_not_overflow() {
        let grace = Grace::new(Duration::MAX);
        assert_eq!(grace.until_left(&Timing::default()), Duration::MAX);
        assert_eq!(grace.until_hooks_are_left(), Duration::MAX);
    }
}
