//! What goes on beside the elections of a process: the gate before them, and the hooks after them.

use tokio::task::JoinSet;

use super::CommandError;
use super::serve::no_timer;
use crate::driver::{self, Handle};
use crate::election::time::{BootTime, HostClock};
use crate::gate::{Gate, Rules};
use crate::health::{self, Checks};
use crate::hooks::{HookRunner, Hooks};
use crate::metrics::Metrics;
use crate::time::alarm::Alarm;

/// Begins to ask the application how it is.
pub(super) fn watch(
    gate: Option<(Checks, Rules)>,
    metrics: &Metrics,
) -> Result<Option<Gate>, CommandError> {
    let Some((checks, rules)) = gate else { return Ok(None) };
    let (asking, gate) = health::watch(checks, rules, metrics).map_err(|error| no_timer(&error))?;
    tokio::spawn(asking);
    Ok(Some(gate))
}

/// Has an election that was begun behind the gate obey it.
pub(super) fn obey(gate: Option<&Gate>, election: &Handle) -> Result<(), CommandError> {
    if let Some(gate) = gate {
        let alarm = Alarm::new().map_err(|error| no_timer(&error))?;
        tokio::spawn(driver::obey(gate.clone(), election.clone(), alarm));
    }
    Ok(())
}

/// The hooks of all elections.
pub(super) struct Running {
    runner: Option<HookRunner>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Nothing runs yet.
    pub(super) fn new(hooks: Option<Hooks>) -> Self {
        Self { runner: hooks.map(HookRunner::new), tasks: JoinSet::new() }
    }

    /// Runs the hooks of an election from now on.
    pub(super) fn follow(&mut self, election: &Handle) -> Result<(), CommandError> {
        if let Some(runner) = &self.runner {
            self.tasks.spawn(runner.follow(election.clone()).map_err(|error| no_timer(&error))?);
        }
        Ok(())
    }

    /// Waits for the last hooks of elections that are over, but not after `give_up_at`. Safe to cancel.
    pub(super) async fn ended(&mut self, give_up_at: BootTime) {
        let left = give_up_at.since(HostClock::boot());
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(left, all).await.is_err() {
            tracing::warn!("hooks have not ended in time: they are stopped");
        }
    }
}
