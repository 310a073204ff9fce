//! A timer that counts on while the machine is suspended.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::election::time::{BootTime, Clock};
use crate::time::clock::HostClock;

/// Waits for moments of the clock that an election uses.
pub trait Timer: Send {
    /// Waits until `at`, which may have passed. Safe to cancel.
    fn until(&mut self, at: BootTime) -> impl Future<Output = ()> + Send;
}

/// Waits for a moment of the boot clock. tokio's own timers stop in suspend, and would end a
/// leader's work late by however long the lid was closed.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
    /// The moment that it is set to, until it rings.
    set: Option<BootTime>,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        #[expect(deprecated, reason = "its successor is unsafe; for an `OwnedFd` both are sound")]
        Ok(Self { timer: AsyncFd::new(timer)?, set: None })
    }

    /// Sets it, if it is not set to this already: waiting begins again after each event of other sources.
    fn set(&mut self, moment: BootTime) -> io::Result<()> {
        if self.set == Some(moment) {
            return Ok(());
        }
        self.set = None;
        let at = moment.as_duration();
        let it_value = Timespec {
            tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(at.subsec_nanos()),
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval, it_value };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &timer)?;
        self.set = Some(moment);
        Ok(())
    }
}

impl Timer for Alarm {
    async fn until(&mut self, at: BootTime) {
        // A timer is a hint: check the clock before acting on it.
        while HostClock.now().boot < at {
            if self.set(at).is_err() {
                // Cannot happen to a valid time on an open timer; a coarse timer is still a timer.
                Sleep.until(at).await;
            } else if let Ok(mut ready) = self.timer.readable().await {
                ready.clear_ready();
                self.set = None;
            }
        }
    }
}

/// A timer that takes no descriptor, but stops in suspend: for events that may come late.
#[derive(Clone, Copy, Debug)]
pub struct Sleep;

impl Timer for Sleep {
    async fn until(&mut self, at: BootTime) {
        while HostClock.now().boot < at {
            tokio::time::sleep(at.since(HostClock.now().boot)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::time::Duration;

    const SHORT: Duration = Duration::from_millis(30);

    /// Far more than a busy machine is late: reaching it is a failure.
    const LIMIT: Duration = Duration::from_secs(30);

    fn now() -> BootTime {
        HostClock.now().boot
    }

    #[tokio::test]
    async fn it_never_rings_early_and_can_be_set_again() {
        let mut alarm = Alarm::new().unwrap();
        for _ in 0..3 {
            let at = now() + SHORT;
            alarm.until(at).await;
            assert!(now() >= at);
        }
    }

    #[tokio::test]
    async fn a_time_in_the_past_returns_at_once() {
        let mut alarm = Alarm::new().unwrap();
        for past in [BootTime::ZERO, now()] {
            assert_eq!(alarm.until(past).now_or_never(), Some(()));
        }
    }

    /// A deadline that another one left in the timer would ring far too early, or in an hour.
    #[tokio::test]
    async fn a_wait_that_was_given_up_does_not_shorten_or_lengthen_the_next() {
        let mut alarm = Alarm::new().unwrap();
        let (soon, forever) = (now() + SHORT / 3, BootTime::from_duration(Duration::MAX));
        for given_up in [soon, forever, now() + Duration::from_secs(3600)] {
            let at = now() + SHORT;
            tokio::select! {
                biased;
                () = alarm.until(given_up) => {}
                () = tokio::time::sleep(SHORT / 2) => {}
            }
            tokio::time::timeout(LIMIT, alarm.until(at)).await.expect("it rings");
            assert!(now() >= at);
        }
    }
}
