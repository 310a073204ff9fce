//! The gate before one election. Each election has a task of its own for it, so that a task that is
//! stuck delays no other election.

use super::Handle;
use crate::election::time::BootTime;
use crate::gate::Gate;
use crate::time::alarm::Timer;

/// Forwards the state of the gate to one election, which starts with a closed gate.
pub async fn obey(mut gate: Gate, election: Handle, mut timer: impl Timer) {
    let (mut sent, mut kept) = (false, true);
    loop {
        // A prober that is gone keeps no gate open, whatever its last result was.
        let open = kept && gate.is_open(election.now());
        if open != sent {
            election.set_gate(open).await;
            sent = open;
        }
        if !kept {
            return;
        }
        let closes_at = gate.open_until().filter(|_| open);
        tokio::select! {
            biased;
            change = gate.changed() => kept = change,
            () = at(&mut timer, closes_at) => tracing::warn!(
                election = %election.election(),
                event = "gate_check_overdue",
                "the gate is closed: no result of the application's health check in time"
            ),
        }
    }
}

/// Waits forever if there is no such time.
async fn at(timer: &mut impl Timer, time: Option<BootTime>) {
    match time {
        Some(time) => timer.until(time).await,
        None => std::future::pending().await,
    }
}
