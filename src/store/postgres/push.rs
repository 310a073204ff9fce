//! Whether notifications arrive on a session.
//!
//! Whether notifications arrive is tested once, on a channel of the test's own. Behind a pooler
//! that lends its connections by the transaction they do not arrive, and a LISTEN would stay behind
//! on a connection that other clients use. So the test sends NOTIFY on a second connection; on the
//! same one even such a pooler would deliver it. And it sends it three times, a while apart: one
//! can arrive by chance, if this connection happens to get the one that listens at that moment.
//! With each it also ends the listening of its own connection, which only such a pooler shares.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::errors::explain;
use super::opened::ServerFacts;
use super::shared::Shared;
use super::statement::{literal, lock_timeout};

/// How long the self-test waits for its own notification. They arrive within a commit's time; this
/// much later a server is overloaded, and polling is good enough.
const TEST_PATIENCE: Duration = Duration::from_secs(5);

/// How many notifications have to arrive, and how far they are apart: farther than a statement and
/// its answer take, so that each needs a chance of its own.
pub const TEST_NOTIFICATIONS: u32 = 3;
const TEST_GAP: Duration = Duration::from_millis(50);

/// How long until a self-test that could not be made (no second connection) is made again.
pub const TEST_AGAIN: Duration = Duration::from_secs(30);

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
    NotReceived,
    /// It could not be sent.
    Unsent,
}

/// Sends notifications on a second connection and waits; the receiver of all ends this task.
pub async fn test(shared: Arc<Shared>, channel: String, pause: Duration) -> Tested {
    sleep(pause).await;
    let text = format!(
        // Another transaction may hold the lock of the notifications.
        "{}; SELECT pg_notify({}, '')::text; UNLISTEN \"{channel}\"",
        lock_timeout(shared.dialect.lock_timeout),
        literal(&channel)
    );
    let limit = shared.connect_limit() * 2 + TEST_GAP * TEST_NOTIFICATIONS;
    let text = |_: &ServerFacts| text.clone();
    match timeout(limit, shared.query_second(text, TEST_NOTIFICATIONS, TEST_GAP)).await {
        Ok(Ok(_)) => {
            sleep(TEST_PATIENCE).await;
            Tested::NotReceived
        }
        Ok(Err(failure)) => {
            let error = explain(&shared.target, failure);
            tracing::debug!(%error, "the self-test of notifications has to wait");
            Tested::Unsent
        }
        Err(_) => Tested::Unsent,
    }
}
