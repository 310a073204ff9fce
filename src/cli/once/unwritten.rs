//! The end of a command that is not in the record yet. Until it is recorded, the work counts as not
//! done.

use std::convert::Infallible;

use tokio::sync::watch;

use crate::driver::Handle;
use crate::election::leadership::Leadership;
use crate::election::term::Term;
use crate::election::time::BootTime;
use crate::time::clock::HostClock;

/// How a command ended, until that is in the record.
pub(super) struct Unwritten {
    key: String,
    view: watch::Receiver<Leadership>,
    end: Option<End>,
}

#[derive(Clone, Copy)]
struct End {
    term: Term,
    code: u8,
    /// When to log it; none after it was logged.
    complain_at: Option<BootTime>,
}

impl Unwritten {
    /// No command has ended yet.
    pub(super) fn new(key: &str, election: &Handle) -> Self {
        Self { key: key.to_owned(), view: election.watch(), end: None }
    }

    /// A command has ended, and the election has the request to record that.
    pub(super) fn begin(&mut self, term: Term, code: u8) {
        let patience = self.view.borrow().timing.call_timeout();
        let complain_at = Some(HostClock::boot() + patience);
        self.end = Some(End { term, code, complain_at });
    }

    /// Waits for the record, and logs what prevents it. Never returns. Safe to cancel.
    pub(super) async fn follow(&mut self) -> Infallible {
        loop {
            self.look();
            let complain_at = self.end.and_then(|end| end.complain_at);
            tokio::select! {
                changed = self.view.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                () = until(complain_at) => self.complain(),
            }
        }
    }

    /// Logs once that the end is not recorded yet.
    pub(super) fn complain(&mut self) {
        self.look();
        let key = &self.key;
        if let Some(End { term, code, complain_at }) = &mut self.end
            && complain_at.take().is_some()
        {
            tracing::warn!(
                key,
                term = term.get(),
                code,
                event = "outcome_delayed",
                "the command has ended, but the store does not take its end: trying until the lease ends"
            );
        }
    }

    /// The election is over.
    pub(super) fn give_up(&mut self) {
        self.look();
        if let Some(end) = self.end.take() {
            self.lament(end);
        }
    }

    fn look(&mut self) {
        let Some(end) = self.end else { return };
        let (view, now) = (self.view.borrow_and_update().clone(), HostClock::boot());
        let later = view.outcome.as_ref().filter(|outcome| outcome.term >= end.term);
        let own = view.leading(now).or(view.draining(now));
        // A term that was being acquired when the command ended may record it.
        if later.is_some_and(|outcome| outcome.holder == view.candidate.identity) {
            self.end = None;
        } else if own.is_none()
            && (later.is_some() || view.holder(now).is_some_and(|other| other.term > end.term))
        {
            self.end = None;
            self.lament(end);
        }
    }

    fn lament(&self, End { term, code, .. }: End) {
        let key = &self.key;
        tracing::error!(
            key,
            term = term.get(),
            code,
            event = "outcome_lost",
            "the command has ended, but its end could not be recorded: it will be run again"
        );
    }
}

async fn until(at: Option<BootTime>) {
    match at {
        Some(at) => tokio::time::sleep(at.since(HostClock::boot())).await,
        None => std::future::pending().await,
    }
}
