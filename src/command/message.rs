//! What main and the guard say to each other: one short line of text each.
//!
//! Both ends are always the same build (the guard is `/proc/self/exe`), so there is no version.
//! Times are nanoseconds of `CLOCK_BOOTTIME`, which both processes share.

use std::time::Duration;

use super::plan::{Deadlines, Exit};
use crate::election::clock::BootTime;

/// No message is longer.
pub(super) const MAX_LEN: usize = 64;

/// From main to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Start the command. Comes first, once, with the command's standard input.
    Start(Deadlines),
    /// Keep the file descriptor that comes with it open for as long as anything is left.
    Keep,
    /// The leadership was renewed.
    Extend(Deadlines),
    /// Pass a signal on to the command's group.
    Signal(i32),
    /// End the command now.
    Stop {
        /// When to kill what is left.
        kill_at: BootTime,
    },
}

/// From the guard to main.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The command runs; its process group has this number.
    Started(i32),
    /// The command could not be started, with the error number of the system.
    NotStarted(i32),
    /// The deadline had passed before the command was started: nothing ran.
    TooLate,
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
        match self {
            Self::Start(to) => format!("start {} {}", nanos(to.stop_at), nanos(to.kill_at)),
            Self::Keep => "keep".to_owned(),
            Self::Extend(to) => format!("extend {} {}", nanos(to.stop_at), nanos(to.kill_at)),
            Self::Signal(signal) => format!("signal {signal}"),
            Self::Stop { kill_at } => format!("stop {}", nanos(kill_at)),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let request = match words.next()? {
            "start" => Self::Start(deadlines(&mut words)?),
            "keep" => Self::Keep,
            "extend" => Self::Extend(deadlines(&mut words)?),
            "signal" => Self::Signal(words.next()?.parse().ok()?),
            "stop" => Self::Stop { kill_at: time(words.next()?)? },
            _ => return None,
        };
        words.next().is_none().then_some(request)
    }
}

impl Report {
    pub(super) fn encode(self) -> String {
        match self {
            Self::Started(group) => format!("started {group}"),
            Self::NotStarted(errno) => format!("not-started {errno}"),
            Self::TooLate => "too-late".to_owned(),
            Self::Exited { exit: Exit::Code(code), stopped } => format!("code {code} {stopped}"),
            Self::Exited { exit: Exit::Signal(by), stopped } => format!("killed {by} {stopped}"),
            Self::Gone => "gone".to_owned(),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let report = match words.next()? {
            "started" => Self::Started(words.next()?.parse().ok()?),
            "not-started" => Self::NotStarted(words.next()?.parse().ok()?),
            "too-late" => Self::TooLate,
            "code" => {
                let exit = Exit::Code(words.next()?.parse().ok()?);
                Self::Exited { exit, stopped: words.next()?.parse().ok()? }
            }
            "killed" => {
                let exit = Exit::Signal(words.next()?.parse().ok()?);
                Self::Exited { exit, stopped: words.next()?.parse().ok()? }
            }
            "gone" => Self::Gone,
            _ => return None,
        };
        words.next().is_none().then_some(report)
    }
}

fn nanos(at: BootTime) -> u64 {
    // 584 years: a longer time is only ever written to mean "never".
    u64::try_from(at.as_duration().as_nanos()).unwrap_or(u64::MAX)
}

fn time(word: &str) -> Option<BootTime> {
    word.parse().ok().map(|nanos| BootTime::from_duration(Duration::from_nanos(nanos)))
}

fn deadlines<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Deadlines> {
    Some(Deadlines { stop_at: time(words.next()?)?, kill_at: time(words.next()?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(request.encode().len() <= MAX_LEN);
        }
        for report in [
            Report::Started(4_194_304),
            Report::NotStarted(2),
            Report::TooLate,
            Report::Exited { exit: Exit::Code(255), stopped: false },
            Report::Exited { exit: Exit::Signal(9), stopped: true },
            Report::Gone,
        ] {
            assert_eq!(Report::parse(&report.encode()), Some(report));
            assert!(report.encode().len() <= MAX_LEN);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "start", "start 1", "start 1 x", "start 1 2 3", "stop -1", "signal", "run"]
        {
            assert_eq!(Request::parse(text), None, "{text}");
        }
        for text in ["", "started", "code 256 true", "code 1", "gone now"] {
            assert_eq!(Report::parse(text), None, "{text}");
        }
    }
}
