//! What a run prints: figures, the harm that was done, and what broke.

use std::fmt;
use std::time::Duration;

use crate::faults::Counts;
use crate::history::Seen;

pub struct Report {
    pub store: String,
    pub seed: u64,
    pub duration: Duration,
    pub counts: Counts,
    pub seen: Seen,
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, seed, duration, counts, seen, violations } = self;
        writeln!(f, "\n| {store} | {} s, seed {seed} |\n| --- | --- |", duration.as_secs())?;
        for (name, number) in counts {
            writeln!(f, "| {name} | {number} |")?;
        }
        writeln!(f, "| answers of `/leader` | {} |", seen.answers)?;
        writeln!(f, "| terms with a leader that answered | {} |", seen.terms)?;
        writeln!(f, "| commands that wrote | {} |", seen.commands)?;
        writeln!(f, "| writes, accepted and refused | {} and {} |", seen.writes, seen.refused)?;
        writeln!(f, "| longest time without a leader | {:.1} s |", seen.longest_without)?;
        writeln!(f, "| violations | {} |", violations.len())?;
        for violation in violations {
            writeln!(f, "violation: {violation}")?;
        }
        Ok(())
    }
}
