//! One session on the server, for both statements and notifications.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, raw_sql};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::opened::{Opened, ServerFacts};

/// How long passing a connection to sqlx's listener may take: it stays within this process.
const HANDING_OVER: Duration = Duration::from_secs(2);

/// A server's answer to an accepted login, ready for the first statement.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

/// A connection for both notifications and statements.
///
/// # Why sqlx's listener
///
/// It is the only type of sqlx's that tells notifications from answers, so all statements go
/// through it. It takes its connection from a pool, and a pool can only log in on its own: it
/// repeats a refused login until its time is up, and loses the reason. So the connection is made
/// first, once, with the exact reason if it fails. The pool logs in to a stand-in in this process,
/// and the two are exchanged before they are used.
pub struct Session {
    /// None only while it is dropped.
    listener: Option<PgListener>,
    server: ServerFacts,
}

impl Session {
    /// Takes over an open connection.
    pub async fn adopt(opened: Opened) -> Result<Self, sqlx::Error> {
        let Opened { connection, server } = opened;
        let name = format!("\0bellwether-{}", uuid::Uuid::new_v4().simple());
        let stand_in = UnixListener::bind(format!("{name}/.s.PGSQL.5432"))?;
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&name)
            .port(5432)
            .username("bellwether")
            .ssl_mode(PgSslMode::Disable);
        let real = Arc::new(Mutex::new(Some(connection)));
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(HANDING_OVER)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let real = real.lock().unwrap_or_else(PoisonError::into_inner).take();
                Box::pin(async move {
                    *connection = real.ok_or(sqlx::Error::WorkerCrashed)?;
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        let welcomed = async { welcome(&stand_in).await.map_err(sqlx::Error::from) };
        let (mut listener, _stream) = tokio::try_join!(PgListener::connect_with(&pool), welcomed)?;
        // What a lost connection means is decided here, not in sqlx.
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        Ok(Self { listener: Some(listener), server })
    }

    /// The state that its server reported when it was opened.
    pub fn server(&self) -> &ServerFacts {
        &self.server
    }

    /// Sends one message and reads its answer to the end: only then is its transaction over.
    pub async fn query(&mut self, text: String) -> Result<Vec<PgRow>, sqlx::Error> {
        let listener = self.listener.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
        raw_sql(AssertSqlSafe(text)).fetch_all(listener).await
    }

    /// Waits for a notification and gives its channel and payload; none when the connection is
    /// lost. Safe to cancel.
    pub async fn notification(&mut self) -> Option<(String, String)> {
        let notification = self.listener.as_mut()?.try_recv().await.ok()??;
        Some((notification.channel().to_owned(), notification.payload().to_owned()))
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

/// Lets the pool's login in. The stream has to stay open until the exchange.
async fn welcome(stand_in: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (mut stream, _) = stand_in.accept().await?;
        // Only this process knows the name, but any process may try one.
        if is_own(&stream) {
            // The login is read, whatever it contains, so that the connection ends in order.
            let mut login = [0; 1024];
            let _ = stream.read(&mut login).await?;
            stream.write_all(WELCOME).await?;
            return Ok(stream);
        }
    }
}

/// Whether the other end of a Unix socket is in this process.
pub fn is_own(stream: &UnixStream) -> bool {
    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
    peer.and_then(|pid| u32::try_from(pid).ok()) == Some(std::process::id())
}

/// Sends a statement on a separate connection.
pub async fn query(connection: &mut PgConnection, text: &str) -> Result<Vec<PgRow>, sqlx::Error> {
    raw_sql(AssertSqlSafe(text)).fetch_all(connection).await
}
