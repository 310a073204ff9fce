//! What is shown of a record.

use serde::Serialize;

/// What a lease is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Its holder leads, or can still do.
    Held,
    /// Its holder has not renewed it in time.
    Over,
    /// Its last holder has freed it.
    Vacated,
    /// It has a holder, and the store has no clock to tell whether that is alive.
    Unknown,
}

/// What comes from a store that others write to must not move the cursor.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
