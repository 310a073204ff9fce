//! What is shown of a record.

use std::time::Duration;

use serde::Serialize;

use super::table::NONE;
use crate::election::pause::Pause;
use crate::election::time::WallTime;

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

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Over => "over",
            Self::Vacated => "vacated",
            Self::Unknown => "unknown",
        }
    }
}

/// How long ago that was, by the clocks of two hosts.
pub(super) fn age(since: WallTime, now: WallTime) -> String {
    match since.since_epoch() {
        Duration::ZERO => NONE.to_owned(),
        since => short(now.since_epoch().saturating_sub(since)),
    }
}

/// A time in one unit, with at least two digits where it has them: 90s, 5m, 36h, 12d.
pub(super) fn short(time: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match time.as_secs() {
        seconds if seconds < 2 * MINUTE => format!("{seconds}s"),
        seconds if seconds < 2 * HOUR => format!("{}m", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        seconds => format!("{}d", seconds / DAY),
    }
}

/// A pause that the record shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Paused {
    since: String,
    until: Option<String>,
    by: Option<String>,
    reason: Option<String>,
    #[serde(skip)]
    ends: Option<WallTime>,
    #[serde(skip)]
    in_words: String,
}

impl Paused {
    pub(super) fn of(pause: &Pause) -> Self {
        Self {
            since: pause.since().to_string(),
            until: pause.until().map(|until| until.to_string()),
            by: pause.by().map(str::to_owned),
            reason: pause.reason().map(ToString::to_string),
            ends: pause.until(),
            in_words: pause.to_string(),
        }
    }

    /// Whether its time is over, by the clocks of the operator's host and of this one. Each instance
    /// counts on its own, so this is for people.
    pub(super) fn is_over(&self, now: WallTime) -> bool {
        self.ends.is_some_and(|ends| ends.since_epoch() <= now.since_epoch())
    }

    /// `is paused until …`.
    pub(super) fn in_words(&self, now: WallTime) -> String {
        let Self { in_words, .. } = self;
        match self.is_over(now) {
            true => {
                format!("was {in_words} (over by this host's clock; the next leader removes it)")
            }
            false => format!("is {in_words}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_short() {
        for (seconds, expected) in [
            (0, "0s"),
            (90, "90s"),
            (301, "5m"),
            (7_199, "119m"),
            (130_000, "36h"),
            (1_100_000, "12d"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), expected);
        }
        let at = |seconds| WallTime::from_unix(Duration::from_secs(seconds));
        assert_eq!(age(at(100), at(400)), "5m");
        assert_eq!(age(at(400), at(100)), "0s", "the other clock is ahead");
        assert_eq!(age(WallTime::EPOCH, at(100)), "-", "it is not known");
    }
}
