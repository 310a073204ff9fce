//! One connection to the server.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, raw_sql};

/// A connection that is both listened on and asked.
///
/// # Why sqlx's listener
///
/// It is the only type of sqlx's that tells notifications from answers, so all statements go
/// through it. It comes with a pool, which is made for this one connection and goes with it.
pub struct Session {
    /// None only while it is dropped.
    listener: Option<PgListener>,
}

impl Session {
    /// Opens a connection, for at most `limit`.
    pub async fn open(options: PgConnectOptions, limit: Duration) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(limit)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await?;
        // What a lost connection means is decided here, not in sqlx.
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        Ok(Self { listener: Some(listener) })
    }

    /// Sends one message and reads its answer to the end: only then is its transaction over.
    pub async fn ask(&mut self, text: String) -> Result<Vec<PgRow>, sqlx::Error> {
        let listener = self.listener.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
        raw_sql(AssertSqlSafe(text)).fetch_all(listener).await
    }

    /// Waits for a notification and gives its channel and payload; none when the connection is
    /// lost. Safe to cancel.
    pub async fn heard(&mut self) -> Option<(String, String)> {
        let heard = self.listener.as_mut()?.try_recv().await.ok()??;
        Some((heard.channel().to_owned(), heard.payload().to_owned()))
    }
}

impl Drop for Session {
    /// Closes the socket, now.
    ///
    /// Left to itself, sqlx's listener would first say UNLISTEN from a task of its own and wait
    /// for the answer. On a connection that hangs, that task would live as long as the kernel
    /// repeats the packet, a quarter of an hour, and every call that hangs would add another. So
    /// its task is spawned where nothing ever runs and ends with its runtime.
    fn drop(&mut self) {
        let Ok(nowhere) = tokio::runtime::Builder::new_current_thread().build() else { return };
        let here = nowhere.enter();
        drop(self.listener.take());
        drop(here);
        nowhere.shutdown_background();
    }
}

/// Opens a second connection for a moment, asks the same several times with a pause after each, and
/// closes it again.
pub async fn ask_repeatedly(
    options: &PgConnectOptions,
    text: &str,
    times: u32,
    pause: Duration,
) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    for _ in 0..times {
        raw_sql(AssertSqlSafe(text)).fetch_all(&mut connection).await?;
        tokio::time::sleep(pause).await;
    }
    let _ = connection.close().await;
    Ok(())
}

/// Opens a second connection for a moment, asks, and closes it again.
pub async fn ask_once(options: &PgConnectOptions, text: String) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let answer = raw_sql(AssertSqlSafe(text)).fetch_all(&mut connection).await;
    // Without the goodbye the server would log an unexpected end; it changes nothing else.
    let _ = connection.close().await;
    answer
}
