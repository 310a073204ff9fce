//! The columns that a table of an older version lacks. They are read if they exist, and written only
//! once they are known to exist: from the preparation of the store, or from a look. There is no preparation if the
//! server does not respond at the start, and another instance may add a column later.

use std::sync::atomic::{AtomicBool, Ordering};

/// Their names. All are of type `text`.
pub const LATER: [&str; 4] = ["origin", "holder_url", PAUSE, "handover"];

/// The one that must not be left out: see [`LaterColumns::has`].
pub const PAUSE: &str = "pause";

/// Which of them the table has.
#[derive(Debug, Default)]
pub struct LaterColumns([AtomicBool; LATER.len()]);

impl LaterColumns {
    /// Notes what was found.
    pub fn set(&self, found: [bool; LATER.len()]) {
        for (has, found) in self.0.iter().zip(found) {
            has.store(found, Ordering::Relaxed);
        }
    }

    /// Notes which of the table's columns a look found. It may be from before another one was added.
    pub fn found_all(&self, names: &str) {
        names.split(' ').for_each(|name| self.found(name));
    }

    /// Whether a look has nothing to find.
    pub fn are_complete(&self) -> bool {
        self.0.iter().all(|has| has.load(Ordering::Relaxed))
    }

    /// Notes that a column exists.
    pub fn found(&self, column: &str) {
        self.of(column).for_each(|has| has.store(true, Ordering::Relaxed));
    }

    /// Whether a column is known to exist.
    pub fn has(&self, column: &str) -> bool {
        self.of(column).any(|has| has.load(Ordering::Relaxed))
    }

    fn of(&self, column: &str) -> impl Iterator<Item = &AtomicBool> {
        LATER.into_iter().zip(&self.0).filter(move |(name, _)| *name == column).map(|(_, has)| has)
    }

    /// Of `values`, in the order of the names, those of the columns that exist.
    pub fn existing<T>(&self, values: [T; LATER.len()]) -> impl Iterator<Item = (&'static str, T)> {
        let has = self.0.iter().map(|has| has.load(Ordering::Relaxed));
        let all = LATER.into_iter().zip(values).zip(has);
        all.filter_map(|(column, has)| has.then_some(column))
    }
}
