//! What an operator's command writes into the record of an election that it pauses or resumes.
//!
//! The command does not stand, and makes no candidate the leader: the term and a live holder stay
//! as they are. Its write replaces one version of the record, so it undoes nothing that it did not
//! see. A rival counts again from the new version, so its wait never becomes shorter.

use std::time::Duration;

use super::lease::{Candidate, LeaseRecord, Observed, Version};
use super::pause::Pause;
use super::term::Term;
use super::time::{BootTime, Now, WallTime};
use super::watch::Watch;

/// What an operator wants.
#[derive(Clone, Debug)]
pub enum Change {
    /// No candidate stands.
    Pause(Pause),
    /// Candidates stand again.
    Resume,
}

/// What to do next.
#[derive(Clone, Debug)]
pub enum Next {
    /// The record is as it has to be.
    Done,
    /// Replace this version; none: create the record.
    Write {
        /// The version to replace.
        expected: Option<Version>,
        /// The new record.
        record: Box<LeaseRecord>,
    },
    /// Look again then, or later: the store may have lost writes.
    Wait {
        /// When a holder that the lost writes named is gone.
        until: BootTime,
    },
}

/// What one command saw of the record.
#[derive(Clone, Debug)]
pub struct Maintenance {
    watch: Watch,
    /// The lease duration of a record that the command creates.
    lease_duration: Duration,
}

impl Maintenance {
    /// A command that has not looked. A record that it creates has this lease duration.
    pub fn new(lease_duration: Duration) -> Self {
        Self { watch: Watch::default(), lease_duration }
    }

    /// Takes in a look at the store, sent and received at these times.
    pub fn saw(&mut self, observed: Option<Observed>, sent: BootTime, received: BootTime) {
        self.watch.saw(observed, sent, received);
    }

    /// The record as last seen.
    pub fn record(&self) -> Option<&LeaseRecord> {
        self.watch.observed().map(|o| &o.record)
    }

    /// When the holder's lease is over by what was seen; zero if there is no holder.
    pub fn over_at(&self) -> BootTime {
        // No record names it.
        let me = Candidate { identity: String::new(), incarnation: String::new() };
        self.watch.over_at(&me).unwrap_or_default()
    }

    /// The next step towards `change`.
    pub fn next(&self, change: &Change, now: Now) -> Next {
        let wanted = match change {
            Change::Pause(pause) => Some(pause),
            Change::Resume => None,
        };
        if self.record().and_then(|record| record.pause.as_ref()) == wanted {
            return Next::Done;
        }
        let (over_at, lost) = (self.over_at(), self.shows_loss());
        // Rule `lost-writes`: this write would hide from all candidates that there may be a lost
        // term and its holder. So the command waits, and raises the term, as a candidate does.
        if lost && now.boot < over_at {
            return Next::Wait { until: over_at };
        }
        let (expected, record) = match self.watch.observed() {
            None => (None, LeaseRecord::without_holder(self.lease_duration, now.wall)),
            // A lease that is over must not look live again.
            Some(o) if now.boot >= over_at => {
                (Some(o.version.clone()), vacated(o.record.clone(), now.wall))
            }
            Some(o) => (Some(o.version.clone()), o.record.clone()),
        };
        let term = if lost { self.watch.next_term() } else { record.term };
        let record = LeaseRecord { term, pause: wanted.cloned(), ..record };
        Next::Write { expected, record: Box::new(record) }
    }

    /// Whether the store lost writes, as it says or as this command saw.
    fn shows_loss(&self) -> bool {
        let seen = self.watch.highest_term().unwrap_or_default();
        match self.watch.observed() {
            None => seen > Term::ZERO,
            Some(o) => o.outlived || o.record.term < seen,
        }
    }
}

fn vacated(record: LeaseRecord, wall: WallTime) -> LeaseRecord {
    match record.holder {
        None => record,
        Some(_) => record.vacated(wall),
    }
}

/// How often a command looks whether the leader has stepped down.
pub const LOOK_AGAIN: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    use crate::election::watch::TERM_JUMP;

    const LEASE: Duration = Duration::from_secs(15);

    fn now(seconds: u64) -> Now {
        let time = Duration::from_secs(seconds);
        Now { boot: BootTime::from_duration(time), wall: WallTime::from_unix(time) }
    }

    fn pause() -> Change {
        Change::Pause(Pause::new(now(1).wall, None, None))
    }

    fn held(remaining: Option<u64>, outlived: bool) -> Observed {
        let holder = Candidate { identity: "a".to_owned(), incarnation: "1".to_owned() };
        let record = LeaseRecord {
            holder: Some(holder),
            term: Term::new(7),
            ..LeaseRecord::without_holder(LEASE, WallTime::EPOCH)
        };
        let remaining = remaining.map(Duration::from_secs);
        Observed { record, version: Version::new("v"), remaining, outlived }
    }

    fn after(observed: Option<Observed>, at: u64) -> Maintenance {
        let mut seen = Maintenance::new(LEASE);
        seen.saw(observed, now(at).boot, now(at).boot);
        seen
    }

    fn written(next: Next) -> LeaseRecord {
        match next {
            Next::Write { record, .. } => *record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_live_holder_and_its_renewal_stay() {
        for remaining in [Some(9), None] {
            let record = written(after(Some(held(remaining, false)), 5).next(&pause(), now(6)));
            let before = held(remaining, false).record;
            assert_eq!((record.holder, record.term), (before.holder, before.term));
            assert_eq!(record.renew_time.to_string(), before.renew_time.to_string());
            assert!(record.pause.is_some());
        }
    }

    #[test]
    fn a_lease_that_is_over_does_not_become_live_again() {
        let record = written(after(Some(held(Some(0), false)), 5).next(&pause(), now(5)));
        assert_eq!((record.holder, record.term), (None, Term::new(7)));
        let watched = after(Some(held(None, false)), 5);
        assert!(written(watched.next(&pause(), now(19))).holder.is_some());
        assert!(written(watched.next(&pause(), now(20))).holder.is_none());
    }

    #[test]
    fn after_lost_writes_it_waits_for_a_lease_and_jumps() {
        let seen = after(Some(held(Some(0), true)), 5);
        for change in [pause(), Change::Pause(Pause::new(now(2).wall, None, None))] {
            assert!(
                matches!(seen.next(&change, now(19)), Next::Wait { until } if until == now(20).boot)
            );
            let record = written(seen.next(&change, now(20)));
            assert_eq!((record.holder, record.term), (None, Term::new(7).after(TERM_JUMP)));
        }
    }

    #[test]
    fn a_record_that_vanished_or_went_back_leaves_its_holder_a_lease() {
        for restored in [
            None,
            Some(LeaseRecord { holder: None, term: Term::new(3), ..held(None, false).record }),
        ] {
            let mut seen = after(Some(held(None, false)), 5);
            let restored = restored.map(|record| Observed {
                record,
                version: Version::new("old"),
                remaining: Some(Duration::ZERO),
                outlived: false,
            });
            seen.saw(restored, now(8).boot, now(8).boot);
            assert!(matches!(seen.next(&pause(), now(22)), Next::Wait { .. }));
            let record = written(seen.next(&pause(), now(23)));
            assert_eq!((record.holder, record.term), (None, Term::new(8)));
        }
    }

    #[test]
    fn nothing_is_written_for_what_is_so_already() {
        assert!(matches!(after(None, 5).next(&Change::Resume, now(5)), Next::Done));
        let first = after(None, 5).next(&pause(), now(5));
        let record = written(first);
        assert_eq!((record.holder.clone(), record.term), (None, Term::ZERO));
        let again = Observed { record, ..held(None, false) };
        assert!(matches!(after(Some(again.clone()), 5).next(&pause(), now(5)), Next::Done));
        let resumed = written(after(Some(again), 5).next(&Change::Resume, now(5)));
        assert_eq!((resumed.pause, resumed.term), (None, Term::ZERO));
    }
}
