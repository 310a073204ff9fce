//! One session on the server, for both statements and notifications.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions, PgRow, PgSslMode};
use sqlx::{Acquire as _, AssertSqlSafe, Connection as _, raw_sql};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// How long passing a connection to sqlx's listener may take: it stays within this process.
const HANDING_OVER: Duration = Duration::from_secs(2);

/// How long a goodbye may take. The kernel accepts it at once, or the connection hangs.
const GOODBYE: Duration = Duration::from_millis(100);

/// A server's answer to an accepted login, ready for the first statement.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

/// A connection for both notifications and statements.
///
/// # Why sqlx's listener
///
/// It is the only type of sqlx's that tells notifications from responses. On another one, a
/// notification makes the statement fail. Any statement can receive one: a pooler lends the server
/// connection on which another client has listened. So all statements go through a listener.
///
/// It takes its connection from a pool, and a pool can only log in on its own: it
/// repeats a refused login until its time is up, and loses the reason. So the connection is made
/// first, once, with the exact reason if it fails. The pool logs in to a stand-in in this process,
/// and the two are exchanged before they are used.
pub struct Session {
    /// None only while it is dropped.
    listener: Option<PgListener>,
    /// The pool's connection, once the real one is in its place.
    exchanged: Exchanged,
}

type Exchanged = Arc<Mutex<Option<PgConnection>>>;

impl Session {
    /// Takes over an open connection.
    pub async fn adopt(connection: PgConnection) -> Result<Self, sqlx::Error> {
        let name = format!("\0bellwether-{}", uuid::Uuid::new_v4().simple());
        let stand_in = UnixListener::bind(format!("{name}/.s.PGSQL.5432"))?;
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&name)
            .port(5432)
            .username("bellwether")
            .ssl_mode(PgSslMode::Disable);
        let exchanged: Exchanged = Arc::new(Mutex::new(Some(connection)));
        let real = Arc::clone(&exchanged);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(HANDING_OVER)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let mut real = real.lock().unwrap_or_else(PoisonError::into_inner);
                let exchange = real.as_mut().map(|real| mem::swap(real, connection));
                Box::pin(std::future::ready(exchange.ok_or(sqlx::Error::WorkerCrashed)))
            })
            .connect_lazy_with(options);
        let welcomed = async { welcome(&stand_in).await.map_err(sqlx::Error::from) };
        let (mut listener, _stream) = tokio::try_join!(PgListener::connect_with(&pool), welcomed)?;
        // What a lost connection means is decided here, not in sqlx.
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        Ok(Self { listener: Some(listener), exchanged })
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

    /// Closes it with the protocol's goodbye. Without that a server would log an unexpected end; it
    /// changes nothing else.
    pub async fn close(mut self) {
        let stand_in = self.exchanged.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(listener), Some(stand_in)) = (&mut self.listener, stand_in)
            && let Ok(connection) = listener.acquire().await
        {
            let _ = timeout(GOODBYE, mem::replace(connection, stand_in).close()).await;
        }
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
