//! A store of one record that compares and swaps.

use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::lease::{LeaseRecord, Observed, Version};
use bellwether::election::term::Term;

/// The record, and what the store knows of it.
#[derive(Clone, Debug)]
pub struct Store {
    pub record: Option<LeaseRecord>,
    writes: u64,
    /// When the lease of the record ends by the store's clock, if it has one.
    pub ends: Option<u64>,
}

/// A swap that the store has not seen yet.
#[derive(Clone, Debug)]
pub struct Write {
    pub expected: Option<Version>,
    pub record: LeaseRecord,
}

impl Store {
    pub fn new(has_clock: bool) -> Self {
        Self { record: None, writes: 0, ends: has_clock.then_some(0) }
    }

    pub fn version(&self) -> Option<Version> {
        (self.writes > 0).then(|| Version::new(self.writes.to_string()))
    }

    pub fn term(&self) -> Term {
        self.record.as_ref().map_or(Term::ZERO, |record| record.term)
    }

    pub fn observe(&self, now: u64) -> Option<Observed> {
        let record = self.record.clone()?;
        let remaining = self.ends.map(|ends| Duration::from_nanos(ends.saturating_sub(now)));
        Some(Observed { record, version: self.version()?, remaining, outlived: false })
    }

    /// Whether this write can still be applied. No version comes twice: if not now, then never.
    pub fn accepts(&self, write: &Write) -> bool {
        write.expected == self.version()
    }

    pub fn swap(&mut self, now: u64, write: &Write) -> Swapped {
        if !self.accepts(write) {
            return Swapped::Lost(self.observe(now));
        }
        self.writes += 1;
        let lease = u64::try_from(write.record.lease_duration.as_nanos()).unwrap();
        self.ends = self.ends.map(|_| now + lease);
        self.record = Some(write.record.clone());
        Swapped::Won(Version::new(self.writes.to_string()))
    }

    /// Its clock steps forward by what is left of the lease.
    pub fn step_clock(&mut self, now: u64) {
        self.ends = self.ends.map(|ends| ends.min(now));
    }
}
