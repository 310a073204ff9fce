//! What goes on beside the elections of a process: the gate before them, and the hooks after them.

use tokio::task::JoinSet;

use super::Failure;
use super::serve::no_timer;
use crate::alarm::Alarm;
use crate::candidate::{self, Handle};
use crate::election::clock::{BootTime, HostClock};
use crate::gate::{Gate, Rules};
use crate::health::{self, Checks};
use crate::hooks::{Attendant, Hooks};
use crate::metrics::Metrics;

/// Begins to ask the application how it is.
pub(super) fn watch(
    gate: Option<(Checks, Rules)>,
    metrics: &Metrics,
) -> Result<Option<Gate>, Failure> {
    let Some((checks, rules)) = gate else { return Ok(None) };
    let (asking, gate) = health::watch(checks, rules, metrics).map_err(|error| no_timer(&error))?;
    tokio::spawn(asking);
    Ok(Some(gate))
}

/// Has an election that was begun behind the gate obey it.
pub(super) fn obey(gate: Option<&Gate>, election: &Handle) -> Result<(), Failure> {
    if let Some(gate) = gate {
        let alarm = Alarm::new().map_err(|error| no_timer(&error))?;
        tokio::spawn(candidate::obey(gate.clone(), election.clone(), alarm));
    }
    Ok(())
}

/// The hooks of all elections.
pub(super) struct Running {
    attendant: Option<Attendant>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Nothing runs yet.
    pub(super) fn new(hooks: Option<Hooks>) -> Self {
        Self { attendant: hooks.map(Attendant::new), tasks: JoinSet::new() }
    }

    /// Runs the hooks of an election from now on.
    pub(super) fn attend(&mut self, election: &Handle) -> Result<(), Failure> {
        if let Some(attendant) = &self.attendant {
            self.tasks.spawn(attendant.attend(election.clone()).map_err(|error| no_timer(&error))?);
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
