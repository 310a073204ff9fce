//! `/ready`, `/started`, `/livez` for orchestrators, `/metrics` for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::App;
use super::election_state::ElectionState;
use super::leader::shown;
use super::reason;
use super::reply::{json, problem};
use crate::election::leadership::Undecided;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<&'static str>,
}

/// What a start waits for.
pub(super) const STARTING: &str = "starting: the store has not responded yet, or the platform has \
                                   not given the identity";

/// Why a probe fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeFailure {
    /// See [`STARTING`].
    #[error("{STARTING}")]
    Starting,
    /// The election is not decided, for the reason in words.
    #[error("{0}: {1}")]
    Undecided(Undecided, String),
    /// The election was never decided.
    #[error("the election is not decided yet")]
    NeverDecided,
    /// The election's loop has not turned for so long.
    #[error("the election has not moved for {}", humantime::format_duration(*.0))]
    Stalled(Duration),
}

pub(super) fn probe(outcome: Result<(), ProbeFailure>, gate: Option<&'static str>) -> Response {
    let reason = outcome.err().map(|failure| failure.to_string());
    let ok = reason.is_none();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Probe { ok, reason, gate })
}

/// Whether the election is decided as seen from here: never whether this instance leads.
pub(super) async fn ready(State(app): State<Arc<App>>, state: ElectionState) -> Response {
    let (view, now) = (state.election.leadership(), state.election.now());
    let decided = view.decided(now).map_err(|undecided| {
        let reason = reason::of(&app, &state, &view, now).unwrap_or_default();
        ProbeFailure::Undecided(undecided, reason)
    });
    probe(decided, shown(app.gate.as_ref(), now))
}

/// Whether the election was ever decided. Behind a gate it is enough that the store has answered:
/// the gate waits for the application, and the application may wait for this.
pub(super) async fn started(State(app): State<Arc<App>>, state: ElectionState) -> Response {
    let (view, now) = (state.election.leadership(), state.election.now());
    let waits_for_gate = app.gate.is_some() && view.store_silence(now).is_some();
    let started = if view.was_ever_decided() || waits_for_gate {
        Ok(())
    } else {
        Err(ProbeFailure::NeverDecided)
    };
    probe(started, None)
}

/// Whether the election's loop turns.
pub(super) async fn livez(state: ElectionState) -> Response {
    let (stalled_for, limit) =
        (state.election.stalled_for(), state.election.leadership().timing.lease_duration());
    let turns = if stalled_for <= limit { Ok(()) } else { Err(ProbeFailure::Stalled(stalled_for)) };
    probe(turns, None)
}

/// What Prometheus reads, of all elections.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    for state in app.elections.iter() {
        let (election, now) = (&state.election, state.election.now());
        app.metrics.show(election.election(), &election.leadership(), state.holds.count(), now);
    }
    let (open, streams) = app.connections.count();
    app.metrics.show_connections(open, streams);
    match app.metrics.render() {
        Ok(text) => {
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
