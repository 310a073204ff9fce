//! The last step to the command: a process that dies with its guard, and then becomes the command.
//!
//! Main and the guard can be killed at the same instant, for example by a `pkill bellwether`. Then
//! only the kernel is left to end the command. It does so if the process itself has requested it
//! (`PR_SET_PDEATHSIG`), after the fork and before the command runs. So the guard starts this
//! program once more, and that process executes the command in its own place.
//!
//! The kernel sends the signal when the *thread* that forked ends. The guard forks in its main
//! thread, which ends with the process. The signal does not reach the children of the command, nor
//! a command that changes its user (setuid, file capabilities): the kernel then discards the
//! request.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::channel;

/// The first argument that marks this step. Hidden from the help.
pub const SUBCOMMAND: &str = "guard-start";

/// Its name in process listings while it runs.
const NAME: &str = "bw-start";

/// Sysexits' EX_USAGE: it was started by hand.
const USAGE: u8 = 64;

/// The byte that comes with the command's standard input.
const STDIN: &str = "stdin";

/// A command that is starting.
#[derive(Debug)]
pub(super) struct Starting {
    /// Its number, and that of its group.
    pub(super) pid: Pid,
    /// Where the step reports why it cannot become the command. Closed when it has become it.
    failure: OwnedFd,
}

impl Starting {
    /// Starts a program with its arguments. Call it in the main thread.
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
    // The guard gets the error over the socket; the exit code has no meaning.
    let _ = run(guard, command);
    ExitCode::FAILURE
}

fn run(guard: Pid, mut command: Command) -> io::Result<()> {
    // Closed when the command is executed, as every descriptor that is made here.
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let received = channel::receive(&socket)?.and_then(|received| received.fd);
    rustix::stdio::dup2_stdin(received.ok_or(io::ErrorKind::InvalidData)?)?;
    // If a sandbox forbids it, main or the guard still ends the command while one of them runs.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // In this order, because the kernel sends no signal for a guard that ended before the request.
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
    // A file that may be executed but not read is left to the kernel.
    let Ok(begin) = begin_of(&file) else { return true };
    if begin.iter().all(|byte| *byte == 0) {
        return false;
    }
    let is_own = || begin_of(Path::new("/proc/self/exe")).is_ok_and(|own| is_like(&begin, &own));
    begin.starts_with(b"#!") || begin.starts_with(ELF) && is_own() || knows_more_formats()
}

const ELF: &[u8] = b"\x7fELF";

/// The first bytes of a file: of a program, as many as say what machine it is for.
fn begin_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut begin = Vec::with_capacity(MACHINE.end);
    File::open(file)?.take(u64::try_from(MACHINE.end).unwrap_or(0)).read_to_end(&mut begin)?;
    Ok(begin)
}

/// Where an ELF file has its machine.
const MACHINE: Range<usize> = 18..20;

/// The machines whose kernels execute programs of a smaller one, too.
const SMALLER: [(u16, u16); 2] = [(62, 3), (183, 40)];

/// Whether a program is for the machine that another one runs on.
fn is_like(program: &[u8], own: &[u8]) -> bool {
    let machine = |file: &[u8]| Some(u16::from_ne_bytes(file.get(MACHINE)?.try_into().ok()?));
    let (Some(its), Some(own)) = (machine(program), machine(own)) else { return false };
    its == own || SMALLER.contains(&(own, its))
}

/// Where `execvp` finds it; none leaves the error to `execvp`.
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
