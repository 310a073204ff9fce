//! Which boot of which clock a stored boot-clock reading belongs to, and whether that is proven.
//!
//! Containers may show a boot id of their own on one kernel (systemd-nspawn, LXC and Incus mount a
//! file over the kernel's), and processes of different time namespaces read different boot clocks
//! on one boot. So a reading is comparable only between processes that see the kernel's own boot id
//! and the same offset. Any other id proves nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, PROC_SUPER_MAGIC, StatxAttributes, StatxFlags, fstatfs, statx};
use rustix::io::Errno;
use uuid::Uuid;

use crate::election::time::BootTime;

mod generation;

pub use generation::Generation;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Prefix of the name of a clock that is not proven to be shared with another process.
const UNPROVEN: &str = "?";

/// The boot clock that this process reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// `<boot id>/<offset>`, with the offset that the process's time namespace adds to the boot
    /// clock; after [`UNPROVEN`], the text that is shown in place of these.
    clock: String,
}

impl Boot {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted, with the path that is missing, or no file can be opened.
    pub fn this() -> io::Result<Self> {
        let boot_id = BootId::read(Path::new(BOOT_ID)).map_err(|error| unreadable(&error))?;
        Ok(match (boot_id, boot_clock_offset()) {
            (BootId::OfTheKernel(id), Some(offset)) => Self::proven(&id, &offset),
            (BootId::OfTheKernel(id) | BootId::Masked(id), _) => Self::unproven(&id),
        })
    }

    /// The boot with this id, whose clock is this much ahead for the process.
    pub fn proven(boot_id: &str, offset: &str) -> Self {
        Self { clock: format!("{boot_id}/{offset}") }
    }

    /// A process that sees this boot id from another source than the kernel.
    pub fn unproven(boot_id: &str) -> Self {
        Self { clock: format!("{UNPROVEN}{boot_id}") }
    }

    /// What is stored beside a reading of the boot clock.
    pub fn clock(&self) -> &str {
        &self.clock
    }

    /// Whether readings can be compared with those of another process at all.
    pub fn is_proven(&self) -> bool {
        boot(&self.clock).is_some()
    }

    /// What is left of a lease that ends at `expires`, by a reading of `clock`.
    ///
    /// None if this process's clock cannot show it: one of the two boot ids is not proven to be the
    /// kernel's, or the boot is the same and the offset differs.
    pub fn remaining(&self, clock: &str, expires: BootTime, now: BootTime) -> Option<Duration> {
        let (own_boot, its_boot) = (boot(&self.clock)?, boot(clock)?);
        if clock == self.clock {
            Some(expires.since(now))
        } else if own_boot == its_boot {
            None
        } else {
            // The host was rebooted since: the writer of this is dead.
            Some(Duration::ZERO)
        }
    }

    /// Checks that child processes read the same boot clock as this process. They do not after
    /// `unshare --time` without `--fork`.
    ///
    /// # Errors
    ///
    /// When they do not, with what to do.
    pub fn check_children() -> io::Result<()> {
        let link = |name: &str| fs::read_link(Path::new("/proc/self/ns").join(name)).ok();
        if link("time") == link("time_for_children") {
            return Ok(());
        }
        Err(io::Error::other(
            "it would be in another time namespace than this process, and read another clock; \
             start bellwether with unshare --fork, or without a time namespace",
        ))
    }
}

/// Why the boot id cannot be read, and what to do.
fn unreadable(error: &io::Error) -> io::Error {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let remedy = match errno {
        Some(Errno::MFILE | Errno::NFILE) => "; raise the open-file limit (ulimit -n, LimitNOFILE)",
        Some(Errno::NOENT) => "; mount /proc",
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot read {BOOT_ID}: {error}{remedy}"))
}

/// The boot of a proven clock.
fn boot(clock: &str) -> Option<&str> {
    let (boot, offset) = clock.split_once('/')?;
    // An offset is seconds and nanoseconds; a name of another shape proves nothing.
    let (seconds, nanos) = offset.split_once('.')?;
    let is_offset = seconds.parse::<i64>().is_ok() && nanos.parse::<u32>().is_ok();
    (is_offset && !boot.starts_with(UNPROVEN)).then_some(boot)
}

/// The text that is shown as the boot id.
enum BootId {
    OfTheKernel(String),
    Masked(String),
}

impl BootId {
    /// The kernel's own is a file of procfs, and nothing is mounted over it: another file of procfs
    /// could be mounted there as well.
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let of_procfs = fstatfs(&file)?.f_type == PROC_SUPER_MAGIC;
        let mounted_over = statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::empty())
            .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
        let id = first_text(&mut file)?.trim().to_owned();
        let genuine = of_procfs && !mounted_over && Uuid::try_parse(&id).is_ok();
        Ok(if genuine { Self::OfTheKernel(id) } else { Self::Masked(id) })
    }
}

/// The text of a short file of the kernel, which gives all of it with one call. Each idle instance reads two at each of its
/// renewals or looks, so calls count. A text in the place of a boot id may be endless.
fn first_text(file: &mut File) -> io::Result<String> {
    let mut bytes = [0; 256];
    let length = file.read(&mut bytes)?;
    let text = bytes.get(..length).and_then(|bytes| str::from_utf8(bytes).ok());
    text.map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The offset of this process's time namespace to the kernel's boot clock; none if unknown.
fn boot_clock_offset() -> Option<String> {
    let link = |name: &str| fs::read_link(Path::new("/proc/self/ns").join(name));
    let own = match link("time") {
        Ok(own) => own,
        // A kernel without time namespaces has one boot clock. It has other namespaces.
        Err(error) if error.kind() == io::ErrorKind::NotFound && link("mnt").is_ok() => {
            return Some("0.0".to_owned());
        }
        Err(_) => return None,
    };
    // The kernel reports the offsets of the namespace that children will be in.
    if link("time_for_children").ok()? != own {
        return None;
    }
    let offsets = first_text(&mut File::open("/proc/self/timens_offsets").ok()?).ok()?;
    let mut words = offsets.lines().find(|line| line.starts_with("boottime"))?.split_whitespace();
    let (_, seconds, nanos) = (words.next()?, words.next()?, words.next()?);
    Some(format!("{seconds}.{nanos}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    /// The rest of a lease until second 100, written by one clock and judged by the other at 90.
    fn judged(by: &Boot, of: &Boot) -> Option<Duration> {
        by.remaining(of.clock(), at(100), at(90))
    }

    #[test]
    fn leases_of_this_boot_are_judged_by_the_boot_clock() {
        let host = Boot::proven("boot-1", "0.0");
        let left = |now| host.remaining(host.clock(), at(100), at(now));
        assert_eq!(left(90), Some(Duration::from_secs(10)));
        assert_eq!(left(100), Some(Duration::ZERO));
        assert_eq!(left(200), Some(Duration::ZERO));
    }

    #[test]
    fn leases_of_an_earlier_boot_are_over_whatever_the_clock_says() {
        let (before, after) = (Boot::proven("boot-1", "0.0"), Boot::proven("boot-2", "0.0"));
        assert_eq!(after.remaining(before.clock(), at(1_000_000), at(5)), Some(Duration::ZERO));
    }

    #[test]
    fn leases_of_another_time_namespace_are_not_judged_but_those_of_the_same_offset_are() {
        let (inside, outside) = (Boot::proven("boot-1", "86400.0"), Boot::proven("boot-1", "0.0"));
        assert_eq!(judged(&outside, &inside), None);
        assert_eq!(judged(&inside, &outside), None);
        assert_eq!(judged(&inside, &inside.clone()), Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_masked_boot_id_proves_nothing() {
        let (plain, masked) = (Boot::proven("boot-1", "0.0"), Boot::unproven("boot-2"));
        assert_eq!(judged(&plain, &masked), None);
        assert_eq!(judged(&masked, &plain), None);
        assert_eq!(judged(&masked, &masked.clone()), None, "an image may show the same everywhere");
        assert!(plain.is_proven() && !masked.is_proven());
    }

    #[test]
    fn a_clock_of_another_shape_proves_nothing() {
        let host = Boot::proven("boot-1", "0.0");
        for clock in ["", "/", "boot-2", "boot-2/", "boot-2/time:[4026531834]", "boot-2/a.b"] {
            assert_eq!(host.remaining(clock, at(100), at(90)), None, "{clock}");
        }
    }

    #[test]
    fn a_file_that_is_not_the_kernels_is_no_boot_id() {
        let masked = |path: &str| matches!(BootId::read(Path::new(path)), Ok(BootId::Masked(_)));
        let shown = tempfile::NamedTempFile::new().unwrap();
        fs::write(shown.path(), format!("{}\n", Uuid::new_v4())).unwrap();
        assert!(masked(shown.path().to_str().unwrap()), "not of procfs");
        assert!(masked("/proc/version"), "not a boot id");
        assert!(masked("/proc/kallsyms"), "endless");
        assert!(BootId::read(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn a_boot_id_that_cannot_be_read_has_the_remedy_of_its_cause() {
        let why = |errno: Errno| unreadable(&errno.into()).to_string();
        assert!(why(Errno::NOENT).ends_with("; mount /proc"), "{}", why(Errno::NOENT));
        for errno in [Errno::MFILE, Errno::NFILE] {
            let why = why(errno);
            assert!(why.contains("ulimit -n, LimitNOFILE") && !why.contains("mount"), "{why}");
        }
    }

    #[test]
    fn this_host_knows_its_boot() {
        let host = Boot::this().unwrap();
        assert!(host.clock().len() > 30, "{host:?}");
        assert_eq!(host, Boot::this().unwrap());
        Boot::check_children().unwrap();
    }
}
