//! The commands of `once`, under guard.

use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::command::group::{self, Group};
use crate::command::spec::CommandSpec;
use crate::command::supervisor::{CommandEnd, Supervised};
use crate::command::tail::Tail;
use crate::driver::Handle;
use crate::election::duration::MAX_DURATION;
use crate::election::history::{Key, WorkName};
use crate::election::leadership::{Leadership, Tenure};
use crate::election::work::{Deadlines, Directive, SupervisedWork};
use crate::once::{Ended, Runner};
use crate::time::clock::HostClock;

/// How long a check has until it is killed, when its time is over or its attempt ends.
const KILL_AFTER: Duration = Duration::from_secs(2);

/// The exit code of a check whose time was over, as `timeout` has it.
const TIME_OVER: u8 = 124;

/// What to run, and how.
#[derive(Clone)]
pub(super) struct Commands {
    pub(super) command: CommandSpec,
    pub(super) check: Option<CommandSpec>,
    pub(super) run_timeout: Option<Duration>,
    pub(super) keeps_stderr: bool,
}

impl Commands {
    /// Their environment names the work.
    pub(super) fn of(self, work: &WorkName) -> Self {
        let name = |command: CommandSpec| command.env("BELLWETHER_WORK", work.as_str());
        Self { command: name(self.command), check: self.check.map(name), ..self }
    }

    async fn check(&self, key: &Key, mut attempt: Option<Attempt>) -> io::Result<Ended> {
        let Some(check) = &self.check else {
            return Ok(Ended::Exited { code: 0, stderr: None });
        };
        let (pipe, mut tail) = Tail::of_command()?;
        let command = check.clone().env("BELLWETHER_KEY", key.as_str()).aside().stderr(pipe);
        let time_over_at = HostClock::boot() + self.run_timeout.unwrap_or(MAX_DURATION);
        let limit = Deadlines { stop_at: time_over_at, kill_at: time_over_at + KILL_AFTER };
        let deadlines = attempt.as_ref().map_or(limit, |attempt| attempt.deadlines(limit));
        let mut group = Group::start(&command, deadlines)?;
        // The pipe is the check's alone, so that its end is seen.
        drop(command);
        let ended = loop {
            tokio::select! {
                biased;
                ended = group.ended() => break ended,
                () = changed(&mut attempt) => if let Some(attempt) = &mut attempt {
                    attempt.direct(&mut group, limit);
                },
            }
        };
        let is_made_to_end = attempt.is_some_and(|attempt| attempt.ends);
        let code = match ended {
            group::Ended::Exited { stopped: true, .. } | group::Ended::TooLate => {
                let is_over = !is_made_to_end && HostClock::boot() >= time_over_at;
                is_over.then_some(TIME_OVER)
            }
            ended => ended.code(),
        };
        if let group::Ended::NotStarted(errno) = ended {
            let (error, program) = (io::Error::from_raw_os_error(errno), check.program().display());
            tracing::error!(
                %error, %program, event = "check_start_failed",
                "cannot start the command that checks"
            );
        }
        let stderr = tail.text().await.filter(|_| self.keeps_stderr);
        Ok(code.map_or(Ended::Stopped, |code| Ended::Exited { code, stderr }))
    }
}

/// An attempt that a check is part of: the check ends as the command does, with the leadership and
/// at a shutdown.
struct Attempt {
    election: Handle,
    view: watch::Receiver<Leadership>,
    work: SupervisedWork,
    /// Whether the check was made to end.
    ends: bool,
}

impl Attempt {
    fn new(election: &Handle, tenure: Tenure, grace: Duration) -> Self {
        let (view, work) = (election.watch(), SupervisedWork::new(tenure, grace));
        Self { election: election.clone(), view, work, ends: false }
    }

    /// Until when the leadership and the limit allow it.
    fn deadlines(&self, limit: Deadlines) -> Deadlines {
        within(Deadlines::of(self.work.tenure()), limit)
    }

    fn direct(&mut self, group: &mut Group, limit: Deadlines) {
        let view = self.view.borrow_and_update().clone();
        match self.work.directive(&view, self.election.now()) {
            Directive::Continue(deadlines) => group.extend(within(deadlines, limit)),
            Directive::End { kill_at } => {
                self.ends = true;
                group.stop(kill_at.min(limit.kill_at));
            }
        }
    }
}

fn within(deadlines: Deadlines, limit: Deadlines) -> Deadlines {
    Deadlines {
        stop_at: deadlines.stop_at.min(limit.stop_at),
        kill_at: deadlines.kill_at.min(limit.kill_at),
    }
}

/// Waits for news of the leadership. If the election is over, the check ends by its deadlines.
async fn changed(attempt: &mut Option<Attempt>) {
    let is_there = match attempt {
        Some(Attempt { view, .. }) => view.changed().await.is_ok(),
        None => false,
    };
    if !is_there {
        std::future::pending().await
    }
}

/// The commands of an instance that stands for the work.
pub(super) struct Supervision {
    commands: Commands,
    election: Handle,
    grace: Duration,
    /// Signals for the command.
    signals: mpsc::Receiver<i32>,
}

impl Supervision {
    /// When stepping down on purpose, the command has `grace` to end.
    pub(super) fn new(
        commands: Commands,
        election: Handle,
        grace: Duration,
        signals: mpsc::Receiver<i32>,
    ) -> Self {
        Self { commands, election, grace, signals }
    }
}

impl Runner for Supervision {
    async fn run(&mut self, key: &Key, tenure: Tenure) -> io::Result<Ended> {
        let mut command = self.commands.command.clone().env("BELLWETHER_KEY", key.as_str());
        let mut stderr = None;
        if self.commands.keeps_stderr {
            let (pipe, tail) = Tail::of_command()?;
            (command, stderr) = (command.stderr(pipe), Some(tail));
        }
        let running = Supervised::start(&self.election, &command, tenure, self.grace)?;
        let mut running = running.keeping(stderr).limited(self.commands.run_timeout)?;
        // The pipe is the command's alone, so that its end is seen.
        drop(command);
        loop {
            tokio::select! {
                biased;
                ended = running.ended() => {
                    // What came too late for this command is not for the next one.
                    while self.signals.try_recv().is_ok() {}
                    return Ok(match ended {
                        CommandEnd::Exited { code, stderr } => Ended::Exited { code, stderr },
                        CommandEnd::Stopped => Ended::Stopped,
                    });
                }
                Some(signal) = self.signals.recv() => running.signal(signal),
            }
        }
    }

    async fn check(&mut self, key: &Key, attempt: Option<Tenure>) -> io::Result<Ended> {
        let grace = self.grace.min(KILL_AFTER);
        let attempt = attempt.map(|tenure| Attempt::new(&self.election, tenure, grace));
        self.commands.check(key, attempt).await
    }
}

/// The same before it stands: nothing runs but the check.
impl Runner for Commands {
    async fn run(&mut self, _key: &Key, _tenure: Tenure) -> io::Result<Ended> {
        Ok(Ended::Stopped)
    }

    async fn check(&mut self, key: &Key, _attempt: Option<Tenure>) -> io::Result<Ended> {
        Self::check(self, key, None).await
    }
}
