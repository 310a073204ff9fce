//! The sidecar's answers over HTTP.
//!
//! Every answer is computed from the leadership view and the clock when it is asked for. Nothing in
//! here knows a store.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use reply::problem;

mod access;
mod app;
mod body;
mod changes;
mod connections;
mod election_state;
mod elections;
mod events;
mod hold;
mod leader;
mod openapi;
mod page;
mod probes;
mod query;
mod reason;
mod reply;
mod resign;
mod server;
mod starting;

pub use access::Access;
pub use app::{App, StoreName};
pub use connections::MAX_CONNECTIONS;
pub use election_state::{ElectionState, Elections, Holds};
pub use server::bind;
pub use starting::serve_meanwhile;

/// Answers from now on. No client gets a file descriptor at or above `ceiling`.
///
/// # Errors
///
/// When the system has no timer to spare.
pub fn start(listener: TcpListener, app: App, ceiling: usize) -> io::Result<Server> {
    let connections = app.connections.clone();
    let app = Arc::new(app);
    events::record(&app)?;
    tokio::spawn(server::serve(listener, router(Arc::clone(&app)), connections, ceiling));
    Ok(Server(app))
}

/// How long the readers of event streams have for the last event. On the same network it takes milliseconds.
const LAST_EVENT: Duration = Duration::from_millis(500);

/// The server that answers.
pub struct Server(Arc<App>);

impl Server {
    /// Lets every event stream show its last event, and ends it.
    pub async fn end_streams(&self) {
        let _ = tokio::time::timeout(LAST_EVENT, events::end(&self.0)).await;
    }
}

/// The paths.
fn router(app: Arc<App>) -> Router {
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
        .route_layer(query::Check)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(app)
}

/// What there is of every election.
fn election_paths() -> Router<Arc<App>> {
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
        "no such path; the paths are / /leader /ready /started /livez /events /metrics /elections, \
         and to POST to /hold /resign; those of one election are below /elections/NAME, as in \
         /elections/NAME/leader",
    )
}

async fn no_such_method() -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not support this method; use POST for hold and resign, GET or HEAD for all \
         others",
    )
}
