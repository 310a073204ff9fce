//! Work that is done once: how often it may be tried, and the outcome that is still to be written.

use crate::election::lease::{LeaseRecord, Observed};
use crate::election::outcome::Outcome;

/// What an election about work that is done once keeps beside the lease.
#[derive(Clone, Debug, Default)]
pub(super) struct Once {
    /// The election is about work that is done once, in at most so many attempts.
    pub(super) max_attempts: Option<u32>,
    /// The outcome that is still to be written.
    pub(super) finish: Option<Box<Outcome>>,
}

impl Once {
    /// Whether an outcome is still to be written.
    pub(super) fn is_unwritten(&self) -> bool {
        self.finish.is_some()
    }

    /// Whether nothing is left to do, by the outcome in the record.
    pub(super) fn is_done(&self, seen: Option<&Observed>) -> bool {
        let outcome = seen.and_then(|o| o.record.outcome.as_ref());
        match (self.max_attempts, outcome) {
            (Some(max_attempts), Some(outcome)) => outcome.is_final(max_attempts),
            _ => false,
        }
    }

    /// The outcome to write, if there is one, counted after the attempts before it.
    pub(super) fn outcome(&self, own: &LeaseRecord) -> Option<Box<Outcome>> {
        let before = own.outcome.as_ref().map_or(0, |outcome| outcome.attempts);
        let mut outcome = self.finish.clone()?;
        outcome.term = own.term;
        outcome.attempts = before.saturating_add(1);
        Some(outcome)
    }
}
