//! The state that a connection, its task and their helpers share.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::answer::{self, Unusable};
use super::dial;
use super::errors::PostgresError;
use super::opened::{Opened, ServerFacts};
use super::statement::{self, Dialect};
use super::target::Target;
use super::waiting::{Message, Waiting};
use crate::store::notification::Notifiers;

/// The least time given to opening a connection: with TLS, several round trips to another region.
const MIN_CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// The state that a connection, its task and their helpers share.
pub struct Shared {
    pub target: Target,
    pub dialect: Dialect,
    pub session_lifetime: Duration,
    pub call_timeout: Duration,
    pub notifiers: Notifiers,
    /// Held by the user of the second connection.
    pub second: tokio::sync::Mutex<()>,
    /// Whether notifications were found to arrive.
    pub pushes: AtomicBool,
    /// Whether the log has reported that the server reports no timeline.
    pub reported_no_timeline: AtomicBool,
    pub waiting: Waiting,
    /// The sessions that hold the lock that reads (false) and writes (true) wait for in vain, until
    /// one does not.
    pub blockers: Mutex<BTreeMap<bool, String>>,
}

/// What the answer to a message means.
pub struct Judged {
    /// For its calls.
    pub response: Result<Vec<PgRow>, PostgresError>,
    /// Why its session cannot be used any more.
    pub unusable: Option<&'static str>,
}

impl Shared {
    /// Opens a connection to a server that accepts writes, with the login as it is now. Every
    /// connection of this store is opened here.
    pub async fn open(&self) -> Result<Opened, PostgresError> {
        let opened = dial::open(&self.target, self.pace(), self.connect_limit()).await?;
        let ServerFacts { reports_timeline, .. } = opened.server;
        if !reports_timeline && !self.reported_no_timeline.swap(true, Ordering::Relaxed) {
            tracing::info!(
                store = %self.target.place(),
                event = "no_wal_timeline",
                "this server does not show its WAL timeline; a fail-over that lost writes will not \
                 be detected"
            );
        }
        Ok(opened)
    }

    /// The time for opening a connection. A call that waits for it should learn why it failed.
    pub fn connect_limit(&self) -> Duration {
        self.pace().max(MIN_CONNECT_LIMIT)
    }

    /// The rest of a call's time is for the call.
    pub fn pace(&self) -> Duration {
        self.call_timeout.mul_f64(0.8)
    }

    /// Starts a task for late calls, if some wait and there is none.
    pub fn help_late(self: &Arc<Self>) {
        if self.waiting.needs_helper() {
            tokio::spawn(Arc::clone(self).send_late());
        }
    }

    /// Sends messages on the second connection while late calls wait, and closes it again.
    async fn send_late(self: Arc<Self>) {
        let _second = self.second.lock().await;
        let mut second = None;
        while let Some(mut message) = self.waiting.next_for_helper() {
            if second.is_none() {
                match self.open().await {
                    Ok(opened) => second = Some(opened),
                    Err(failure) => {
                        message.fail(&failure);
                        continue;
                    }
                }
            }
            let Some(opened) = second.as_mut().filter(|_| message.is_awaited()) else { continue };
            let Some(response) = message.send(opened, &self.dialect).await else {
                second = None;
                continue;
            };
            let Judged { response, unusable } = self.judge(&message, response);
            if unusable.is_some() {
                second = None;
            }
            self.waiting.respond(message, response);
        }
        if let Some(Opened { session, .. }) = second {
            session.close().await;
        }
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
        let Opened { mut session, server } = self.open().await?;
        let text = text(&server);
        let mut response = session.query(text.clone()).await;
        for _ in 1..times {
            tokio::time::sleep(pause).await;
            if response.is_ok() {
                response = session.query(text.clone()).await;
            }
        }
        session.close().await;
        let response = response?;
        if answer::shows_replica(&response) {
            return Err(PostgresError::Answer(Unusable::Replica));
        }
        Ok(response)
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

    /// Evaluates the answer to a message.
    pub fn judge(&self, message: &Message, response: Result<Vec<PgRow>, sqlx::Error>) -> Judged {
        let mut blockers = self.blockers();
        let error = match response {
            Ok(rows) if answer::shows_replica(&rows) => {
                let response = Err(Unusable::Replica.into());
                return Judged { response, unusable: Some("its server is a replica") };
            }
            Ok(rows) => {
                blockers.remove(&message.writes());
                return Judged { response: Ok(rows), unusable: None };
            }
            Err(error) => error,
        };
        let is_usable = PostgresError::leaves_session_usable(&error);
        let pids = blockers.get(&message.writes()).cloned();
        let failure = match PostgresError::code_of(&error) {
            Some("55P03") if message.is_patient() => PostgresError::Blocked(pids),
            // The server's own limit was shorter.
            Some("57014") if message.is_patient() && pids.is_some() => PostgresError::Blocked(pids),
            _ => error.into(),
        };
        Judged { response: Err(failure), unusable: (!is_usable).then_some("a call on it failed") }
    }

    /// The sessions that hold the lock that calls wait for.
    pub fn blockers(&self) -> std::sync::MutexGuard<'_, BTreeMap<bool, String>> {
        self.blockers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
