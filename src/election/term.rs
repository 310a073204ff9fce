//! The fencing token.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The fencing token: larger by at least one on every acquisition, never on renewal, never reused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Term(u64);

impl Term {
    /// Before the first acquisition.
    pub const ZERO: Self = Self(0);

    /// A term of a record, or of a sidecar's response.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// As stores, metrics and logs have it.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// A later term, by this many. The last number there is has none: a record with it was not
    /// written by this program, which gets there in no time that matters.
    #[must_use]
    pub const fn after(self, steps: u64) -> Self {
        Self(self.0.saturating_add(steps))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Term {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_written_as_a_number() {
        let term = Term::new(7);
        assert_eq!((term.get(), serde_json::to_string(&term).unwrap().as_str()), (7, "7"));
        assert_eq!(serde_json::from_str::<Term>("7").unwrap(), term);
        assert_eq!((term.to_string(), "7".parse()), ("7".to_owned(), Ok(term)));
    }

    #[test]
    fn the_last_term_has_none_after_it() {
        assert_eq!(Term::new(7).after(1), Term::new(8));
        assert_eq!(Term::new(u64::MAX).after(1), Term::new(u64::MAX));
    }
}
