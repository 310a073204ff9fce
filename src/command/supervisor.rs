//! Runs a command whenever this instance leads, and never longer.

use std::io;
use std::time::Duration;

use tokio::sync::watch;

use super::group::{CommandSpec, Ended, Group};
use super::plan::Deadlines;
use crate::candidate::Handle;
use crate::election::clock::BootTime;
use crate::election::leadership::{Leadership, Tenure};

/// After a guard was killed: whoever did that may do it again.
const GUARD_LOST_PAUSE: Duration = Duration::from_secs(1);

/// What a command in its term is to do, as the leadership now looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Go on, until then.
    GoOn(Deadlines),
    /// End, and be killed then.
    End { kill_at: BootTime },
}

/// What to tell a command that runs under `tenure`. It may take `grace` to end if this instance
/// steps down on purpose, for as long as the lease is kept for it.
fn order(
    view: &Leadership,
    now: BootTime,
    tenure: &Tenure,
    draining_since: Option<BootTime>,
    grace: Duration,
) -> Order {
    let same_term = |held: &&Tenure| held.term == tenure.term;
    if let Some(own) = view.leading(now).filter(same_term) {
        return Order::GoOn(Deadlines::of(own));
    }
    if let Some(held) = view.draining(now).filter(same_term) {
        let patience = draining_since.unwrap_or(now) + grace;
        return Order::End { kill_at: patience.min(held.kills_at) };
    }
    // Somebody else leads, or this instance under a new term: every moment is one too many.
    let superseded = view.holder(now).is_some_and(|holder| holder.term > tenure.term);
    Order::End { kill_at: if superseded { now } else { tenure.kills_at } }
}

/// A command that runs while this instance leads.
pub struct Supervisor {
    election: Handle,
    view: watch::Receiver<Leadership>,
    command: CommandSpec,
    grace: Duration,
    running: Option<Running>,
}

struct Running {
    group: Group,
    tenure: Tenure,
    draining_since: Option<BootTime>,
    /// Keeps the record from being vacated under the command.
    _work: crate::candidate::Work,
}

impl Supervisor {
    /// A supervisor of nothing yet. When stepping down on purpose, the command has `grace` to end.
    pub fn new(election: Handle, command: CommandSpec, grace: Duration) -> Self {
        let view = election.watch();
        Self { election, view, command, grace, running: None }
    }

    /// Passes a signal on to the command, if it runs.
    pub fn signal(&mut self, number: i32) {
        if let Some(running) = &mut self.running {
            running.group.signal(number);
        }
    }

    /// The process that must not be reaped by anybody else.
    pub fn guard(&self) -> Option<rustix::process::Pid> {
        self.running.as_ref().map(|running| running.group.guard())
    }

    /// Runs the command in every term that this instance leads in, until the command ends by
    /// itself; the exit code. May be dropped at any point and called again.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub async fn until_ended(&mut self) -> io::Result<u8> {
        loop {
            let Some(running) = &mut self.running else {
                self.start_when_leading().await?;
                continue;
            };
            tokio::select! {
                biased;
                ended = running.group.ended() => {
                    let term = running.tenure.term;
                    self.running = None;
                    if let Ended::NotStarted(errno) = ended {
                        let error = io::Error::from_raw_os_error(errno);
                        tracing::error!(%error, program = ?self.command.program(), "cannot start the command");
                    }
                    match own_end(ended) {
                        Some(code) => {
                            tracing::info!(term, code, "the command ended");
                            return Ok(code);
                        }
                        None => tracing::info!(term, "the command was stopped: no longer leading"),
                    }
                    if ended == Ended::GuardLost {
                        tokio::time::sleep(GUARD_LOST_PAUSE).await;
                    }
                }
                changed = self.view.changed() => {
                    if changed.is_ok() {
                        let view = self.view.borrow_and_update().clone();
                        running.obey(&view, self.election.now(), self.grace);
                    } else {
                        // The election is over; the command ends by its deadlines.
                        running.group.ended().await;
                    }
                }
            }
        }
    }

    async fn start_when_leading(&mut self) -> io::Result<()> {
        let election = self.election.clone();
        let leads = |view: &Leadership| view.is_leading(election.now());
        if self.view.wait_for(leads).await.is_err() {
            return std::future::pending().await;
        }
        // First announce the work, then look once more: in this order the record cannot be vacated
        // between the look and the start.
        let work = self.election.begin_work();
        let view = self.view.borrow_and_update().clone();
        let Some(tenure) = view.leading(self.election.now()).cloned() else { return Ok(()) };
        let election = self.election.election().as_str();
        let command = self.command.clone().leading(election, &tenure.identity, tenure.term);
        let group = Group::start(&command, Deadlines::of(&tenure))?;
        tracing::info!(term = tenure.term, "leading: the command is started");
        self.running = Some(Running { group, tenure, draining_since: None, _work: work });
        Ok(())
    }
}

impl Running {
    fn obey(&mut self, view: &Leadership, now: BootTime, grace: Duration) {
        if view.draining(now).is_some() {
            self.draining_since.get_or_insert(now);
        }
        match order(view, now, &self.tenure, self.draining_since, grace) {
            Order::GoOn(deadlines) => {
                if let Some(own) = view.leading(now) {
                    self.tenure = own.clone();
                }
                self.group.extend(deadlines);
            }
            Order::End { kill_at } => self.group.stop(kill_at),
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
