//! A running command as main sees it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group, set_child_subreaper};
use tokio::process::{Child, Command};

use super::channel::{Channel, Received};
use super::message::{Report, Request};
use super::plan::{self, Deadlines, Exit, Plan};
use super::spec::CommandSpec;
use super::{guard, processes};
use crate::election::time::BootTime;
use crate::time::alarm::{Alarm, Timer};
use crate::time::boot::Boot;
use crate::time::clock::HostClock;

/// The variable that marks a command's processes as those of one guard.
pub const MARK: &str = "BELLWETHER_GUARD";

/// How long a guard that was late and was continued has to do its work before it is killed, if it
/// is stopped again.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// How often to look for processes of a guard that was killed.
const SWEEP_PERIOD: Duration = Duration::from_millis(20);

/// How many times in a row nothing may be found before nothing is taken to be left:
/// [`processes::kill_marked`] can miss a process once, for the time of an `execve`.
const QUIET_ROUNDS: u32 = 3;

/// The guards that only their [`Group`] may reap.
static GUARDS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// How it all ended. By then nothing of the command is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The command ran and ended.
    Exited {
        /// How.
        exit: Exit,
        /// Whether it had been asked to end before: by main, by a deadline, or because main was gone.
        stopped: bool,
    },
    /// The command could not be started, with the error number of the system.
    NotStarted(i32),
    /// The leadership had ended before the command was started: nothing ran.
    TooLate,
    /// The guard was killed, and so the command was. How far it got is not known.
    GuardLost,
}

impl Ended {
    /// The exit code that stands for it, as shells have it; none if the command did not get the
    /// chance to end on its own.
    pub fn code(self) -> Option<u8> {
        match self {
            Self::Exited { exit, .. } => Some(exit.code()),
            Self::NotStarted(errno) => {
                Some(plan::not_started_code(&io::Error::from_raw_os_error(errno)))
            }
            Self::TooLate | Self::GuardLost => None,
        }
    }

    /// Whether it received the request to end and had to be killed.
    pub fn was_killed(self) -> bool {
        const KILL: Exit = Exit::Signal(9);
        matches!(self, Self::Exited { exit: KILL, stopped: true })
    }
}

/// A command under guard.
///
/// Dropping it closes the socket to the guard, which ends the command: SIGTERM at once, SIGKILL
/// at the deadline or after [`plan::ORPHAN_GRACE`].
#[derive(Debug)]
pub struct Group {
    channel: Channel,
    child: Child,
    guard: Guard,
    alarm: Alarm,
    /// `NAME=VALUE` in the environment of the guard and all its descendants.
    mark: OsString,
    /// When the guard was started: any process that it left was started later.
    since: Option<u64>,
    plan: Plan,
    watch: GuardWatch,
    /// The command's process group, between its start and its end.
    group: Option<Pid>,
    /// How the command itself ended.
    exited: Option<Ended>,
}

/// How main stands to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GuardWatch {
    /// It does its work, or its time has not come.
    Trusting,
    /// It was late and had a push: it has until then.
    Pushed { until: BootTime },
    /// It is killed or about to be: main looks for what it left.
    Sweeping { next: BootTime, quiet: u32 },
    /// Nothing is left.
    Done(Ended),
}

impl Group {
    /// Starts the guard, and has it start the command. Needs a tokio runtime with I/O and time.
    ///
    /// The command reads this process's standard input, unless that is a terminal, or it runs
    /// [`CommandSpec::aside`]: then it reads nothing.
    ///
    /// # Errors
    ///
    /// When the guard cannot be started. Whether the command can be, [`Self::ended`] tells.
    pub fn start(spec: &CommandSpec, deadlines: Deadlines) -> io::Result<Self> {
        // The guard receives times of this process's clock.
        Boot::check_children()?;
        let alarm = Alarm::new()?;
        let (channel, theirs) = Channel::pair()?;
        let mark = uuid::Uuid::new_v4().simple().to_string();
        // This process adopts what a killed guard leaves. Any number switches it on.
        set_child_subreaper(Some(getpid()))?;
        let mut command = spec.under_guard(guard::NAME, guard::SUBCOMMAND)?;
        command.env(MARK, &mark).stdin(Stdio::from(theirs));
        let (child, guard) = Guard::spawn(&mut command)?;
        drop(command);
        channel.send(&Request::Start(deadlines).encode(), Some(spec.stdin()?.as_fd()))?;
        Ok(Self {
            since: processes::started(guard.0),
            channel,
            child,
            guard,
            alarm,
            mark: format!("{MARK}={mark}").into(),
            plan: Plan::new(deadlines),
            watch: GuardWatch::Trusting,
            group: None,
            exited: None,
        })
    }

    /// The guard's process number.
    pub fn guard(&self) -> Pid {
        self.guard.0
    }

    /// The leadership was renewed: the command may run for longer. Has no effect once the command
    /// was asked to end.
    pub fn extend(&mut self, to: Deadlines) {
        self.plan.extend(to);
        self.send(Request::Extend(to));
    }

    /// Has the guard keep `fd` open for as long as anything of the command is left, also when this
    /// process is killed: the process at its other end learns that all is gone when it is closed.
    ///
    /// # Errors
    ///
    /// When the guard does not listen.
    pub fn keep(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.channel.send(&Request::Keep.encode(), Some(fd))
    }

    /// Passes a signal on to the command's process group, by its number. Real-time signals are not
    /// passed on. To end the command, use [`Self::stop`].
    pub fn signal(&mut self, number: i32) {
        self.send(Request::Signal(number));
    }

    /// Asks the command to end, and kills what is left of it at `kill_at`, which has to be a time
    /// that the lease allows. May be said again with a later time when the lease was renewed.
    pub fn stop(&mut self, kill_at: BootTime) {
        self.plan.stop(HostClock::boot(), kill_at);
        self.send(Request::Stop { kill_at });
    }

    /// Kills the command now.
    pub fn kill(&mut self) {
        self.stop(HostClock::boot());
    }

    /// A guard that does not take a message in is gone or stuck. Then the work ends by the deadlines
    /// it knows, or by main's own look at them in [`Self::ended`]: early, if at all wrong.
    fn send(&self, request: Request) {
        if let Err(error) = self.channel.send(&request.encode(), None) {
            tracing::debug!(%error, ?request, "the guard does not respond");
        }
    }

    /// Waits until the command and everything it started is gone.
    ///
    /// May be dropped at any point and called again; afterwards it gives the same answer at once.
    /// It is also what ends the work if something happens to the guard, so it has to be waited for
    /// all the time.
    pub async fn ended(&mut self) -> Ended {
        loop {
            match self.watch {
                GuardWatch::Trusting => {
                    let overdue = self.plan.deadlines().overdue_at();
                    self.listen(overdue).await;
                }
                GuardWatch::Pushed { until } => self.listen(until).await,
                GuardWatch::Sweeping { next, quiet } => {
                    self.alarm.until(next).await;
                    self.sweep(quiet);
                }
                GuardWatch::Done(ended) => {
                    self.reap_guard().await;
                    return ended;
                }
            }
        }
    }

    /// Hears what the guard has to say, until it is late.
    async fn listen(&mut self, late: BootTime) {
        tokio::select! {
            biased;
            received = self.channel.recv() => self.note(received),
            () = self.alarm.until(late) => self.guard_is_late(),
        }
    }

    fn note(&mut self, received: Option<Received>) {
        match received.and_then(|received| Report::parse(&received.text)) {
            Some(Report::Started(group)) => self.group = Pid::from_raw(group),
            Some(Report::Exited { exit, stopped }) => {
                self.group = None;
                self.exited = Some(Ended::Exited { exit, stopped });
            }
            Some(Report::Stopped(signal)) => tracing::warn!(
                signal,
                event = "command_suspended",
                "the command is stopped by a signal; continue it with SIGCONT"
            ),
            Some(Report::Continued) => tracing::info!(
                event = "command_continued",
                "the command continues after it was stopped"
            ),
            Some(Report::OutOfReach) => tracing::error!(
                event = "command_out_of_reach",
                "the command runs as a user that bellwether may not signal; it cannot be ended"
            ),
            Some(Report::NotStarted(errno)) => {
                self.watch = GuardWatch::Done(Ended::NotStarted(errno))
            }
            Some(Report::TooLate) => self.watch = GuardWatch::Done(Ended::TooLate),
            Some(Report::Gone) => {
                self.watch = GuardWatch::Done(self.exited.unwrap_or(Ended::GuardLost));
            }
            None => self.guard_is_lost(),
        }
    }

    /// The guard should have reported by now: main does its work, and gives it a push in case that
    /// it was only stopped. If it is stopped even so, it is treated as lost; if it is not, something
    /// cannot be killed, and then no process may report that it is gone.
    fn guard_is_late(&mut self) {
        if self.watch != GuardWatch::Trusting && processes::is_stopped(self.guard.0) {
            return self.guard_is_lost();
        }
        if self.watch == GuardWatch::Trusting {
            tracing::warn!(
                guard = self.guard.0.as_raw_pid(),
                event = "guard_late",
                "the guard is late; killing the command"
            );
        }
        self.kill_command();
        self.push_guard();
        self.watch = GuardWatch::Pushed { until: HostClock::boot() + LAST_CHANCE };
    }

    fn guard_is_lost(&mut self) {
        tracing::error!(
            guard = self.guard.0.as_raw_pid(),
            event = "guard_killed",
            "the guard was killed; killing the command and its children"
        );
        self.kill_command();
        let _ = self.child.start_kill();
        self.watch = GuardWatch::Sweeping { next: HostClock::boot(), quiet: 0 };
    }

    /// Kills the processes that the guard left: those that carry the mark, also in another group;
    /// and those that became children of this process when the guard died, also with an environment
    /// or a user of their own.
    fn sweep(&mut self, quiet: u32) {
        // Until the guard is dead, it may still leave processes.
        let dead = !matches!(self.child.try_wait(), Ok(None));
        let killed =
            processes::kill_marked(&self.mark) + processes::kill_strays(guards, self.since);
        let quiet = if dead && killed == 0 { quiet + 1 } else { 0 };
        self.watch = if quiet < QUIET_ROUNDS {
            GuardWatch::Sweeping { next: HostClock::boot() + SWEEP_PERIOD, quiet }
        } else {
            GuardWatch::Done(self.exited.unwrap_or(Ended::GuardLost))
        };
    }

    /// The number of the group is known to be its own until the guard has reported the end of the
    /// command: the guard does not reap it before.
    fn kill_command(&self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if let Some(guard) = self.unreaped_guard() {
            processes::kill_descendants(guard);
        }
    }

    /// Continues the guard if it is stopped.
    fn push_guard(&self) {
        if let Some(guard) = self.unreaped_guard() {
            let _ = kill_process(guard, Signal::CONT);
        }
    }

    /// The number of the guard is its own until it is reaped.
    fn unreaped_guard(&self) -> Option<Pid> {
        self.child.id().is_some().then_some(self.guard.0)
    }

    /// The guard ends right after its last word, or was killed.
    async fn reap_guard(&mut self) {
        // An error means that another process has reaped it.
        let _ = self.child.wait().await;
    }
}

impl Drop for Group {
    /// A stopped guard would not notice that the socket closes.
    fn drop(&mut self) {
        self.push_guard();
    }
}

/// The number of a guard, for as long as its [`Group`] waits for its end.
#[derive(Debug)]
struct Guard(Pid);

impl Guard {
    /// Starts one. A concurrent call of [`guards`] waits, and finds it there.
    fn spawn(command: &mut Command) -> io::Result<(Child, Self)> {
        let mut guards = GUARDS.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = number.and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        guards.push(pid);
        Ok((child, Self(pid)))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        GUARDS.lock().unwrap_or_else(PoisonError::into_inner).retain(|pid| *pid != self.0);
    }
}

/// Every guard of this process with a task that waits for its end: [`super::processes`] keeps
/// these.
pub fn guards() -> Vec<Pid> {
    GUARDS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
