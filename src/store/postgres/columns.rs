//! The columns that a table of an older version lacks. They are read if they exist, and written only
//! once they are known to exist.

use std::sync::atomic::{AtomicBool, Ordering};

/// Their names. All are of type `text`.
pub const LATER: [&str; 2] = ["origin", "holder_url"];

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

    /// Of `values`, in the order of the names, those of the columns that exist.
    pub fn existing<T>(&self, values: [T; LATER.len()]) -> impl Iterator<Item = (&'static str, T)> {
        let has = self.0.iter().map(|has| has.load(Ordering::Relaxed));
        let all = LATER.into_iter().zip(values).zip(has);
        all.filter_map(|(column, has)| has.then_some(column))
    }
}
