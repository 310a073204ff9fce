//! The line to the server, as the store holds it: a session for statements and notifications, which
//! an operator keeps, and sometimes a second one beside it.
//!
//! # Connections
//!
//! One at rest. A second is opened for a moment, by one task at a time, for `init`, for the
//! self-test, for a call that finds the first one busy with another election's call that waits for
//! a lock, and to find out who holds that lock; and when the first is replaced by a fresh one.
//!
//! # Calls that are given up
//!
//! A caller that stops waiting drops its end of the reply. If the question was sent, the operator
//! closes the connection: what comes back on it would be taken for another call's answer. The
//! server may still carry the question out, as with any lost connection.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::connection_task::ConnectionTask;
use super::dial::{self, Opened, ServerFacts};
use super::errors::PostgresError;
use super::session;
use super::statement::{self, Dialect, Statement};
use super::target::Target;
use crate::election::lease::ElectionName;
use crate::store::contract::{Hint, Hints, Notifier};

/// The least time given to opening a connection: with TLS, several round trips to another region.
const MIN_CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How old a session gets before a fresh one takes its place, if one can be opened. A session gets
/// no notice that the name now means another server while the old one still answers and accepts
/// writes. Records of DNS live for five minutes at most where a fail-over has to be noticed.
const SESSION_LIFETIME: Duration = Duration::from_secs(300);

/// The line, as the store holds it.
pub struct Connection {
    shared: Arc<Shared>,
    /// To the operator; it starts with the first call.
    task: OnceLock<mpsc::Sender<Request>>,
    /// Held by the call that uses the first connection.
    first: tokio::sync::Mutex<()>,
}

/// The state that the line, its operator and their tasks share.
pub struct Shared {
    pub target: Target,
    pub dialect: Dialect,
    pub session_lifetime: Duration,
    call_timeout: Duration,
    notifiers: Mutex<BTreeMap<ElectionName, Notifier>>,
    /// Held by whoever uses the second connection.
    second: tokio::sync::Mutex<()>,
    /// Whether notifications were found to arrive.
    pub pushes: AtomicBool,
    /// Whether the log has reported that the server reports no timeline.
    reported_no_timeline: AtomicBool,
    /// The sessions that hold the lock that reads (false) and writes (true) wait for in vain, until
    /// one does not.
    blockers: Mutex<BTreeMap<bool, String>>,
}

/// A call, on its way to the operator.
pub struct Request {
    /// None: only connect.
    pub statement: Option<Statement>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Vec<PgRow>, PostgresError>>,
}

impl Connection {
    /// A line that is not opened yet. `call_timeout` is the deadline of a caller's calls.
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

    /// Asks the server. Cancelled by dropping.
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
        let (reply, _) = oneshot::channel();
        // A full queue has questions in it, which open the connection too.
        let _ = self.task().try_send(Request { statement: None, reply });
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
        let (reply, answer) = oneshot::channel();
        let gone = || PostgresError::Sql(sqlx::Error::WorkerCrashed);
        self.task().send(Request { statement, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    fn task(&self) -> &mpsc::Sender<Request> {
        self.task.get_or_init(|| {
            let (sender, requests) = mpsc::channel(4);
            tokio::spawn(ConnectionTask::new(Arc::clone(&self.shared), requests).run());
            sender
        })
    }
}

impl Shared {
    fn notifiers(&self) -> std::sync::MutexGuard<'_, BTreeMap<ElectionName, Notifier>> {
        self.notifiers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on what a notification said. It is no question of trust: a swap decides.
    pub fn notify(&self, payload: &str) {
        let (election, hint) = statement::read_notification(payload);
        for (name, notifier) in self.notifiers().iter() {
            if name.as_str() == election {
                notifier.notify(hint.clone());
            }
        }
    }

    /// Sends the hint that every record may have changed.
    pub fn notify_all(&self) {
        self.notifiers().values().for_each(|notifier| notifier.notify(Hint::Changed));
    }

    /// Opens a connection to a server that accepts writes, with the login as it is now. Every
    /// connection of this store is opened here.
    pub async fn open(&self) -> Result<Opened, PostgresError> {
        let opened = dial::open(&self.target, self.pace(), self.connect_limit()).await?;
        let ServerFacts { reports_timeline, .. } = opened.server;
        if !reports_timeline && !self.reported_no_timeline.swap(true, Ordering::Relaxed) {
            tracing::info!(
                store = %self.target.place(),
                "this server does not tell its WAL timeline: a fail-over that lost writes will not \
                 be recognised as one"
            );
        }
        Ok(opened)
    }

    /// The time for opening a connection. A call that waits for it should learn why it failed.
    pub fn connect_limit(&self) -> Duration {
        self.pace().max(MIN_CONNECT_LIMIT)
    }

    /// The rest of a call's time is for the call.
    fn pace(&self) -> Duration {
        self.call_timeout.mul_f64(0.8)
    }

    /// Sends a statement on the second connection, which is opened and closed for it.
    async fn query_aside(&self, statement: Statement) -> Result<Vec<PgRow>, PostgresError> {
        let text = |server: &ServerFacts| statement.text(&self.dialect, server.reports_timeline);
        self.query_second(text, 1, Duration::ZERO).await
    }

    /// Opens a second connection, sends the same statement several times with a pause after each,
    /// and closes it again.
    pub async fn query_second(
        &self,
        text: impl Fn(&ServerFacts) -> String,
        times: u32,
        pause: Duration,
    ) -> Result<Vec<PgRow>, PostgresError> {
        let _second = self.second.lock().await;
        let Opened { mut connection, server } = self.open().await?;
        let text = text(&server);
        let mut answer = session::query(&mut connection, &text).await;
        for _ in 1..times {
            tokio::time::sleep(pause).await;
            if answer.is_ok() {
                answer = session::query(&mut connection, &text).await;
            }
        }
        // Without the goodbye the server would log an unexpected end; it changes nothing else.
        let _ = connection.close().await;
        let answer = answer?;
        if statement::shows_replica(&answer) {
            return Err(PostgresError::Answer(statement::Unusable::Replica));
        }
        Ok(answer)
    }

    /// Finds out which sessions the session of this server process waits for, after it has waited
    /// for half of its patience. Never ends: the call does.
    pub async fn find_blockers(&self, pid: Option<u32>, of_write: bool) -> Infallible {
        let Some(pid) = pid else { return std::future::pending().await };
        tokio::time::sleep(self.dialect.lock_timeout / 2).await;
        let text = |_: &ServerFacts| statement::blockers_query(pid);
        if let Ok(rows) = self.query_second(text, 1, Duration::ZERO).await
            && let Some(Ok(Some(pids))) = rows.first().map(|row| row.try_get::<Option<&str>, _>(0))
            && !pids.is_empty()
        {
            // The first result stays while calls wait in vain, because each change is a line in the
            // log.
            self.blockers().entry(of_write).or_insert(pids.to_owned());
        }
        std::future::pending().await
    }

    /// The sessions that hold the lock that calls wait for.
    pub fn blockers(&self) -> std::sync::MutexGuard<'_, BTreeMap<bool, String>> {
        self.blockers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
