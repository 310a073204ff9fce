//! The last step to the command: a process that dies with its guard, and then becomes the command.
//!
//! Main and the guard can be killed in one instant, by somebody who kills everything that is called
//! bellwether. Then nobody is left to end the command but the kernel, which does so if the process
//! itself has asked for it (`PR_SET_PDEATHSIG`). That has to happen after the fork and before the
//! command runs. So the guard starts this program once more, and it executes the command in its own
//! place.
//!
//! The kernel sends the signal when the *thread* that forked ends. The guard forks in its main thread,
//! which ends with the process. It does not reach the children of the command, nor a command that
//! changes its user (setuid, file capabilities): the kernel forgets the request there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::channel;

/// The first argument by which the program knows that it is this step. Hidden from people.
pub const SUBCOMMAND: &str = "guard-start";

/// What process listings call it for the instant that it takes.
const NAME: &str = "bw-start";

/// Sysexits' EX_USAGE: it was started by hand.
const USAGE: u8 = 64;

/// What comes with the command's standard input.
const STDIN: &str = "stdin";

/// A command on its way.
#[derive(Debug)]
pub(super) struct Starting {
    /// Its number, and that of its group.
    pub(super) pid: Pid,
    /// Where the step says why it cannot become the command. Closed when it has.
    failure: OwnedFd,
}

impl Starting {
    /// Starts a program with its arguments. To be called in the main thread.
    pub(super) fn begin(words: &[OsString], stdin: OwnedFd) -> io::Result<Self> {
        let (ours, theirs) = channel::sockets()?;
        channel::send(&ours, STDIN, Some(stdin.as_fd()))?;
        let mut step = Command::new("/proc/self/exe");
        step.arg0(NAME).arg(SUBCOMMAND).arg(getpid().as_raw_pid().to_string()).args(words);
        // The handle has no use: it neither ends nor reaps the child, and the guard does both.
        let child = step.process_group(0).stdin(theirs).spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Self { pid: pid.ok_or(io::ErrorKind::InvalidData)?, failure: ours })
    }

    /// Why it did not become the command, by the error number of the system, once it has ended.
    pub(super) fn failure(&self) -> Option<i32> {
        channel::receive(&self.failure).ok().flatten()?.text.parse().ok()
    }
}

/// Becomes the command. `args` is what follows [`SUBCOMMAND`]: the guard's number, the command, its
/// arguments.
pub fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let guard = args.next().and_then(|number| number.to_str()?.parse().ok());
    let (Some(guard), Some(program)) = (guard.and_then(Pid::from_raw), args.next()) else {
        return ExitCode::from(USAGE);
    };
    let mut command = Command::new(program);
    command.args(args);
    // The guard is told over the socket; the exit code says nothing.
    let _ = run(guard, command);
    ExitCode::FAILURE
}

fn run(guard: Pid, mut command: Command) -> io::Result<()> {
    // Closed when the command is executed, as every descriptor that is made here.
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let received = channel::receive(&socket)?.and_then(|received| received.fd);
    rustix::stdio::dup2_stdin(received.ok_or(io::ErrorKind::InvalidData)?)?;
    // Where a sandbox forbids it, main and the guard still end the command, as long as one is there.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // In this order: a guard that ended before did not know that it should send a signal.
    if getppid() != Some(guard) {
        return Ok(());
    }
    let error = match is_for_the_kernel(command.get_program()) {
        true => command.exec(),
        false => Errno::NOEXEC.into(),
    };
    channel::send(&socket, &error.raw_os_error().unwrap_or_default().to_string(), None)
}

/// The C library gives a file that the kernel cannot execute to `sh`, to which an empty file, or one
/// that a crash has left full of zeros, is a script that succeeds.
fn is_for_the_kernel(program: &OsStr) -> bool {
    let Some(file) = found(program) else { return true };
    let mut begin = [0; 4];
    // What may be executed but not read is left to the kernel.
    let Ok(mut file) = File::open(file) else { return true };
    let read = file.read(&mut begin).unwrap_or(begin.len());
    let begin = begin.get(..read).unwrap_or_default();
    begin.starts_with(b"#!") || begin == b"\x7fELF" || knows_more_formats()
}

/// Where `execvp` finds it; none leaves the error to that.
fn found(program: &OsStr) -> Option<PathBuf> {
    let is_executable = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(is_executable);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(is_executable)
}

/// Formats that an administrator has registered, beside `register` and `status`.
fn knows_more_formats() -> bool {
    std::fs::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|formats| formats.count() > 2)
}
