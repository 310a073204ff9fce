//! The messages between main and the guard: one line of JSON each.
//!
//! Both ends are always the same build (the guard is `/proc/self/exe`), so there is no version.
//! Times are nanoseconds of `CLOCK_BOOTTIME`, which both processes share.

use serde::{Deserialize, Serialize};

use super::plan::{Deadlines, Exit};
use crate::election::time::BootTime;

/// No message is longer.
pub(super) const MAX_LEN: usize = 128;

/// From main to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// Start the command. Comes first, once, with the command's standard input.
    Start(#[serde(with = "WireDeadlines")] Deadlines),
    /// Keep the file descriptor that comes with it open for as long as anything is left.
    Keep,
    /// The leadership was renewed.
    Extend(#[serde(with = "WireDeadlines")] Deadlines),
    /// Pass a signal on to the command's group.
    Signal(i32),
    /// End the command now.
    Stop {
        /// When to kill what is left.
        #[serde(with = "nanos")]
        kill_at: BootTime,
    },
}

/// From the guard to main.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The command is starting; its process group has this number.
    Started(i32),
    /// The command could not be started, with the error number of the system. May follow `Started`.
    NotStarted(i32),
    /// The deadline had passed before the command was started: nothing ran.
    TooLate,
    /// A signal stopped the command: it exists, and does nothing.
    Stopped(i32),
    /// The command continues.
    Continued,
    /// The command runs as a user that the guard may not signal.
    OutOfReach,
    /// The command itself ended.
    Exited {
        /// How.
        exit: Exit,
        /// Whether it had been asked to end before.
        stopped: bool,
    },
    /// Nothing of it is left.
    Gone,
}

impl Request {
    pub(super) fn encode(self) -> String {
        encode(&self)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Report {
    pub(super) fn encode(self) -> String {
        encode(&self)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// Numbers and names can always be written. If a message could not be written, the other end would
/// read it as invalid, which ends the command.
fn encode(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Deadlines")]
struct WireDeadlines {
    #[serde(with = "nanos")]
    stop_at: BootTime,
    #[serde(with = "nanos")]
    kill_at: BootTime,
}

mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::election::time::BootTime;

    pub(super) fn serialize<S: Serializer>(at: &BootTime, to: S) -> Result<S::Ok, S::Error> {
        // 584 years: a longer time only means "never".
        to.serialize_u64(u64::try_from(at.as_duration().as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<BootTime, D::Error> {
        u64::deserialize(from).map(|nanos| BootTime::from_duration(Duration::from_nanos(nanos)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LATEST: BootTime = BootTime::from_duration(Duration::from_nanos(u64::MAX));

    #[test]
    fn every_message_survives_and_fits() {
        let deadlines = Deadlines { stop_at: BootTime::ZERO, kill_at: LATEST };
        for request in [
            Request::Start(deadlines),
            Request::Extend(Deadlines { stop_at: LATEST, kill_at: LATEST }),
            Request::Keep,
            Request::Signal(12),
            Request::Stop { kill_at: LATEST },
        ] {
            assert_eq!(Request::parse(&request.encode()), Some(request));
            assert!(request.encode().len() <= MAX_LEN, "{}", request.encode());
        }
        for report in [
            Report::Started(4_194_304),
            Report::NotStarted(2),
            Report::TooLate,
            Report::Stopped(21),
            Report::Continued,
            Report::OutOfReach,
            Report::Exited { exit: Exit::Code(255), stopped: false },
            Report::Exited { exit: Exit::Signal(9), stopped: true },
            Report::Gone,
        ] {
            assert_eq!(Report::parse(&report.encode()), Some(report));
            assert!(report.encode().len() <= MAX_LEN, "{}", report.encode());
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let half = r#"{"start":{"stop_at":1}}"#;
        for text in ["", "start", half, r#"{"stop":{"kill_at":-1}}"#, r#"{"signal":"x"}"#, "keep"] {
            assert_eq!(Request::parse(text), None, "{text}");
        }
        let large = r#"{"exited":{"exit":{"code":256},"stopped":true}}"#;
        for text in ["", "started", large, r#"{"exited":{"exit":{"code":1}}}"#, r#""gone" now"#] {
            assert_eq!(Report::parse(text), None, "{text}");
        }
    }
}
