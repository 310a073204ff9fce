//! What is known of a key, and what is wanted of it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::names::Key;
use crate::election::term::Term;
use crate::election::time::WallTime;

/// A number that grows from release to release.
pub type Order = u64;

/// How far the clocks of two hosts may differ without a line about it.
pub const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// A reading of a wall clock, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(u64);

impl Moment {
    /// So long after 1970.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// The reading.
    pub fn of(wall: WallTime) -> Self {
        Self(u64::try_from(wall.since_epoch().as_millis()).unwrap_or(u64::MAX))
    }

    /// The same, for people.
    pub fn wall(self) -> WallTime {
        WallTime::from_unix(Duration::from_millis(self.0))
    }

    /// How much later this is than `earlier`; zero if it is not later, as the clocks of two hosts say.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wall().fmt(f)
    }
}

/// Who began an attempt, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The identity of the instance.
    pub holder: String,
    /// The term of the work's lease.
    pub term: Term,
    /// When it began.
    pub began: Moment,
    /// How many attempts may fail, as its instance has it; for people. Every instance decides by its
    /// own setting.
    #[serde(default, rename = "of", skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
}

/// The state of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its command has begun, and its end is not recorded: it runs, or was interrupted.
    Begun {
        /// How many attempts failed before it.
        failures: u32,
    },
    /// It is done.
    Done {
        /// Since when.
        ended: Moment,
    },
    /// The last attempt failed.
    Failed {
        /// When it ended.
        ended: Moment,
        /// How many attempts failed, this one included.
        failures: u32,
        /// The command's exit code, 128+n for a signal.
        code: u8,
        /// The last of what it wrote to standard error, if that was kept.
        stderr: Option<String>,
    },
    /// It was done, and is taken back.
    TakenBack {
        /// Since when.
        ended: Moment,
    },
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which key.
    pub key: Key,
    /// Its order, if it was given.
    pub order: Option<Order>,
    /// For the run of a period: when that began.
    pub tick: Option<Moment>,
    /// What it is now.
    pub state: State,
    /// The last attempt at it.
    pub attempt: Attempt,
    /// An attempt to take it back whose end is not recorded. Until then it is what it was.
    pub taking_back: Option<Attempt>,
}

impl Entry {
    /// Whether a command that is about this key has begun, and its end is not recorded.
    pub(super) fn is_open(&self) -> bool {
        self.taking_back.is_some() || matches!(self.state, State::Begun { .. })
    }

    /// Whether it is the run of a period that begins more than `tolerance` after this moment. Then the
    /// clock of the host that ran it was ahead, or the own one is behind.
    pub fn is_ahead_of(&self, now: Moment, tolerance: Duration) -> bool {
        self.tick.is_some_and(|tick| tick.since(now) > tolerance)
    }

    /// Whether its last attempt failed, more than clocks may differ after this moment. Then the clock of
    /// the host where it failed was ahead, or the own one is behind.
    pub fn failed_ahead_of(&self, now: Moment) -> bool {
        matches!(self.state, State::Failed { ended, .. } if ended.since(now) > CLOCKS_DIFFER)
    }

    /// When it was changed last.
    pub fn changed(&self) -> Moment {
        match self.state {
            State::Begun { .. } => self.attempt.began,
            State::Done { ended } | State::Failed { ended, .. } | State::TakenBack { ended } => {
                ended
            }
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its exit code, 128+n for a signal.
    pub code: u8,
    /// The last of its standard error, if that was kept.
    pub stderr: Option<String>,
    /// When it ended.
    pub at: Moment,
}

/// What an instance wants to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which key.
    pub key: Key,
    /// Its order, if it has one.
    pub order: Option<Order>,
    /// For the run of a period: when that began.
    pub tick: Option<Moment>,
}

/// In which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The key is to be done.
    Do,
    /// It is to be taken back.
    TakeBack,
}
