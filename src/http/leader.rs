//! `/leader` and `/`: who leads.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::app::App;
use super::election_state::ElectionState;
use super::query::FromQuery;
use super::reason;
use super::reply::{busy, json, problem};
use crate::api::leader::{Leader, Name};
use crate::election::leadership::Leadership;
use crate::election::time::{BootTime, Clock, WallTime};
use crate::gate::Gate;
use crate::time::clock::HostClock;

/// The longest `?wait=`: beyond it a client had better ask again, to learn that its connection is
/// dead.
const MAX_WAIT: Duration = Duration::from_secs(600);

const TERM: HeaderName = HeaderName::from_static("bellwether-term");

#[derive(Debug, Deserialize)]
pub(super) struct LeaderQuery {
    wait: Option<String>,
    #[serde(rename = "min-valid")]
    min_valid: Option<String>,
}

/// 200 while this instance leads, else 503.
pub(super) async fn leader(
    State(app): State<Arc<App>>,
    state: ElectionState,
    FromQuery(query): FromQuery<LeaderQuery>,
) -> Response {
    let wait = match duration("wait", query.wait.as_deref(), MAX_WAIT) {
        Ok(wait) => wait,
        Err(refusal) => return refusal,
    };
    let longest = state.election.read(|view| view.timing.renew_deadline());
    let min_valid = match duration("min-valid", query.min_valid.as_deref(), longest) {
        Ok(min_valid) => min_valid,
        Err(refusal) => return refusal,
    };
    if wait.is_zero() {
        let election = &state.election;
        return election.read(|view| respond(&app, &state, view, election.now(), min_valid));
    }
    let at_once = state.election.read(|view| leads(view, &state, min_valid));
    let _room = match app.connections.wait() {
        _ if at_once => None,
        Some(room) => Some(room),
        None => return busy("too many requests wait already; send it again without 'wait'"),
    };
    let view = leading_within(&state, wait, min_valid).await;
    respond(&app, &state, &view, state.election.now(), min_valid)
}

/// `{"name", "last_update"}`, as the sidecars that came before answer.
pub(super) async fn name(state: ElectionState) -> Response {
    let (view, now) = (state.election.leadership(), state.election.now());
    let name = view.holder(now).map_or("", |holder| holder.identity.as_str());
    let last_update = HostClock.now().wall.to_string();
    json(StatusCode::OK, &Name { name, last_update: &last_update })
}

/// The view as soon as this instance leads for `min_valid`, or at the end of `wait`.
async fn leading_within(state: &ElectionState, wait: Duration, min_valid: Duration) -> Leadership {
    let mut views = state.election.watch();
    let found = tokio::time::timeout(wait, async {
        // Fails only when the election is over, at the end of a shutdown.
        views.wait_for(|view| leads(view, state, min_valid)).await.map(|view| view.clone()).ok()
    });
    match found.await {
        Ok(Some(view)) => view,
        Ok(None) | Err(_) => state.election.leadership(),
    }
}

/// Whether this instance leads now, for `min_valid` more.
fn leads(view: &Leadership, state: &ElectionState, min_valid: Duration) -> bool {
    let now = state.election.now();
    view.is_leading(now) && view.valid_for(now) >= min_valid
}

/// 200 if this instance leads for `min_valid` more, else 503.
pub(super) fn respond(
    app: &App,
    state: &ElectionState,
    view: &Leadership,
    now: BootTime,
    min_valid: Duration,
) -> Response {
    let yes = view.is_leading(now) && view.valid_for(now) >= min_valid;
    let status = if yes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = body(app, state, view, now);
    if !yes {
        body.reason.get_or_insert_with(|| reason::too_short(view, now, min_valid));
    }
    let mut response = json(status, &body);
    if let Some(term) = view.term() {
        response.headers_mut().insert(TERM, HeaderValue::from(term.get()));
    }
    response
}

/// What is known at `now`.
pub(super) fn body<'a>(
    app: &App,
    state: &'a ElectionState,
    view: &'a Leadership,
    now: BootTime,
) -> Leader<'a> {
    let holder = view.holder(now);
    let change = view.change(now);
    let since = change.since.map(|since| wall_time(now.since(since)));
    let (unknown_since, no_leader_since) =
        if change.cause.is_ignorance() { (since, None) } else { (None, since) };
    Leader {
        election: state.election.election().as_str().into(),
        identity: view.candidate.identity.as_str().into(),
        leader: view.is_leading(now),
        holder_identity: holder.map(|holder| holder.identity.as_str().into()),
        holder_url: holder.and_then(|holder| Some(holder.url.as_ref()?.as_str().into())),
        holder_origin: holder.and_then(|holder| Some(holder.origin.as_ref()?.as_str().into())),
        successor: view.successor(now).map(Into::into),
        term: view.term(),
        valid_for_ms: Some(millis(view.valid_for(now))),
        lease_duration_seconds: holder
            .map_or(view.timing.lease_duration(), |holder| holder.lease_duration),
        acquire_time: holder.map(|holder| holder.acquire_time.to_string()),
        renew_time: holder.map(|holder| holder.renew_time.to_string()),
        holder_lease_ends_in_ms: view.rival_ends_in(now).map(millis),
        holds: state.holds.count(),
        gate: shown(app.gate.as_ref(), now).map(Into::into),
        store_answered_ms_ago: view.store_silence(now).map(millis),
        standing: view.standing_down(now).is_none(),
        paused: view.paused(now).is_some(),
        reason: reason::of(app, state, view, now),
        cause: Some(change.cause.as_str().into()),
        no_leader_since,
        unknown_since,
        holder_is: view.holder_is(now).map(|is| is.as_str().into()),
        last_renewal_ms_ago: view.renewed_ago(now).map(millis),
        takes_over_in_ms: view.takes_over_in(now).map(millis),
        store_error: state.election.store_error(),
    }
}

/// When that was, by the wall clock.
fn wall_time(ago: Duration) -> String {
    let now = HostClock.now().wall;
    WallTime::from_unix(now.since_epoch().saturating_sub(ago)).to_string()
}

/// How the gate is; none if there is none.
pub(super) fn shown(gate: Option<&Gate>, now: BootTime) -> Option<&'static str> {
    gate.map(|gate| if gate.is_open(now) { "open" } else { "closed" })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a duration from the query; none is zero.
#[expect(clippy::result_large_err, reason = "the error is the answer")]
fn duration(name: &str, text: Option<&str>, longest: Duration) -> Result<Duration, Response> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    let longest_shown = humantime::format_duration(longest);
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= longest => Ok(duration),
        Ok(_) => {
            let refusal = format!("'{name}' can be at most {longest_shown} here");
            Err(problem(StatusCode::BAD_REQUEST, &refusal))
        }
        Err(error) => {
            let refusal = format!("'{name}' is not a duration such as 5s or 500ms: {error}");
            Err(problem(StatusCode::BAD_REQUEST, &refusal))
        }
    }
}
