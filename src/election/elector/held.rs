//! The lease as this candidate holds it. The record itself is kept by
//! [`Watch`](crate::election::watch::Watch).

use std::time::Duration;

use crate::election::lease::{Candidate, Observed};
use crate::election::projection::Projection;
use crate::election::term::Term;
use crate::election::time::BootTime;

/// The state of the own lease.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lease {
    /// There is none.
    None,
    /// This candidate leads, until the renew deadline.
    Leading(Held),
    /// It no longer leads: it keeps the lease until its work has ended, to vacate then.
    Draining(Held),
    /// This candidate led last. Its work was not seen to end in time, so the lease runs out and the
    /// record is not vacated.
    RunningOut {
        /// The term it had.
        term: Term,
        /// When the lease is over, by the count of this candidate: never later than by that of
        /// another one.
        over_at: BootTime,
    },
}

/// A term that was won, as far as it is renewed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) term: Term,
    /// When the last write that is known to have been applied was sent.
    pub(super) sent_at: BootTime,
}

impl Held {
    /// Whether this lease is still held by what a look shows. A store that lost writes may show it
    /// although it was freed, and hide the successor: rule `lost-writes`.
    pub(super) fn is_shown(self, seen: &Observed, me: &Candidate, may_have_freed: bool) -> bool {
        let hides_successor = seen.outlived && may_have_freed;
        seen.record.is_held_by(me) && seen.record.term == self.term && !hides_successor
    }
}

impl Lease {
    /// What is held, whether it is believed in or not.
    pub(super) fn held(&self) -> Option<Held> {
        match self {
            Self::Leading(held) | Self::Draining(held) => Some(*held),
            Self::None | Self::RunningOut { .. } => None,
        }
    }

    /// Whether a look shows the lease that is being freed without a holder: its vacate was applied.
    pub(super) fn is_freed_by(&self, seen: Option<&Observed>) -> bool {
        let Self::Draining(held) = self else { return false };
        seen.is_some_and(|seen| {
            seen.record.holder.is_none() && seen.record.term == held.term && !seen.outlived
        })
    }

    /// What is held, to renew it.
    pub(super) fn held_mut(&mut self) -> Option<&mut Held> {
        match self {
            Self::Leading(held) | Self::Draining(held) => Some(held),
            Self::None | Self::RunningOut { .. } => None,
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held().is_some()
    }

    pub(super) fn is_leading(&self) -> bool {
        matches!(self, Self::Leading(_))
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self, Self::Draining(_))
    }

    /// Whether the lease of this term is left to run out.
    pub(super) fn runs_out(&self, term: Term) -> bool {
        matches!(self, Self::RunningOut { term: last, .. } if *last == term)
    }

    /// Ends belief, and keeps the lease. Returns the term that was believed in.
    pub(super) fn drain(&mut self) -> Option<Term> {
        let Self::Leading(held) = *self else { return None };
        *self = Self::Draining(held);
        Some(held.term)
    }

    /// Forgets what is held. Returns the term that was believed in.
    pub(super) fn give_up(&mut self) -> Option<Term> {
        let term = match *self {
            Self::None | Self::RunningOut { .. } => return None,
            Self::Leading(held) => Some(held.term),
            Self::Draining(_) => None,
        };
        *self = Self::None;
        term
    }

    /// All work has ended. If the lease that was left to run out is still there, it may be freed.
    pub(super) fn work_ended(&mut self, now: BootTime) {
        if matches!(self, Self::RunningOut { over_at, .. } if now < *over_at) {
            *self = Self::None;
        }
    }

    pub(super) fn project(&self, now: BootTime, onto: &mut dyn Projection) {
        let (state, term, time) = match *self {
            Self::None => (0, Term::ZERO, Duration::ZERO),
            Self::Leading(Held { term, sent_at }) => (1, term, now.since(sent_at)),
            Self::Draining(Held { term, sent_at }) => (2, term, now.since(sent_at)),
            Self::RunningOut { term, over_at } => (3, term, over_at.since(now)),
        };
        onto.number(state);
        onto.term(term);
        onto.duration(time);
    }
}
