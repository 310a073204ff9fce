//! What works and keys are called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::election::text;

/// The longest key and the longest name of a work, in bytes: more than any image digest, ARN or
/// version label.
pub const MAX_TEXT: usize = 255;

/// Why a text is neither a key nor the name of a work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{given}' is not {what}; use 1 to 255 bytes without spaces or control characters, and without \
     a '/' at the beginning or the end (a failed $(…) leaves one)"
)]
pub struct InvalidText {
    what: &'static str,
    given: String,
}

/// Whether a record may have this text as a key or as the name of a work.
pub fn is_stored_text(text: &str) -> bool {
    let printable = text::is_line(text) && !text.chars().any(char::is_whitespace);
    (1..=MAX_TEXT).contains(&text.len()) && printable
}

fn checked(text: &str, what: &'static str) -> Result<String, InvalidText> {
    // If the first half of `$(release)/migrate` fails, only the second half is left.
    let whole = !text.starts_with('/') && !text.ends_with('/');
    if whole && is_stored_text(text) {
        Ok(text.to_owned())
    } else {
        Err(InvalidText { what, given: text::given(text) })
    }
}

/// The name of a work: a series of keys, of which at most one command runs at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkName(String);

/// One piece of a work, done to success once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl WorkName {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the run of a period, which begins at that time.
    pub(super) fn of_tick(tick: impl fmt::Display) -> Self {
        Self(tick.to_string())
    }
}

impl FromStr for WorkName {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        checked(text, "the name of a work").map(Self)
    }
}

impl FromStr for Key {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        checked(text, "a key").map(Self)
    }
}

impl fmt::Display for WorkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
