//! A hold: leader-only work in another process that is registered with this one.
//!
//! The record is not vacated as long as the other end is connected. The process there ends the work
//! by the deadlines that it receives, and disconnects when the work is gone. If it does not
//! disconnect, this process waits for it until the grace is over; then the lease runs out.

use tokio::sync::{mpsc, watch};

use super::{Handle, Work};
use crate::api::hold::HoldLine;
use crate::election::grace::Grace;
use crate::election::leadership::Leadership;
use crate::election::time::BootTime;
use crate::election::work::{Directive, SupervisedWork};
use crate::time::alarm::Timer;

/// One hold.
pub struct Hold<T> {
    election: Handle,
    view: watch::Receiver<Leadership>,
    supervised: SupervisedWork,
    clock: String,
    grace: Grace,
    /// Closed when the other end is gone.
    lines: mpsc::Sender<HoldLine>,
    timer: T,
    /// When to stop waiting for work that had to end.
    overdue_at: Option<BootTime>,
    /// The election has been notified that it is overdue.
    given_up: bool,
    work: Option<Work>,
}

impl<T: Timer> Hold<T> {
    /// Starts a hold, and returns it with the receiver of its lines; or returns the known state if
    /// this instance does not lead. When stepping down on purpose, the work has `grace` to end.
    /// Times in the lines are readings of `clock`, which `timer` uses.
    ///
    /// # Errors
    ///
    /// When this instance does not lead.
    pub fn begin(
        election: Handle,
        grace: Grace,
        clock: String,
        timer: T,
    ) -> Result<(Self, mpsc::Receiver<HoldLine>), Box<Leadership>> {
        // First announce the work, then look: in this order the record cannot be vacated between
        // the look and the start.
        let work = Some(election.begin_work());
        let mut view = election.watch();
        let seen = view.borrow_and_update().clone();
        let Some(tenure) = seen.leading(election.now()).cloned() else {
            return Err(Box::new(seen));
        };
        let (lines, receiver) = mpsc::channel(1);
        let supervised = SupervisedWork::new(tenure, grace.of_work());
        let (overdue_at, given_up) = (None, false);
        let hold = Self {
            election,
            view,
            supervised,
            clock,
            grace,
            lines,
            timer,
            overdue_at,
            given_up,
            work,
        };
        Ok((hold, receiver))
    }

    /// The term in which the work began.
    pub fn term(&self) -> crate::election::term::Term {
        self.supervised.tenure().term()
    }

    /// Sends every change until the other end is gone. It never waits for the other end to read:
    /// the current state replaces a line that is still unread.
    pub async fn run(mut self) {
        let mut sent = None;
        loop {
            let directive = self.directive();
            let look_at = self.see_to_the_end();
            tokio::select! {
                biased;
                () = self.lines.closed() => break,
                room = self.lines.reserve(), if sent != Some(directive) => {
                    let Ok(room) = room else { break };
                    room.send(self.line(directive));
                    sent = Some(directive);
                }
                changed = self.view.changed() => if changed.is_err() {
                    // The election is over, and this process is about to end.
                    self.lines.closed().await;
                    break;
                },
                () = self.timer.until(look_at.unwrap_or_default()), if look_at.is_some() => {}
            }
        }
    }

    /// What the work has to do now.
    fn directive(&mut self) -> Directive {
        let now = self.election.now();
        let directive = self.supervised.directive(&self.view.borrow_and_update(), now);
        if let Directive::End { .. } = directive {
            self.overdue_at.get_or_insert(now + self.grace.until_work_is_overdue());
        }
        directive
    }

    fn line(&self, directive: Directive) -> HoldLine {
        let clock = (self.clock.as_str(), self.election.now());
        let (election, tenure) = (self.election.election(), self.supervised.tenure());
        HoldLine::new(election.as_str(), &tenure.holder.identity, tenure.term(), clock, directive)
    }

    /// Handles work that had to end and has not, and returns when to do so again. First it stops
    /// keeping the lease for the work. It does not vacate the lease either, because the work may
    /// still run. When the lease has run out, others may lead, and so may this instance.
    fn see_to_the_end(&mut self) -> Option<BootTime> {
        let (overdue_at, now) = (self.overdue_at?, self.election.now());
        if now < overdue_at {
            return Some(overdue_at);
        }
        if !std::mem::replace(&mut self.given_up, true) {
            tracing::warn!(
                event = "hold_overdue",
                "a hold has not ended in time; the lease runs out on its own"
            );
            if let Some(work) = &self.work {
                work.is_overdue();
            }
        }
        let over_at = overdue_at + self.election.leadership().timing.lease_duration();
        if now < over_at {
            return Some(over_at);
        }
        self.work = None;
        None
    }
}
