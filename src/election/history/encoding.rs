//! A history as its record has it: compact JSON.

use serde::{Deserialize, Serialize};

use super::entry::{Attempt, Entry, Moment, Order, State};
use super::names::{self, Key};
use super::transitions::History;
use crate::election::text::{self, ascii_json};

/// The format that this version writes and reads. A record of another one is left as it is.
const FORMAT: u32 = 1;

/// Why a text is no history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Written by a newer version.
    #[error("its format is {0}, and this version knows {FORMAT}; update bellwether")]
    Format(u32),
    /// Anything else.
    #[error("it is not the history of a work")]
    Nonsense,
}

#[derive(Deserialize)]
struct Formatted {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<Order>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<Order>,
    keys: Vec<StoredEntry>,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    key: Key,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<Order>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tick: Option<Moment>,
    state: StoredState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Moment>,
    #[serde(default, skip_serializing_if = "is_zero")]
    failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
    attempt: Attempt,
    #[serde(default, rename = "takingBack", skip_serializing_if = "Option::is_none")]
    taking_back: Option<Attempt>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum StoredState {
    Begun,
    Done,
    Failed,
    TakenBack,
}

impl History {
    /// As a record keeps it: ASCII, so that no store refuses what a command wrote.
    pub fn encode(&self) -> String {
        let keys = self.entries.iter().map(StoredEntry::of).collect();
        let stored = Stored { format: FORMAT, order: self.order, floor: self.floor, keys };
        // These fields always have a form in JSON.
        ascii_json(&serde_json::to_string(&stored).unwrap_or_default())
    }

    /// Reads what [`History::encode`] wrote. Texts that others may have written are made printable.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn decode(text: &str) -> Result<Self, Unreadable> {
        let formatted: Formatted = serde_json::from_str(text).map_err(|_| Unreadable::Nonsense)?;
        if formatted.format != FORMAT {
            return Err(Unreadable::Format(formatted.format));
        }
        let Stored { order, floor, keys, .. } =
            serde_json::from_str(text).map_err(|_| Unreadable::Nonsense)?;
        let entries = keys.into_iter().map(StoredEntry::checked).collect::<Option<_>>();
        Ok(Self { order, floor, entries: entries.ok_or(Unreadable::Nonsense)? })
    }
}

impl Entry {
    /// Its length, as encoded.
    pub(super) fn size(&self) -> usize {
        serde_json::to_string(&StoredEntry::of(self)).map_or(0, |text| ascii_json(&text).len() + 1)
    }
}

impl StoredEntry {
    fn of(entry: &Entry) -> Self {
        let (key, attempt) = (entry.key.clone(), entry.attempt.clone());
        let (order, tick, taking_back) = (entry.order, entry.tick, entry.taking_back.clone());
        let (state, ended, failures, code, stderr) = match &entry.state {
            State::Begun { failures } => (StoredState::Begun, None, *failures, None, None),
            State::Done { ended } => (StoredState::Done, Some(*ended), 0, None, None),
            State::Failed { ended, failures, code, stderr } => {
                (StoredState::Failed, Some(*ended), *failures, Some(*code), stderr.clone())
            }
            State::TakenBack { ended } => (StoredState::TakenBack, Some(*ended), 0, None, None),
        };
        Self { key, order, tick, state, ended, failures, code, stderr, attempt, taking_back }
    }

    fn checked(self) -> Option<Entry> {
        let Self { key, order, tick, failures, .. } = self;
        if !names::is_stored_text(key.as_str()) {
            return None;
        }
        let state = match self.state {
            StoredState::Begun => State::Begun { failures },
            StoredState::Done => State::Done { ended: self.ended? },
            StoredState::TakenBack => State::TakenBack { ended: self.ended? },
            StoredState::Failed => {
                let stderr = self.stderr.as_deref().map(text::lines);
                State::Failed { ended: self.ended?, failures, code: self.code?, stderr }
            }
        };
        let printable =
            |attempt: Attempt| Attempt { holder: text::name(&attempt.holder), ..attempt };
        let taking_back = self.taking_back.map(printable);
        Some(Entry { key, order, tick, state, attempt: printable(self.attempt), taking_back })
    }
}
