//! The hooks of every election of a process.

use tokio::task::JoinSet;

use super::error::StartError;
use crate::driver::Handle;
use crate::election::time::BootTime;
use crate::hooks::{HookRunner, Hooks};
use crate::time::clock::HostClock;

/// The hooks of all elections.
pub struct RunningHooks {
    runner: Option<HookRunner>,
    tasks: JoinSet<()>,
}

impl RunningHooks {
    /// Nothing runs yet.
    pub fn new(hooks: Option<Hooks>) -> Self {
        Self { runner: hooks.map(HookRunner::new), tasks: JoinSet::new() }
    }

    /// Runs the hooks of an election from now on; `url` is where the election is answered for.
    pub fn follow(&mut self, election: &Handle, url: Option<String>) -> Result<(), StartError> {
        if let Some(runner) = &self.runner {
            self.tasks.spawn(runner.follow(election.clone(), url).map_err(StartError::Timer)?);
        }
        Ok(())
    }

    /// Waits for the last hooks of elections that are over, but not after `give_up_at`. Safe to cancel.
    pub async fn ended(&mut self, give_up_at: BootTime) {
        let left = give_up_at.since(HostClock::boot());
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(left, all).await.is_err() {
            tracing::warn!(event = "hooks_stopped", "hooks have not ended in time; stopping them");
        }
    }
}
