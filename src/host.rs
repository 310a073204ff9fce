//! Which boot of which clock a stored boot-clock reading belongs to.

use std::fs;
use std::io;
use std::time::Duration;

use crate::election::clock::BootTime;

/// The boot of this host, as the kernel names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// `<boot id>` or, inside a time namespace, `<boot id>/<namespace>`: there the boot clock has
    /// an offset of its own.
    boot_id: String,
}

impl Host {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted.
    pub fn this() -> io::Result<Self> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        // Absent on kernels without time namespaces: then there is one clock.
        let namespace = fs::read_link("/proc/self/ns/time").ok();
        let clock = namespace.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self::new(boot_id.trim(), &clock))
    }

    /// A boot with this id, whose boot clock is that of time namespace `clock`.
    pub fn new(boot_id: &str, clock: &str) -> Self {
        Self { boot_id: format!("{boot_id}/{clock}") }
    }

    /// What is stored beside a reading of the boot clock.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// What is left of a lease that ends at `expires`, by the boot clock of `boot_id`.
    ///
    /// None where this host's clock cannot tell: the reading is of the same boot, but of another
    /// time namespace, whose boot clock may be years off.
    pub fn remaining(&self, boot_id: &str, expires: BootTime, now: BootTime) -> Option<Duration> {
        let boot = |id: &str| id.split('/').next().map(str::to_owned);
        if boot_id == self.boot_id {
            Some(expires.since(now))
        } else if boot(boot_id) == boot(&self.boot_id) {
            None
        } else {
            // The host was started anew since: whoever wrote this is dead.
            Some(Duration::ZERO)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    #[test]
    fn leases_of_this_boot_are_judged_by_the_boot_clock() {
        let host = Host::new("boot-1", "ns");
        let left = |now| host.remaining(host.boot_id(), at(100), at(now));
        assert_eq!(left(90), Some(Duration::from_secs(10)));
        assert_eq!(left(100), Some(Duration::ZERO));
        assert_eq!(left(200), Some(Duration::ZERO));
    }

    #[test]
    fn leases_of_an_earlier_boot_are_over_whatever_the_clock_says() {
        let (before, after) = (Host::new("boot-1", "ns"), Host::new("boot-2", "ns"));
        assert_eq!(after.remaining(before.boot_id(), at(1_000_000), at(5)), Some(Duration::ZERO));
    }

    #[test]
    fn leases_of_another_time_namespace_are_not_judged() {
        let (inside, outside) = (Host::new("boot-1", "time:[2]"), Host::new("boot-1", "time:[1]"));
        assert_eq!(outside.remaining(inside.boot_id(), at(5), at(1_000_000)), None);
    }

    #[test]
    fn this_host_knows_its_boot() {
        let host = Host::this().unwrap();
        assert!(host.boot_id().len() > 30, "{host:?}");
        assert_eq!(host, Host::this().unwrap());
    }
}
