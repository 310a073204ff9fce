//! The service's clock, as far as its answers show it: rule `service-date`.
//!
//! DynamoDB and the Kubernetes API have no clock to read, but every HTTP answer carries a `Date`.
//! Together with this host's boot clock, it bounds the service's time from both sides. The service
//! made the header H at some moment between `sent` and `received`, and cut off the fraction of a
//! second:
//!
//! ```text
//! H <= service time at that moment < H + 1 s
//!
//! service time now >= H         + (now - received)     read early, by the judge
//! service time now <  H + 1 s   + (now - sent)         rounded late, by the writer
//! ```
//!
//! A record carries `expires`: the writer's late reading before it sends, plus the lease duration.
//! The holder counts from before that, so its lease has ended when the service's time is `expires`.
//! A judge calls the lease over when its early reading is more than `--max-clock-skew` past
//! `expires`. No wall clock of a host takes part.
//!
//! # Several answers
//!
//! Both sides keep the safe reading: of all answers, the judge uses the earliest and the writer the
//! latest. Therefore
//!
//! - a `Date` that stands still (a cache on the way) makes the judge's time stand still, and lets
//!   the writer's continue from the first answer that carried it;
//! - a `Date` that is once far off costs at most a wait: the judge or the writer is then too
//!   cautious for the life of its process, and the lease is watched instead, by rule `watched-lease`;
//! - a boot clock that runs faster or slower than the service's, or that stood still while a
//!   virtual machine was paused, pulls the two apart, never past each other.
//!
//! # The error budget
//!
//! Two candidates can lead only if the judge's reading and the writer's are wrong towards each
//! other by more than `--max-clock-skew`, 10 s by default, in *every* answer that the judge and the
//! writer had. These errors use it up:
//!
//! | what | at most |
//! | --- | --- |
//! | whole seconds, and the way there and back | nothing: the bounds above contain them |
//! | the service's own hosts against each other | under a second: AWS keeps them to milliseconds |
//! | boot clocks at other rates, between two answers | 0.1 s: 500 ppm of the longest call and pause |
//! | a cache with stale answers | nothing: it says so by `Age`, and is then not believed |
//!
//! Even then it misleads only a judge that never saw the record change: see
//! [`Watch`](crate::election::watch::Watch).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};

use crate::election::continuity::ServiceTime as Reported;
use crate::election::time::BootTime;

/// What a header cuts off.
const HEADER_STEP: Duration = Duration::from_secs(1);

/// A time of the service, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceTime(Duration);

impl ServiceTime {
    /// The time that is `since_epoch` after 1970-01-01T00:00:00Z.
    #[cfg(test)]
    pub const fn from_unix(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// Reads an HTTP header: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn from_http_date(text: &str) -> Option<Self> {
        let time = DateTime::from_str(text, DateTimeFormat::HttpDate).ok()?;
        Some(Self(Duration::from_secs(u64::try_from(time.secs()).ok()?)))
    }

    /// Reads the output of [`ServiceTime::to_rfc3339`].
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let time = DateTime::from_str(text, DateTimeFormat::DateTime).ok()?;
        Some(Self(Duration::from_millis(u64::try_from(time.to_millis().ok()?).ok()?)))
    }

    /// RFC 3339, rounded up to the millisecond: late, as the writer has to be.
    pub fn to_rfc3339(self) -> Option<String> {
        let ms = i64::try_from(self.0.as_nanos().div_ceil(1_000_000)).ok()?;
        DateTime::from_millis(ms).fmt(DateTimeFormat::DateTime).ok()
    }

    /// How much later this is than `earlier`; zero if it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for ServiceTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

/// What the answers so far tell of the service's clock.
#[derive(Debug, Default)]
pub struct ServiceClock(Mutex<Known>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    bounds: Option<Bounds>,
    last: Option<Reported>,
}

/// The service's time at the moment when this host booted. Readings of the boot clock are added.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    earliest: Duration,
    latest: Duration,
}

impl ServiceClock {
    /// Takes in the `Date` of an answer to a request that was sent and received at these times.
    pub fn note(&self, header: ServiceTime, sent: BootTime, received: BootTime) {
        // A service whose clock shows less than this host's uptime has no clock.
        let Some(earliest) = header.0.checked_sub(received.as_duration()) else { return };
        let latest = header.0.saturating_add(HEADER_STEP).saturating_sub(sent.as_duration());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.last = Some(Reported { since_epoch: header.0, step: HEADER_STEP, sent, received });
        known.bounds = Some(match known.bounds {
            None => Bounds { earliest, latest },
            Some(known) => {
                Bounds { earliest: known.earliest.min(earliest), latest: known.latest.max(latest) }
            }
        });
    }

    /// A time that the service has reached by `now`; none before its first answer.
    pub fn earliest(&self, now: BootTime) -> Option<ServiceTime> {
        self.bounds().map(|bounds| ServiceTime(bounds.earliest) + now.as_duration())
    }

    /// A time that the service has not reached by `now`; none before its first answer.
    pub fn latest(&self, now: BootTime) -> Option<ServiceTime> {
        self.bounds().map(|bounds| ServiceTime(bounds.latest) + now.as_duration())
    }

    /// The time in the last answer, to compare the boot clock with.
    pub fn last(&self) -> Option<Reported> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// When a lease that is written now ends, by the service's clock, rounded late. None if leases are
    /// not judged by it (`max_clock_skew`), or before its first answer.
    pub fn expires(
        &self,
        now: BootTime,
        lease: Duration,
        max_clock_skew: Option<Duration>,
    ) -> Option<ServiceTime> {
        max_clock_skew?;
        Some(self.latest(now)? + lease)
    }

    /// How much is left of a lease that ends at `expires`, read early. None for the same reasons.
    pub fn remaining(
        &self,
        now: BootTime,
        expires: Option<ServiceTime>,
        lease: Duration,
        max_clock_skew: Option<Duration>,
    ) -> Option<Duration> {
        let left = (expires? + max_clock_skew?).since(self.earliest(now)?);
        // Never more than a lease: after that time, watching the record proves that the lease is
        // over.
        Some(left.min(lease))
    }

    fn bounds(&self) -> Option<Bounds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> BootTime {
        BootTime::from_duration(Duration::from_secs_f64(seconds))
    }

    fn service(seconds: f64) -> ServiceTime {
        ServiceTime::from_unix(Duration::from_secs_f64(seconds))
    }

    /// The service's clock shows 1_000_000 when this host booted.
    fn header(true_boot: f64) -> ServiceTime {
        service((1_000_000.0 + true_boot).floor())
    }

    fn assert_bounded(clock: &ServiceClock, true_boot: f64) {
        let truth = service(1_000_000.0 + true_boot);
        let (early, late) = (clock.earliest(at(true_boot)), clock.latest(at(true_boot)));
        assert!(early.unwrap() <= truth && truth < late.unwrap(), "{early:?} {truth:?} {late:?}");
    }

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        let clock = ServiceClock::default();
        assert_eq!((clock.earliest(at(5.0)), clock.latest(at(5.0))), (None, None));
    }

    #[test]
    fn the_truth_lies_between_the_bounds_however_long_the_way() {
        for (sent, made, received) in [(5.0, 5.0, 5.0), (5.0, 5.9, 9.0), (5.0, 8.999, 9.0)] {
            let clock = ServiceClock::default();
            clock.note(header(made), at(sent), at(received));
            for now in [received, received + 0.5, received + 86_400.0] {
                assert_bounded(&clock, now);
            }
        }
    }

    #[test]
    fn a_header_that_stands_still_stops_the_judge_and_not_the_writer() {
        let clock = ServiceClock::default();
        for boot in [5.0, 10.0, 60.0] {
            clock.note(header(5.0), at(boot), at(boot));
        }
        assert_eq!(clock.earliest(at(60.0)), Some(header(5.0)));
        assert!(clock.latest(at(60.0)).unwrap() > service(1_000_060.0));
        clock.note(header(70.0), at(70.0), at(70.0));
        assert_bounded(&clock, 70.0);
    }

    #[test]
    fn a_header_that_is_once_wrong_errs_to_the_safe_side() {
        for wrong in [-3_600.0, 3_600.0] {
            let clock = ServiceClock::default();
            clock.note(header(5.0), at(5.0), at(5.0));
            clock.note(header(6.0 + wrong), at(6.0), at(6.0));
            for boot in [7.0, 100.0] {
                clock.note(header(boot), at(boot), at(boot));
                assert_bounded(&clock, boot);
            }
        }
    }

    #[test]
    fn a_clock_from_before_this_host_booted_is_none() {
        let clock = ServiceClock::default();
        clock.note(service(0.0), at(50.0), at(50.0));
        assert_eq!(clock.earliest(at(50.0)), None);
    }

    #[test]
    fn a_lease_ends_late_for_its_writer_and_later_for_its_judge() {
        let clock = ServiceClock::default();
        let (lease, skew) = (Duration::from_secs(15), Some(Duration::from_secs(10)));
        let expires = |skew| clock.expires(at(6.0), lease, skew);
        let left = |now, expires, skew| clock.remaining(at(now), expires, lease, skew);
        assert_eq!(expires(skew), None, "no answer yet");
        assert_eq!(left(6.0, Some(service(1_000_000.0)), skew), None, "no answer yet");
        clock.note(header(5.0), at(5.0), at(6.0));
        // By the writer's reading, which is a second and the way of the answer ahead.
        let end = service(1_000_000.0 + 6.0 + 1.0 + 15.0);
        assert_eq!(expires(skew), Some(end));
        // By the judge's, which is the way of the answer behind.
        for (now, seconds) in [(6.0, 15), (18.0, 15), (19.0, 14), (32.0, 1), (33.0, 0), (99.0, 0)] {
            assert_eq!(left(now, Some(end), skew), Some(Duration::from_secs(seconds)), "{now}");
        }
        assert_eq!(
            (expires(None), left(33.0, Some(end), None), left(33.0, None, skew)),
            (None, None, None)
        );
        let last = clock.last().unwrap();
        assert_eq!((last.since_epoch, last.step), (header(5.0).0, HEADER_STEP));
        assert_eq!((last.sent, last.received), (at(5.0), at(6.0)));
    }

    #[test]
    fn a_time_in_a_record_is_rounded_up_to_the_millisecond() {
        for (micros, text) in [
            (784_111_777_000_000, "1994-11-06T08:49:37Z"),
            (784_111_777_000_001, "1994-11-06T08:49:37.001Z"),
            (784_111_777_001_000, "1994-11-06T08:49:37.001Z"),
        ] {
            let time = ServiceTime::from_unix(Duration::from_micros(micros));
            assert_eq!(time.to_rfc3339().as_deref(), Some(text));
            let read = ServiceTime::from_rfc3339(text).unwrap();
            assert_eq!(
                read.since(time),
                Duration::from_micros(micros.next_multiple_of(1_000) - micros)
            );
            assert_eq!(time.since(read), Duration::ZERO);
        }
        let header = ServiceTime::from_http_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(header, Some(ServiceTime::from_unix(Duration::from_secs(784_111_777))));
        assert_eq!(ServiceTime::from_http_date("1994-11-06T08:49:37Z"), None);
        assert_eq!(ServiceTime::from_rfc3339("Sun, 06 Nov 1994 08:49:37 GMT"), None);
    }

    #[test]
    fn a_paused_machine_only_widens_the_bounds() {
        let clock = ServiceClock::default();
        clock.note(header(5.0), at(5.0), at(5.0));
        // An hour passed that the boot clock did not count.
        clock.note(header(3_610.0), at(10.0), at(10.0));
        let truth = service(1_003_610.0);
        assert!(clock.earliest(at(10.0)).unwrap() < truth);
        assert!(clock.latest(at(10.0)).unwrap() > truth);
    }
}
