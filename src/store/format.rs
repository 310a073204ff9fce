//! The number in a record that names its shape.
//!
//! A record with a pause has a number of its own: a version that does not know pauses would claim such a
//! record, and it neither reads nor replaces a shape that it does not know.

use crate::election::lease::LeaseRecord;

/// A record without a pause.
const PLAIN: i64 = 1;

/// A record with one.
const PAUSED: i64 = 2;

/// All that this version reads and replaces.
pub const KNOWN: [i64; 2] = [PLAIN, PAUSED];

/// The newest of them, for a message.
pub const NEWEST: i64 = PAUSED;

/// The number of a record.
pub fn of(record: &LeaseRecord) -> i64 {
    if record.pause.is_some() { PAUSED } else { PLAIN }
}

/// Whether a number in a store is one of [`KNOWN`], written as this program does.
pub fn is_known(text: &str) -> bool {
    KNOWN.iter().any(|known| known.to_string() == text)
}
