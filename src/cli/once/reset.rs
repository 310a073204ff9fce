//! `bellwether once --reset`: takes a key out of the history of a work, or everything.
//!
//! The lease stays as it is, and so does its term: that is never used again. First the history is
//! read, then the lease: if that is over, no instance can have begun since, because that would have changed
//! the version of the history that is replaced here.

use std::sync::Arc;
use std::time::Duration;

use super::failure::{alarm, cannot};
use crate::cli::exit::CommandError;
use crate::cli::store_call::{PATIENCE, must_exist, within};
use crate::config::ElectionConfig;
use crate::election::history::{Key, WorkName};
use crate::election::lease::{Candidate, Observed, Version};
use crate::election::term::Term;
use crate::election::time::{BootTime, Clock};
use crate::election::watch::Watch;
use crate::once::Ledger;
use crate::platform::identity;
use crate::store::Store;
use crate::time::alarm::Alarm;
use crate::time::clock::HostClock;

/// How often a reset that collides with other writes is tried.
const TRIES: usize = 10;

pub(super) async fn run(
    config: &ElectionConfig,
    work: &WorkName,
    key: Option<&Key>,
    timeout: Option<Duration>,
) -> Result<u8, CommandError> {
    must_exist(&config.store.url)?;
    let store = config.store.open(PATIENCE, Arc::new(HostClock));
    let clock = (Arc::new(HostClock) as Arc<dyn Clock>, alarm()?);
    let mut reset = Reset {
        config,
        work,
        key,
        ledger: Ledger::new(Arc::clone(&store), work, clock, PATIENCE),
        store,
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
    work: &'a WorkName,
    /// None: everything.
    key: Option<&'a Key>,
    ledger: Ledger<Alarm>,
    store: Arc<dyn Store>,
    /// No candidate in any record: this process does not stand.
    me: Candidate,
    watch: Watch,
    /// The state that is watched, where the store cannot tell whether its holder is alive.
    watched: Option<Version>,
}

impl Reset<'_> {
    async fn until_done(&mut self) -> Result<u8, CommandError> {
        let (work, key) = (self.work.as_str(), self.key.map(Key::as_str));
        for _ in 0..TRIES {
            self.ledger.look().await.map_err(|broken| cannot(&broken))?;
            let Some(next) = self.ledger.history().reset(self.key) else {
                tracing::info!(
                    store = %self.config.store.url,
                    work,
                    key,
                    event = "nothing_to_reset",
                    "there is nothing to reset: no such work, or no such key in it, is recorded"
                );
                return Ok(0);
            };
            let term = self.once_no_instance_is_at_it().await?;
            let wall = HostClock.now().wall;
            let replaced = self.ledger.replace(&next, term, wall).await;
            if replaced.map_err(|broken| cannot(&broken))? {
                tracing::info!(work, key, event = "reset", "reset; the work can be done again");
                return Ok(0);
            }
        }
        Err(CommandError::Undecided("the record keeps changing; try again".to_owned()))
    }

    /// Waits until the lease is over, and returns its term. Takes a lease at most.
    async fn once_no_instance_is_at_it(&mut self) -> Result<Term, CommandError> {
        loop {
            let (found, over_at) = self.look().await?;
            let Some(found) = found else { return Ok(Term::ZERO) };
            let left = over_at.since(HostClock::boot());
            if left.is_zero() {
                return Ok(found.record.term);
            }
            self.refuse_if_alive(&found, left)?;
            if self.watched.replace(found.version).is_none() {
                let holder = found.record.holder.map(|holder| holder.identity);
                let lease = humantime::format_duration(found.record.lease_duration).to_string();
                tracing::info!(
                    holder,
                    lease,
                    event = "reset_watching",
                    "the store does not show whether an attempt runs; watching for one lease"
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
            "{identity} runs an attempt now; wait until it has ended, or try again in {left} if \
             {identity} crashed"
        )))
    }
}
