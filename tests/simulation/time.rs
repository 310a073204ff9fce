//! True time, which only the simulation knows, and the clocks of the hosts, which are all wrong.

use std::time::Duration;

use bellwether::election::clock::BootTime;

/// Nanoseconds of true time since the start of the run.
pub type TrueTime = u64;

/// A millisecond of true time.
pub const MS: TrueTime = 1_000_000;

/// One host's clock: it started at some other time, and runs at its own rate.
#[derive(Clone, Copy, Debug)]
pub struct SkewedClock {
    /// What it read at the start of the run, in nanoseconds.
    pub offset: u64,
    /// How far it goes while a million nanoseconds pass.
    pub rate: u64,
}

impl SkewedClock {
    /// What it reads at `now`, in nanoseconds.
    pub fn nanos(&self, now: TrueTime) -> u64 {
        self.offset + now * self.rate / 1_000_000
    }

    /// What it reads at `now`.
    pub fn read(&self, now: TrueTime) -> BootTime {
        BootTime::from_duration(Duration::from_nanos(self.nanos(now)))
    }

    /// The first moment at which it reads `at` or later.
    pub fn when_reads(&self, at: BootTime) -> TrueTime {
        let nanos = u64::try_from(at.as_duration().as_nanos()).unwrap_or(u64::MAX);
        // A deadline that overflows is one that never comes within a run.
        nanos.saturating_sub(self.offset).saturating_mul(1_000_000).div_ceil(self.rate)
    }

    /// How much true time passes while it goes this far, rounded up.
    pub fn span(&self, duration: Duration) -> TrueTime {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        nanos.saturating_mul(1_000_000).div_ceil(self.rate)
    }
}
