//! The history of a work in its store.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::election::elector::Swapped;
use crate::election::history::{History, Unreadable, WorkName};
use crate::election::lease::{ElectionName, LeaseRecord, Observed, Version};
use crate::election::term::Term;
use crate::election::time::{BootTime, Clock, WallTime};
use crate::store::{Hints, Store, StoreError};
use crate::time::alarm::Timer;

/// Why the history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It has something else in the place of the history.
    #[error("the record '{record}' cannot be used: {why}; it stays unchanged")]
    Unreadable {
        /// The name of the record.
        record: ElectionName,
        /// What is wrong with it.
        why: Unreadable,
    },
    /// No process can be started.
    #[error("cannot start the command's guard: {0}")]
    Process(io::Error),
}

/// What is known of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It was applied.
    Applied,
    /// Another one was: the history was read again.
    Lost,
    /// It has not been applied so far.
    NotYet,
    /// It may have been applied.
    Unknown,
}

/// The history of a work, as it was read last.
pub struct Ledger<T> {
    store: Arc<dyn Store>,
    record: ElectionName,
    clock: Arc<dyn Clock>,
    timer: T,
    /// How long a call may take.
    call_timeout: Duration,
    /// And until when at the latest.
    give_up_at: Option<BootTime>,
    found: Option<Observed>,
    history: History,
    /// Why the last write failed, if it did.
    refusal: Option<String>,
}

impl<T: Timer> Ledger<T> {
    /// Nothing is read yet.
    pub fn new(
        store: Arc<dyn Store>,
        work: &WorkName,
        (clock, timer): (Arc<dyn Clock>, T),
        call_timeout: Duration,
    ) -> Self {
        let record = ElectionName::of_history(work);
        let (found, history) = (None, History::default());
        let (give_up_at, refusal) = (None, None);
        Self { store, record, clock, timer, call_timeout, give_up_at, found, history, refusal }
    }

    /// No call is waited for any longer then.
    pub(super) fn give_up_at(&mut self, give_up_at: Option<BootTime>) {
        self.give_up_at = give_up_at;
    }

    /// What was read or written last.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The version of it; none if there is no record yet.
    pub(super) fn version(&self) -> Option<&Version> {
        self.found.as_ref().map(|found| &found.version)
    }

    /// Why the last write failed, if it did.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    pub(super) fn hints(&self) -> Hints {
        self.store.hints(&self.record)
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// See [`Broken`].
    pub async fn look(&mut self) -> Result<(), Broken> {
        let found = self.observe().await?;
        self.found(found)
    }

    /// Writes the next state of it, if the last is still the current one. `term` is for people: a
    /// history is a record without a holder.
    pub(super) async fn write(
        &mut self,
        next: &History,
        term: Term,
        wall: WallTime,
    ) -> Result<Written, Broken> {
        let record = LeaseRecord {
            holder: None,
            term,
            // No instance waits for it; every store takes a second.
            lease_duration: Duration::from_secs(1),
            acquire_time: wall,
            renew_time: wall,
            payload: Some(next.encode().into()),
            origin: None,
            holder_url: None,
            pause: None,
            handover: None,
        };
        let expected = self.version().cloned();
        let swap = self.store.swap(&self.record, expected.as_ref(), &record);
        let deadline = self.deadline();
        let swapped = by(&mut self.timer, deadline, self.call_timeout, swap).await;
        self.refusal = swapped.as_ref().err().map(ToString::to_string);
        match swapped {
            Ok(Swapped::Won(version)) => {
                self.history = next.clone();
                self.found = Some(Observed { record, version, remaining: None, outlived: false });
                Ok(Written::Applied)
            }
            Ok(Swapped::Lost(found)) => match self.compare(found, expected.as_ref(), next)? {
                // Refused for no reason: it would be again at once. So it is looked up, with a pause.
                Written::NotYet => {
                    self.refusal = Some("the store refused the write of a new version".to_owned());
                    Ok(Written::Unknown)
                }
                written => Ok(written),
            },
            Err(error) => {
                tracing::debug!(record = %self.record, %error, "a write of the history failed");
                Ok(Written::Unknown)
            }
        }
    }

    /// Writes the next state of it from outside of the work, when no instance holds its lease. Whether
    /// that was applied.
    ///
    /// # Errors
    ///
    /// When the store fails, also if the write may have been applied.
    pub async fn replace(
        &mut self,
        next: &History,
        term: Term,
        wall: WallTime,
    ) -> Result<bool, Broken> {
        let expected = self.version().cloned();
        let mut written = self.write(next, term, wall).await?;
        if written == Written::Unknown {
            written = self.look_up(next, expected.as_ref()).await?;
        }
        match written {
            Written::Applied => Ok(true),
            Written::Lost | Written::NotYet => Ok(false),
            Written::Unknown => Err(Broken::Store(StoreError::Unavailable(format!(
                "the write failed, and it may have been applied ({}); try again",
                self.refusal().unwrap_or("no response")
            )))),
        }
    }

    /// Looks up what came of a write whose result is unknown.
    pub(super) async fn look_up(
        &mut self,
        next: &History,
        expected: Option<&Version>,
    ) -> Result<Written, Broken> {
        match self.observe().await {
            Ok(found) => self.compare(found, expected, next),
            Err(_) => Ok(Written::Unknown),
        }
    }

    /// Waits with the timer of its calls.
    pub(super) async fn pause(&mut self, pause: Duration) {
        let until = self.clock.now().boot + pause;
        self.timer.until(self.give_up_at.map_or(until, |at| at.min(until))).await;
    }

    async fn observe(&mut self) -> Result<Option<Observed>, StoreError> {
        let look = self.store.observe(&self.record);
        let deadline = self.deadline();
        by(&mut self.timer, deadline, self.call_timeout, look).await
    }

    fn deadline(&self) -> BootTime {
        let deadline = self.clock.now().boot + self.call_timeout;
        self.give_up_at.map_or(deadline, |at| at.min(deadline))
    }

    /// By the text: no two writes of a history are the same, because each has its term and time.
    fn compare(
        &mut self,
        found: Option<Observed>,
        expected: Option<&Version>,
        next: &History,
    ) -> Result<Written, Broken> {
        let version = found.as_ref().map(|found| &found.version);
        let is_ours = found
            .as_ref()
            .and_then(|found| found.record.payload.as_deref())
            .is_some_and(|payload| *payload == *next.encode());
        let unchanged = version == expected;
        self.found(found)?;
        Ok(match (is_ours, unchanged) {
            (true, _) => Written::Applied,
            (false, true) => Written::NotYet,
            (false, false) => Written::Lost,
        })
    }

    fn found(&mut self, found: Option<Observed>) -> Result<(), Broken> {
        let payload = found.as_ref().and_then(|found| found.record.payload.as_deref());
        let history = match payload {
            Some(payload) => History::decode(payload)
                .map_err(|why| Broken::Unreadable { record: self.record.clone(), why })?,
            // A record without one was put there by hand.
            None => History::default(),
        };
        (self.found, self.history) = (found, history);
        Ok(())
    }
}

/// The answer of the store, if it comes before the deadline.
async fn by<A>(
    timer: &mut impl Timer,
    deadline: BootTime,
    limit: Duration,
    call: impl Future<Output = Result<A, StoreError>>,
) -> Result<A, StoreError> {
    tokio::select! {
        biased;
        answer = call => answer,
        () = timer.until(deadline) => {
            let limit = humantime::format_duration(limit);
            Err(StoreError::Unavailable(format!(
                "no response from the store in time: a call may take {limit}"
            )))
        }
    }
}
