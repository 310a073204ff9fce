//! Where lease records live.
//!
//! A store has two verbs that matter, [`Store::observe`] and [`Store::swap`]; every write of an
//! election is the same compare-and-swap. A store decides nothing: it judges how much of a lease
//! is left by its own clock if it has one, and otherwise says that it cannot.
//!
//! This file alone names the backends.

use std::fmt;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::election::elector::Swapped;
use crate::election::lease::{ElectionName, LeaseRecord, Observed, Version};

pub mod memory;
pub mod postgres;
pub mod sqlite;

/// Keeps lease records.
///
/// # Cancellation
///
/// Every call is given a deadline by its caller, which drops the future when it passes. A dropped
/// [`Store::swap`] may still be applied later, once, if the record is then still as expected. A
/// store must not let such a call block the next one: it sets aside whatever the call was using.
///
/// # One attempt
///
/// A call is one attempt. Retries belong to the elector: a driver that repeats a swap by itself
/// makes it fail against its own first success.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Creates what is missing (a file, a table) or checks what is there. Idempotent, and safe
    /// when many run it at once.
    ///
    /// # Errors
    ///
    /// As for every call: see [`StoreError`].
    async fn init(&self) -> Result<(), StoreError>;

    /// Reads the record of an election.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. A record of a shape that this version does not know is
    /// [`StoreError::Misconfigured`]; it is left as it is.
    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError>;

    /// Replaces the record if its version is `expected`, or creates it if `expected` is none and
    /// there is no record. The write is durable before it is reported as won.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. After [`StoreError::Unavailable`] the write may have been applied.
    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError>;

    /// Every record, for people.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    async fn list(&self) -> Result<Vec<(ElectionName, Observed)>, StoreError>;

    /// Hints that the record of an election may have changed. Hints may come late, for nothing, or
    /// never; whoever relies on one also looks from time to time.
    fn hints(&self, election: &ElectionName) -> Hints;
}

/// Why a call to a store failed: the two decisions that a caller can make.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It may work the next time. A write may have been applied.
    #[error("{0}")]
    Unavailable(String),
    /// It will not work until a person does what the message says.
    #[error("{0}")]
    Misconfigured(String),
}

/// A receiver of push hints. Keeps one that arrives while nobody waits.
#[derive(Debug)]
pub struct Hints(Option<watch::Receiver<u64>>);

impl Hints {
    /// Hints that never come.
    pub fn never() -> Self {
        Self(None)
    }

    /// Waits for the next hint, or for ever. Safe to cancel.
    pub async fn next(&mut self) {
        if let Some(receiver) = &mut self.0
            && receiver.changed().await.is_ok()
        {
            return;
        }
        self.0 = None;
        std::future::pending().await
    }
}

/// The sending side of [`Hints`].
#[derive(Debug)]
pub struct Bell(watch::Sender<u64>);

impl Default for Bell {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Bell {
    /// Hints that arrive from now on.
    pub fn hints(&self) -> Hints {
        Hints(Some(self.0.subscribe()))
    }

    /// Tells everybody who listens.
    pub fn ring(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }
}
