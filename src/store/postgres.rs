//! Records in a Postgres table: for candidates that share a database.
//!
//! # Clock
//!
//! The server's clock judges leases, in the statement that reads them: a row carries the time at
//! which its lease ends, taken from the same clock by the statement that wrote it.
//!
//! A fail-over puts another server in the place of the first, possibly without its latest writes.
//! Each row therefore carries the WAL timeline that wrote it, which changes with every fail-over.
//! A row of another timeline is shown as one that proves nothing ([`Observed::outlived`]).
//!
//! # Durability
//!
//! A term that was handed out must not be handed out again after a crash of the server, so
//! `synchronous_commit` is never off for a write, and a replica is refused: see [`dial`].
//!
//! # Poolers
//!
//! The store relies on no session: no prepared statements, no settings, no session locks. Only
//! LISTEN needs one. Where notifications do not arrive, standbys notice changes by polling.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::election::continuity::ServiceTime;
use crate::election::elector::Swapped;
use crate::election::lease::{ElectionName, LeaseRecord, Observed, Version};
use crate::store::contract::{Hints, Listing, Store, StoreError};
use crate::store::notification;
use crate::time::clock::HostClock;

mod announcement;
mod answer;
mod columns;
mod connection;
mod connection_task;
mod definition;
mod dial;
mod errors;
mod hosts;
mod iam;
mod invalid;
mod names;
mod opened;
mod pgpass;
mod push;
mod schema;
mod service;
mod session;
mod shared;
mod statement;
mod target;
mod url;
mod waiting;

use answer::Unusable;
use columns::{LATER, LaterColumns, PAUSE};
use connection::Connection;
use errors::{PostgresError, explain};
pub use invalid::{Env, InvalidTarget};
pub use names::{InvalidName, Names};
use statement::{Dialect, Statement};
pub use target::Target;
use waiting::Response;

/// The store that keeps its records in a Postgres table.
pub struct PostgresStore {
    target: Target,
    connection: Connection,
    /// How long the server waits for each lock before it gives up creating the table.
    patience: Duration,
    /// See [`Dialect`].
    columns: Arc<LaterColumns>,
    notifies: Arc<AtomicBool>,
    /// The server's time, as last received.
    reported: Mutex<Option<ServiceTime>>,
}

impl PostgresStore {
    /// A store at `target`. Nothing is opened yet.
    ///
    /// `call_timeout` is how long callers wait for a call (see
    /// [`Timing::call_timeout`](crate::election::timing::Timing::call_timeout)). The server gives
    /// up waiting for a lock a little earlier, so that the caller hears why.
    pub fn new(target: Target, call_timeout: Duration) -> Self {
        let lock_timeout = call_timeout.mul_f64(0.8);
        let columns = Arc::<LaterColumns>::default();
        let notifies = Arc::new(AtomicBool::new(true));
        let dialect = Dialect {
            names: target.names().clone(),
            lock_timeout,
            columns: Arc::clone(&columns),
            notifies: Arc::clone(&notifies),
        };
        let connection = Connection::new(target.clone(), dialect, call_timeout);
        // The same call opens the connection first, and may need several locks.
        let patience = call_timeout / 2;
        Self { connection, target, patience, columns, notifies, reported: Mutex::default() }
    }

    /// The same, with sessions that are replaced by fresh ones when they reach this age.
    #[must_use]
    pub fn with_session_lifetime(self, lifetime: Duration) -> Self {
        Self { connection: self.connection.with_session_lifetime(lifetime), ..self }
    }

    /// Whether notifications were found to arrive; false until they were.
    pub fn pushes(&self) -> bool {
        self.connection.pushes()
    }

    /// Creates what is missing, on a connection of its own: its errors are the exact ones.
    async fn ensure(&self) -> Result<(), PostgresError> {
        let mut aside = self.connection.aside().await?;
        let session = &mut aside.opened.session;
        self.columns.set(schema::ensure(&self.target, session, self.patience).await?);
        self.connection.end(aside).await;
        Ok(())
    }

    /// Sends a request, and notes the time in the answer.
    async fn query(&self, statement: Statement) -> Response {
        let sent = HostClock::boot();
        let rows = self.connection.query(statement).await?;
        if let Some(since_epoch) = answer::read_time(&rows) {
            let (step, received) = (Duration::from_micros(1), HostClock::boot());
            let reported = ServiceTime { since_epoch, step, sent, received };
            *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = Some(reported);
        }
        if !self.columns.are_complete()
            && let Some(names) = answer::read_columns(&rows)
        {
            self.columns.found_all(names);
        }
        Ok(rows)
    }

    async fn look(&self, election: &ElectionName) -> Result<Option<Observed>, PostgresError> {
        let rows = self.query(Statement::Observe(election.clone())).await?;
        let found = answer::read_one(&rows, election)?;
        if found.as_ref().is_some_and(|found| found.record.pause.is_some()) {
            // Found without [`Store::init`]: the write that replaces the record must remove it.
            self.columns.found(PAUSE);
        }
        Ok(found)
    }

    /// A pause is written, or refused: one that is silently left out would pause no candidate.
    async fn prepare(&self, record: &LeaseRecord) -> Result<(), PostgresError> {
        if record.pause.is_some() && !self.columns.has(PAUSE) {
            self.ensure().await?;
            if !self.columns.has(PAUSE) {
                return Err(PostgresError::Answer(Unusable::NoPause));
            }
        }
        Ok(())
    }

    /// The server refused a write for its notification, and applied nothing of it. The next attempt goes without, as
    /// does every write until the session is replaced.
    fn leave_notifications_out(&self, refusal: &PostgresError) {
        if self.notifies.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                store = %self.target.place(),
                code = refusal.code(),
                event = "notifications_refused",
                "the server refuses notifications, so hand-overs are noticed by polling; let an owner run GRANT \
                 EXECUTE ON FUNCTION pg_notify(text, text), or with code 54000 end the session that listens in a \
                 long transaction"
            );
        }
    }

    fn explain(&self, failure: PostgresError) -> StoreError {
        explain(&self.target, failure)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn init(&self) -> Result<(), StoreError> {
        self.ensure().await.map_err(|failure| {
            let may_pass = failure.is_replica();
            match self.explain(failure) {
                // A fail-over looks like this while it lasts, and a start waits for its end.
                StoreError::Misconfigured(why) if may_pass => StoreError::Unavailable(why),
                explained => explained,
            }
        })?;
        self.connection.open();
        Ok(())
    }

    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError> {
        let mut found = self.look(election).await;
        if found.as_ref().is_err_and(PostgresError::is_missing_table) {
            // It was dropped, or there was no way to create it at the start.
            found = match self.ensure().await {
                Ok(()) => self.look(election).await,
                Err(failure) => Err(failure),
            };
        }
        found.map_err(|failure| self.explain(failure))
    }

    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError> {
        let state = notification::state(record);
        let statement = Statement::Swap {
            election: election.clone(),
            expected: expected.cloned(),
            record: Box::new(record.clone()),
            state: state.clone(),
        };
        let swapped = async {
            self.prepare(record).await?;
            let rows = self.query(statement).await?;
            if let Some(version) = answer::read_won(&rows, election, &state, record)? {
                return Ok(Swapped::Won(version));
            }
            let found = self.look(election).await?;
            // It was there to be replaced, and no version ever returns.
            if found.as_ref().map(|found| &found.version) == expected {
                return Err(PostgresError::Answer(Unusable::Ignored));
            }
            Ok(Swapped::Lost(found))
        };
        let swapped: Result<_, PostgresError> = swapped.await;
        if swapped.as_ref().is_err_and(PostgresError::is_missing_column) {
            // The table was dropped and created again by an older version.
            self.columns.set([false; LATER.len()]);
        }
        if let Err(failure) = &swapped
            && failure.is_refused_notification()
        {
            self.leave_notifications_out(failure);
        }
        swapped.map_err(|failure| self.explain(failure))
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        let requested = self.connection.query(Statement::List).await;
        let read = requested.and_then(|rows| Ok(answer::read_all(&rows)?));
        let mut listing = Listing::default();
        for (name, read) in read.map_err(|failure| self.explain(failure))? {
            match read {
                Ok(record) => listing.records.push(record),
                Err(why) => {
                    let why = self.explain(PostgresError::Answer(why));
                    listing.unreadable.push((name, why));
                }
            }
        }
        Ok(listing)
    }

    fn service_time(&self) -> Option<ServiceTime> {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hints(&self, election: &ElectionName) -> Hints {
        self.connection.hints(election)
    }

    fn has_random_versions(&self) -> bool {
        true
    }

    fn combines_calls(&self) -> bool {
        true
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("target", &self.target).finish_non_exhaustive()
    }
}
