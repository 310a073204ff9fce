//! Connections in, requests to the router, and the bounds that a client has to keep to.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::access::Peer;
use super::connections::{Connection, Connections, ResponseBody};
use super::reply::busy;
use crate::election::time::BootTime;
use crate::time::clock::HostClock;

/// How long a client may take to send the head of its first request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be idle between requests, and how long a later head may take. Clients
/// that keep connections, and collectors that poll every 15 or 30 seconds, come back within it. If
/// there is no room for a quiet connection, it is closed earlier.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How large the head of a request may be, in bytes. hyper's least.
pub(super) const MAX_HEAD: usize = 8 * 1024;

/// After a failed `accept` (no file descriptor left, say): the pause before the next.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the log says so while it lasts: as often as a collector looks.
const REPORT_PAUSE: Duration = Duration::from_secs(60);

/// Connections at once that are only told that there is no room, and how long each has to hear it.
/// Beyond them they are closed without a word.
const MAX_REFUSALS: usize = 16;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes the address.
///
/// # Errors
///
/// When it is taken, not this host's, or not allowed.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers forever.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    connections: Connections,
    ceiling: usize,
) {
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let mut report_at = BootTime::ZERO;
    loop {
        match listener.accept().await {
            // It got one of the last descriptors, which are for the store's connection.
            Ok((stream, _))
                if usize::try_from(stream.as_raw_fd()).is_ok_and(|fd| fd >= ceiling) =>
            {
                drop(stream);
                connections.put_one_out();
                tokio::task::yield_now().await;
            }
            Ok((stream, address)) => match connections.enter() {
                Some(connection) => {
                    let peer = Peer { address, local: stream.local_addr().ok() };
                    tokio::spawn(serve_connection(stream, peer, router.clone(), connection));
                    // The connection closed for this one goes before the next comes.
                    tokio::task::yield_now().await;
                }
                None => refuse(stream, &refusals),
            },
            Err(error) => {
                let now = HostClock::boot();
                if now >= report_at {
                    tracing::warn!(%error, event = "accept_failed", "cannot accept a connection");
                    report_at = now + REPORT_PAUSE;
                }
                connections.put_one_out();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, peer: Peer, router: Router, connection: Connection) {
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let has_request = AtomicBool::new(false);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        has_request.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(connection.in_request());
        let (in_response, response) = (connection.in_response(), router.call(request));
        async {
            let response: Response = response.await?;
            Ok::<_, Infallible>(
                response.map(|body| ResponseBody { body, _in_response: in_response }),
            )
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        result = served => if let Err(error) = result {
            tracing::trace!(%error, "a connection ended early");
        },
        () = sends_nothing(&has_request) => tracing::trace!("a connection sent no request in time"),
        () = connection.put_out() => tracing::trace!("closed an idle connection to make room for \
                                                      another"),
    }
}

/// Waits until the time for the first head is over; forever, if the head arrived.
async fn sends_nothing(has_request: &AtomicBool) {
    tokio::time::sleep(HEAD_TIMEOUT).await;
    if has_request.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

/// Says that there is no room, to a few at once.
fn refuse(stream: TcpStream, refusals: &Arc<Semaphore>) {
    tracing::debug!("refused a connection; all others are busy");
    let Ok(permit) = Arc::clone(refusals).try_acquire_owned() else { return };
    tokio::spawn(async move {
        let _permit = permit;
        let service = service_fn(|_: hyper::Request<Incoming>| async {
            let words = "too many connections are busy; close some, or try again";
            Ok::<Response<Body>, Infallible>(busy(words))
        });
        let refused = http1::Builder::new()
            .keep_alive(false)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refused).await;
    });
}
