//! The record as watched from outside: when is another candidate's lease over?
//!
//! A lease is over when
//!
//! - its holder vacated it: rule `vacated-lease`, or
//! - the store's own clock says so: rule `store-clock`, or rule `service-date`, or
//! - the record was seen unchanged for its whole lease duration: rule `watched-lease`, counted from
//!   after the look was received by rule `before-sent-after-received`,
//!
//! with two reservations:
//!
//! - A store's clock never overrules what was seen here. If a record was seen to change, its holder
//!   wrote it after the last look at the older version, and perhaps just before the first look at
//!   the newer one. So its lease is not over before the lease duration after the former look, nor
//!   before the longest belief after the latter.
//! - A store that lost writes proves nothing: rule `lost-writes`. It lost writes if the record
//!   vanished, if its term went backwards (a restored backup), if another candidate has the same
//!   term, or if the store itself says that it failed over since. Then the author of the lost
//!   writes keeps a whole lease, counted from the look that showed the loss.

use std::time::Duration;

use super::handover::Handover;
use super::lease::{
    Candidate, LeaseRecord, MAX_LEASE_DURATION, Observed, Renewed, Vacated, Version,
};
use super::pause::{Pause, Sight};
use super::projection::Projection;
use super::term::Term;
use super::time::BootTime;
use super::timing::longest_belief;

/// How far the term jumps over those that a fail-over of the store may have lost.
///
/// A replica that lags behind lacks fewer terms than that: at one acquisition in a millisecond,
/// which no store reaches, they last for 16 minutes. And terms stay exact in a 53-bit number, as
/// JSON readers have them, for nine billion fail-overs.
pub const TERM_JUMP: u64 = 1_000_000;

/// Whether renewals are shown to be pushed. It holds for one version of the record only, so pushes
/// that cease prove nothing about the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushes {
    /// The version seen last was announced.
    Proven,
    /// It was not.
    NotProven,
}

/// What one candidate knows of the record from its own looks.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    current: Option<Sighting>,
    highest_term: Term,
    /// The store was seen to have lost writes: no lease is over before.
    distrusted_until: BootTime,
    /// The pause in the record as last seen, in force or over.
    pause: Option<Sight>,
    /// The last renewal of the term seen that was announced: rule `announced-renewal`.
    announced: Option<Version>,
    /// What the last look showed, while `current` comes from an announcement.
    looked: Option<Sighting>,
    /// A look showed that the last news of a vacated lease was false, and nothing else since.
    was_misled: bool,
}

/// One state of the record, or its absence, and when it was seen.
#[derive(Clone, Debug)]
struct Sighting {
    /// None: the store has no record.
    observed: Option<Observed>,
    /// When the first answer that showed this state was received.
    first_received: BootTime,
    /// When the last answer that showed this state was received.
    last_received: BootTime,
    /// When the last look that showed this state was sent.
    last_sent: BootTime,
    /// The store's clock does not end the lease before this time, because an older state was seen.
    not_before: BootTime,
    written: Written,
}

/// When the record was written, as far as that is known here. It is for people, and decides nothing.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// After the last look that showed another state was sent. None if no other state was seen, or if
    /// the store lost writes in between: a backup can be restored while its author is gone.
    pub after: Option<BootTime>,
    /// By then at the latest.
    pub by: BootTime,
    /// Whether it was much before that at most, as a look at an older state or the store's clock shows.
    pub is_close: bool,
}

impl Written {
    /// What the clock of a store shows in addition, which sees this much of the lease left.
    fn judged(&mut self, lease: Duration, remaining: Option<Duration>, received: BootTime) {
        let Some(remaining) = remaining else { return };
        let by = (received + remaining).since(BootTime::from_duration(lease));
        let by = BootTime::from_duration(by).min(self.by);
        // A clock that was set forward does not make a write older than what was seen here.
        self.by = by.max(self.after.unwrap_or(BootTime::ZERO));
        self.is_close |= !remaining.is_zero();
    }
}

impl Sighting {
    fn lease_duration(&self) -> Duration {
        self.observed.as_ref().map_or(Duration::ZERO, |o| o.record.lease_duration)
    }

    fn holder(&self) -> Option<&Candidate> {
        self.observed.as_ref()?.record.holder.as_ref()
    }

    fn version(&self) -> Option<&Version> {
        self.observed.as_ref().map(|o| &o.version)
    }

    fn term(&self) -> Term {
        self.observed.as_ref().map_or(Term::ZERO, |o| o.record.term)
    }

    /// Whether this state cannot follow from `last` unless the store lost writes: an acquisition
    /// raises the term.
    fn has_the_term_of_another(&self, last: &Self) -> bool {
        let is_anothers = match (self.holder(), last.holder()) {
            (Some(this), Some(last)) => this != last,
            // A term that was vacated is never held again.
            (Some(_), None) => last.observed.is_some(),
            (None, _) => false,
        };
        self.term() == last.term() && is_anothers
    }

    /// Whether an operator wrote this over `last`, and not a candidate.
    fn is_same_writing(&self, last: &Self) -> bool {
        let records = self.observed.as_ref().zip(last.observed.as_ref());
        records.is_some_and(|(this, last)| this.record.is_same_writing(&last.record))
    }

    /// Whether this is another write of the holder that `last` names, in the same term.
    fn renews(&self, last: &Self) -> bool {
        let records = self.observed.as_ref().zip(last.observed.as_ref());
        records.is_some_and(|(this, last)| this.record.is_same_tenure(&last.record))
    }

    /// Whether the store says that it may have lost what followed this state.
    fn outlived(&self) -> bool {
        self.observed.as_ref().is_some_and(|o| o.outlived)
    }

    /// Takes in what the store's clock says of when this was written.
    fn judge(&mut self) {
        let remaining = self.observed.as_ref().and_then(|o| o.remaining);
        self.written.judged(self.lease_duration(), remaining, self.last_received);
    }

    /// When this state has been watched for its whole lease.
    fn watched(&self) -> BootTime {
        self.first_received + self.lease_duration()
    }

    fn project(&self, now: BootTime, onto: &mut dyn Projection) {
        let Self { observed, first_received: _, last_received, last_sent, not_before, written: _ } =
            self;
        onto.duration(self.watched().since(now));
        // No lease after it is longer.
        onto.duration(now.since(*last_sent).min(MAX_LEASE_DURATION));
        onto.duration(not_before.since(now));
        onto.flag(observed.is_some());
        if let Some(Observed { record, version, remaining, outlived }) = observed {
            onto.record(record);
            onto.version(Some(version));
            onto.flag(*outlived);
            onto.flag(remaining.is_some());
            let judged = *last_received + remaining.unwrap_or_default();
            onto.duration(judged.since(now));
        }
    }
}

impl Watch {
    /// Takes in a look at the store, sent and received at these times. Returns the higher term
    /// that was seen before if the record's term went backwards with this look.
    pub fn saw(
        &mut self,
        observed: Option<Observed>,
        sent: BootTime,
        received: BootTime,
    ) -> Option<Term> {
        // Pushes prove nothing, so this look is judged by the last one.
        let announced = self.looked.take().and_then(|looked| self.current.replace(looked));
        let last = self.version().cloned();
        let backwards = self.sighted(observed, sent, received);
        let was_free = announced.as_ref().is_some_and(|announced| announced.holder().is_none());
        self.was_misled = self.version() == last.as_ref() && (self.was_misled || was_free);
        if let (Some(announced), Some(current)) = (announced, &mut self.current)
            && announced.version() == current.version()
            && announced.first_received < current.first_received
        {
            (current.first_received, current.written) =
                (announced.first_received, announced.written);
        }
        backwards
    }

    fn sighted(
        &mut self,
        observed: Option<Observed>,
        sent: BootTime,
        received: BootTime,
    ) -> Option<Term> {
        let version = observed.as_ref().map(|o| &o.version);
        if let Some(current) = &mut self.current
            && current.version() == version
        {
            // The same state, with a newer judgement of the store's.
            current.observed = observed;
            current.last_sent = sent;
            current.last_received = received;
            current.judge();
            return None;
        }
        let mut next = Sighting {
            observed,
            first_received: received,
            last_received: received,
            last_sent: sent,
            not_before: BootTime::ZERO,
            written: Written { after: None, by: received, is_close: false },
        };
        let term = next.term();
        let vanished = next.observed.is_none();
        let went_backwards = !vanished && term < self.highest_term;
        if next.outlived() {
            self.distrusted_until = self.distrusted_until.max(next.watched());
        }
        if let Some(last) = &self.current {
            let lease = next.lease_duration().max(last.lease_duration());
            let other = next.has_the_term_of_another(last);
            let lost_writes = vanished || went_backwards || other || next.outlived();
            if lost_writes {
                // The author of the lost writes may have made the last of them a moment ago, and
                // believes in its own lease, which this state does not show.
                self.distrusted_until = self.distrusted_until.max(received + lease);
            }
            // The writer of this state was alive after that look, and perhaps until just now. The
            // second matters if the time between the looks is longer than the belief and the lease.
            let believed = received + longest_belief(next.lease_duration());
            next.not_before = believed.max(last.last_sent + lease);
            let renews = next.renews(last) && !next.outlived();
            if next.is_same_writing(last) {
                next.written = last.written;
            } else if renews || !lost_writes {
                next.written.after = Some(last.last_sent);
                next.written.is_close = true;
            }
        }
        next.judge();
        self.saw_pause(next.observed.as_ref().and_then(|o| o.record.pause.as_ref()), received);
        self.current = Some(next);
        let before = self.highest_term;
        self.highest_term = before.max(term);
        went_backwards.then_some(before)
    }

    /// Other writes do not restart a pause.
    fn saw_pause(&mut self, pause: Option<&Pause>, received: BootTime) {
        if pause != self.pause.as_ref().map(|seen| &seen.pause) {
            self.pause = pause.map(|pause| Sight::first(pause.clone(), received));
        }
    }

    /// Takes in, without a look, that the holder of a term vacated the lease.
    /// Returns whether that follows from what was seen. Then it is the end of that term, even if
    /// the news is old, because a term is held only once.
    ///
    /// False news costs a refused swap, because no state with a holder has its version: see
    /// [`Hint::Vacated`](crate::store::Hint::Vacated). It makes no wait longer, because the next look is judged by the
    /// last one. And while the record stays as that look showed it, no other such news is believed.
    pub fn vacated(&mut self, news: Vacated, received: BootTime) -> bool {
        let Vacated { term, version, handover } = news;
        let ends = |o: &&Observed| o.record.holder.is_some() && o.record.term == term;
        let lost_writes = |o: &&Observed| o.outlived || term < self.highest_term;
        // The operator's next word is not in the news.
        let is_false = |o: &&Observed| o.version == version || o.record.pause.is_some();
        let seen = self.observed().filter(ends).filter(|o| !lost_writes(o) && !is_false(o));
        let Some(seen) = seen.filter(|_| !self.was_misled) else { return false };
        let (holder, payload, pause) = (None, None, None);
        let record = LeaseRecord { holder, payload, pause, handover, ..seen.record.clone() };
        let observed = Observed { record, version, remaining: None, outlived: false };
        let looked = self.looked.take().or_else(|| self.current.clone());
        self.sighted(Some(observed), received, received);
        self.looked = looked;
        true
    }

    /// Takes in an announcement, without a look. Returns whether it is a renewal of the lease that
    /// was seen last: rule `announced-renewal`.
    pub fn announced(&mut self, news: &Renewed) -> bool {
        let renews = |o: &Observed| o.record.holder.is_some() && o.record.term == news.term;
        let proves = |o: &Observed| !o.outlived && o.record.term == self.highest_term;
        let renews = self.observed().is_some_and(|o| renews(o) && proves(o));
        if renews {
            self.announced = Some(news.version.clone());
        }
        renews
    }

    /// What a look that shows `next` says of the announcements since the look before. True: it shows a
    /// renewal, which was announced. False: a renewal was not announced, or an announced one was none.
    /// None if it shows no renewal, or none was ever announced.
    pub fn was_announced(&mut self, next: &Observed) -> Option<bool> {
        let (last, announced) = (self.observed()?, self.announced.as_ref()?);
        let of = |o: &Observed| (o.record.holder.clone(), o.record.term);
        let looked = self.looked.as_ref().map_or(Some(&last.version), Sighting::version);
        if looked == Some(&next.version) {
            return self.looked.is_some().then_some(false);
        }
        let (of_the_term, was_announced) = (of(last) == of(next), *announced == next.version);
        if of_the_term && !was_announced {
            self.announced = None;
        }
        of_the_term.then_some(was_announced)
    }

    /// Counts what was [`Watch::announced`] as a sight of its version, received now. The version
    /// exists, so it was written before: a late announcement makes the wait longer, never shorter.
    pub fn sights_announced(&mut self, received: BootTime) {
        let (Some(current), Some(version)) = (&self.current, self.announced.clone()) else {
            return;
        };
        let Some(seen) = &current.observed else { return };
        if seen.version != version {
            let (sent, observed) = (current.last_sent, seen.clone());
            let looked = self.looked.take().or_else(|| self.current.clone());
            self.sighted(Some(Observed { version, remaining: None, ..observed }), sent, received);
            self.looked = looked;
            self.written_by_announcement(sent, received);
        }
    }

    /// A push, which is no announcement, caused the look that shows the record as it is now. If announcements came
    /// before, those of the next renewals are expected. Returns whether that is so.
    pub fn relies_on_pushes(&mut self) -> bool {
        let relies = self.announced.is_some();
        if relies {
            self.announced = self.version().cloned();
        }
        relies
    }

    /// When the last look at the record as it is known was sent; none before the first look.
    pub fn looked_at(&self) -> Option<BootTime> {
        self.current.as_ref().map(|seen| seen.last_sent)
    }

    /// The copy of the record has the times of the write before.
    fn written_by_announcement(&mut self, after: BootTime, by: BootTime) {
        if let Some(current) = &mut self.current {
            current.written = Written { after: Some(after), by, is_close: true };
        }
    }

    /// Whether pushes were shown to arrive: the version seen last was announced by one.
    pub fn pushes(&self) -> Pushes {
        match self.version() {
            Some(version) if self.announced.as_ref() == Some(version) => Pushes::Proven,
            Some(_) | None => Pushes::NotProven,
        }
    }

    /// The record as last seen; none if there was none, or no look yet.
    pub fn observed(&self) -> Option<&Observed> {
        self.current.as_ref()?.observed.as_ref()
    }

    /// The term of the record, if it names this candidate: also if the store lost what followed it.
    pub fn term_of(&self, candidate: &Candidate) -> Option<Term> {
        let seen = self.observed().filter(|o| o.record.is_held_by(candidate))?;
        Some(seen.record.term)
    }

    /// The version of the record as last seen.
    pub fn version(&self) -> Option<&Version> {
        self.observed().map(|o| &o.version)
    }

    /// When the record, as last seen, was written; none before the first look.
    pub fn written(&self) -> Option<Written> {
        self.current.as_ref().map(|seen| seen.written)
    }

    /// The pause that the record shows, in force or over.
    pub fn pause(&self) -> Option<&Sight> {
        self.pause.as_ref()
    }

    /// The pause that keeps candidates from standing `now`.
    pub fn paused_at(&self, now: BootTime) -> Option<&Pause> {
        self.pause().filter(|seen| seen.is_in_force(now)).map(|seen| &seen.pause)
    }

    /// The highest term seen; none before the first look.
    pub fn highest_term(&self) -> Option<Term> {
        self.current.as_ref().map(|_| self.highest_term)
    }

    /// The term of the next acquisition: higher than everything seen, even if the record went
    /// backwards or vanished, and than what a fail-over may have lost.
    pub fn next_term(&self) -> Term {
        let outlived = self.current.as_ref().is_some_and(Sighting::outlived);
        self.highest_term.after(if outlived { TERM_JUMP } else { 1 })
    }

    /// When the lease is over for `me`, as far as is known; none before the first look.
    ///
    /// The own record, left over from a write whose answer was lost or from a leadership that
    /// lapsed, is over at once: the caller does not believe in it, and no other candidate can.
    pub fn over_at(&self, me: &Candidate) -> Option<BootTime> {
        let seen = self.current.as_ref()?;
        let over_at = match &seen.observed {
            None => BootTime::ZERO,
            Some(Observed { record, .. }) if record.holder.is_none() || record.is_held_by(me) => {
                BootTime::ZERO
            }
            // The store judged before its answer was received.
            Some(Observed { remaining: Some(remaining), .. }) => {
                (seen.last_received + *remaining).max(seen.not_before).min(seen.watched())
            }
            Some(_) => seen.watched(),
        };
        Some(over_at.max(self.distrusted_until))
    }

    /// What the last holder said when it vacated the lease, and since when that is known here.
    pub fn handover(&self) -> Option<(&Handover, BootTime)> {
        let seen = self.current.as_ref()?;
        let record = &seen.observed.as_ref()?.record;
        let handover = record.handover.as_ref().filter(|_| record.holder.is_none())?;
        Some((handover, seen.first_received))
    }

    /// Until when the holder that the record names can be live. A lost write of another candidate can
    /// make the wait for the lease longer than that.
    pub fn live_until(&self, me: &Candidate) -> Option<BootTime> {
        Some(self.over_at(me)?.min(self.current.as_ref()?.watched()))
    }

    pub(super) fn project(&self, now: BootTime, onto: &mut dyn Projection) {
        // No operator of the model pauses an election.
        let Self {
            current,
            highest_term,
            distrusted_until,
            pause: _,
            announced,
            looked,
            was_misled,
        } = self;
        onto.flag(*was_misled);
        onto.flag(announced.is_some());
        onto.version(announced.as_ref());
        onto.flag(looked.is_some());
        if let Some(seen) = looked {
            seen.project(now, onto);
        }
        onto.term(*highest_term);
        onto.duration(distrusted_until.since(now));
        onto.flag(current.is_some());
        if let Some(seen) = current {
            seen.project(now, onto);
        }
    }
}

#[cfg(test)]
mod tests;
