//! How a command that stands in an election ends at a signal.

use crate::sidecar::Ending;

/// There is no election to leave in order.
pub(super) fn ended_while_starting(signal: Ending) -> u8 {
    tracing::info!(signal = signal.name, event = "shutting_down", "shutting down");
    0
}

/// A second signal exits now, and leaves the lease to run out.
pub(super) fn second_signal(signal: Ending) -> u8 {
    tracing::warn!(
        signal = signal.name,
        event = "forced_exit",
        "second signal; exiting now, the lease runs out on its own"
    );
    1
}
