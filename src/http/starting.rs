//! The answers while the sidecar starts: that it lives, and why it has not started. A store that
//! does not answer must not keep a probe from its answer.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::probes::{ProbeFailure, STARTING, probe};
use super::reply::busy;
use super::server::{ACCEPT_PAUSE, HEAD_TIMEOUT, MAX_HEAD};

/// Connections at once. Each gets one answer, and has [`HEAD_TIMEOUT`] for it.
const MAX_CONNECTIONS: usize = 64;

/// Answers requests until it is dropped.
pub async fn serve_meanwhile(listener: &TcpListener) -> Infallible {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
            tokio::spawn(async move {
                let _ = tokio::time::timeout(HEAD_TIMEOUT, serve(stream)).await;
                drop(permit);
            });
        }
    }
}

/// One answer per connection: the next answer comes from a sidecar that has started.
async fn serve(stream: TcpStream) -> Result<(), hyper::Error> {
    let service = service_fn(|request: hyper::Request<_>| {
        let response = response(request.uri().path());
        drop::<hyper::Request<hyper::body::Incoming>>(request);
        async { Ok::<Response<Body>, Infallible>(response) }
    });
    let builder = &mut http1::Builder::new();
    let builder = builder.keep_alive(false).max_buf_size(MAX_HEAD);
    builder.serve_connection(TokioIo::new(stream), service).await
}

fn response(path: &str) -> Response {
    match path.rsplit('/').next() {
        Some("livez") => probe(Ok(()), None),
        Some("started" | "ready") => probe(Err(ProbeFailure::Starting), None),
        _ => busy(STARTING),
    }
}
