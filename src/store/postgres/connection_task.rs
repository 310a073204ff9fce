//! The task of a connection: it opens the session, reopens it when it is lost, and forwards
//! notifications.
//!
//! # When a session ends
//!
//! When it is lost; when a call on it was given up; when its server reports that it cannot write,
//! as a primary that became read-only does; and when it is old and a fresh one is ready. The next
//! session resolves the name and reads the secrets again. A working session is never ended if no
//! fresh one can be opened.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::postgres::PgRow;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep, timeout};

use super::errors::{PostgresError, explain};
use super::opened::Opened;
use super::push::{self, Push, TEST_AGAIN, TEST_NOTIFICATIONS, Tested};
use super::shared::{Judged, Shared};
use super::statement;
use super::waiting::Message;

/// Bounds of the pause before a lost connection is opened again without a request.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Keeps the session.
pub struct ConnectionTask {
    shared: Arc<Shared>,
    /// None when the store is dropped.
    requests: mpsc::Receiver<Request>,
    session: Option<Opened>,
    /// It does not listen yet.
    is_new: bool,
    /// Ends when it is time for a fresh session.
    old: Pin<Box<Sleep>>,
    /// The attempt to get one.
    fresh: Option<JoinHandle<Result<Opened, PostgresError>>>,
    /// Why there was none; logged once.
    no_fresh: Option<String>,
    push: Push,
    /// The self-test under way: its channel and its end.
    test: Option<(String, JoinHandle<Tested>)>,
    /// Notifications that it has received.
    test_received: u32,
    test_pause: Duration,
    /// Attempts to connect that failed in a row, and one for a session that was lost.
    failures: u32,
}

/// A request of the store.
pub enum Request {
    /// To open the session.
    Open,
    /// To lend the session between two calls, if it is open.
    Lend(oneshot::Sender<Opened>),
    /// To take it back, and to report that.
    Return(Opened, oneshot::Sender<()>),
}

/// What woke the task.
enum Turn {
    Call,
    Request(Option<Request>),
    Notification(Option<(String, String)>),
    Tested(Tested),
    Reconnect,
    /// The session is old.
    Old,
    Fresh(Result<Opened, PostgresError>),
}

impl ConnectionTask {
    /// A task without a session.
    pub fn new(shared: Arc<Shared>, requests: mpsc::Receiver<Request>) -> Self {
        Self {
            shared,
            requests,
            session: None,
            is_new: false,
            old: Box::pin(sleep(Duration::ZERO)),
            fresh: None,
            no_fresh: None,
            push: Push::Untested,
            test: None,
            test_received: 0,
            test_pause: Duration::ZERO,
            failures: 0,
        }
    }

    /// Works until the store is dropped.
    pub async fn run(mut self) {
        loop {
            match self.turn().await {
                Turn::Call => self.send().await,
                Turn::Request(Some(request)) => self.serve(request).await,
                Turn::Request(None) => return self.stop(),
                Turn::Notification(Some((channel, payload))) => {
                    self.receive(&channel, &payload).await
                }
                Turn::Notification(None) => self.lose("the connection was closed"),
                Turn::Tested(tested) => self.end_test(tested).await,
                Turn::Reconnect => drop(self.connect().await),
                Turn::Old => {
                    let shared = Arc::clone(&self.shared);
                    self.fresh = Some(tokio::spawn(async move { shared.open().await }));
                }
                Turn::Fresh(fresh) => self.replace(fresh).await,
            }
            // After the answer to the request that opened the session: a process that only reads
            // once waits neither for a LISTEN nor beside the login of a self-test.
            if std::mem::take(&mut self.is_new) {
                self.listen().await;
            }
        }
    }

    async fn turn(&mut self) -> Turn {
        let pause = self.pause();
        let is_open = self.session.is_some();
        let is_old = is_open && self.fresh.is_none();
        // The connection is kept open for the notifications' sake; without them, calls open it.
        let reconnects = !is_open && self.push != Push::Absent && self.failures > 0;
        let (session, test, fresh) =
            (self.session.as_mut(), self.test.as_mut(), self.fresh.as_mut());
        let notification = async {
            match session {
                Some(opened) => opened.session.notification().await,
                None => std::future::pending().await,
            }
        };
        let tested = async {
            match test {
                Some((_, test)) => test.await.unwrap_or(Tested::Unsent),
                None => std::future::pending().await,
            }
        };
        let opened = async {
            match fresh {
                Some(fresh) => fresh.await.unwrap_or(Err(PostgresError::NoConnection)),
                None => std::future::pending().await,
            }
        };
        // In no order: neither calls nor notifications wait until there are none of the other.
        tokio::select! {
            () = self.shared.waiting.arrived() => Turn::Call,
            request = self.requests.recv() => Turn::Request(request),
            notification = notification => Turn::Notification(notification),
            tested = tested => Turn::Tested(tested),
            fresh = opened => Turn::Fresh(fresh),
            () = sleep(pause), if reconnects => Turn::Reconnect,
            () = &mut self.old, if is_old => Turn::Old,
        }
    }

    /// Longer with each failure, and up to twice as long at random: when a server comes back, the
    /// candidates should not all connect at once.
    fn pause(&self) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(8)).min(LONGEST_PAUSE);
        pause.mul_f64(1.0 + fastrand::f64())
    }

    /// Sends the next message.
    async fn send(&mut self) {
        let Some(mut message) = self.shared.waiting.next() else { return };
        if let Err(failure) = self.connect().await {
            return message.fail(&failure);
        }
        // If no caller waits any more, the session that took so long is for the next call.
        let Some(opened) = self.session.as_mut().filter(|_| message.is_awaited()) else { return };
        // Without patience, a message does not wait for long enough.
        let pid = opened.server.pid.filter(|_| message.is_patient());
        let writes = message.writes();
        let response = tokio::select! {
            response = message.send(opened, &self.shared.dialect) => response,
            never = self.shared.find_blockers(pid, writes) => match never {},
        };
        let Some(response) = response else { return self.lose("a call on it was given up") };
        let Judged { response, unusable } = self.shared.judge(&message, response);
        if let Some(why) = unusable {
            self.lose(why);
        }
        let announcements = self.announcements(&message, response.as_deref().unwrap_or_default());
        self.shared.waiting.respond(message, response);
        self.shared.help_late();
        // No caller waits for it. Without it the standbys read more often.
        if let Some(text) = announcements {
            self.report(text, self.shared.pace(), "an announcement failed").await;
        }
    }

    fn announcements(&self, message: &Message, rows: &[PgRow]) -> Option<String> {
        let arrives = self.push == Push::Arrives;
        arrives.then(|| message.announcements(rows, &self.shared.dialect)).flatten()
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Open => drop(self.connect().await),
            Request::Lend(borrower) => {
                self.is_new = false;
                self.stop_test();
                if let Some(opened) = self.session.take() {
                    // If its call was given up meanwhile, the session ends.
                    let _ = borrower.send(opened);
                }
            }
            Request::Return(opened, returned) => {
                if self.session.is_none() {
                    self.begin(opened);
                } else {
                    opened.session.close().await;
                }
                let _ = returned.send(());
            }
        }
    }

    fn lose(&mut self, why: &str) {
        self.is_new = false;
        if self.session.take().is_some() {
            tracing::debug!(store = %self.shared.target.place(), why, "connection lost");
            self.failures = self.failures.max(1);
            self.stop_test();
        }
    }

    fn stop(&mut self) {
        self.stop_test();
        if let Some(fresh) = self.fresh.take() {
            fresh.abort();
        }
    }

    /// Opens the session if it is not open.
    async fn connect(&mut self) -> Result<(), PostgresError> {
        if self.session.is_some() {
            return Ok(());
        }
        match self.shared.open().await {
            Ok(opened) => {
                self.begin(opened);
                Ok(())
            }
            Err(failure) => {
                self.failures = self.failures.saturating_add(1);
                Err(failure)
            }
        }
    }

    fn begin(&mut self, opened: Opened) {
        self.stop_test();
        self.session = Some(opened);
        self.is_new = true;
        self.failures = 0;
        // Up to a quarter earlier: sessions that began together should not be replaced together.
        let lifetime = self.shared.session_lifetime.mul_f64(1.0 - 0.25 * fastrand::f64());
        self.old = Box::pin(sleep(lifetime));
    }

    /// Replaces the old session by a fresh one, and keeps the old one if that fails.
    async fn replace(&mut self, fresh: Result<Opened, PostgresError>) {
        self.fresh = None;
        match fresh {
            Ok(opened) => {
                self.no_fresh = None;
                self.begin(opened);
            }
            Err(failure) => {
                self.old = Box::pin(sleep(self.shared.session_lifetime / 4));
                let why = explain(&self.shared.target, failure).to_string();
                if self.session.is_some() && self.no_fresh.as_ref() != Some(&why) {
                    tracing::warn!(
                        error = why,
                        event = "no_new_session",
                        "cannot open a new session; keeping the open one while it lasts"
                    );
                    self.no_fresh = Some(why);
                }
            }
        }
    }

    /// Sends a statement whose answer only matters for the state of the session.
    async fn report(&mut self, text: String, limit: Duration, failure: &str) {
        let Some(Opened { session, .. }) = &mut self.session else { return };
        let logged = timeout(limit, session.query(text)).await;
        if !matches!(logged, Ok(Ok(_)))
            && !matches!(logged, Ok(Err(error)) if PostgresError::leaves_session_usable(&error))
        {
            self.lose(failure);
        }
    }

    async fn prepare(&mut self, text: String) {
        self.report(text, self.shared.connect_limit(), "LISTEN failed").await;
    }
}

/// Its part about notifications.
impl ConnectionTask {
    /// Listens on the new connection, or starts to test whether that works.
    async fn listen(&mut self) {
        // What a server refused for another session it may allow now.
        self.shared.dialect.notifies.store(true, Ordering::Relaxed);
        match self.push {
            Push::Arrives => {
                let names = &self.shared.dialect.names;
                let (channel, renewals) = (names.channel(), names.renewals_channel());
                self.prepare(format!("LISTEN \"{channel}\"; LISTEN \"{renewals}\"")).await;
                let Some(Opened { server, .. }) = &self.session else { return };
                let reports_timeline = server.reports_timeline;
                self.prepare(statement::rehearsal(&self.shared.dialect, reports_timeline)).await;
                // Notifications may have been missed without a listener.
                self.shared.notifiers.notify_missed();
            }
            Push::Untested => self.begin_test().await,
            Push::Absent => {}
        }
    }

    fn stop_test(&mut self) {
        if let Some((_, test)) = self.test.take() {
            test.abort();
        }
    }

    async fn begin_test(&mut self) {
        let channel = format!("bellwether_test_{}", uuid::Uuid::new_v4().simple());
        self.prepare(format!("LISTEN \"{channel}\"")).await;
        if self.session.is_none() {
            return;
        }
        let test =
            tokio::spawn(push::test(Arc::clone(&self.shared), channel.clone(), self.test_pause));
        self.test = Some((channel, test));
        self.test_received = 0;
    }

    async fn receive(&mut self, channel: &str, payload: &str) {
        if self.test.as_ref().is_some_and(|(tested, _)| tested == channel) {
            self.test_received += 1;
            if self.test_received < TEST_NOTIFICATIONS {
                return;
            }
            self.stop_test();
            self.push = Push::Arrives;
            self.shared.pushes.store(true, Ordering::Relaxed);
            self.prepare(format!("UNLISTEN \"{channel}\"")).await;
            self.listen().await;
        } else {
            self.shared.notifiers.notify(payload);
        }
    }

    async fn end_test(&mut self, tested: Tested) {
        let Some((channel, _)) = self.test.take() else { return };
        match tested {
            Tested::NotReceived => {
                self.push = Push::Absent;
                tracing::warn!(
                    store = %self.shared.target.place(),
                    event = "no_notifications",
                    "notifications do not arrive, so hand-overs are noticed by polling; connect \
                     directly, not through a pooler in transaction mode"
                );
                self.prepare(format!("UNLISTEN \"{channel}\"")).await;
            }
            Tested::Unsent => {
                self.test_pause = TEST_AGAIN;
                self.begin_test().await;
            }
        }
    }
}
