//! The history, and how it changes.

use std::time::Duration;

use super::entry::{Attempt, End, Entry, Goal, Order, Piece, State};
use super::names::Key;

/// The history of a work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The highest order whose command has begun, or the one that was done before a newer one was
    /// taken back.
    pub(super) order: Option<Order>,
    /// The highest order among the keys that were done and are no longer in the list.
    pub(super) floor: Option<Order>,
    /// The newest last.
    pub(super) entries: Vec<Entry>,
}

impl History {
    /// The highest order whose command has begun and was not taken back.
    pub fn order(&self) -> Option<Order> {
        self.order
    }

    /// What is known of each key, the newest last.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What is known of a key.
    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == *key)
    }

    /// The command whose end is not recorded, if there is one: with the lease's holder alive, it runs.
    /// Only the newest entry can be open, because each begin moves its entry to the end: what began
    /// later had the lease, and the lease of what began before was over then.
    pub fn open(&self) -> Option<&Entry> {
        self.entries.last().filter(|entry| entry.is_open())
    }

    /// A command begins.
    #[must_use]
    pub fn begin(&self, piece: &Piece, goal: Goal, healed: bool, attempt: Attempt) -> Self {
        let mut next = self.clone();
        let index = next.entries.iter().position(|entry| entry.key == piece.key);
        let found = index.map(|index| next.entries.remove(index));
        next.entries.push(match (goal, found) {
            (Goal::TakeBack, Some(found)) => Entry { taking_back: Some(attempt), ..found },
            (_, found) => {
                let failures = match found.as_ref().map(|found| &found.state) {
                    Some(State::Begun { failures } | State::Failed { failures, .. }) => *failures,
                    Some(State::Done { .. } | State::TakenBack { .. }) | None => 0,
                };
                let failures = if healed { 0 } else { failures };
                next.order = next.order.max(piece.order);
                Entry {
                    key: piece.key.clone(),
                    order: piece.order.or(found.and_then(|found| found.order)),
                    tick: piece.tick,
                    state: State::Begun { failures },
                    attempt,
                    taking_back: None,
                }
            }
        });
        next.bounded(None)
    }

    /// The command that has begun ends on its own. None if another one has begun since.
    pub fn finish(&self, key: &Key, goal: Goal, end: End, keep: Option<Duration>) -> Option<Self> {
        let mut next = self.clone();
        let entry = next.entries.iter_mut().find(|entry| entry.key == *key)?;
        let at = end.at;
        match (goal, &entry.state) {
            (Goal::Do, State::Begun { .. }) if end.code == 0 => {
                entry.state = State::Done { ended: at };
                return Some(next.bounded(keep.map(|keep| (keep, at))));
            }
            (Goal::Do, State::Begun { failures }) => {
                let failures = failures.saturating_add(1);
                let End { code, stderr, at: ended } = end;
                entry.state = State::Failed { ended, failures, code, stderr };
            }
            (Goal::TakeBack, _) => {
                let attempt = entry.taking_back.take()?;
                if end.code == 0 {
                    entry.attempt = attempt;
                    entry.state = State::TakenBack { ended: at };
                    next.order = next.highest_done();
                }
            }
            (Goal::Do, _) => return None,
        }
        Some(next.bounded(None))
    }

    /// A key stays done: the attempt to take it back was interrupted. It is for the instance that
    /// holds the lease, because no command of that attempt is left then. None if there was none.
    pub fn keep_done(&self, key: &Key) -> Option<Self> {
        let mut next = self.clone();
        let entry = next.entries.iter_mut().find(|entry| entry.key == *key)?;
        if !matches!(entry.state, State::Done { .. }) || entry.taking_back.take().is_none() {
            return None;
        }
        Some(next)
    }

    /// A key is forgotten, or everything. None if nothing of it is known.
    pub fn reset(&self, key: Option<&Key>) -> Option<Self> {
        let Some(key) = key else {
            return (*self != Self::default()).then(Self::default);
        };
        let mut next = self.clone();
        let index = next.entries.iter().position(|entry| entry.key == *key)?;
        next.entries.remove(index);
        Some(next)
    }

    fn highest_done(&self) -> Option<Order> {
        let done = |entry: &&Entry| matches!(entry.state, State::Done { .. });
        self.entries.iter().filter(done).filter_map(|entry| entry.order).max().max(self.floor)
    }
}
