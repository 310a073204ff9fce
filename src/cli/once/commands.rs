//! The commands of `once`, under guard.

use std::io;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::command::group::{self, Group};
use crate::command::spec::CommandSpec;
use crate::command::supervisor::{CommandEnd, Supervised};
use crate::command::tail::Tail;
use crate::driver::Handle;
use crate::election::duration::MAX_DURATION;
use crate::election::history::{Key, WorkName};
use crate::election::leadership::Tenure;
use crate::election::work::Deadlines;
use crate::once::{Ended, Runner};
use crate::time::clock::HostClock;

/// How long a check that has taken too long has until it is killed.
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

    async fn check(&self, key: &Key) -> io::Result<Ended> {
        let Some(check) = &self.check else {
            return Ok(Ended::Exited { code: 0, stderr: None });
        };
        let (pipe, mut tail) = Tail::of_command()?;
        let check = check.clone().env("BELLWETHER_KEY", key.as_str()).aside().stderr(pipe);
        let stop_at = HostClock::boot() + self.run_timeout.unwrap_or(MAX_DURATION);
        let deadlines = Deadlines { stop_at, kill_at: stop_at + KILL_AFTER };
        let ended = Group::start(&check, deadlines)?.ended().await;
        let code = match ended {
            group::Ended::Exited { stopped: true, .. } | group::Ended::TooLate => Some(TIME_OVER),
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
                ended = running.ended() => return Ok(match ended {
                    CommandEnd::Exited { code, stderr } => Ended::Exited { code, stderr },
                    CommandEnd::Stopped => Ended::Stopped,
                }),
                Some(signal) = self.signals.recv() => running.signal(signal),
            }
        }
    }

    async fn check(&mut self, key: &Key) -> io::Result<Ended> {
        self.commands.check(key).await
    }
}

/// The same before it stands: nothing runs but the check.
impl Runner for Commands {
    async fn run(&mut self, _key: &Key, _tenure: Tenure) -> io::Result<Ended> {
        Ok(Ended::Stopped)
    }

    async fn check(&mut self, key: &Key) -> io::Result<Ended> {
        Self::check(self, key).await
    }
}
