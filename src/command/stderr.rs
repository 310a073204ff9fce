//! Writing to standard error, which other processes share.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How often a writer checks whether a non-blocking standard error takes more.
const FULL: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Writes all of it, for as long as that takes: for a thread with no other work.
///
/// # Errors
///
/// When standard error takes nothing more, such as a pipe without a reader.
pub fn write_whole(mut rest: &[u8]) -> rustix::io::Result<()> {
    let stderr = io::stderr();
    while !rest.is_empty() {
        match rustix::io::write(&stderr, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Another process that shares the pipe made it non-blocking.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&FULL))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
