//! The connection to the server, as the store holds it: a session for statements and notifications,
//! which a task keeps, and sometimes a second one beside it.
//!
//! # Connections
//!
//! One at rest. A second one is opened for a moment, by one task at a time: for `init`, which takes
//! the first one if the server has no other, for the self-test, for calls that have waited for a
//! quarter of their time, to find out which session holds a lock, and to replace the first
//! connection by a fresh one.
//!
//! # Calls that are given up
//!
//! A caller that stops waiting drops its end of the response. If no caller waits for a message any
//! more, the task closes the connection. Otherwise it would take the late response for that of the
//! next message. The server may still carry the message out, as with any lost connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::connection_task::{ConnectionTask, Request};
use super::errors::PostgresError;
use super::opened::Opened;
use super::shared::Shared;
use super::statement::{Dialect, Statement};
use super::target::Target;
use super::waiting::{Response, Ticket, Waiting};
use crate::election::lease::ElectionName;
use crate::store::contract::Hints;
use crate::store::notification::Notifiers;

/// How old a session gets before a fresh one takes its place, if one can be opened. A session gets
/// no notice when the name moves to another server while the old one still answers and accepts
/// writes. Where clients must notice a fail-over, DNS records live for at most five minutes.
const SESSION_LIFETIME: Duration = Duration::from_secs(300);

/// The connection, as the store holds it.
pub struct Connection {
    shared: Arc<Shared>,
    /// Makes the task open the first connection. The task starts with the first call, and ends with
    /// this.
    task: OnceLock<mpsc::Sender<Request>>,
}

/// A session that belongs to its user for a while.
pub struct Aside<'a> {
    /// The session.
    pub opened: Opened,
    /// It is the first one.
    is_lent: bool,
    _second: tokio::sync::MutexGuard<'a, ()>,
}

impl Connection {
    /// A connection that is not opened yet. `call_timeout` is the deadline of a caller's calls.
    pub fn new(target: Target, dialect: Dialect, call_timeout: Duration) -> Self {
        let shared = Shared {
            target,
            dialect,
            session_lifetime: SESSION_LIFETIME,
            call_timeout,
            notifiers: Notifiers::default(),
            second: tokio::sync::Mutex::default(),
            pushes: AtomicBool::new(false),
            reported_no_timeline: AtomicBool::new(false),
            waiting: Waiting::default(),
            blockers: Mutex::default(),
        };
        Self { shared: Arc::new(shared), task: OnceLock::new() }
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
    pub async fn query(&self, statement: Statement) -> Response {
        self.task();
        let Ticket { mut response, late } = self.shared.waiting.push(statement);
        let response = match timeout(self.shared.call_timeout / 4, &mut response).await {
            Ok(response) => response,
            Err(_) => {
                // Another election's call may wait for a lock on the first connection; this one
                // must not wait for it as well.
                late.store(true, Ordering::Relaxed);
                self.shared.help_late();
                response.await
            }
        };
        response.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
    }

    /// Opens the first connection if it is not open, without waiting for it.
    pub fn open(&self) {
        // If there is no room, the task has not yet seen that it has to do this.
        let _ = self.task().try_send(Request::Open);
    }

    /// Opens a second connection. If the server has none left, as for a role with a limit of one,
    /// the first is lent.
    pub async fn aside(&self) -> Result<Aside<'_>, PostgresError> {
        let second = self.shared.second.lock().await;
        let (opened, is_lent) = match self.shared.open().await {
            Ok(opened) => (opened, false),
            Err(failure) if failure.is_full() => (self.lent().await.ok_or(failure)?, true),
            Err(failure) => return Err(failure),
        };
        Ok(Aside { opened, is_lent, _second: second })
    }

    async fn lent(&self) -> Option<Opened> {
        let (sender, lent) = oneshot::channel();
        // Without a task there is no first connection.
        self.task.get()?.send(Request::Lend(sender)).await.ok()?;
        lent.await.ok()
    }

    /// Ends the use of a session that can be used again.
    pub async fn end(&self, aside: Aside<'_>) {
        if aside.is_lent {
            let (sender, returned) = oneshot::channel();
            let _ = self.task().send(Request::Return(aside.opened, sender)).await;
            // A call before would open another one.
            let _ = returned.await;
        } else {
            aside.opened.session.close().await;
        }
    }

    /// Hints for one election.
    pub fn hints(&self, election: &ElectionName) -> Hints {
        self.shared.notifiers.hints(election)
    }

    /// Whether notifications were found to arrive.
    pub fn pushes(&self) -> bool {
        self.shared.pushes.load(Ordering::Relaxed)
    }

    fn task(&self) -> &mpsc::Sender<Request> {
        self.task.get_or_init(|| {
            let (sender, requests) = mpsc::channel(1);
            tokio::spawn(ConnectionTask::new(Arc::clone(&self.shared), requests).run());
            sender
        })
    }
}
