//! The connection to the server, as the store holds it: a session for statements and notifications,
//! which a task keeps, and sometimes a second one beside it.
//!
//! # Connections
//!
//! One at rest. A second one is opened for a moment, by one task at a time: for `init`, for the
//! self-test, for a call while the first connection waits for a lock of another election's call, to
//! find out which session holds that lock, and to replace the first connection by a fresh one.
//!
//! # Calls that are given up
//!
//! A caller that stops waiting drops its end of the response. If the request was sent, the task
//! closes the connection. Otherwise it would take the late response for that of the next call. The
//! server may still carry the request out, as with any lost connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use sqlx::postgres::PgRow;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::connection_task::ConnectionTask;
use super::errors::PostgresError;
use super::opened::Opened;
use super::shared::{Request, Shared};
use super::statement::{Dialect, Statement};
use super::target::Target;
use crate::election::lease::ElectionName;
use crate::store::contract::Hints;

/// How old a session gets before a fresh one takes its place, if one can be opened. A session gets
/// no notice when the name moves to another server while the old one still answers and accepts
/// writes. Where clients must notice a fail-over, DNS records live for at most five minutes.
const SESSION_LIFETIME: Duration = Duration::from_secs(300);

/// The connection, as the store holds it.
pub struct Connection {
    shared: Arc<Shared>,
    /// To the task; it starts with the first call.
    task: OnceLock<mpsc::Sender<Request>>,
    /// Held by the call that uses the first connection.
    first: tokio::sync::Mutex<()>,
}

impl Connection {
    /// A connection that is not opened yet. `call_timeout` is the deadline of a caller's calls.
    pub fn new(target: Target, dialect: Dialect, call_timeout: Duration) -> Self {
        let shared = Shared {
            target,
            dialect,
            session_lifetime: SESSION_LIFETIME,
            call_timeout,
            notifiers: Mutex::default(),
            second: tokio::sync::Mutex::default(),
            pushes: AtomicBool::new(false),
            reported_no_timeline: AtomicBool::new(false),
            blockers: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            task: OnceLock::new(),
            first: tokio::sync::Mutex::default(),
        }
    }

    /// The same, for sessions that reach this age.
    pub fn with_session_lifetime(self, session_lifetime: Duration) -> Self {
        let Shared { target, dialect, call_timeout, .. } = &*self.shared;
        let connection = Self::new(target.clone(), dialect.clone(), *call_timeout);
        let shared =
            Arc::into_inner(connection.shared).map(|shared| Shared { session_lifetime, ..shared });
        Self { shared: shared.map_or(self.shared, Arc::new), ..connection }
    }

    /// Queries the server. Cancelled by dropping.
    pub async fn query(&self, statement: Statement) -> Result<Vec<PgRow>, PostgresError> {
        // Another election's call may wait for a lock on the first connection; this one must not
        // wait for it as well.
        match timeout(self.shared.call_timeout / 4, self.first.lock()).await {
            Ok(_first) => self.put(Some(statement)).await,
            Err(_busy) => self.shared.query_aside(statement).await,
        }
    }

    /// Opens the first connection if it is not open, without waiting for it.
    pub fn open(&self) {
        let (sender, _) = oneshot::channel();
        // A full queue has requests in it, which open the connection too.
        let _ = self.task().try_send(Request { statement: None, sender });
    }

    /// Opens a second connection, which belongs to the caller until the guard is dropped.
    pub async fn second(&self) -> Result<(Opened, tokio::sync::MutexGuard<'_, ()>), PostgresError> {
        let guard = self.shared.second.lock().await;
        Ok((self.shared.open().await?, guard))
    }

    /// Hints for one election.
    pub fn hints(&self, election: &ElectionName) -> Hints {
        self.shared.notifiers().entry(election.clone()).or_default().hints()
    }

    /// Whether notifications were found to arrive.
    pub fn pushes(&self) -> bool {
        self.shared.pushes.load(Ordering::Relaxed)
    }

    async fn put(&self, statement: Option<Statement>) -> Result<Vec<PgRow>, PostgresError> {
        let (sender, response) = oneshot::channel();
        let gone = || PostgresError::Sql(sqlx::Error::WorkerCrashed);
        self.task().send(Request { statement, sender }).await.map_err(|_| gone())?;
        response.await.map_err(|_| gone())?
    }

    fn task(&self) -> &mpsc::Sender<Request> {
        self.task.get_or_init(|| {
            let (sender, requests) = mpsc::channel(4);
            tokio::spawn(ConnectionTask::new(Arc::clone(&self.shared), requests).run());
            sender
        })
    }
}
