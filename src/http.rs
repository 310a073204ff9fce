//! The sidecar's answers over HTTP.
//!
//! Every answer is computed from the leadership view and the clock when it is asked for. Nothing in
//! here knows a store.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Bytes;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::files::Files;
use crate::gate::Gate;
use crate::metrics::Metrics;
use connections::{Connections, InRequest};
use events::Events;

mod access;
mod connections;
mod elections;
mod events;
mod hold;
mod leader;
mod openapi;
mod page;
mod probes;
mod query;
mod resign;
mod server;
mod starting;

pub use access::Access;
pub use connections::MAX_CONNECTIONS;
pub use elections::{ElectionState, Elections};
pub use hold::Holds;
pub use server::bind;
pub use starting::answer_meanwhile;

/// How large the body of a request may be, in bytes, and how long it may take.
const MAX_BODY: usize = 4 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a client that was refused for lack of room may wait before it tries again, in seconds.
const RETRY_AFTER: &str = "5";

/// What the answers are made from.
#[derive(Clone)]
pub struct App {
    /// The elections.
    pub elections: Elections,
    /// The counters.
    pub metrics: Metrics,
    /// None if there is no gate.
    pub gate: Option<Gate>,
    /// Who may change something.
    pub access: Access,
    events: Events,
    connections: Connections,
    files: Files,
}

impl App {
    /// Without a gate. `files` says how many clients there is room for.
    pub fn new(elections: Elections, metrics: Metrics, access: Access, files: Files) -> Self {
        let events = Events::of(&elections);
        let connections = Connections::new(files);
        Self { elections, metrics, gate: None, access, events, connections, files }
    }

    /// Behind this gate, if there is one.
    #[must_use]
    pub fn behind(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }
}

/// Answers from now on.
///
/// # Errors
///
/// When the system has no timer to spare.
pub fn start(listener: TcpListener, app: App) -> io::Result<()> {
    events::record(&app)?;
    tokio::spawn(server::serve(listener, app));
    Ok(())
}

/// The paths.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(page::paths())
        .route("/openapi.json", get(openapi::openapi))
        .route("/metrics", get(probes::metrics))
        .route("/elections", get(elections::elections))
        .merge(election_paths())
        .route("/events", get(events::events))
        .route("/elections/{name}", get(leader::name))
        .route("/elections/{name}/events", get(events::events_of))
        .nest("/elections/{name}", election_paths())
        .route_layer(axum::middleware::from_fn(query::check))
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
        .route("/sse", get(events::names))
        .route("/hold", post(hold::hold))
        .route("/resign", post(resign::resign))
}

async fn no_such_path() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "no such path: the paths are / /leader /ready /started /livez /events /metrics /elections, \
         and to POST to /hold /resign; those of one election are below /elections/NAME, as in \
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
    let in_request = request.extensions().get::<InRequest>().cloned();
    let _waiting = in_request.map(InRequest::waits);
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

/// A refusal for lack of room.
fn busy(error: &str) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, error);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
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
