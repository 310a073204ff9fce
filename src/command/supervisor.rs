//! Runs a command whenever this instance leads, and never longer.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use tokio::sync::watch;

use super::group::{Ended, Group};
use super::spec::CommandSpec;
use super::tail::Tail;
use crate::driver::{Handle, Work};
use crate::election::leadership::{Leadership, Tenure};
use crate::election::term::Term;
use crate::election::time::BootTime;
use crate::election::work::{Deadlines, Directive, SupervisedWork};
use crate::time::alarm::{Alarm, Timer};
use crate::time::clock::HostClock;

/// After a guard was killed: it may be killed again.
const GUARD_LOST_PAUSE: Duration = Duration::from_secs(1);

/// A command that runs whenever this instance leads.
pub struct Supervisor {
    election: Handle,
    view: watch::Receiver<Leadership>,
    command: CommandSpec,
    grace: Duration,
    running: Option<(Supervised, Work)>,
    /// The term in which the command ended on its own: it is not started in it again, although
    /// this instance leads until it was heard to step down.
    ended_in: Option<Term>,
}

impl Supervisor {
    /// A supervisor of nothing yet. When stepping down on purpose, the command has `grace` to end.
    pub fn new(election: Handle, command: CommandSpec, grace: Duration) -> Self {
        let view = election.watch();
        Self { election, view, command, grace, running: None, ended_in: None }
    }

    /// The term that the command runs in, if it runs.
    pub fn running_in(&self) -> Option<Term> {
        self.running.as_ref().map(|(running, _)| running.term())
    }

    /// Passes a signal on to the command, if it runs.
    pub fn signal(&mut self, number: i32) {
        if let Some((running, _)) = &mut self.running {
            running.signal(number);
        }
    }

    /// Runs the command in every term that this instance leads in, until the command ends on its
    /// own, and returns its exit code. May be dropped at any point and called again.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub async fn until_ended(&mut self) -> io::Result<u8> {
        loop {
            let Some((running, _work)) = &mut self.running else {
                self.start_when_leading().await?;
                continue;
            };
            let (term, ended) = (running.term(), running.ended().await);
            self.running = None;
            if let CommandEnd::Exited { code, .. } = ended {
                self.ended_in = Some(term);
                return Ok(code);
            }
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
        // First announce the work, then look once more: in this order the record cannot be vacated
        // between the look and the start.
        let work = self.election.begin_work();
        let view = self.view.borrow_and_update().clone();
        let Some(tenure) = own(&view) else { return Ok(()) };
        let running = Supervised::start(&self.election, &self.command, tenure, self.grace)?;
        self.running = Some((running, work));
        Ok(())
    }
}

/// How a command ended.
#[derive(Debug)]
pub enum CommandEnd {
    /// On its own, or because its time was over.
    Exited {
        /// Its exit code, 128+n for a signal.
        code: u8,
        /// The last of its standard error, if that was kept.
        stderr: Option<String>,
    },
    /// It was made to end, or killed.
    Stopped,
}

/// The exit code of a command whose time was over, as `timeout` has it.
const TIME_OVER: u8 = 124;

/// A command under one leadership: it ends with it.
pub struct Supervised {
    election: Handle,
    view: watch::Receiver<Leadership>,
    group: Group,
    supervised: SupervisedWork,
    program: OsString,
    grace: Duration,
    stderr: Option<Tail>,
    /// How long it may take, and the alarm for that.
    limit: Option<(Duration, BootTime, Alarm)>,
    time_is_over: bool,
}

impl Supervised {
    /// Starts it. The caller has announced work before, and ends that when the command has ended.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub fn start(
        election: &Handle,
        command: &CommandSpec,
        tenure: Tenure,
        grace: Duration,
    ) -> io::Result<Self> {
        let name = election.election().as_str();
        let program = command.program().to_owned();
        let command = command.clone().leading(name, &tenure.holder.identity, tenure.term());
        let group = Group::start(&command, Deadlines::of(&tenure))?;
        tracing::info!(
            term = tenure.term().get(),
            event = "command_started",
            "this instance leads; starting the command"
        );
        let (view, supervised) = (election.watch(), SupervisedWork::new(tenure, grace));
        let (election, stderr, limit) = (election.clone(), None, None);
        let time_is_over = false;
        Ok(Self { election, view, group, supervised, program, grace, stderr, limit, time_is_over })
    }

    /// Keeps the last of its standard error, which it writes to the other end of this.
    #[must_use]
    pub fn keeping(mut self, stderr: Option<Tail>) -> Self {
        self.stderr = stderr;
        self
    }

    /// Ends it when it has run for so long. That is an end of its own, with code 124.
    ///
    /// # Errors
    ///
    /// When the system has no timer to spare.
    pub fn limited(mut self, limit: Option<Duration>) -> io::Result<Self> {
        if let Some(limit) = limit {
            self.limit = Some((limit, HostClock::boot() + limit, Alarm::new()?));
        }
        Ok(self)
    }

    /// The term it runs in.
    pub fn term(&self) -> Term {
        self.supervised.tenure().term()
    }

    /// Passes a signal on to it.
    pub fn signal(&mut self, number: i32) {
        self.group.signal(number);
    }

    /// Waits until nothing of it is left. It has to be waited for all the time. May be dropped at any
    /// point and called again.
    pub async fn ended(&mut self) -> CommandEnd {
        loop {
            let limit = self.limit.as_mut().filter(|_| !self.time_is_over);
            tokio::select! {
                biased;
                ended = self.group.ended() => return self.note(ended).await,
                changed = self.view.changed() => if changed.is_ok() {
                    self.obey();
                } else {
                    // The election is over; the command ends by its deadlines.
                    let ended = self.group.ended().await;
                    return self.note(ended).await;
                },
                () = over(limit) => {
                    let limit = self.limit.as_ref().map(|(limit, ..)| *limit).unwrap_or_default();
                    let limit = humantime::format_duration(limit).to_string();
                    tracing::warn!(
                        term = self.term().get(),
                        limit,
                        event = "command_takes_too_long",
                        "the command takes too long; ending it"
                    );
                    self.time_is_over = true;
                    self.obey();
                }
            }
        }
    }

    fn obey(&mut self) {
        let (now, view) = (self.election.now(), self.view.borrow_and_update().clone());
        let directive = self.supervised.directive(&view, now);
        let over = self.limit.as_ref().filter(|_| self.time_is_over);
        let over = over.map(|(_, at, _)| (*at + self.grace).min(self.supervised.tenure().kills_at));
        match (directive, over) {
            (Directive::Continue(deadlines), None) => self.group.extend(deadlines),
            (Directive::Continue(_), Some(kill_at)) => self.group.stop(kill_at),
            (Directive::End { kill_at }, None) => self.group.stop(kill_at),
            (Directive::End { kill_at }, Some(over)) => self.group.stop(kill_at.min(over)),
        }
    }

    async fn note(&mut self, ended: Ended) -> CommandEnd {
        let term = self.term();
        let own_code = match own_end(ended) {
            // It was asked to end for that reason only.
            None if self.time_is_over && self.is_leading() => Some(TIME_OVER),
            code => code,
        };
        let Some(code) = own_code else {
            log_end(ended, term);
            if ended == Ended::GuardLost {
                tokio::time::sleep(GUARD_LOST_PAUSE).await;
            }
            return CommandEnd::Stopped;
        };
        if let Ended::NotStarted(errno) = ended {
            let error = io::Error::from_raw_os_error(errno);
            let program = self.program.display();
            tracing::error!(
                %error, %program, event = "command_start_failed",
                "cannot start the command"
            );
        } else {
            tracing::info!(term = term.get(), code, event = "command_ended", "the command ended");
        }
        let stderr = match &mut self.stderr {
            Some(stderr) => stderr.text().await,
            None => None,
        };
        CommandEnd::Exited { code, stderr }
    }

    fn is_leading(&self) -> bool {
        let (view, now) = (self.view.borrow(), self.election.now());
        view.leading(now).is_some_and(|own| own.term() == self.term())
    }
}

/// Waits forever without a limit.
async fn over(limit: Option<&mut (Duration, BootTime, Alarm)>) {
    match limit {
        Some((_, at, alarm)) => alarm.until(*at).await,
        None => std::future::pending().await,
    }
}

fn log_end(ended: Ended, term: Term) {
    match ended {
        Ended::TooLate => {
            tracing::info!(
                term = term.get(),
                event = "command_not_started",
                "this instance no longer leads; the command was not started"
            )
        }
        Ended::GuardLost => {
            tracing::warn!(
                term = term.get(),
                event = "command_gone_after_guard",
                "the command's guard was killed; the command and its children are killed too"
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
                "this instance no longer leads; the command was stopped"
            );
        }
    }
}

/// The exit code of a command that ended on its own; none if it was made to end.
fn own_end(ended: Ended) -> Option<u8> {
    match ended {
        Ended::Exited { stopped: true, .. } | Ended::TooLate | Ended::GuardLost => None,
        Ended::Exited { stopped: false, .. } | Ended::NotStarted(_) => ended.code(),
    }
}
