//! A pause of an election for maintenance, as its record keeps it: while it is in force, no candidate
//! stands.
//!
//! A pause says how long it lasts, not when it ends: no two hosts' clocks are compared. Each candidate
//! counts the time on its own boot clock, from its first look that showed the pause: see [`Sight`]. The
//! times by a wall clock in it are for people.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text;
use super::time::{BootTime, WallTime};

/// The longest reason, in characters: it stands on one line of a table, a log or a page.
const MAX_REASON: usize = 200;

/// The longest name of who paused, likewise.
const MAX_BY: usize = 100;

/// A pause, as the operator's command wrote it. Boxed: nearly all records have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause(Box<Fields>);

#[derive(Clone, Debug)]
struct Fields {
    /// When it was written, by the operator's wall clock, in milliseconds.
    since: WallTime,
    /// How long it lasts; none until the election is resumed.
    lasts: Option<Duration>,
    /// Who wrote it: see [`Author`].
    by: Option<Author>,
    reason: Option<PauseReason>,
}

impl Eq for Fields {}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.since.same_reading(other.since)
            && (self.lasts, &self.by, &self.reason) == (other.lasts, &other.by, &other.reason)
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

/// Who paused an election, for people: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author(String);

impl Author {
    /// What cannot be shown is replaced, and what is too long is cut. None if nothing is left.
    pub fn new(name: &str) -> Option<Self> {
        let cut = name.trim().chars().take(MAX_BY).collect::<String>();
        (!cut.is_empty()).then(|| Self(text::line(&cut)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
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
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Pause {
    /// A pause that begins with its write. With the precision of a store, it comes back equal.
    pub fn new(since: WallTime, lasts: Option<Duration>, reason: Option<PauseReason>) -> Self {
        let whole = |duration: Duration| Duration::from_millis(millis(duration));
        let since = WallTime::from_unix(whole(since.since_epoch()));
        Self(Box::new(Fields { since, lasts: lasts.map(whole), by: None, reason }))
    }

    /// The same pause, written by this person or host.
    #[must_use]
    pub fn written_by(mut self, by: Option<Author>) -> Self {
        self.0.by = by;
        self
    }

    /// The text that a store keeps, as JSON.
    pub fn stored(&self) -> String {
        let stored = Stored {
            since: self.0.since.to_string(),
            for_ms: self.0.lasts.map(millis),
            by: self.by().map(str::to_owned),
            reason: self.0.reason.as_ref().map(ToString::to_string),
        };
        text::ascii_json(&serde_json::to_string(&stored).unwrap_or_default())
    }

    /// Reads the text of a store. An unreadable text is a pause until the election is resumed: its
    /// author wanted a pause, and a leader during maintenance is worse than a wait for the
    /// operator.
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
        .written_by(stored.by.as_deref().and_then(Author::new))
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

    /// Who paused the election.
    pub fn by(&self) -> Option<&str> {
        self.0.by.as_ref().map(Author::as_str)
    }

    /// Why, in the operator's words.
    pub fn reason(&self) -> Option<&PauseReason> {
        self.0.reason.as_ref()
    }
}

impl fmt::Display for Pause {
    /// `paused until TIME, by NAME: REASON`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until() {
            Some(until) => write!(f, "paused until {until}")?,
            None => f.write_str("paused until it is resumed")?,
        }
        if let Some(by) = self.by() {
            write!(f, ", by {by}")?;
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
/// The pause was written before that look was received, so it ends no sooner than the operator
/// wanted. The first candidate for which it is over stands, and its claim removes the pause for all
/// candidates.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The pause.
    pub pause: Pause,
    /// When it ends; none until the election is resumed.
    pub ends_at: Option<BootTime>,
}

impl Sight {
    /// A pause that a look showed for the first time, received then.
    pub fn first(pause: Pause, received: BootTime) -> Self {
        let ends_at = pause.lasts().map(|lasts| received + lasts);
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

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    #[test]
    fn a_pause_comes_back_as_written() {
        let signed = pause(None).written_by(Author::new("ops@bastion"));
        assert_ne!(signed, pause(None));
        for written in [pause(Some(1800)), pause(None), signed, Pause::new(wall(SINCE), None, None)]
        {
            let read = Pause::from_store(&written.stored());
            assert_eq!(read, written);
            assert_eq!(read.to_string(), written.to_string());
        }
        assert_eq!(pause(None).reason().map(ToString::to_string).as_deref(), Some("new disks"));
        let foreign = Pause::new(wall(SINCE), None, "größer 羊".parse().ok());
        assert!(foreign.stored().is_ascii(), "{}", foreign.stored());
        assert_eq!(Pause::from_store(&foreign.stored()), foreign);
        let odd = Duration::from_nanos(1_000_000_001);
        let written = Pause::new(WallTime::from_unix(odd), Some(odd), None);
        assert_eq!(Pause::from_store(&written.stored()), written);
        assert_eq!(
            pause(Some(1800)).written_by(Author::new("ops@bastion")).to_string(),
            "paused until 2026-11-23T08:09:46.000Z, by ops@bastion: new disks"
        );
        assert_ne!(pause(Some(1)), pause(Some(2)));
    }

    #[test]
    fn what_cannot_be_read_pauses_until_it_is_resumed() {
        for bad in ["", "x", "{}", "[]", r#"{"since":"yesterday"}"#, r#"{"since":7,"forMs":1}"#] {
            let read = Pause::from_store(bad);
            assert_eq!((read.lasts(), read.reason()), (None, None), "{bad}");
            assert!(Sight::first(read, at(0)).is_in_force(at(1_000_000)));
        }
        let vast = r#"{"since":"9999-12-31T23:59:59.999Z","forMs":18446744073709551615}"#;
        assert!(!Pause::from_store(vast).to_string().is_empty());
        assert!(Sight::first(Pause::from_store(vast), at(1)).is_in_force(at(1_000_000)));
    }

    #[test]
    fn its_texts_are_one_line_also_from_another_writer() {
        let parsed = |text: &str| text.parse::<PauseReason>();
        let read = |reason: &str, by: &str| {
            let since = "2026-11-23T07:39:46Z";
            let stored = serde_json::json!({ "since": since, "reason": reason, "by": by });
            Pause::from_store(&stored.to_string()).to_string()
        };
        assert_eq!(parsed(" new disks ").unwrap().to_string(), "new disks");
        assert_eq!(parsed("  "), Err(InvalidReason::Empty));
        for bad in ["a\nb", "a\u{1b}[2J", "\u{202e}a", "a\0b", "a\u{9b}2J"] {
            assert_eq!(parsed(bad), Err(InvalidReason::Unprintable));
            assert!(text::is_line(&read(bad, bad)), "{bad:?}");
        }
        assert!(parsed(&"ä".repeat(MAX_REASON)).is_ok());
        assert_eq!(parsed(&"x".repeat(MAX_REASON + 1)), Err(InvalidReason::TooLong));
        assert!(read(&"x".repeat(9_999), &"y".repeat(9_999)).len() < 400);
        assert_eq!(read(" ", " "), "paused until it is resumed");
    }

    #[test]
    fn a_pause_lasts_from_the_first_look_that_shows_it() {
        // Whatever the wall clocks of the operator and of this host are.
        let sight = Sight::first(pause(Some(60)), at(102));
        assert!(sight.is_in_force(at(161)) && !sight.is_in_force(at(162)));
        assert!(Sight::first(pause(None), at(102)).is_in_force(at(1_000_000)));
    }
}
