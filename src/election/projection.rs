//! The state of a candidate as plain values, for the model checker: `tests/model`.
//!
//! Two candidates with equal projections do the same from now on if the same happens to both, even
//! at different times. So each time is counted from now, and all times that have passed are equal.
//! A projection leaves out what decides nothing: values for readers, and values that never change.
//! It also leaves out the jitter: set it before each step that is compared, by
//! [`Elector::reseed`](super::elector::Elector::reseed).
//!
//! Each part destructures itself without `..`, so that a new field cannot be forgotten here.

use std::time::Duration;

use super::lease::{Candidate, LeaseRecord, Version};
use super::term::Term;

/// Takes down a projection, value by value.
pub trait Projection {
    /// One of several, or how many.
    fn number(&mut self, number: u64);
    /// How long until something, or since.
    fn duration(&mut self, duration: Duration);
    /// Terms are only compared with each other.
    fn term(&mut self, term: Term);
    /// Versions are only compared with each other.
    fn version(&mut self, version: Option<&Version>);
    /// Candidates are only compared with each other.
    fn candidate(&mut self, candidate: Option<&Candidate>);

    /// Whether something is so.
    fn flag(&mut self, flag: bool) {
        self.number(u64::from(flag));
    }

    /// What a record decides. Its other fields are for people, for readers of a history, or for what
    /// no model does.
    fn record(&mut self, record: &LeaseRecord) {
        let LeaseRecord {
            holder,
            term,
            lease_duration,
            acquire_time: _,
            renew_time: _,
            payload: _,
            origin: _,
            holder_url: _,
            pause: _,
            handover: _,
        } = record;
        self.candidate(holder.as_ref());
        self.term(*term);
        self.duration(*lease_duration);
    }
}
