//! The answers while the sidecar starts: that it lives, and why it has not started. A store that
//! does not answer must not keep a probe from its answer.

use std::convert::Infallible;

use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::connections::{Connection, Connections, ResponseBody};
use super::probes::{ProbeFailure, STARTING, probe};
use super::reply::busy;
use super::server::{ACCEPT_PAUSE, HEAD_TIMEOUT, MAX_HEAD};

/// Connections at once: more probes than there are, and few enough for any limit of open files. Each
/// gets one answer, and has [`HEAD_TIMEOUT`] for it, or until another one needs its room.
const MAX_CONNECTIONS: usize = 64;

/// Answers requests until it is dropped.
pub async fn serve_meanwhile(listener: &TcpListener) -> Infallible {
    let connections = Connections::at_most(MAX_CONNECTIONS);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            connections.put_one_out();
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // If all are busy, it is closed: no client takes that long to read its one answer.
        if let Some(connection) = connections.enter() {
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::time::timeout(HEAD_TIMEOUT, serve(stream, &connection)) => {}
                    () = connection.put_out() => {}
                }
            });
            // The connection closed for this one goes before the next comes.
            tokio::task::yield_now().await;
        }
    }
}

/// One answer per connection: the next answer comes from a sidecar that has started.
async fn serve(stream: TcpStream, connection: &Connection) -> Result<(), hyper::Error> {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let in_response = connection.in_response();
        let response = response(request.uri().path());
        let response = response.map(|body| ResponseBody { body, _in_response: in_response });
        async { Ok::<Response<ResponseBody>, Infallible>(response) }
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
