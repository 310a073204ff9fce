//! True time, which only the simulation knows, and the clocks of the hosts, which are all wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether::election::time::{BootTime, Clock, Now, WallTime};

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

    /// How much true time passes while it goes this far, rounded up.
    pub fn span(&self, duration: Duration) -> TrueTime {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        nanos.saturating_mul(1_000_000).div_ceil(self.rate)
    }
}

/// The boot clock of a host as its processes read it, and the simulation with them.
#[derive(Clone, Debug)]
pub struct HostTime {
    true_now: Arc<AtomicU64>,
    clock: SkewedClock,
    /// For how long it stood still, in its own nanoseconds.
    stood: Arc<AtomicU64>,
}

impl HostTime {
    pub fn new(true_now: &Arc<AtomicU64>, clock: SkewedClock) -> Self {
        let offset = clock.offset;
        let stood = Arc::new(AtomicU64::new(0));
        debug_assert!(offset > 0, "a clock that stood still never reads less than zero");
        Self { true_now: Arc::clone(true_now), clock, stood }
    }

    /// What it reads now.
    pub fn read(&self) -> BootTime {
        let nanos = self.clock.nanos(self.true_now.load(Ordering::Relaxed));
        let stood = self.stood.load(Ordering::Relaxed);
        BootTime::from_duration(Duration::from_nanos(nanos.saturating_sub(stood)))
    }

    /// The first moment at which it reads `at` or later.
    pub fn when_reads(&self, at: BootTime) -> TrueTime {
        let nanos = u64::try_from(at.as_duration().as_nanos()).unwrap_or(u64::MAX);
        let nanos = nanos.saturating_add(self.stood.load(Ordering::Relaxed));
        // A deadline that overflows is one that never comes within a run.
        nanos.saturating_sub(self.clock.offset).saturating_mul(1_000_000).div_ceil(self.clock.rate)
    }

    /// It stood still since it read `since`.
    pub fn stood_since(&self, since: BootTime) {
        let missed = u64::try_from(self.read().since(since).as_nanos()).unwrap_or(0);
        self.stood.fetch_add(missed, Ordering::Relaxed);
    }
}

impl Clock for HostTime {
    fn now(&self) -> Now {
        let wall = Duration::from_nanos(self.true_now.load(Ordering::Relaxed));
        Now { boot: self.read(), wall: WallTime::from_unix(wall) }
    }
}
