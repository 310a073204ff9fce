//! Detects that this process is no longer the only one of its name, or that its clock stood still.
//!
//! The boot clock of a virtual machine that is paused, or resumed from a snapshot beside its
//! original, does not count the time in between. A candidate that counts a lease by such a clock
//! believes for too long. A service's own time, which its answers contain, shows the gap.
//!
//! # The comparison
//!
//! A service sent its time T1 between `sent1` and `received1` of the boot clock, and T2 between
//! `sent2` and `received2`, each cut off by less than a step. Then
//!
//! ```text
//! the service's time advanced by more than   T2 - (T1 + step)
//! the boot clock advanced by less than       received2 - sent1
//! ```
//!
//! The boot clock did not count the difference by which the first exceeds the second. Late answers
//! make the second larger, so a delay never raises an alarm.
//!
//! # What is tolerated
//!
//! A gap does harm when it is longer than the lease outlasts the belief in it. The tolerated gap
//! must stay below that, and is the sum of
//!
//! - a quarter of that distance ([`Continuity::tolerance`]), whenever it comes, and
//! - a tenth of the time since ([`DRIFT`]): at the most, as chrony can, one of the clocks is slewed.
//!
//! Over a whole lease that is 2.75 s of 5 s by default, and three quarters of the distance where the
//! renew deadline is at its longest, four fifths of the lease. A coarse step adds to that: the
//! second of an HTTP date, twice.
//!
//! A service's clock that steps forward looks like a gap, and costs one re-election. After the
//! alarm the comparison begins with the new time. A service of several clocks that differ would
//! raise an alarm at every change from the one that is behind to the one that is ahead. The change
//! back reveals them: no gap can make a service's time go backwards. For an hour
//! ([`FORGIVES_FOR`]), the service's time may run ahead without an alarm by as much as it went back.

use std::time::Duration;

use super::time::BootTime;
use super::timing::Timing;

/// The rate by which two good clocks differ at most: chrony slews by up to 8.3 %, NTP by 0.05 %.
const DRIFT: f64 = 0.1;

/// How long a service's time that went backwards excuses one that goes forwards. If servers take
/// turns less often than that, each turn is one re-election.
const FORGIVES_FOR: Duration = Duration::from_secs(3600);

/// A time that a service sent with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceTime {
    /// Since some moment in the past, by the service's clock. Cut off by less than a step.
    pub since_epoch: Duration,
    /// The unit of which that is a multiple.
    pub step: Duration,
    /// When the request was sent.
    pub sent: BootTime,
    /// When the answer was received.
    pub received: BootTime,
}

/// Compares the boot clock with the time of a service.
#[derive(Clone, Debug, Default)]
pub struct Continuity {
    ahead: Option<Ahead>,
    excused: Option<Excuse>,
}

/// By how much the service's time is ahead of the boot clock, in nanoseconds, between bounds.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    at_least: i128,
    at_most: i128,
    as_of: BootTime,
}

#[derive(Clone, Copy, Debug)]
struct Excuse {
    nanos: i128,
    until: BootTime,
}

impl Continuity {
    /// Processes a time that the service sent. Returns how much time the boot clock did not count,
    /// if that exceeds the tolerance: this is an alarm, after which the comparison starts again
    /// from here.
    pub fn note(&mut self, reading: &ServiceTime, timing: &Timing) -> Option<Duration> {
        let time = nanos(reading.since_epoch);
        let next = Ahead {
            at_least: time - nanos(reading.received.as_duration()),
            at_most: time + nanos(reading.step) - nanos(reading.sent.as_duration()),
            as_of: reading.received,
        };
        let known = self.ahead.replace(next)?;
        let drifted = nanos(reading.received.since(known.as_of).mul_f64(DRIFT));
        let borne = nanos(Self::tolerance(timing)) + drifted;
        self.excused.take_if(|excuse| reading.received >= excuse.until);
        let before = self.excused.map_or(0, |excuse| excuse.nanos);
        let backwards = known.at_least - next.at_most;
        if backwards > borne {
            let until = reading.received + FORGIVES_FOR;
            self.excused = Some(Excuse { nanos: backwards.max(before), until });
            return None;
        }
        let gap = next.at_least - known.at_most;
        if gap > borne + before {
            return Some(Duration::from_nanos(u64::try_from(gap).unwrap_or(u64::MAX)));
        }
        self.ahead = Some(Ahead {
            at_least: next.at_least.max(known.at_least - drifted),
            at_most: next.at_most.min(known.at_most + drifted),
            as_of: reading.received,
        });
        None
    }

    /// The tolerance for a single gap.
    pub fn tolerance(timing: &Timing) -> Duration {
        (timing.lease_duration() - timing.renew_deadline()) / 4
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service and a boot clock that the test moves.
    struct World {
        continuity: Continuity,
        timing: Timing,
        step: f64,
        service: f64,
        boot: f64,
        alarms: Vec<f64>,
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    impl World {
        fn new(step: f64) -> Self {
            let (continuity, timing) = (Continuity::default(), Timing::default());
            Self { continuity, timing, step, service: 1.8e9, boot: 500.0, alarms: Vec::new() }
        }

        fn both(&mut self, by: f64) {
            self.service += by;
            self.boot += by;
        }

        /// A request with these times on its way there and back.
        fn ask(&mut self, there: f64, back: f64) {
            let sent = BootTime::from_duration(seconds(self.boot));
            self.both(there);
            let reading = (self.service / self.step).floor() * self.step;
            self.both(back);
            let received = BootTime::from_duration(seconds(self.boot));
            let (since_epoch, step) = (seconds(reading), seconds(self.step));
            let reading = ServiceTime { since_epoch, step, sent, received };
            let alarm = self.continuity.note(&reading, &self.timing);
            self.alarms.extend(alarm.map(|gap| gap.as_secs_f64()));
        }

        fn renew_for(&mut self, periods: u32) {
            for _ in 0..periods {
                self.both(2.0);
                self.ask(0.01, 0.01);
            }
        }
    }

    #[test]
    fn a_boot_clock_that_stood_still_is_found_out_by_the_first_answer() {
        for step in [0.001, 1.0] {
            let mut world = World::new(step);
            world.renew_for(10);
            world.service += 5.0;
            world.renew_for(10);
            assert_eq!(world.alarms.len(), 1, "{:?}", world.alarms);
            assert!((world.alarms[0] - 5.0).abs() < 2.0 * step + 0.1, "{:?}", world.alarms);
        }
    }

    #[test]
    fn every_gap_that_does_harm_is_found_out_even_in_pieces() {
        for (lease, renew) in [(15.0, 10.0), (10.0, 8.0), (1.0, 0.7)] {
            let timing = Timing::new(seconds(lease), seconds(renew), seconds(renew / 5.0)).unwrap();
            for pieces in [1, 3, 10] {
                let mut world = World { timing, ..World::new(0.000_001) };
                world.ask(0.0, 0.0);
                // The boot clock counts the time of the belief, and not the rest of the lease.
                for _ in 0..pieces {
                    world.both(renew / f64::from(pieces));
                    world.service += (lease - renew) / f64::from(pieces);
                    world.ask(0.0, 0.0);
                }
                assert!(!world.alarms.is_empty(), "lease {lease} s, {pieces} pieces");
            }
        }
    }

    #[test]
    fn answers_that_are_late_are_no_alarm() {
        let mut world = World::new(0.001);
        for (there, back) in [(0.0, 0.0), (9.0, 0.0), (0.0, 9.0), (60.0, 60.0), (0.0, 0.0)] {
            world.renew_for(3);
            world.ask(there, back);
        }
        assert!(world.alarms.is_empty(), "{:?}", world.alarms);
    }

    #[test]
    fn clocks_that_are_slewed_are_no_alarm() {
        for rate in [-0.083, -0.000_5, 0.000_5, 0.083] {
            let mut world = World::new(0.001);
            for _ in 0..10_000 {
                world.service += 2.0 * rate;
                world.renew_for(1);
            }
            assert!(world.alarms.is_empty(), "{rate}: {:?}", world.alarms);
        }
    }

    #[test]
    fn clocks_that_are_slewed_are_no_alarm_when_answers_are_rare() {
        for rate in [-0.083, 0.083] {
            let mut world = World::new(0.001);
            for _ in 0..100 {
                world.service += 60.0 * rate;
                world.both(60.0);
                world.ask(0.01, 0.01);
            }
            assert!(world.alarms.is_empty(), "{rate}: {:?}", world.alarms);
        }
    }

    #[test]
    fn a_service_clock_that_is_stepped_costs_one_alarm_at_most() {
        for step in [-3_600.0, -10.0, -0.5, 0.5, 10.0, 3_600.0] {
            let mut world = World::new(0.001);
            world.renew_for(10);
            world.service += step;
            world.renew_for(1_000);
            assert_eq!(world.alarms.len(), usize::from(step > 1.0), "{step}: {:?}", world.alarms);
        }
    }

    #[test]
    fn servers_with_different_clocks_that_take_turns_cost_one_alarm() {
        for step in [0.001, 1.0] {
            let mut world = World::new(step);
            for _ in 0..200 {
                world.renew_for(3);
                world.service += 20.0;
                world.renew_for(3);
                world.service -= 20.0;
            }
            assert!(world.alarms.len() <= 1, "{:?}", world.alarms);
        }
    }

    #[test]
    fn a_clock_that_was_set_back_long_ago_excuses_nothing() {
        let mut world = World::new(0.001);
        world.renew_for(3);
        world.service -= 30.0;
        world.renew_for(1_900);
        world.service += 20.0;
        world.renew_for(3);
        assert_eq!(world.alarms.len(), 1);
    }
}
