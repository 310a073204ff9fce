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
use super::lease::{Candidate, LeaseRecord, MAX_LEASE_DURATION, Observed, Vacated, Version};
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

/// What one candidate knows of the record from its own looks.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    current: Option<Sighting>,
    highest_term: Term,
    /// The store was seen to have lost writes: no lease is over before.
    distrusted_until: BootTime,
    /// The pause in the record as last seen, in force or over.
    pause: Option<Sight>,
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

    fn term(&self) -> Term {
        self.observed.as_ref().map_or(Term::ZERO, |o| o.record.term)
    }

    /// Whether this state cannot follow from `last` unless the store lost writes: an acquisition
    /// raises the term.
    fn has_the_term_of_another(&self, last: &Self) -> bool {
        let holders = self.holder().zip(last.holder());
        self.term() == last.term() && holders.is_some_and(|(this, last)| this != last)
    }

    /// Whether an operator wrote this over `last`, and not a candidate.
    fn is_same_writing(&self, last: &Self) -> bool {
        let records = self.observed.as_ref().zip(last.observed.as_ref());
        records.is_some_and(|(this, last)| this.record.is_same_writing(&last.record))
    }

    /// Whether this is another write of the holder that `last` names, in the same term.
    fn renews(&self, last: &Self) -> bool {
        self.holder().is_some() && (self.holder(), self.term()) == (last.holder(), last.term())
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
        let version = observed.as_ref().map(|o| &o.version);
        if let Some(current) = &mut self.current
            && current.observed.as_ref().map(|o| &o.version) == version
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
    /// Wrong news costs a refused swap: the swap decides.
    pub fn vacated(&mut self, news: Vacated, received: BootTime) -> bool {
        let Vacated { term, version, handover } = news;
        let ends = |o: &&Observed| o.record.holder.is_some() && o.record.term == term;
        let lost_writes = |o: &&Observed| o.outlived || term < self.highest_term;
        let Some(seen) = self.observed().filter(ends).filter(|o| !lost_writes(o)) else {
            return false;
        };
        let (holder, payload, pause) = (None, None, None);
        let record = LeaseRecord { holder, payload, pause, handover, ..seen.record.clone() };
        let observed = Observed { record, version, remaining: None, outlived: false };
        self.saw(Some(observed), received, received);
        true
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
        let Self { current, highest_term, distrusted_until, pause: _ } = self;
        onto.term(*highest_term);
        onto.duration(distrusted_until.since(now));
        onto.flag(current.is_some());
        if let Some(seen) = current {
            seen.project(now, onto);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::time::WallTime;

    const LEASE: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    fn me() -> Candidate {
        Candidate { identity: "me".to_owned(), incarnation: "1".to_owned() }
    }

    fn held(version: &str, term: u64, remaining: Option<u64>) -> Option<Observed> {
        let holder = Candidate { identity: "other".to_owned(), incarnation: "9".to_owned() };
        // Each version is another write.
        let writing = version.bytes().map(u64::from).sum();
        Some(Observed {
            record: LeaseRecord {
                holder: Some(holder),
                term: Term::new(term),
                lease_duration: LEASE,
                acquire_time: WallTime::EPOCH,
                renew_time: WallTime::from_unix(Duration::from_secs(writing)),
                payload: None,
                origin: None,
                holder_url: None,
                pause: None,
                handover: None,
            },
            version: Version::new(version),
            remaining: remaining.map(Duration::from_secs),
            outlived: false,
        })
    }

    fn vacated(version: &str, term: u64) -> Option<Observed> {
        let mut observed = held(version, term, None)?;
        observed.record.holder = None;
        Some(observed)
    }

    #[test]
    fn without_a_store_clock_a_lease_is_watched_from_the_first_answer() {
        let mut watch = Watch::default();
        watch.saw(held("a", 1, None), at(100), at(101));
        watch.saw(held("a", 1, None), at(110), at(111));
        assert_eq!(watch.over_at(&me()), Some(at(116)));
        watch.saw(held("b", 1, None), at(115), at(115));
        assert_eq!(watch.over_at(&me()), Some(at(130)));
    }

    #[test]
    fn a_store_clock_shortens_the_first_wait_to_nothing() {
        let mut watch = Watch::default();
        watch.saw(held("a", 1, Some(0)), at(100), at(101));
        assert_eq!(watch.over_at(&me()), Some(at(101)));
        let mut watch = Watch::default();
        watch.saw(held("a", 1, Some(4)), at(100), at(101));
        assert_eq!(watch.over_at(&me()), Some(at(105)));
    }

    #[test]
    fn a_store_clock_that_jumped_does_not_evict_a_holder_seen_alive() {
        let mut watch = Watch::default();
        watch.saw(held("a", 1, Some(14)), at(100), at(100));
        watch.saw(held("b", 1, Some(0)), at(102), at(102));
        assert_eq!(watch.over_at(&me()), Some(at(115)));
    }

    #[test]
    fn a_store_clock_that_jumped_does_not_evict_a_holder_that_was_looked_at_seldom() {
        let mut watch = Watch::default();
        watch.saw(held("a", 1, Some(14)), at(100), at(100));
        watch.saw(held("b", 1, Some(0)), at(113), at(114));
        let over_at = watch.over_at(&me()).unwrap();
        assert!(over_at > at(114 + 12), "it may have renewed at 113 and believes for 12 s");
        assert!(over_at < at(114 + 13));
    }

    #[test]
    fn a_store_clock_never_makes_a_lease_longer_than_watching_it() {
        let mut watch = Watch::default();
        watch.saw(held("a", 1, Some(900)), at(100), at(100));
        assert_eq!(watch.over_at(&me()), Some(at(115)));
    }

    #[test]
    fn a_vacated_lease_is_over_at_once() {
        let mut watch = Watch::default();
        watch.saw(held("a", 1, Some(15)), at(100), at(100));
        watch.saw(vacated("b", 1), at(102), at(102));
        assert!(watch.over_at(&me()).unwrap() <= at(102));
    }

    #[test]
    fn a_term_that_went_backwards_is_reported_and_watched_for_a_lease() {
        for restored in [vacated("old", 3), held("old", 3, Some(0))] {
            let mut watch = Watch::default();
            watch.saw(held("a", 7, Some(15)), at(100), at(100));
            assert_eq!(watch.saw(restored, at(102), at(103)), Some(Term::new(7)));
            assert_eq!(watch.over_at(&me()), Some(at(118)));
            assert_eq!(watch.next_term(), Term::new(8));
        }
    }

    #[test]
    fn a_record_that_outlived_a_fail_over_is_watched_again_and_its_term_jumps() {
        let outlived = |mut observed: Observed| {
            observed.outlived = true;
            observed.version = Version::new("a, after the fail-over");
            Some(observed)
        };
        let mut own = held("a", 7, Some(0)).unwrap();
        own.record.holder = Some(me());
        for record in [held("a", 7, Some(0)).unwrap(), vacated("a", 7).unwrap(), own] {
            for seen_before in [true, false] {
                let mut watch = Watch::default();
                if seen_before {
                    watch.saw(Some(record.clone()), at(90), at(90));
                }
                watch.saw(outlived(record.clone()), at(100), at(101));
                watch.saw(outlived(record.clone()), at(110), at(111));
                assert_eq!(watch.over_at(&me()), Some(at(116)));
                assert_eq!(watch.next_term(), Term::new(7).after(TERM_JUMP));
                watch.saw(held("b", 8, Some(15)), at(112), at(112));
                assert_eq!(watch.next_term(), Term::new(9));
            }
        }
    }

    #[test]
    fn a_backup_that_names_this_candidate_proves_nothing_either() {
        let mut watch = Watch::default();
        watch.saw(held("a", 7, Some(15)), at(100), at(100));
        let mut restored = held("old", 3, Some(15)).unwrap();
        restored.record.holder = Some(me());
        watch.saw(Some(restored), at(102), at(102));
        assert_eq!(watch.over_at(&me()), Some(at(117)));
    }

    #[test]
    fn a_record_that_vanished_leaves_its_holder_a_lease() {
        let mut watch = Watch::default();
        assert_eq!(watch.over_at(&me()), None);
        watch.saw(None, at(100), at(100));
        assert_eq!(watch.over_at(&me()), Some(BootTime::ZERO));
        watch.saw(held("a", 7, None), at(101), at(101));
        watch.saw(None, at(104), at(105));
        assert_eq!(watch.over_at(&me()), Some(at(105) + LEASE), "it may have renewed at 104");
        assert_eq!(watch.next_term(), Term::new(8));
    }

    #[test]
    fn a_restored_record_with_a_short_lease_does_not_shorten_the_wait_for_the_lost_holder() {
        let mut watch = Watch::default();
        watch.saw(held("a", 7, None), at(100), at(100));
        let mut restored = held("old", 3, None).unwrap();
        restored.record.lease_duration = Duration::from_secs(5);
        watch.saw(Some(restored.clone()), at(102), at(102));
        assert_eq!(watch.over_at(&me()), Some(at(117)));
        assert_eq!(watch.live_until(&me()), Some(at(107)));
        restored.version = Version::new("renewed");
        watch.saw(Some(restored), at(103), at(103));
        assert_eq!(
            watch.over_at(&me()),
            Some(at(117)),
            "nor does another candidate that renews it"
        );
    }

    #[test]
    fn an_own_late_write_in_place_of_a_lost_record_proves_nothing() {
        let mut own = held("b", 7, None).unwrap();
        own.record.holder = Some(me());
        for vanishing_was_seen in [true, false] {
            let mut watch = Watch::default();
            watch.saw(held("a", 7, None), at(100), at(100));
            if vanishing_was_seen {
                watch.saw(None, at(102), at(102));
            }
            watch.saw(Some(own.clone()), at(103), at(103));
            assert!(watch.over_at(&me()).unwrap() >= at(117), "{vanishing_was_seen}");
        }
    }

    #[test]
    fn the_own_record_is_never_waited_for() {
        let mut watch = Watch::default();
        let mut own = held("a", 7, None).unwrap();
        own.record.holder = Some(me());
        watch.saw(Some(own), at(100), at(100));
        assert!(watch.over_at(&me()).unwrap() <= at(100));
        let restarted = Candidate { incarnation: "2".to_owned(), ..me() };
        assert_eq!(watch.over_at(&restarted), Some(at(115)));
    }

    fn written(watch: &Watch) -> (Option<BootTime>, BootTime, bool) {
        let Written { after, by, is_close } = watch.written().unwrap();
        (after, by, is_close)
    }

    #[test]
    fn the_time_of_a_write_is_known_from_looks_or_from_the_clock_of_the_store() {
        let mut watch = Watch::default();
        watch.saw(held("a", 1, None), at(100), at(101));
        assert_eq!(written(&watch), (None, at(101), false), "of an unknown age");
        watch.saw(held("b", 1, None), at(103), at(104));
        assert_eq!(written(&watch), (Some(at(100)), at(104), true));
        let mut watch = Watch::default();
        watch.saw(held("a", 1, Some(4)), at(100), at(101));
        assert_eq!(written(&watch), (None, at(90), true), "eleven seconds of fifteen are gone");
        let mut watch = Watch::default();
        for second in [101, 105] {
            watch.saw(held("a", 1, Some(0)), at(second), at(second));
            assert_eq!(written(&watch), (None, at(86), false), "at least a lease old");
        }
    }

    #[test]
    fn a_store_clock_that_jumped_makes_no_write_older_than_the_look_before_it() {
        let mut watch = Watch::default();
        watch.saw(held("a", 1, Some(14)), at(100), at(100));
        watch.saw(held("b", 1, Some(0)), at(102), at(102));
        assert_eq!(written(&watch), (Some(at(100)), at(100), true));
    }

    fn hear(watch: &mut Watch, term: u64) -> bool {
        let version = Version::new("freed");
        watch.vacated(Vacated { term: Term::new(term), version, handover: None }, at(3))
    }

    #[test]
    fn news_of_a_vacated_lease_ends_the_term_that_is_held_and_no_other() {
        let mut watch = Watch::default();
        assert!(!hear(&mut watch, 4), "nothing was seen yet");
        watch.saw(held("a", 4, Some(9)), at(1), at(2));
        assert!(!hear(&mut watch, 3), "old news");
        assert!(!hear(&mut watch, 5), "a term that was not seen takes a look");
        assert_eq!(watch.over_at(&me()), Some(at(11)));
        assert!(hear(&mut watch, 4));
        assert_eq!(watch.over_at(&me()), Some(BootTime::ZERO));
        let seen = watch.observed().unwrap();
        assert_eq!((&seen.record.holder, &seen.version), (&None, &Version::new("freed")));
        assert!(!hear(&mut watch, 4), "the same news again");
        watch.saw(held("b", 5, Some(15)), at(4), at(5));
        assert!(!hear(&mut watch, 4), "late news");
    }

    #[test]
    fn news_of_a_vacated_lease_proves_nothing_where_the_store_lost_writes() {
        let mut watch = Watch::default();
        watch.saw(held("a", 9, None), at(1), at(1));
        watch.saw(held("b", 4, None), at(2), at(2));
        assert!(!hear(&mut watch, 4), "a term that went backwards");
        assert_eq!(watch.over_at(&me()), Some(at(17)));
        let outlived = held("c", 9, None).map(|o| Observed { outlived: true, ..o });
        watch.saw(outlived, at(20), at(20));
        assert!(!hear(&mut watch, 9));
    }
}
