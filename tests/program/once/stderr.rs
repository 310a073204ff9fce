//! The command's standard error, which passes through this process.

use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::ioctl_fionread;

use crate::once::scene::command;
use support::{Killed, Pasture, eventually};

/// Several times what a pipe holds.
const WRITTEN: usize = 300_000;

/// Another process that shares the pipe may have made it non-blocking.
#[test]
fn nothing_of_it_is_lost_at_a_full_pipe_that_does_not_block() {
    let pasture = Pasture::new();
    let (mut reader, writer) = io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    let script = format!("head -c {WRITTEN} /dev/zero | tr '\\0' '~' >&2");
    let start = |mut once: Command| once.stderr(Stdio::from(writer)).spawn().unwrap();
    let mut once = Killed(start(command(&pasture, "a", &["--key", "k"], &script)));
    eventually("the pipe is full", || (ioctl_fionread(&reader).unwrap() > 60_000).then_some(()));
    thread::sleep(Duration::from_millis(100));
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(eventually("it exits", || once.0.try_wait().unwrap()).success());
    assert_eq!(read.iter().filter(|byte| **byte == b'~').count(), WRITTEN);
}
