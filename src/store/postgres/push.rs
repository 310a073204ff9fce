//! The operator's part about notifications.
//!
//! Whether notifications arrive is tested once, on a channel of the test's own. Behind a pooler
//! that lends its connections by the transaction they do not arrive, and a LISTEN would stay behind
//! on a connection that other clients use. So the test sends NOTIFY on a second connection; on the
//! same one even such a pooler would deliver it. And it sends it three times, a while apart: one
//! can arrive by chance, if this connection happens to get the one that listens at that moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::connection::Shared;
use super::connection_task::ConnectionTask;
use super::dial::ServerFacts;
use super::errors::{PostgresError, explain};
use super::statement::{self, literal};

/// How long the self-test waits for its own notification. They arrive within a commit's time; this
/// much later a server is overloaded, and polling is good enough.
const TEST_PATIENCE: Duration = Duration::from_secs(5);

/// How many notifications have to arrive, and how far they are apart: farther than a statement and
/// its answer take, so that each needs a chance of its own.
const TEST_NOTIFICATIONS: u32 = 3;
const TEST_GAP: Duration = Duration::from_millis(50);

/// How long until a self-test that could not be made (no second connection) is made again.
const TEST_AGAIN: Duration = Duration::from_secs(30);

/// The known state of notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    Untested,
    Arrives,
    Absent,
}

/// The result of a self-test, besides receiving its own notification.
pub enum Tested {
    /// The notification was sent and not received.
    Unheard,
    /// It could not be sent.
    Unsent,
}

impl ConnectionTask {
    /// Listens on the new connection, or starts to test whether that works.
    pub(super) async fn listen(&mut self) {
        match self.push {
            Push::Arrives => {
                let channel = self.shared.dialect.names.channel();
                self.report(format!("LISTEN \"{channel}\"")).await;
                let Some(session) = &self.session else { return };
                let reports_timeline = session.server().reports_timeline;
                self.report(statement::rehearsal(&self.shared.dialect, reports_timeline)).await;
                // Notifications may have been missed without a listener.
                self.shared.notify_all();
            }
            Push::Untested => self.begin_test().await,
            Push::Absent => {}
        }
    }

    pub(super) fn stop_test(&mut self) {
        if let Some((_, test)) = self.test.take() {
            test.abort();
        }
    }

    async fn begin_test(&mut self) {
        let channel = format!("bellwether_test_{}", uuid::Uuid::new_v4().simple());
        self.report(format!("LISTEN \"{channel}\"")).await;
        if self.session.is_none() {
            return;
        }
        let test = tokio::spawn(test(Arc::clone(&self.shared), channel.clone(), self.test_pause));
        self.test = Some((channel, test));
        self.test_received = 0;
    }

    pub(super) async fn receive(&mut self, channel: &str, payload: &str) {
        if self.test.as_ref().is_some_and(|(tested, _)| tested == channel) {
            self.test_received += 1;
            if self.test_received < TEST_NOTIFICATIONS {
                return;
            }
            self.stop_test();
            self.push = Push::Arrives;
            self.shared.pushes.store(true, Ordering::Relaxed);
            self.report(format!("UNLISTEN \"{channel}\"")).await;
            self.listen().await;
        } else {
            self.shared.notify(payload);
        }
    }

    pub(super) async fn end_test(&mut self, tested: Tested) {
        let Some((channel, _)) = self.test.take() else { return };
        match tested {
            Tested::Unheard => {
                self.push = Push::Absent;
                tracing::warn!(
                    store = %self.shared.target.place(),
                    "notifications do not arrive, as behind a pooler that lends connections by the \
                     transaction: hand-overs are noticed by polling, every retry period"
                );
                self.report(format!("UNLISTEN \"{channel}\"")).await;
            }
            Tested::Unsent => {
                self.test_pause = TEST_AGAIN;
                self.begin_test().await;
            }
        }
    }
}

/// Sends notifications on a second connection and waits; the receiver of all ends this task.
async fn test(shared: Arc<Shared>, channel: String, pause: Duration) -> Tested {
    sleep(pause).await;
    let text = format!("SELECT pg_notify({}, '')::text", literal(&channel));
    let limit = shared.connect_limit() * 2 + TEST_GAP * TEST_NOTIFICATIONS;
    let text = |_: &ServerFacts| text.clone();
    match timeout(limit, shared.query_second(text, TEST_NOTIFICATIONS, TEST_GAP)).await {
        // Behind a pooler it may come back as an answer that sqlx does not expect here.
        Ok(Ok(_) | Err(PostgresError::Sql(sqlx::Error::Protocol(_)))) => {
            sleep(TEST_PATIENCE).await;
            Tested::Unheard
        }
        Ok(Err(failure)) => {
            let error = explain(&shared.target, failure);
            tracing::debug!(%error, "the self-test of notifications has to wait");
            Tested::Unsent
        }
        Err(_) => Tested::Unsent,
    }
}
