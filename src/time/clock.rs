//! The host's own clock: the only file of the program that reads one, by rule `boot-clock`.

use std::time::{Duration, SystemTime};

use crate::election::time::{BootTime, Clock, Now, WallTime};

/// The host's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostClock;

impl HostClock {
    /// The time since the boot of the host, now.
    pub fn boot() -> BootTime {
        Self.now().boot
    }
}

impl Clock for HostClock {
    fn now(&self) -> Now {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let (boot, wall) =
            (rustix::time::clock_gettime(rustix::time::ClockId::Boottime), SystemTime::now());
        // The kernel never reports a time before the boot: zero is unreachable, not a default.
        let seconds = u64::try_from(boot.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(boot.tv_nsec).unwrap_or(0);
        Now {
            boot: BootTime::from_duration(Duration::new(seconds, nanos)),
            wall: WallTime::read(wall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_clock_agrees_with_the_kernel_on_time_since_boot() {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("Linux has /proc/uptime");
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let read = HostClock.now().boot.as_duration().as_secs_f64();
        assert!((read - uptime).abs() < 60.0, "clock {read} s, /proc/uptime {uptime} s");
    }
}
