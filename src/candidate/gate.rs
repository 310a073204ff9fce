//! The gate before one election. Each election has a task of its own for it, so that one that is
//! stuck delays no other.

use super::Handle;
use crate::alarm::Timer;
use crate::election::clock::BootTime;
use crate::gate::Gate;

/// Hands on to one election, which was begun behind a closed gate, what the gate says.
pub async fn obey(mut gate: Gate, election: Handle, mut timer: impl Timer) {
    let (mut told, mut kept) = (false, true);
    loop {
        // Whoever asks no more says nothing more, whatever was said last.
        let open = kept && gate.is_open(election.now());
        if open != told {
            election.set_gate(open).await;
            told = open;
        }
        if !kept {
            return;
        }
        let closes_at = gate.open_until().filter(|_| open);
        tokio::select! {
            biased;
            heard = gate.changed() => kept = heard,
            () = at(&mut timer, closes_at) => tracing::warn!(
                election = %election.election(),
                "the gate is closed: nothing was heard of the application's health in time"
            ),
        }
    }
}

/// Never, if there is no such time.
async fn at(timer: &mut impl Timer, time: Option<BootTime>) {
    match time {
        Some(time) => timer.until(time).await,
        None => std::future::pending().await,
    }
}
