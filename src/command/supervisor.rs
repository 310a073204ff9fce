//! Runs a command whenever this instance leads, and never longer.

use std::io;
use std::time::Duration;

use tokio::sync::watch;

use super::group::{Ended, Group};
use super::spec::CommandSpec;
use super::tail::Tail;
use crate::driver::{Handle, Work};
use crate::election::leadership::Leadership;
use crate::election::term::Term;
use crate::election::time::{BootTime, Clock, WallTime};
use crate::election::work::{Deadlines, Directive, SupervisedWork};
use crate::time::clock::HostClock;

/// After a guard was killed: whoever did that may do it again.
const GUARD_LOST_PAUSE: Duration = Duration::from_secs(1);

/// A command that runs while this instance leads.
pub struct Supervisor {
    election: Handle,
    view: watch::Receiver<Leadership>,
    command: CommandSpec,
    grace: Duration,
    keeps_stderr: bool,
    running: Option<Running>,
    /// The term in which the command ended by itself: it is not started in it again, although
    /// this instance leads until it was heard to step down.
    ended_in: Option<Term>,
}

/// A command that ended by itself.
#[derive(Debug)]
pub struct OwnEnd {
    /// Its exit code, 128+n for a signal.
    pub code: u8,
    /// The term that it ran in.
    pub term: Term,
    /// When it was started.
    pub started: WallTime,
    /// The last of its standard error, if that was asked for.
    pub stderr: Option<String>,
    /// Prevents vacating the record until the command's outcome is known.
    pub work: Work,
}

struct Running {
    group: Group,
    supervised: SupervisedWork,
    started: WallTime,
    stderr: Option<Tail>,
    /// Keeps the record from being vacated under the command.
    work: Work,
}

impl Supervisor {
    /// A supervisor of nothing yet. When stepping down on purpose, the command has `grace` to end.
    pub fn new(election: Handle, command: CommandSpec, grace: Duration) -> Self {
        let view = election.watch();
        Self { election, view, command, grace, keeps_stderr: false, running: None, ended_in: None }
    }

    /// Keeps the last of the command's standard error.
    #[must_use]
    pub fn keeping_stderr(mut self) -> Self {
        self.keeps_stderr = true;
        self
    }

    /// The term that the command runs in, if it runs.
    pub fn running_in(&self) -> Option<Term> {
        self.running.as_ref().map(|running| running.supervised.tenure().term())
    }

    /// Passes a signal on to the command, if it runs.
    pub fn signal(&mut self, number: i32) {
        if let Some(running) = &mut self.running {
            running.group.signal(number);
        }
    }

    /// Runs the command in every term that this instance leads in, until the command ends by
    /// itself. May be dropped at any point and called again.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub async fn until_ended(&mut self) -> io::Result<OwnEnd> {
        loop {
            let Some(running) = &mut self.running else {
                self.start_when_leading().await?;
                continue;
            };
            tokio::select! {
                biased;
                ended = running.group.ended() => {
                    let term = running.supervised.tenure().term();
                    let started = running.started;
                    if let Some(code) = own_end(ended) {
                        let stderr = match &mut running.stderr {
                            Some(stderr) => stderr.text().await,
                            None => None,
                        };
                        self.ended_in = Some(term);
                        self.log_own_end(ended, term, code);
                        let Some(Running { work, .. }) = self.running.take() else { continue };
                        return Ok(OwnEnd { code, term, started, stderr, work });
                    }
                    self.running = None;
                    log_end(ended, term);
                    if ended == Ended::GuardLost {
                        tokio::time::sleep(GUARD_LOST_PAUSE).await;
                    }
                }
                changed = self.view.changed() => {
                    if changed.is_ok() {
                        let view = self.view.borrow_and_update().clone();
                        running.obey(&view, self.election.now());
                    } else {
                        // The election is over; the command ends by its deadlines.
                        running.group.ended().await;
                    }
                }
            }
        }
    }

    fn log_own_end(&self, ended: Ended, term: Term, code: u8) {
        if let Ended::NotStarted(errno) = ended {
            let error = io::Error::from_raw_os_error(errno);
            let program = self.command.program().display();
            tracing::error!(
                %error, %program, event = "command_start_failed",
                "cannot start the command"
            );
        } else {
            tracing::info!(term = term.get(), code, event = "command_ended", "the command ended");
        }
    }

    async fn start_when_leading(&mut self) -> io::Result<()> {
        let (election, ended_in) = (self.election.clone(), self.ended_in);
        let own = |view: &Leadership| {
            let own = view.leading(election.now()).cloned();
            own.filter(|own| Some(own.term()) != ended_in)
        };
        if self.view.wait_for(|view| own(view).is_some()).await.is_err() {
            return std::future::pending().await;
        }
        // First announce the work, then look once more: in this directive the record cannot be vacated
        // between the look and the start.
        let work = self.election.begin_work();
        let view = self.view.borrow_and_update().clone();
        let Some(tenure) = own(&view) else { return Ok(()) };
        let election = self.election.election().as_str();
        let mut command =
            self.command.clone().leading(election, &tenure.holder.identity, tenure.term());
        let mut stderr = None;
        if self.keeps_stderr {
            let (pipe, tail) = Tail::of_command()?;
            command = command.stderr(pipe);
            stderr = Some(tail);
        }
        let group = Group::start(&command, Deadlines::of(&tenure))?;
        tracing::info!(
            term = tenure.term().get(),
            event = "command_started",
            "leading: the command is started"
        );
        let (started, supervised) = (HostClock.now().wall, SupervisedWork::new(tenure, self.grace));
        self.running = Some(Running { group, supervised, started, stderr, work });
        Ok(())
    }
}

impl Running {
    fn obey(&mut self, view: &Leadership, now: BootTime) {
        match self.supervised.directive(view, now) {
            Directive::Continue(deadlines) => self.group.extend(deadlines),
            Directive::End { kill_at } => self.group.stop(kill_at),
        }
    }
}

fn log_end(ended: Ended, term: Term) {
    match ended {
        Ended::TooLate => {
            tracing::info!(
                term = term.get(),
                event = "command_not_started",
                "no longer leading: the command was not started"
            )
        }
        Ended::GuardLost => {
            tracing::warn!(
                term = term.get(),
                event = "command_gone_after_guard",
                "the command and everything it started is killed, after its guard"
            );
        }
        ended if ended.was_killed() => {
            tracing::warn!(
                term = term.get(),
                event = "command_killed",
                "the command had not ended in time, and was killed"
            );
        }
        Ended::Exited { .. } | Ended::NotStarted(_) => {
            tracing::info!(
                term = term.get(),
                event = "command_stopped",
                "the command was stopped: no longer leading"
            );
        }
    }
}

/// The exit code of a command that ended by itself; none if it was made to end.
fn own_end(ended: Ended) -> Option<u8> {
    match ended {
        Ended::Exited { stopped: true, .. } | Ended::TooLate | Ended::GuardLost => None,
        Ended::Exited { stopped: false, .. } | Ended::NotStarted(_) => ended.code(),
    }
}
