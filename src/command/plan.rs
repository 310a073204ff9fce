//! What to do with a running command at a given time. Pure: no clock, no processes.

use std::cmp;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::election::leadership::Tenure;
use crate::election::time::BootTime;
pub use crate::election::work::Deadlines;

/// How long a command may take to end after main was killed, if the lease allows that much.
///
/// A command that ends in order leaves less to repair, but an operator who killed main with SIGKILL is
/// waiting for the processes to go: half of the ten seconds that most supervisors wait.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// How long processes that the command left behind may take to end.
///
/// Their parent ended without waiting for them, so nothing orderly is to be expected of them, and
/// a caller that waits for the command waits for them, too.
pub const LEFTOVER_GRACE: Duration = Duration::from_secs(2);

/// The bounds of [`Deadlines::overdue_at`]: below the lower one, a busy host would make main take
/// a working guard for a stuck one; more than the upper one is never needed.
const OVERDUE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

impl Deadlines {
    /// For stepping down on purpose at `now`: the command has `grace` to end, but never more than
    /// the lease allows.
    pub fn stepping_down(tenure: &Tenure, now: BootTime, grace: Duration) -> Self {
        Self { stop_at: now, kill_at: cmp::min(now + grace, tenure.kills_at) }
    }

    /// When the guard ought to have reported that everything is gone: main then acts itself.
    ///
    /// `kill_at` lies half-way between the end of belief and the end of the lease
    /// ([`crate::election::timing::Timing::kills_at`]); this takes half of what remains after it.
    pub fn overdue_at(&self) -> BootTime {
        let (least, most) = OVERDUE;
        self.kill_at + (self.kill_at.since(self.stop_at) / 2).clamp(least, most)
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Leave the command alone.
    Run,
    /// Ask everything to end.
    Terminate,
    /// Kill everything.
    Kill,
}

/// The deadlines of one command over its life.
///
/// Once an end was due and acted upon it stays due: a command that has been asked to end is never
/// taken back.
#[derive(Clone, Debug)]
pub struct Plan {
    deadlines: Deadlines,
    acted: Action,
}

impl Plan {
    /// A command that may run until `deadlines`.
    pub fn new(deadlines: Deadlines) -> Self {
        Self { deadlines, acted: Action::Run }
    }

    /// The deadlines as they stand.
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// What is due at `now`. The caller has to do it.
    pub fn act(&mut self, now: BootTime) -> Action {
        let due = if now >= self.deadlines.kill_at {
            Action::Kill
        } else if now >= self.deadlines.stop_at {
            Action::Terminate
        } else {
            Action::Run
        };
        self.acted = cmp::max(self.acted, due);
        self.acted
    }

    /// When something else will be due.
    pub fn next(&self) -> Option<BootTime> {
        match self.acted {
            Action::Run => Some(cmp::min(self.deadlines.stop_at, self.deadlines.kill_at)),
            Action::Terminate => Some(self.deadlines.kill_at),
            Action::Kill => None,
        }
    }

    /// The leadership was renewed. Deadlines never move back, and a renewal that comes after the
    /// command was asked to end comes too late.
    ///
    /// A renewal that is *read* after the old deadline but before it was acted upon counts: it says
    /// until when the lease holds, and that is true no matter when it is read.
    pub fn extend(&mut self, to: Deadlines) {
        if self.acted == Action::Run {
            self.deadlines.stop_at = cmp::max(self.deadlines.stop_at, to.stop_at);
            self.deadlines.kill_at = cmp::max(self.deadlines.kill_at, to.kill_at);
        }
    }

    /// The command has to end now, and is killed at `kill_at`. The process that holds the lease and renews it
    /// for a command that is ending may say so again, with a later time.
    pub fn stop(&mut self, now: BootTime, kill_at: BootTime) {
        self.acted = cmp::max(self.acted, Action::Terminate);
        self.deadlines.stop_at = cmp::min(self.deadlines.stop_at, now);
        self.deadlines.kill_at = kill_at;
    }

    /// The command has to end now, and no process renews the lease for it any more: it is killed at
    /// `kill_at`, or at the old deadline if that is earlier.
    pub fn hasten(&mut self, now: BootTime, kill_at: BootTime) {
        self.stop(now, cmp::min(self.deadlines.kill_at, kill_at));
    }
}

/// How a command ended: on its own, or by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With an exit code.
    Code(u8),
    /// Killed by a signal.
    Signal(u8),
}

impl Exit {
    /// The exit code that stands for it, as shells have it: 128+n for a signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

/// The exit code for a command that could not be started, as shells have it: 127 if there is no
/// such program, 126 if it cannot be executed.
pub fn not_started_code(error: &std::io::Error) -> u8 {
    if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::leadership::Holder;
    use crate::election::lease::Version;
    use crate::election::term::Term;
    use crate::election::time::WallTime;
    use std::io;

    fn at(ms: u64) -> BootTime {
        BootTime::from_duration(Duration::from_millis(ms))
    }

    fn deadlines(stop: u64, kill: u64) -> Deadlines {
        Deadlines { stop_at: at(stop), kill_at: at(kill) }
    }

    fn tenure() -> Tenure {
        Tenure {
            holder: Holder {
                identity: "me".to_owned(),
                term: Term::new(1),
                lease_duration: Duration::from_secs(15),
                acquire_time: WallTime::EPOCH,
                renew_time: WallTime::EPOCH,
                url: None,
                origin: None,
            },
            until: at(10_000),
            kills_at: at(12_500),
            renewed: at(0),
            version: Version::new("v"),
        }
    }

    #[test]
    fn deadlines_come_from_the_tenure() {
        assert_eq!(Deadlines::of(&tenure()), deadlines(10_000, 12_500));
    }

    #[test]
    fn stepping_down_grants_the_grace_within_the_lease() {
        let step = |now, grace| Deadlines::stepping_down(&tenure(), at(now), grace);
        assert_eq!(step(1_000, Duration::from_secs(5)), deadlines(1_000, 6_000));
        assert_eq!(step(1_000, Duration::from_secs(20)), deadlines(1_000, 12_500));
        assert_eq!(step(1_000, Duration::MAX), deadlines(1_000, 12_500));
    }

    #[test]
    fn main_acts_after_the_guard_and_before_the_end_of_the_lease() {
        for lease in [500, 1_000, 15_000, 3_600_000] {
            let (stop, kill) = (lease * 7 / 10, lease * 85 / 100);
            let overdue = deadlines(stop, kill).overdue_at();
            assert!(overdue > at(kill) && overdue < at(lease), "{lease}: {overdue:?}");
        }
    }

    #[test]
    fn it_runs_then_terminates_then_kills() {
        let mut plan = Plan::new(deadlines(100, 200));
        assert_eq!((plan.act(at(99)), plan.next()), (Action::Run, Some(at(100))));
        assert_eq!((plan.act(at(100)), plan.next()), (Action::Terminate, Some(at(200))));
        assert_eq!((plan.act(at(200)), plan.next()), (Action::Kill, None));
    }

    #[test]
    fn a_late_look_skips_straight_to_the_kill() {
        assert_eq!(Plan::new(deadlines(100, 200)).act(at(5_000)), Action::Kill);
        assert_eq!(Plan::new(deadlines(300, 200)).act(at(200)), Action::Kill);
    }

    #[test]
    fn an_extension_keeps_it_running_and_never_shortens() {
        let mut plan = Plan::new(deadlines(100, 200));
        plan.extend(deadlines(1_100, 1_200));
        plan.extend(deadlines(50, 60));
        assert_eq!(plan.act(at(1_099)), Action::Run);
        assert_eq!(plan.act(at(1_100)), Action::Terminate);
    }

    #[test]
    fn an_extension_counts_if_read_late_but_not_after_the_end_was_ordered() {
        let mut read_late = Plan::new(deadlines(100, 200));
        read_late.extend(deadlines(1_100, 1_200));
        assert_eq!(read_late.act(at(300)), Action::Run);

        let mut ordered = Plan::new(deadlines(100, 200));
        assert_eq!(ordered.act(at(100)), Action::Terminate);
        ordered.extend(deadlines(1_100, 1_200));
        assert_eq!(ordered.act(at(150)), Action::Terminate);
        assert_eq!(ordered.act(at(200)), Action::Kill);
    }

    #[test]
    fn a_stop_is_for_good_and_its_kill_moves_with_the_lease_that_is_kept_for_it() {
        let mut plan = Plan::new(deadlines(1_000, 2_000));
        plan.stop(at(10), at(500));
        plan.extend(deadlines(5_000, 6_000));
        assert_eq!(plan.deadlines(), deadlines(10, 500), "a renewal of the leadership is too late");
        plan.stop(at(20), at(3_000));
        assert_eq!(plan.act(at(2_999)), Action::Terminate);
        assert_eq!(plan.act(at(3_000)), Action::Kill);
        plan.stop(at(3_001), at(9_000));
        assert_eq!(plan.act(at(3_001)), Action::Kill, "the dead do not come back");
    }

    #[test]
    fn a_stop_never_outlives_a_lease_that_is_not_renewed() {
        let mut plan = Plan::new(deadlines(1_000, 2_000));
        plan.hasten(at(10), at(90_000));
        assert_eq!(plan.deadlines(), deadlines(10, 2_000));
        plan.hasten(at(20), at(500));
        assert_eq!(plan.deadlines(), deadlines(10, 500));
        assert_eq!((plan.act(at(499)), plan.act(at(500))), (Action::Terminate, Action::Kill));
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(Exit::Code(3).code(), 3);
        assert_eq!(Exit::Signal(9).code(), 137);
        assert_eq!(Exit::Signal(15).code(), 143);
        assert_eq!(not_started_code(&io::ErrorKind::NotFound.into()), 127);
        assert_eq!(not_started_code(&io::ErrorKind::PermissionDenied.into()), 126);
    }
}
