//! A compare-and-swap store of one record, as the store trait describes it.

use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::lease::{LeaseRecord, Observed, Term, Version};

use crate::time::{SkewedClock, TrueTime};

#[derive(Debug)]
pub struct SimStore {
    record: Option<Stored>,
    history: Vec<Option<Stored>>,
    writes: u64,
    /// None: it has no clock to judge leases by.
    clock: Option<SkewedClock>,
    /// How far its clock was stepped, in nanoseconds.
    stepped: i64,
}

#[derive(Clone, Debug)]
struct Stored {
    record: LeaseRecord,
    version: u64,
    /// When it was written, by the store's clock; none if that is no longer comparable.
    written: Option<i64>,
    /// The store knows that it may have lost what came after.
    outlived: bool,
}

impl SimStore {
    pub fn new(clock: Option<SkewedClock>) -> Self {
        Self { record: None, history: Vec::new(), writes: 0, clock, stepped: 0 }
    }

    pub fn observe(&self, now: TrueTime) -> Option<Observed> {
        let stored = self.record.as_ref()?;
        let remaining = self.time(now).zip(stored.written).map(|(time, written)| {
            let lease = i64::try_from(stored.record.lease_duration.as_nanos()).unwrap();
            Duration::from_nanos(u64::try_from(written + lease - time).unwrap_or(0))
        });
        Some(Observed {
            record: stored.record.clone(),
            version: handle(stored.version),
            remaining,
            outlived: stored.outlived,
        })
    }

    pub fn swap(
        &mut self,
        now: TrueTime,
        expected: Option<&Version>,
        record: LeaseRecord,
    ) -> Swapped {
        if self.record.as_ref().map(|stored| handle(stored.version)).as_ref() != expected {
            return Swapped::Lost(self.observe(now));
        }
        let written = self.time(now);
        self.history.push(self.record.take());
        self.writes += 1;
        self.record = Some(Stored { record, version: self.writes, written, outlived: false });
        Swapped::Won(handle(self.writes))
    }

    pub fn term(&self) -> Term {
        self.record.as_ref().map_or(0, |stored| stored.record.term)
    }

    pub fn step_clock(&mut self, by: i64) {
        self.stepped += by;
    }

    /// How many earlier states there are to go back to.
    pub fn history(&self) -> usize {
        self.history.len()
    }

    /// Puts back an earlier state, as a restored backup or a fail-over that lost writes does. As
    /// stores have to, it shows it under a new version and does not judge it by its clock. Every
    /// other time the store knows what happened, and says so.
    pub fn restore(&mut self, index: usize) -> Term {
        self.writes += 1;
        let version = self.writes;
        self.record = self.history[index].clone();
        if let Some(stored) = &mut self.record {
            let outlived = version.is_multiple_of(2);
            *stored = Stored { version, written: None, outlived, ..stored.clone() };
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
