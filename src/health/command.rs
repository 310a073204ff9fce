//! A command that has to exit with 0.

use std::time::Duration;

use super::CheckFailure;
use crate::command::group::{Ended, Group};
use crate::command::spec::CommandSpec;
use crate::command::tail::Tail;
use crate::election::work::Deadlines;
use crate::time::clock::HostClock;

/// How long after SIGTERM it is killed: a shell needs a few milliseconds to obey
/// SIGTERM, and the next check waits for it.
const KILL_AFTER: Duration = Duration::from_millis(400);

/// How much of what a check wrote is shown: a line or two.
const SHOWN: usize = 200;

/// See the module.
#[derive(Clone, Debug)]
pub struct CommandCheck(CommandSpec);

impl CommandCheck {
    /// The command.
    pub fn new(command: CommandSpec) -> Self {
        Self(command.aside())
    }

    /// The same, run by the sidecar that answers there.
    pub(super) fn run_by(self, sidecar: &str) -> Self {
        Self(self.0.asking(sidecar))
    }

    /// Runs it under guard: nothing of it is left when this returns. It gets SIGTERM at the deadline
    /// and, soon after, SIGKILL.
    pub(super) async fn check(&self, within: Duration) -> Result<(), CheckFailure> {
        let cannot = |error: std::io::Error| {
            CheckFailure::new(format!("the gate's command: cannot start its guard: {error}"))
        };
        let (pipe, mut tail) = Tail::kept_only().map_err(cannot)?;
        let stop_at = HostClock::boot() + within;
        let deadlines = Deadlines { stop_at, kill_at: stop_at + KILL_AFTER };
        let mut group = Group::start(&self.0.clone().stderr(pipe), deadlines).map_err(cannot)?;
        let found = match group.ended().await {
            Ended::Exited { stopped: true, .. } | Ended::TooLate => {
                format!("it did not end within {}", humantime::format_duration(within))
            }
            Ended::GuardLost => "its guard was killed".to_owned(),
            Ended::NotStarted(errno) => {
                format!("it cannot be started: {}", std::io::Error::from_raw_os_error(errno))
            }
            Ended::Exited { exit, stopped: false } => match exit.code() {
                0 => return Ok(()),
                code => format!("it exited with {code}"),
            },
        };
        let wrote = tail.text().await.and_then(|text| last_words(&text));
        Err(CheckFailure { why: format!("the gate's command: {found}"), wrote })
    }
}

fn last_words(text: &str) -> Option<String> {
    let text = text.trim();
    let begins = text.char_indices().rev().nth(SHOWN - 1).map_or(0, |(at, _)| at);
    text.get(begins..).filter(|end| !end.is_empty()).map(str::to_owned)
}
