//! Time, as the election counts it. The host's clock is read in [`crate::time::clock`].
//!
//! [`BootTime`] decides; [`WallTime`] is for people. The wall clock can be wrong by hours and step
//! at any moment, so [`WallTime`] can be printed and stored but neither compared nor subtracted:
//! the compiler keeps it out of decisions about a lease.

use std::fmt;
use std::ops::Add;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A reading of `CLOCK_BOOTTIME`: time since this host started, suspend included.
///
/// Only readings of the same host, since the same boot, mean anything to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(Duration);

impl BootTime {
    /// The moment of the boot itself.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The reading that is `since_boot` after the boot.
    pub const fn from_duration(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// Time since the boot.
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// How much later this is than `earlier`; zero if it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

/// 9999-12-31T23:59:59Z: later times have no RFC 3339 form, and formatting them fails.
const LAST_SHOWN: Duration = Duration::from_secs(253_402_300_799);

/// A reading of the wall clock, to be shown to people. It has no order on purpose.
#[derive(Clone, Copy, Debug)]
pub struct WallTime(SystemTime);

impl WallTime {
    /// The Unix epoch, for records whose times are not known.
    pub const EPOCH: Self = Self(SystemTime::UNIX_EPOCH);

    /// The reading that is `since_epoch` after 1970-01-01T00:00:00Z; the last that can be shown, if it
    /// is later than that.
    pub fn from_unix(since_epoch: Duration) -> Self {
        Self(SystemTime::UNIX_EPOCH + since_epoch.min(LAST_SHOWN))
    }

    /// The reading of a clock. A time before 1970, or later than can be shown, is not a reading.
    pub fn read(time: SystemTime) -> Self {
        Self::from_unix(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }

    /// Whether both are the very same reading.
    pub fn same_reading(self, other: Self) -> bool {
        self.0 == other.0
    }

    /// As a number, for what is no matter of a lease: pauses, retention and periods of work that is
    /// done once.
    pub fn since_epoch(self) -> Duration {
        self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// Reads an RFC 3339 timestamp, as written by `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        humantime::parse_rfc3339(text).ok().map(Self)
    }
}

impl fmt::Display for WallTime {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(self.0).fmt(f)
    }
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Decides.
    pub boot: BootTime,
    /// Is written into records for people.
    pub wall: WallTime,
}

/// A source of time.
pub trait Clock: Send + Sync {
    /// Reads the clock.
    fn now(&self) -> Now;
}

/// A clock that a test moves by hand. Clones share the same hands.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Now>>);

impl ManualClock {
    /// A clock that stands at `boot` until it is moved.
    pub fn at(boot: BootTime) -> Self {
        let wall = WallTime::from_unix(Duration::from_secs(1_800_000_000));
        Self(Arc::new(Mutex::new(Now { boot, wall })))
    }

    /// Moves both hands forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.boot = now.boot + by;
        now.wall = now.wall.0.checked_add(by).map_or(now.wall, WallTime::read);
    }

    /// Steps the wall clock alone, as an administrator or NTP may.
    pub fn set_wall(&self, wall: WallTime) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wall = wall;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_never_goes_below_zero_or_overflows() {
        let early = BootTime::from_duration(Duration::from_secs(1));
        let late = early + Duration::from_secs(2);
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!((late + Duration::MAX).as_duration(), Duration::MAX);
    }

    #[test]
    fn wall_time_survives_being_written_and_read() {
        let text = "2026-11-23T07:39:46.123Z";
        assert_eq!(WallTime::parse(text).unwrap().to_string(), text);
        assert!(WallTime::parse("yesterday").is_none());
    }

    #[test]
    fn a_wall_time_of_no_age_can_be_shown() {
        assert_eq!(WallTime::from_unix(Duration::MAX).to_string(), "9999-12-31T23:59:59.000Z");
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(WallTime::read(early).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn the_hands_of_a_manual_clock_are_shared_and_moved_by_hand_only() {
        let clock = ManualClock::at(BootTime::from_duration(Duration::from_secs(7)));
        let (hands, before) = (clock.clone(), clock.now());
        hands.advance(Duration::from_secs(2));
        assert_eq!(clock.now().boot.since(before.boot), Duration::from_secs(2));
        let moved = clock.now().wall.since_epoch() - before.wall.since_epoch();
        assert_eq!(moved, Duration::from_secs(2));
        hands.set_wall(WallTime::EPOCH);
        assert!(clock.now().wall.same_reading(WallTime::EPOCH));
        assert!(!clock.now().wall.same_reading(before.wall));
        assert_eq!(clock.now().boot.since(before.boot), Duration::from_secs(2));
    }
}
