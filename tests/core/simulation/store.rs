//! A compare-and-swap store of one record, as the store trait describes it.

use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::lease::{LeaseRecord, Observed, Version};
use bellwether::election::term::Term;

use crate::simulation::time::{SkewedClock, TrueTime};

#[derive(Debug)]
pub struct SimStore {
    record: Option<Stored>,
    history: Vec<Option<Stored>>,
    writes: u64,
    /// None: it has no clock to judge leases by.
    clock: Option<SkewedClock>,
    /// How far its clock was stepped, in nanoseconds.
    stepped: i64,
    /// It has a clock, but cannot read it now.
    hides_clock: bool,
    /// It knows when it lost writes, but cannot report it now.
    hides_losses: bool,
}

#[derive(Clone, Debug)]
struct Stored {
    record: LeaseRecord,
    version: u64,
    /// When it was written, by the store's clock; none if that is no longer comparable.
    written: Option<i64>,
    /// It was put back.
    restored: bool,
    /// The store knows that it may have lost what came after.
    outlived: bool,
}

impl SimStore {
    pub fn new(clock: Option<SkewedClock>) -> Self {
        Self {
            record: None,
            history: Vec::new(),
            writes: 0,
            clock,
            stepped: 0,
            hides_clock: false,
            hides_losses: false,
        }
    }

    pub fn record(&self) -> Option<&LeaseRecord> {
        self.record.as_ref().map(|stored| &stored.record)
    }

    pub fn version(&self) -> Option<Version> {
        self.record.as_ref().map(|stored| handle(stored.version))
    }

    pub fn observe(&self, now: TrueTime) -> Option<Observed> {
        let stored = self.record.as_ref()?;
        let time = self.time(now).filter(|_| !self.hides_clock);
        let remaining = time.zip(stored.written).map(|(time, written)| {
            let lease = i64::try_from(stored.record.lease_duration.as_nanos()).unwrap();
            Duration::from_nanos(u64::try_from(written + lease - time).unwrap_or(0))
        });
        Some(Observed {
            record: stored.record.clone(),
            version: handle(stored.version),
            remaining,
            outlived: stored.outlived && !self.hides_losses,
        })
    }

    /// Also gives back the record that was replaced.
    pub fn swap(
        &mut self,
        now: TrueTime,
        expected: Option<&Version>,
        record: LeaseRecord,
    ) -> (Swapped, Option<LeaseRecord>) {
        if self.record.as_ref().map(|stored| handle(stored.version)).as_ref() != expected {
            return (Swapped::Lost(self.observe(now)), None);
        }
        let written = self.time(now);
        self.writes += 1;
        let (restored, outlived) = (false, false);
        let stored = Stored { record, version: self.writes, written, restored, outlived };
        let replaced = self.record.replace(stored);
        let before = replaced.as_ref().map(|stored| stored.record.clone());
        // What was lost once is not put back again: its terms may have been given out since.
        if replaced.as_ref().is_none_or(|stored| !stored.restored) {
            self.history.push(replaced);
        }
        (Swapped::Won(handle(self.writes)), before)
    }

    pub fn term(&self) -> Term {
        self.record.as_ref().map_or(Term::new(0), |stored| stored.record.term)
    }

    pub fn step_clock(&mut self, by: i64) {
        self.stepped += by;
    }

    /// It can report what it could not, or the other way round.
    pub fn hide(&mut self, clock: bool, losses: bool) {
        self.hides_clock ^= clock;
        self.hides_losses ^= losses;
    }

    /// How many earlier states there are to go back to.
    pub fn history(&self) -> usize {
        self.history.len()
    }

    /// How many of the last of them are records.
    pub fn records(&self) -> usize {
        self.history.iter().rev().take_while(|state| state.is_some()).count()
    }

    /// Puts back an earlier state, as a restored backup or a fail-over that lost writes does. As
    /// stores have to, it shows it under a new version and does not judge it by its clock. If the
    /// store knows what happened, it reports it.
    pub fn restore(&mut self, index: usize, knows: bool) -> Term {
        self.writes += 1;
        let version = self.writes;
        self.record = self.history[index].clone();
        if let Some(stored) = &mut self.record {
            let (written, outlived, restored) = (None, knows, true);
            *stored = Stored { version, written, outlived, restored, ..stored.clone() };
        }
        if knows {
            self.history.clear();
        }
        self.term()
    }

    fn time(&self, now: TrueTime) -> Option<i64> {
        let clock = self.clock.as_ref()?;
        Some(i64::try_from(clock.nanos(now)).unwrap() + self.stepped)
    }
}

fn handle(version: u64) -> Version {
    Version::new(version.to_string())
}
