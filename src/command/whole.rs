//! Writing to a standard stream, which other processes share.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How often a writer checks whether a non-blocking stream takes more.
const FULL: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Writes all of it, for as long as that takes: for a thread with no other work.
///
/// # Errors
///
/// When the stream takes nothing more, such as a pipe without a reader.
pub fn write(stream: &impl AsFd, mut rest: &[u8]) -> rustix::io::Result<()> {
    while !rest.is_empty() {
        match rustix::io::write(stream, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Another process that shares the pipe made it non-blocking.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&FULL))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
