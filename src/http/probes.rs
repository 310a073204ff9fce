//! `/ready`, `/started`, `/livez` for orchestrators, `/metrics` for Prometheus.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{App, json, problem};
use crate::election::leadership::StandingDown;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn probe(outcome: Result<(), String>) -> Response {
    let reason = outcome.err();
    let ok = reason.is_none();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Probe { ok, reason })
}

/// Whether the election is decided as seen from here: never whether this instance leads.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let (view, now) = (app.election.leadership(), app.election.now());
    probe(view.decided(now).map_err(|undecided| match view.standing_down(now) {
        None => undecided.to_string(),
        Some(StandingDown::ShuttingDown) => format!("{undecided}; shutting down"),
        Some(StandingDown::GateClosed) => format!("{undecided}; the gate is closed"),
        Some(StandingDown::Resigned { until }) => {
            let left = std::time::Duration::from_secs(until.since(now).as_secs());
            format!("{undecided}; resigned, stands again in {}", humantime::format_duration(left))
        }
    }))
}

/// Whether the election was ever decided.
pub(super) async fn started(State(app): State<App>) -> Response {
    let decided = app.election.leadership().was_ever_decided();
    probe(if decided { Ok(()) } else { Err("the election is not decided yet".to_owned()) })
}

/// Whether the election's loop turns.
pub(super) async fn livez(State(app): State<App>) -> Response {
    let (stalled_for, limit) =
        (app.election.stalled_for(), app.election.leadership().timing.lease_duration());
    probe(if stalled_for <= limit {
        Ok(())
    } else {
        Err(format!("the election has not moved for {}", humantime::format_duration(stalled_for)))
    })
}

/// What Prometheus reads.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let view = app.election.leadership();
    app.metrics.count_holds(app.election.election(), app.holds.count());
    match app.metrics.render(app.election.election(), &view, app.election.now()) {
        Ok(text) => {
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
