//! The generation of the virtual machine: the kernel reports that it was resumed from a snapshot.
//!
//! The hypervisor changes the machine's generation id (ACPI `VM_GEN_COUNTER`, or a node of the
//! device tree) in each machine that it resumes from a snapshot. The kernel's `vmgenid` driver then
//! sends an event to every listener, as it does for devices that come and go. Without such a
//! hypervisor, driver or event, no event ever arrives.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};
use tokio::io::unix::AsyncFd;

/// The group of listeners that the kernel itself sends to; those of udev have another.
const FROM_THE_KERNEL: u32 = 1;

/// No event is longer (`UEVENT_BUFFER_SIZE` and its path).
const LONGEST: usize = 8 * 1024;

/// Listens to the kernel.
#[derive(Debug)]
pub struct Generation(AsyncFd<OwnedFd>);

impl Generation {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// When that is not allowed here, or there is no file descriptor left.
    pub fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = SocketType::DGRAM;
        let socket = socket_with(AddressFamily::NETLINK, kind, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, FROM_THE_KERNEL))?;
        #[expect(deprecated, reason = "its successor is unsafe; for an `OwnedFd` both are sound")]
        Ok(Self(AsyncFd::new(socket)?))
    }

    /// Waits until the machine was resumed from a snapshot.
    ///
    /// # Errors
    ///
    /// When the kernel's events cannot be received any more.
    pub async fn changed(&mut self) -> io::Result<()> {
        let mut buffer = [0; LONGEST];
        loop {
            let mut ready = self.0.readable().await?;
            match recvfrom(self.0.get_ref(), buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _, from)) => {
                    let sender = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
                    let of_the_kernel = sender.is_some_and(|sender| sender.pid() == 0);
                    if of_the_kernel && reports_a_generation(buffer.get(..length).unwrap_or(&[])) {
                        return Ok(());
                    }
                }
                Err(Errno::WOULDBLOCK) => ready.clear_ready(),
                // Some events were lost; later ones still arrive.
                Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether an event (`change@/devices/…`, then `KEY=VALUE`s, with zeros between them) comes from
/// the driver. Text that a user writes into a device's `uevent` file arrives as `SYNTH_ARG_…`.
fn reports_a_generation(event: &[u8]) -> bool {
    event.split(|byte| *byte == 0).any(|part| part == b"NEW_VMGENID=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_event_is_distinct_from_others() {
        let event = b"change@/devices/LNXSYSTM:00/VMGENCTR:00\0ACTION=change\0\
                      DEVPATH=/devices/LNXSYSTM:00/VMGENCTR:00\0SUBSYSTEM=acpi\0\
                      MODALIAS=acpi:QEMUVGID:VM_GEN_COUNTER:\0NEW_VMGENID=1\0SEQNUM=4711\0";
        assert!(reports_a_generation(event));
        for other in [
            &b"change@/devices/virtual/net/lo\0ACTION=change\0SYNTH_ARG_NEW_VMGENID=1\0"[..],
            b"add@/devices/NEW_VMGENID=1/x\0ACTION=add\0",
            b"libudev\0NEW_VMGENID=10\0",
            b"",
        ] {
            assert!(!reports_a_generation(other));
        }
    }

    #[tokio::test]
    async fn it_listens_where_it_may() {
        // Some containers forbid it: then no event arrives, without other effects.
        if let Ok(mut generation) = Generation::listen() {
            let received = generation.changed();
            let waited = tokio::time::timeout(std::time::Duration::from_millis(50), received).await;
            assert!(waited.is_err(), "this machine was not resumed just now: {waited:?}");
        }
    }
}
