//! The three durations of an election and every inequality between them.
//!
//! Measured from the moment the holder *sent* the last write that was applied:
//!
//! ```text
//! 0        renew_deadline        kill         lease_duration
//! |-------------|-----------------|-----------------|----------------> the holder's clock
//!   leading       no longer         whatever it       a rival may lead
//!                 leading; its      started is
//!                 work is ending    killed
//! ```
//!
//! The holder counts on its own clock, from before it sends the write. A rival counts on its own
//! clock, from after it receives the record. So a delay can only widen the distance between the
//! two. Only clocks that run at different *rates* narrow it, and the gap between the kill and the
//! end of the lease is the margin for them.

use std::time::Duration;

use super::lease::MAX_LEASE_DURATION;
use super::time::BootTime;

/// The shortest retry period. Below it a candidate would load its store for no gain: scheduling
/// on a busy host and one commit already take a few milliseconds.
pub const MIN_RETRY_PERIOD: Duration = Duration::from_millis(10);

/// The longest renew deadline, as a share of the lease duration.
///
/// At four fifths, belief ends in time if the clock rates of two hosts differ by at most 25 %. The
/// kill, at nine tenths, comes in time if they differ by at most 11 %. Quartz is off by 0.01 %; NTP
/// slews by 0.05 %, chrony by at most 10 %.
const LONGEST_RENEW_DEADLINE: f64 = 0.8;

/// Push hints cause at most one look in this time, however many arrive.
pub const HINT_GAP: Duration = Duration::from_millis(5);

/// The pause after a failed call, when `failures` calls in a row failed before it. The first retry
/// comes soon. The pause grows up to the retry period.
pub fn backoff(retry_period: Duration, failures: u32) -> Duration {
    (retry_period / 4) * (1 << failures.min(2))
}

/// The longest time for which a candidate can believe in its write, by the clock of another host
/// whose rate differs by 4 %.
pub fn longest_belief(lease_duration: Duration) -> Duration {
    lease_duration.mul_f64(LONGEST_RENEW_DEADLINE * 1.04)
}

/// The checked durations of an election. Names and defaults are those of client-go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    lease_duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
}

/// Which inequality does not hold, and why it has to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTiming {
    /// The retry period is too short.
    #[error(
        "the retry period is {}, but must be at least {}; more frequent reads load the store and \
         elect no leader sooner",
        human(*.0), human(MIN_RETRY_PERIOD)
    )]
    RetryPeriodTooShort(Duration),
    /// One failed renewal would cost the leadership.
    #[error(
        "the renew deadline is {}, but must be at least twice the retry period of {}; otherwise a \
         single failed renewal ends the leadership",
        human(*renew_deadline), human(*retry_period)
    )]
    NoRoomForARetry {
        /// As given.
        renew_deadline: Duration,
        /// As given.
        retry_period: Duration,
    },
    /// The leader would stop too late for its successor.
    #[error(
        "the renew deadline is {}, but must be at most four fifths of the lease duration of {}; in \
         the rest a leader that lost its store ends its work, and clocks may run at different \
         rates",
        human(*renew_deadline), human(*lease_duration)
    )]
    NoRoomToStop {
        /// As given.
        renew_deadline: Duration,
        /// As given.
        lease_duration: Duration,
    },
    /// Rivals would wait for too long.
    #[error(
        "the lease duration is {}, but must be at most {}; after a crash no instance leads for \
         this time",
        human(*.0), human(MAX_LEASE_DURATION)
    )]
    LeaseTooLong(Duration),
}

fn human(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}

impl Default for Timing {
    /// 15 s, 10 s, 2 s, as in client-go.
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// Checks the three durations against each other, once for the whole program.
    ///
    /// # Errors
    ///
    /// The first inequality that does not hold, with its reason.
    pub fn new(
        lease_duration: Duration,
        renew_deadline: Duration,
        retry_period: Duration,
    ) -> Result<Self, InvalidTiming> {
        if retry_period < MIN_RETRY_PERIOD {
            return Err(InvalidTiming::RetryPeriodTooShort(retry_period));
        }
        if lease_duration > MAX_LEASE_DURATION {
            return Err(InvalidTiming::LeaseTooLong(lease_duration));
        }
        if renew_deadline < retry_period.saturating_mul(2) {
            return Err(InvalidTiming::NoRoomForARetry { renew_deadline, retry_period });
        }
        if renew_deadline > lease_duration.mul_f64(LONGEST_RENEW_DEADLINE) {
            return Err(InvalidTiming::NoRoomToStop { renew_deadline, lease_duration });
        }
        Ok(Self { lease_duration, renew_deadline, retry_period })
    }

    /// How long rivals wait for a holder that shows no sign of life.
    pub fn lease_duration(&self) -> Duration {
        self.lease_duration
    }

    /// How long a holder believes in its leadership without a renewal.
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// How long a holder waits between renewals, and a standby between looks.
    pub fn retry_period(&self) -> Duration {
        self.retry_period
    }

    /// How long one call to the store may take.
    ///
    /// A renewal begins one retry period after the last one. If it hangs, a look and another
    /// renewal follow it. So three calls have to fit before the renew deadline.
    pub fn call_timeout(&self) -> Duration {
        (self.renew_deadline - self.retry_period) / 3
    }

    /// Whether a renewal that was sent at `sent_at` is late, when the last one that was applied was
    /// sent at `last`.
    ///
    /// It was due a retry period after that one. Once it is more than a call's time overdue, a third
    /// of what the renew deadline leaves for retries is used up: a call hung until it was given up,
    /// several failed in a row, or the process did not run. A single call that fails at once and is
    /// repeated after the backoff is not late.
    pub fn renews_late(&self, last: BootTime, sent_at: BootTime) -> bool {
        sent_at.since(last) > self.retry_period + self.call_timeout()
    }

    /// Until when a holder that sent its last applied write at `sent_at` leads.
    pub fn leads_until(&self, sent_at: BootTime) -> BootTime {
        sent_at + self.renew_deadline
    }

    /// When work that depends on that write is killed.
    ///
    /// Half of the time between the end of belief and the end of the lease is for the work to end
    /// on its own; the other half is for the kernel to carry out the kill, and for clock rates.
    pub fn kills_at(&self, sent_at: BootTime) -> BootTime {
        sent_at + self.renew_deadline + (self.lease_duration - self.renew_deadline) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(lease: u64, renew: u64, retry: u64) -> Result<Timing, InvalidTiming> {
        let ms = Duration::from_millis;
        Timing::new(ms(lease), ms(renew), ms(retry))
    }

    #[test]
    fn common_settings_are_accepted() {
        let default = Timing::default();
        assert_eq!(timing(15_000, 10_000, 2_000).unwrap(), default);
        for (lease, renew, retry) in
            [(60_000, 40_000, 5_000), (137_000, 107_000, 26_000), (1_000, 700, 150), (100, 80, 40)]
        {
            timing(lease, renew, retry).unwrap();
        }
    }

    #[test]
    fn each_inequality_is_refused_with_its_reason() {
        let refused = |lease, renew, retry| timing(lease, renew, retry).unwrap_err().to_string();
        assert!(refused(15_000, 10_000, 9).contains("at least 10ms"));
        assert!(refused(15_000, 10_000, 5_001).contains("a single failed renewal"));
        assert!(
            refused(15_000, 12_001, 2_000).contains("four fifths of the lease duration of 15s")
        );
        assert!(refused(3_600_001, 10_000, 2_000).contains("at most 1h"));
        assert!(refused(0, 0, 0).contains("at least 10ms"));
    }

    #[test]
    fn a_leader_stops_believing_then_kills_and_only_then_can_be_replaced() {
        for timing in [Timing::default(), timing(1_000, 700, 150).unwrap()] {
            let sent = BootTime::from_duration(Duration::from_secs(100));
            assert!(sent < timing.leads_until(sent));
            assert!(timing.leads_until(sent) < timing.kills_at(sent));
            assert!(timing.kills_at(sent) < sent + timing.lease_duration().mul_f64(0.901));
        }
    }

    #[test]
    fn a_renewal_is_late_when_it_is_more_than_a_call_overdue() {
        let timing = timing(15_000, 11_000, 2_000).unwrap();
        let last = BootTime::from_duration(Duration::from_secs(100));
        assert!(!timing.renews_late(last, last + Duration::from_secs(5)));
        assert!(timing.renews_late(last, last + Duration::from_millis(5_001)));
        let left = timing.renew_deadline() - Duration::from_secs(5);
        assert_eq!(left, timing.call_timeout() * 2, "two of the three calls that have to fit");
    }

    #[test]
    fn a_hung_renewal_leaves_room_for_a_look_and_another_renewal() {
        let timing = Timing::default();
        let spent = timing.retry_period() + timing.call_timeout() * 3;
        assert!(spent <= timing.renew_deadline());
    }
}
