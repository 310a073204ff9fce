//! What a sidecar does at its end.

use std::time::Duration;

use clap::Args;

use crate::election::duration;
use crate::election::grace::Grace;

/// How a sidecar leaves.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sidecar")]
pub struct LeavingArgs {
    /// At a shutdown, keep the lease for this long after the answer has turned to "no".
    ///
    /// Use it if a supervisor kills the application at the moment it stops the sidecar, like a
    /// kubelet at the end of the pod's grace period. With kubernetes:// as the store, the
    /// sidecar reads from the API whether that period is over, and does not wait if it is not.
    #[arg(
        long,
        env = "BELLWETHER_VACATE_DELAY",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "0s"
    )]
    vacate_delay: Duration,
}

/// The delay is longer than a shutdown keeps renewing the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--vacate-delay: at most {}, which is 2s more than --shutdown-grace, because a shutdown then \
     leaves the lease to run out",
    humantime::format_duration(*longest)
)]
pub struct DelayTooLong {
    longest: Duration,
}

impl LeavingArgs {
    /// The delay.
    ///
    /// # Errors
    ///
    /// When a shutdown would give up on the lease before it is over.
    pub fn check(self, shutdown_grace: Grace) -> Result<Duration, DelayTooLong> {
        let longest = shutdown_grace.until_work_is_overdue();
        if self.vacate_delay <= longest {
            Ok(self.vacate_delay)
        } else {
            Err(DelayTooLong { longest })
        }
    }
}
