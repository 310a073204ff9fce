//! The sidecar's answers over HTTP.
//!
//! Every answer is computed from the leadership view and the clock when it is asked for. Nothing in
//! here knows a store.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;
use access::Peer;

mod access;
mod elections;
mod hold;
mod leader;
mod probes;
mod resign;

pub use access::Access;
pub use elections::{Elections, Seat};
pub use hold::Holds;

/// Connections at once; more wait in the kernel's queue. A sidecar serves one application, a few
/// probes and a scraper, each with a connection or two.
const MAX_CONNECTIONS: usize = 1024;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How large the head of a request may be, in bytes. hyper's least.
const MAX_HEAD: usize = 8 * 1024;

/// How large the body of a request may be, in bytes, and how long it may take.
const MAX_BODY: usize = 4 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// After a failed `accept` (no file descriptor left, say): the pause before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the answers are made from.
#[derive(Clone)]
pub struct App {
    /// The elections.
    pub elections: Elections,
    /// The counters.
    pub metrics: Metrics,
    /// Whether the gate is open; none if there is no gate.
    pub gate: Option<watch::Receiver<bool>>,
    /// Who may change something.
    pub access: Access,
}

/// Takes the address.
///
/// # Errors
///
/// When it is taken, not this host's, or not allowed.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers for ever.
pub async fn serve(listener: TcpListener, app: App) {
    let router = router(app);
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    connection(stream, Peer(peer), router).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: Peer, router: Router) {
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let result = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = result {
        tracing::trace!(%error, "a connection ended early");
    }
}

/// The paths.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(leader::name))
        .route("/metrics", get(probes::metrics))
        .route("/elections", get(elections::elections))
        .merge(election_paths())
        .nest(&format!("/elections/{{{}}}", elections::NAME), election_paths())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(app)
}

/// What there is of every election.
fn election_paths() -> Router<App> {
    Router::new()
        .route("/leader", get(leader::leader))
        .route("/ready", get(probes::ready))
        .route("/started", get(probes::started))
        .route("/livez", get(probes::livez))
        .route("/hold", post(hold::hold))
        .route("/resign", post(resign::resign))
}

async fn no_such_path() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "no such path: the paths are / /leader /ready /started /livez /metrics /elections, and to \
         POST to /hold /resign; those of one election are below /elections/NAME, as in \
         /elections/NAME/leader",
    )
}

async fn no_such_method() -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "not with this method: hold and resign answer POST, all other paths GET and HEAD",
    )
}

/// The whole body of a request.
async fn read_body(request: Request) -> Result<Bytes, Response> {
    let body = axum::body::to_bytes(request.into_body(), MAX_BODY);
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let words = format!("the body is longer than {MAX_BODY} bytes, or broken off");
            Err(problem(StatusCode::PAYLOAD_TOO_LARGE, &words))
        }
        Err(_) => Err(problem(StatusCode::REQUEST_TIMEOUT, "the body takes too long to arrive")),
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
}

/// A refusal, in words for whoever wrote the request.
fn problem(status: StatusCode, error: &str) -> Response {
    json(status, &Problem { error })
}

/// A JSON answer that nobody may keep: it is true now.
fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(mut body) => {
            body.push(b'\n');
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (status, headers, body).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
