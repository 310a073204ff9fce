//! A pause of an election for maintenance, as its record keeps it: while it is in force, no candidate
//! stands.
//!
//! A pause says how long it lasts, not when it ends: no two hosts' clocks are compared. Each candidate
//! counts the end on its own boot clock: see [`Sight`]. A wrong clock makes a pause end early or late
//! and does no more: a candidate that stands again takes the lease by the same rules as always.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text;
use super::time::{BootTime, Now, WallTime};

/// The longest reason, in characters: it stands on one line of a table, a log or a page.
const MAX_REASON: usize = 200;

/// A pause, as the operator's command wrote it. Boxed: nearly all records have none.
#[derive(Clone, Debug, PartialEq)]
pub struct Pause(Box<Fields>);

#[derive(Clone, Debug)]
struct Fields {
    /// When it was written, by the operator's wall clock, in milliseconds.
    since: WallTime,
    /// How long it lasts; none until the election is resumed.
    lasts: Option<Duration>,
    reason: Option<PauseReason>,
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.since.same_reading(other.since)
            && (self.lasts, &self.reason) == (other.lasts, &other.reason)
    }
}

/// The operator's reason for a pause, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseReason(String);

/// Why a text is no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReason {
    /// It would be no reason.
    #[error("it is empty; leave the flag out")]
    Empty,
    /// It would not stay on one line.
    #[error("it contains a line break or an unprintable character")]
    Unprintable,
    /// See [`MAX_REASON`].
    #[error("it is longer than {MAX_REASON} characters")]
    TooLong,
}

impl FromStr for PauseReason {
    type Err = InvalidReason;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let given = given.trim();
        if given.is_empty() {
            Err(InvalidReason::Empty)
        } else if !text::is_line(given) {
            Err(InvalidReason::Unprintable)
        } else if given.chars().count() > MAX_REASON {
            Err(InvalidReason::TooLong)
        } else {
            Ok(Self(given.to_owned()))
        }
    }
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text in a store.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Pause {
    /// A pause that begins with its write. With the precision of a store, it comes back equal.
    pub fn new(since: WallTime, lasts: Option<Duration>, reason: Option<PauseReason>) -> Self {
        let whole = |duration: Duration| Duration::from_millis(millis(duration));
        let since = WallTime::from_unix(whole(since.since_epoch()));
        Self(Box::new(Fields { since, lasts: lasts.map(whole), reason }))
    }

    /// The text that a store keeps, as JSON.
    pub fn stored(&self) -> String {
        let stored = Stored {
            since: self.0.since.to_string(),
            for_ms: self.0.lasts.map(millis),
            reason: self.0.reason.as_ref().map(ToString::to_string),
        };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads the text of a store. What cannot be read is a pause until the election is resumed: its
    /// author wanted one, and standing in a maintenance is worse than waiting for a person.
    pub fn from_store(text: &str) -> Self {
        let unreadable = Self::new(WallTime::EPOCH, None, None);
        let Ok(stored) = serde_json::from_str::<Stored>(text) else { return unreadable };
        let Some(since) = WallTime::parse(&stored.since) else { return unreadable };
        let shown = |reason: String| {
            let reason = reason.trim();
            let cut = reason.chars().take(MAX_REASON).collect::<String>();
            (!reason.is_empty()).then(|| PauseReason(text::line(&cut)))
        };
        Self::new(
            WallTime::from_unix(since.since_epoch()),
            stored.for_ms.map(Duration::from_millis),
            stored.reason.and_then(shown),
        )
    }

    /// When it was written, by the operator's wall clock.
    pub fn since(&self) -> WallTime {
        self.0.since
    }

    /// How long it lasts; none until the election is resumed.
    pub fn lasts(&self) -> Option<Duration> {
        self.0.lasts
    }

    /// When it ends, by the operator's wall clock.
    pub fn until(&self) -> Option<WallTime> {
        let since = self.0.since.since_epoch();
        self.0.lasts.map(|lasts| WallTime::from_unix(since.saturating_add(lasts)))
    }

    /// Why, in the operator's words.
    pub fn reason(&self) -> Option<&PauseReason> {
        self.0.reason.as_ref()
    }

    /// How much of it is left by a wall clock that may be wrong: never more than it lasts.
    pub fn left(&self, wall: WallTime) -> Option<Duration> {
        let gone = wall.since_epoch().saturating_sub(self.0.since.since_epoch());
        self.0.lasts.map(|lasts| lasts.saturating_sub(gone))
    }
}

impl fmt::Display for Pause {
    /// `paused until TIME: REASON`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until() {
            Some(until) => write!(f, "paused until {until}")?,
            None => f.write_str("paused until it is resumed")?,
        }
        match &self.0.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A pause as one candidate sees it, with its end on the own boot clock.
///
/// The pause was written after the candidate sent its last look that did not show it, and before the
/// first that does was received. So its end is between these two times plus its duration, and the wall
/// clock only chooses between them. A candidate whose first look shows a pause has no lower bound but
/// that look: it trusts the wall clocks, and waits for the whole duration at most.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The pause.
    pub pause: Pause,
    /// When it ends, by the own boot clock; none until the election is resumed.
    pub ends_at: Option<BootTime>,
}

impl Sight {
    /// A pause that was first seen `now`, and did not show in a look that was sent at `looked`.
    pub fn of(pause: Pause, looked: Option<BootTime>, now: Now) -> Self {
        let ends_at = pause.lasts().zip(pause.left(now.wall)).map(|(lasts, left)| {
            let earliest = looked.map_or(now.boot, |looked| looked + lasts);
            (now.boot + left).max(earliest).min(now.boot + lasts)
        });
        Self { pause, ends_at }
    }

    /// Whether it keeps candidates from standing.
    pub fn is_in_force(&self, now: BootTime) -> bool {
        self.ends_at.is_none_or(|ends_at| now < ends_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: u64 = 1_795_419_586;

    fn wall(seconds: u64) -> WallTime {
        WallTime::from_unix(Duration::from_secs(seconds))
    }

    fn pause(lasts: Option<u64>) -> Pause {
        Pause::new(wall(SINCE), lasts.map(Duration::from_secs), "new disks".parse().ok())
    }

    fn at(boot: u64, since: i64) -> Now {
        let wall = wall(SINCE.checked_add_signed(since).unwrap());
        Now { boot: BootTime::from_duration(Duration::from_secs(boot)), wall }
    }

    #[test]
    fn a_pause_comes_back_as_written() {
        for written in [pause(Some(1800)), pause(None), Pause::new(wall(SINCE), None, None)] {
            let read = Pause::from_store(&written.stored());
            assert_eq!(read, written);
            assert_eq!(read.to_string(), written.to_string());
        }
        let odd = Duration::from_nanos(1_000_000_001);
        let written = Pause::new(WallTime::from_unix(odd), Some(odd), None);
        assert_eq!(Pause::from_store(&written.stored()), written);
        assert_eq!(
            pause(Some(1800)).to_string(),
            "paused until 2026-11-23T08:09:46.000Z: new disks"
        );
        assert_ne!(pause(Some(1)), pause(Some(2)));
    }

    #[test]
    fn what_cannot_be_read_pauses_until_it_is_resumed() {
        for bad in ["", "x", "{}", "[]", r#"{"since":"yesterday"}"#, r#"{"since":7,"forMs":1}"#] {
            let read = Pause::from_store(bad);
            assert_eq!((read.lasts(), read.reason()), (None, None), "{bad}");
            assert!(Sight::of(read, None, at(0, 0)).is_in_force(at(1_000_000, 0).boot));
        }
        let vast = r#"{"since":"9999-12-31T23:59:59.999Z","forMs":18446744073709551615}"#;
        assert!(!Pause::from_store(vast).to_string().is_empty());
    }

    #[test]
    fn a_reason_is_one_line_whoever_wrote_it() {
        let parsed = |text: &str| text.parse::<PauseReason>();
        assert_eq!(parsed(" new disks ").unwrap().to_string(), "new disks");
        assert_eq!(parsed("  "), Err(InvalidReason::Empty));
        for bad in ["a\nb", "a\u{1b}[2J", "\u{202e}a"] {
            assert_eq!(parsed(bad), Err(InvalidReason::Unprintable));
            let stored = serde_json::json!({ "since": "2026-11-23T07:39:46Z", "reason": bad });
            let read = Pause::from_store(&stored.to_string()).to_string();
            assert!(text::is_line(&read), "{read:?}");
        }
        assert_eq!(parsed(&"x".repeat(MAX_REASON + 1)), Err(InvalidReason::TooLong));
        let long =
            serde_json::json!({ "since": "2026-11-23T07:39:46Z", "reason": "x".repeat(9999) });
        assert!(Pause::from_store(&long.to_string()).to_string().len() < 300);
    }

    #[test]
    fn the_looks_bound_the_end_and_the_wall_clock_chooses_within() {
        let looked = Some(at(100, 0).boot);
        let ends = |lasts, looked, now| Sight::of(pause(lasts), looked, now).ends_at;
        let boot = |seconds| Some(at(seconds, 0).boot);
        // Exact clocks: written at 101, seen at 102.
        assert_eq!(ends(Some(60), looked, at(102, 1)), boot(161));
        // A clock that is hours off moves the end by no more than the gap between the looks.
        assert_eq!(ends(Some(60), looked, at(102, 9_999)), boot(160));
        assert_eq!(ends(Some(60), looked, at(102, -9_999)), boot(162));
        // A candidate that just started trusts the clock, and never waits for more than the whole.
        assert_eq!(ends(Some(60), None, at(102, 20)), boot(142));
        assert_eq!(ends(Some(60), None, at(102, 9_999)), boot(102));
        assert_eq!(ends(Some(60), None, at(102, -9_999)), boot(162));
        assert_eq!(ends(None, None, at(102, 9_999)), None);
    }
}
