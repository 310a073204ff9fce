//! The gate before every election of a process.

use super::error::StartError;
use crate::driver::{self, Handle};
use crate::gate::Gate;
use crate::health::{self, GateConfig};
use crate::metrics::Metrics;
use crate::time::alarm::Alarm;

/// Begins to ask the application how it is.
pub fn watch(gate: Option<GateConfig>, metrics: &Metrics) -> Result<Option<Gate>, StartError> {
    let Some(gate) = gate else { return Ok(None) };
    let (checks, gate) = health::watch(gate, metrics).map_err(StartError::Timer)?;
    tokio::spawn(checks);
    Ok(Some(gate))
}

/// Has an election that was begun behind the gate obey it.
pub fn obey(gate: Option<&Gate>, election: &Handle) -> Result<(), StartError> {
    if let Some(gate) = gate {
        let alarm = Alarm::new().map_err(StartError::Timer)?;
        tokio::spawn(driver::obey(gate.clone(), election.clone(), alarm));
    }
    Ok(())
}
