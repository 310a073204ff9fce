//! What a store must do, and how it may fail. Other modules use no other part of a store.

use std::fmt;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::election::continuity::ServiceTime;
use crate::election::elector::Swapped;
use crate::election::lease::{ElectionName, LeaseRecord, Observed, Renewed, Vacated, Version};
use crate::election::text;

/// What it says where the system refuses a thread, and what to do.
pub fn no_thread(error: &std::io::Error) -> String {
    format!(
        "cannot start a thread: {error}; raise the limit of processes and threads (ulimit -u, TasksMax of a unit, the \
         pids limit of a container)"
    )
}

/// Keeps lease records.
///
/// # Cancellation
///
/// The caller sets a deadline for every call, and drops the future when it passes. A dropped
/// [`Store::swap`] may still be applied later, once, if the record is then still as expected. Such
/// a call must not block the next one: the store sets aside what the call was using.
///
/// # One attempt
///
/// A call is one attempt. Retries belong to the elector: a driver that repeats a swap on its own
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
    /// [`StoreError::Misconfigured`], and stays as it is. The returned record is
    /// [`LeaseRecord::checked`].
    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError>;

    /// Replaces the record if its version is `expected`, or creates it if `expected` is none and
    /// there is no record. The write is durable before it is reported as won.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. After [`StoreError::Unavailable`] the write may have been applied: rule
    /// `resolve-ambiguity`.
    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError>;

    /// Every record, for display. Creates nothing.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. A record that cannot be read is none: see [`Listing::unreadable`].
    async fn list(&self) -> Result<Listing, StoreError>;

    /// The latest time that the service sent with any answer, if it sends one. It decides nothing
    /// about a lease: it reveals a boot clock that stood still.
    fn service_time(&self) -> Option<ServiceTime>;

    /// Hints that the record of an election may have changed. Hints may come late, without cause,
    /// or never, so a reader also has to check the record from time to time.
    fn hints(&self, election: &ElectionName) -> Hints;

    /// Whether each write has a random version, so that no program can know the version before the
    /// write. Then other sources than the store may announce a renewal: rule `announced-renewal`.
    fn has_random_versions(&self) -> bool {
        false
    }

    /// Whether it sends calls for several elections together that come at one moment. Then all
    /// elections of a process are to look in the same turn.
    fn combines_calls(&self) -> bool {
        false
    }
}

/// Every record of a store.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that can be read, in the order of their names.
    pub records: Vec<(ElectionName, Observed)>,
    /// The others: their names in the store, and the error of each.
    pub unreadable: Vec<(String, StoreError)>,
}

/// Why a call to a store failed: the two decisions that a caller can make.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It may work the next time. A write may have been applied.
    #[error("{}", text::message(.0))]
    Unavailable(String),
    /// It will not work until an operator does what the message says.
    #[error("{}", text::message(.0))]
    Misconfigured(String),
}

/// A message that a store pushes.
#[derive(Clone, Debug)]
pub enum Hint {
    /// The record may have changed.
    Changed,
    /// Pushes may have been missed: the record may have changed, and nothing says that it has.
    Missed,
    /// The holder of a term vacated the lease, and the record has no payload. Spares a look. The version is one that
    /// no state with a holder has, also if the news is false: candidates replace it without a look.
    Vacated(Vacated),
    /// The holder of a term renewed the lease. Spares a look.
    Renewed(Renewed),
    /// The record as a holder wrote it when it acquired the lease, from a source that is trusted as
    /// [`Store::observe`] is: the store itself, or a file that only those can write who can write the
    /// records. Spares a look.
    Acquired(Box<Observed>),
}

/// A receiver of push hints. Keeps the latest that arrives while no task waits, and the latest
/// renewal beside it: that must not replace the news of a change.
#[derive(Debug)]
pub struct Hints(Option<Receivers>);

#[derive(Debug)]
struct Receivers {
    changes: watch::Receiver<Hint>,
    renewals: watch::Receiver<Option<Renewed>>,
}

impl Receivers {
    /// None when no sender is left.
    async fn next(&mut self) -> Option<Hint> {
        tokio::select! {
            biased;
            changed = self.changes.changed() => {
                changed.ok()?;
                Some(self.changes.borrow_and_update().clone())
            }
            renewed = self.renewals.changed() => {
                renewed.ok()?;
                self.renewals.borrow_and_update().clone().map(Hint::Renewed)
            }
        }
    }
}

impl Hints {
    /// Hints that never come.
    pub fn never() -> Self {
        Self(None)
    }

    /// Waits for the next hint, or forever. Safe to cancel.
    pub async fn next(&mut self) -> Hint {
        if let Some(receivers) = &mut self.0
            && let Some(hint) = receivers.next().await
        {
            return hint;
        }
        self.0 = None;
        std::future::pending().await
    }
}

/// The sending side of [`Hints`].
#[derive(Debug)]
pub struct Notifier {
    changes: watch::Sender<Hint>,
    renewals: watch::Sender<Option<Renewed>>,
}

impl Default for Notifier {
    fn default() -> Self {
        Self { changes: watch::Sender::new(Hint::Changed), renewals: watch::Sender::new(None) }
    }
}

impl Notifier {
    /// Hints that arrive from now on.
    pub fn hints(&self) -> Hints {
        let (changes, renewals) = (self.changes.subscribe(), self.renewals.subscribe());
        Hints(Some(Receivers { changes, renewals }))
    }

    /// Waits until no [`Hints`] are left.
    pub async fn no_receivers(&self) {
        self.changes.closed().await;
    }

    /// Sends a hint to every listener.
    pub fn notify(&self, hint: Hint) {
        match hint {
            Hint::Renewed(renewed) => drop(self.renewals.send_replace(Some(renewed))),
            hint => drop(self.changes.send_replace(hint)),
        }
    }
}
