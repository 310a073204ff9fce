//! How a process leaves its elections while the application beside it may still be ending.
//!
//! When the grace period of a pod is over, the kubelet sends SIGKILL to the application and SIGTERM
//! to the sidecar in one moment. The application may still act on an answer from before that
//! moment, and this process does not know it as work. For that time the record is kept as it is for
//! work: the answer is "no" at once, and the record is not vacated yet.

use std::time::Duration;

use super::{Handle, Work};
use crate::election::time::BootTime;
use crate::time::alarm::Timer;

/// A process that leaves, and keeps its records for a while.
#[derive(Debug)]
pub struct Leaving {
    /// What runs beside this process, one for each election.
    beside: Vec<Work>,
    until: BootTime,
}

impl Leaving {
    /// Requests to leave each election within its time, and keeps every record for `delay`.
    pub async fn begin(elections: &[(Handle, Duration)], delay: Duration) -> Self {
        // Before the request, after which a record without work is vacated.
        let beside = elections.iter().filter(|_| !delay.is_zero());
        let beside = beside.map(|(election, _)| election.begin_work()).collect();
        let now = elections.first().map_or(BootTime::ZERO, |(election, _)| election.now());
        for (election, at_most) in elections {
            election.shut_down(*at_most).await;
        }
        Self { beside, until: now + delay }
    }

    /// Keeps the records until the delay is over, or until `ended`: the application has ended for certain.
    pub async fn finish(self, ended: impl Future<Output = ()>, mut timer: impl Timer) {
        if self.beside.is_empty() {
            return;
        }
        tokio::select! {
            biased;
            () = ended => {}
            () = timer.until(self.until) => {}
        }
    }
}
