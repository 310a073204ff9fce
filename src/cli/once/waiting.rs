//! What an instance of `once` says while it waits: one changing line on a terminal, ever rarer lines
//! in a log.

use std::time::Duration;

use tokio::sync::watch;

use crate::cli::logging::ProgressLine;
use crate::driver::Handle;
use crate::election::history::{Entry, Key};
use crate::election::leadership::Leadership;
use crate::election::time::BootTime;
use crate::once::Stage;
use crate::time::clock::HostClock;

/// When a log first names the leader that this instance waits for. While that stays the same, the
/// pause doubles each time, up to the longest, so a wait of hours causes few lines.
const REPORT_PERIOD: Duration = Duration::from_secs(10);
const LONGEST_REPORT_PERIOD: Duration = Duration::from_secs(300);

/// How often the line on a terminal moves, so that a person sees that it is alive.
const REDRAW_PERIOD: Duration = Duration::from_millis(250);

pub(super) struct Waiting {
    /// How the task is called.
    name: String,
    key: Option<Key>,
    line: Option<ProgressLine>,
    election: Handle,
    view: watch::Receiver<Leadership>,
    stages: watch::Receiver<Stage>,
    period: Duration,
    due_at: BootTime,
    /// What the log has reported.
    reported: String,
}

impl Waiting {
    pub(super) fn new(
        name: String,
        key: Option<Key>,
        election: Handle,
        stages: watch::Receiver<Stage>,
    ) -> Self {
        let line = ProgressLine::on_terminal();
        let (view, now) = (election.watch(), election.now());
        let period = if line.is_some() { REDRAW_PERIOD } else { REPORT_PERIOD };
        let (due_at, reported) = (now + period, String::new());
        Self { name, key, line, election, view, stages, period, due_at, reported }
    }

    /// The stage at this moment.
    pub(super) fn stage(&self) -> Stage {
        self.stages.borrow().clone()
    }

    /// Whether the command runs.
    pub(super) fn runs(&self) -> bool {
        matches!(*self.stages.borrow(), Stage::Running(..))
    }

    /// Waits until there is something to say. Safe to cancel.
    pub(super) async fn tick(&mut self) {
        let left = self.due_at.since(HostClock::boot());
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            // At once, so that the line is gone before the command writes anything.
            Ok(()) = self.view.changed(), if self.line.is_some() => {}
            Ok(()) = self.stages.changed(), if self.line.is_some() => {}
        }
        self.due_at = HostClock::boot() + self.period;
    }

    pub(super) fn report(&mut self) {
        let (view, now) = (self.election.leadership(), self.election.now());
        let what = match self.stage() {
            Stage::Running(_, term) => {
                return self.say_running(&format!("running here, term {term}"));
            }
            Stage::Checking(_, term) => {
                return self.say_running(&format!("checking what the command did, term {term}"));
            }
            Stage::Recording(..) => return self.say_running("recording how the command ended"),
            Stage::Pausing(failed, left) => {
                let left = Duration::from_secs(left.as_secs() + 1);
                let left = humantime::format_duration(left);
                format!("an attempt on {} failed: the next one in {left}", failed.attempt.holder)
            }
            Stage::Superseded(order, newer) => {
                let newer =
                    newer.map_or_else(String::new, |newer| format!(", key '{}',", newer.key));
                format!("waiting until the newer order {order}{newer} is taken back")
            }
            Stage::Looking | Stage::Waiting(_) => {
                let waiting = match (view.holder(now), view.decided(now)) {
                    (Some(holder), _) => {
                        format!("waiting for {}, term {}", holder.identity, holder.term)
                    }
                    (None, Err(undecided)) => format!("waiting: {undecided}"),
                    (None, Ok(())) => match view.paused(now) {
                        Some(pause) => format!("waiting: {pause}"),
                        None => "waiting".to_owned(),
                    },
                };
                waiting + &self.other_key()
            }
        };
        match &self.line {
            Some(line) => line.show(format!("{}: {what}", self.name)),
            None => {
                tracing::info!(key = self.name, event = "waiting", "{what}");
                self.pace(&what);
            }
        }
    }

    /// That it waits for something else than its own key, and for what.
    fn other_key(&self) -> String {
        let of = |open: &Entry| {
            let is_other = self.key.as_ref().is_some_and(|key| *key != open.key);
            is_other.then(|| format!(", for another key of this work: '{}'", open.key))
        };
        match self.stage() {
            Stage::Waiting(Some(open)) => of(&open).unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// What the command writes says more, and must not be written over.
    fn say_running(&mut self, what: &str) {
        match &self.line {
            Some(line) => line.clear(),
            None => {
                tracing::info!(key = self.name, event = "running", "{what}");
                self.pace(what);
            }
        }
    }

    fn pace(&mut self, what: &str) {
        let longer = (self.period * 2).min(LONGEST_REPORT_PERIOD);
        self.period = if self.reported == what { longer } else { REPORT_PERIOD };
        what.clone_into(&mut self.reported);
        self.due_at = HostClock::boot() + self.period;
    }

    pub(super) fn end(&self) {
        if let Some(line) = &self.line {
            line.clear();
        }
    }
}
