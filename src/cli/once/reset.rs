//! `bellwether once --reset`: takes the outcome out of the record. The term stays: it is never used
//! again.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::exit::CommandError;
use crate::cli::store_call::{PATIENCE, within};
use crate::config::ElectionConfig;
use crate::election::elector::Swapped;
use crate::election::lease::{Candidate, LeaseRecord, Observed, Version};
use crate::election::time::{BootTime, Clock};
use crate::election::watch::Watch;
use crate::platform::identity;
use crate::store::Store;
use crate::time::clock::HostClock;

/// How often a reset that collides with other writes is tried.
const TRIES: usize = 10;

pub(super) async fn run(
    config: &ElectionConfig,
    timeout: Option<Duration>,
) -> Result<u8, CommandError> {
    let mut reset = Reset {
        config,
        store: config.store.open(PATIENCE, Arc::new(HostClock)),
        me: identity::candidate(identity::hostname()),
        watch: Watch::default(),
        watched: None,
    };
    let Some(timeout) = timeout else { return reset.until_done().await };
    match tokio::time::timeout(timeout, reset.until_done()).await {
        Ok(done) => done,
        Err(_) => {
            let after = humantime::format_duration(timeout);
            Err(CommandError::Undecided(format!("not reset within {after}; see bellwether status")))
        }
    }
}

struct Reset<'a> {
    config: &'a ElectionConfig,
    store: Arc<dyn Store>,
    /// Nobody in any record: this process does not stand.
    me: Candidate,
    watch: Watch,
    /// The state that is watched, where the store cannot tell whether its holder is alive.
    watched: Option<Version>,
}

impl Reset<'_> {
    async fn until_done(&mut self) -> Result<u8, CommandError> {
        for _ in 0..TRIES {
            let Some(found) = self.once_nobody_is_at_it().await? else {
                tracing::info!(event = "nothing_to_reset", "there is nothing to reset");
                return Ok(0);
            };
            if self.clear(found).await? {
                tracing::info!(event = "reset", "reset: the work can be done again");
                return Ok(0);
            }
        }
        Err(CommandError::Undecided("the record keeps changing: try again".to_owned()))
    }

    /// The record, when its lease is over; none if there is no record. Takes a lease at most.
    async fn once_nobody_is_at_it(&mut self) -> Result<Option<Observed>, CommandError> {
        loop {
            let (found, over_at) = self.look().await?;
            let Some(found) = found else { return Ok(None) };
            let left = over_at.since(HostClock::boot());
            if left.is_zero() {
                return Ok(Some(found));
            }
            self.refuse_if_alive(&found, left)?;
            if self.watched.replace(found.version).is_none() {
                let holder = found.record.holder.map(|holder| holder.identity);
                let lease = humantime::format_duration(found.record.lease_duration).to_string();
                tracing::info!(
                    holder,
                    lease,
                    event = "reset_watching",
                    "the store cannot tell whether an attempt is under way: watching for one lease"
                );
            }
            tokio::time::sleep(left.min(self.config.timing.retry_period())).await;
        }
    }

    async fn look(&mut self) -> Result<(Option<Observed>, BootTime), CommandError> {
        let (sent, observe) = (HostClock::boot(), self.store.observe(&self.config.election));
        let found = within(&self.config.store.url, PATIENCE, observe).await?;
        let received = HostClock::boot();
        self.watch.saw(found.clone(), sent, received);
        Ok((found, self.watch.over_at(&self.me).unwrap_or(received)))
    }

    /// Its store says so, or it was seen to renew.
    fn refuse_if_alive(&self, found: &Observed, left: Duration) -> Result<(), CommandError> {
        let Some(holder) = &found.record.holder else { return Ok(()) };
        let renewed = self.watched.as_ref().is_some_and(|watched| *watched != found.version);
        if !renewed && (found.remaining.is_none() || found.outlived) {
            return Ok(());
        }
        let identity = &holder.identity;
        // Whole seconds, rounded up: for a person who waits.
        let left = humantime::format_duration(Duration::from_secs(left.as_secs() + 1));
        Err(CommandError::Undecided(format!(
            "{identity} is at it now: wait until that attempt has ended. If {identity} died in it, \
             try again in {left}"
        )))
    }

    /// False if somebody else wrote in between.
    async fn clear(&self, found: Observed) -> Result<bool, CommandError> {
        let renew_time = HostClock.now().wall;
        let cleared = LeaseRecord { holder: None, outcome: None, renew_time, ..found.record };
        let swap = self.store.swap(&self.config.election, Some(&found.version), &cleared);
        match within(&self.config.store.url, PATIENCE, swap).await? {
            Swapped::Won(_) => Ok(true),
            Swapped::Lost(_) => Ok(false),
        }
    }
}
