//! How the leadership went from one candidate to the next, as far as it was seen here. For people
//! and programs that ask; no rule of the election rests on it.
//!
//! A cause is given only if what was seen proves it. A standby that looks every two seconds may miss
//! that a lease was freed, and one that did not reach the store has seen nothing at all.

use super::change::{Cause, Change, LossReason};
use super::leadership::Leadership;
use super::lease::{Candidate, Observed};
use super::term::Term;
use super::time::BootTime;
use super::timing::longest_belief;
use super::watch::Watch;

/// What a record says of the leadership.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    holder: Option<Candidate>,
    term: Term,
}

impl Record {
    fn of(observed: &Observed) -> Self {
        Self { holder: observed.record.holder.clone(), term: observed.record.term }
    }
}

/// What was seen of the leadership until now.
#[derive(Clone, Debug, Default)]
pub(super) struct Succession {
    /// None before the first look.
    seen: Option<Option<Record>>,
    last: Option<Change>,
    /// Whether this candidate vacated its lease after it had stopped.
    freed: bool,
}

impl Succession {
    /// The last change, if what was seen then is still so.
    pub(super) fn last(&self) -> Change {
        self.last.unwrap_or(Change::NONE)
    }

    /// This candidate stopped leading.
    pub(super) fn stopped(&mut self, reason: LossReason, now: BootTime) {
        self.last = Some(Change::at(Cause::Stopped(reason), now));
        self.freed = false;
    }

    /// The store answered: `before` is what was known until then, and `leads` whether this candidate
    /// leads now.
    pub(super) fn follow(&mut self, before: &Before, watch: &Watch, leads: bool, now: BootTime) {
        let record = watch.observed().map(Record::of);
        let Some(seen) = self.seen.replace(record.clone()) else {
            self.last = Some(first_look(record.as_ref()));
            return;
        };
        let change = match &record {
            _ if seen == record => renewed(before, watch, now),
            None => Some(Change::at(Cause::RecordLost, now)),
            Some(Record { holder: None, term }) => self.vacated(before, seen.as_ref(), *term, now),
            // The own record, after an answer that was lost: it is not believed in.
            Some(Record { holder: Some(holder), .. }) if *holder == before.me && !leads => {
                Some(before.change)
            }
            Some(Record { term, .. }) if is_lost(seen.as_ref(), *term) => {
                Some(Change::at(Cause::RecordLost, now))
            }
            Some(_) if leads => Some(self.won(before)),
            Some(Record { term, .. }) => Some(self.taken(before, seen.as_ref(), *term, now)),
        };
        self.last = change.or(self.last);
    }

    fn vacated(
        &mut self,
        before: &Before,
        seen: Option<&Record>,
        term: Term,
        now: BootTime,
    ) -> Option<Change> {
        if seen.is_some_and(|seen| term < seen.term) {
            return Some(Change::at(Cause::RecordLost, now));
        }
        // An operator paused an election in which no candidate has led so far.
        if term == Term::ZERO {
            return None;
        }
        self.freed = true;
        match before.change.cause {
            Cause::Stopped(_) => None,
            Cause::StoreSilent => Some(Change { cause: Cause::Vacated, since: None }),
            _ => Some(Change::at(Cause::Vacated, now)),
        }
    }

    /// This candidate won a term: nothing happened between the record that it replaced and its own.
    fn won(&self, before: &Before) -> Change {
        let cause = match before.change.cause {
            Cause::NoRecord => Cause::First,
            Cause::Vacated => Cause::HandedOver,
            Cause::Stopped(_) if self.freed => Cause::HandedOver,
            Cause::Stopped(_) | Cause::LeaseRanOut => Cause::LeaseRanOut,
            Cause::RecordLost => Cause::RecordLost,
            _ => Cause::Unseen,
        };
        Change { cause, since: before.change.since }
    }

    /// Another candidate has won a term.
    fn taken(&self, before: &Before, seen: Option<&Record>, term: Term, now: BootTime) -> Change {
        let Change { cause, since } = before.change;
        let known = |cause| Change { cause, since };
        let unseen = Change { cause: Cause::Unseen, since: None };
        let next = term == seen.map_or(Term::ZERO, |seen| seen.term).after(1);
        match cause {
            Cause::StoreSilent => known(Cause::Unseen),
            Cause::RecordLost => known(Cause::RecordLost),
            // Others led in between; or this one did, and knows that it did not hand over.
            _ if !next || before.leads => unseen,
            Cause::NoRecord => known(Cause::First),
            Cause::Vacated => known(Cause::HandedOver),
            Cause::LeaseRanOut => known(Cause::LeaseRanOut),
            Cause::Stopped(_) if self.freed || !before.over_by(now) => known(Cause::HandedOver),
            Cause::Stopped(_) => known(Cause::LeaseRanOut),
            // Another was known to lead until now.
            _ if !before.over_by(now) => Change { cause: Cause::HandedOver, since: None },
            _ if before.given_up => Change { cause: Cause::LeaseRanOut, since: before.renewed },
            _ => unseen,
        }
    }
}

/// What was known before the store answered.
#[derive(Clone, Debug)]
pub(super) struct Before {
    me: Candidate,
    leads: bool,
    change: Change,
    /// When the lease of another candidate was over, as far as was seen.
    rival_live_until: Option<BootTime>,
    /// The last renewal that was seen, of any holder.
    renewed: Option<BootTime>,
    /// The lease cannot be over before.
    not_over_before: BootTime,
    /// The last look showed a holder that had missed its own deadline.
    given_up: bool,
}

impl Before {
    pub(super) fn of(view: &Leadership, watch: &Watch, now: BootTime) -> Self {
        let lease = watch.observed().map(|o| o.record.lease_duration).unwrap_or_default();
        let written = watch.written();
        let after = written.and_then(|written| written.after);
        let believed_until = written.map(|written| written.by + longest_belief(lease));
        Self {
            me: view.candidate.clone(),
            leads: view.is_leading(now),
            change: view.change_of_record(now),
            rival_live_until: view.rival.as_ref().map(|rival| rival.live_until),
            renewed: written.filter(|written| written.is_close).map(|written| written.by),
            not_over_before: after.map_or(BootTime::ZERO, |after| after + lease),
            given_up: view.store_answered >= believed_until && believed_until.is_some(),
        }
    }

    fn over_by(&self, now: BootTime) -> bool {
        now >= self.not_over_before
    }
}

fn first_look(record: Option<&Record>) -> Change {
    let cause = match record {
        None | Some(Record { holder: None, term: Term::ZERO }) => Cause::NoRecord,
        Some(Record { holder: None, .. }) => Cause::Vacated,
        Some(Record { holder: Some(_), .. }) => Cause::Found,
    };
    Change { cause, since: None }
}

/// The same holder and term as before, or still none.
fn renewed(before: &Before, watch: &Watch, now: BootTime) -> Option<Change> {
    let over_at = before.rival_live_until.filter(|at| *at <= now)?;
    let live = watch.live_until(&before.me).is_some_and(|at| now < at);
    live.then(|| Change::at(Cause::KnownAgain, over_at))
}

/// Whether a record cannot follow from the one seen before it: an acquisition raises the term.
fn is_lost(seen: Option<&Record>, term: Term) -> bool {
    seen.is_some_and(|seen| term <= seen.term)
}

#[cfg(test)]
mod tests;
