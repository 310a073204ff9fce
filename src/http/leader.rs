//! `/leader` and `/`: who leads.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize, Serializer};

use super::{App, json, problem};
use crate::election::clock::{BootTime, Clock, HostClock};
use crate::election::leadership::Leadership;

/// The longest `?wait=`: beyond it a client had better ask again, to learn that its connection is
/// dead.
const MAX_WAIT: Duration = Duration::from_secs(600);

const TERM: HeaderName = HeaderName::from_static("bellwether-term");

#[derive(Debug, Deserialize)]
pub(super) struct Question {
    wait: Option<String>,
    #[serde(rename = "min-valid")]
    min_valid: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    election: &'a str,
    identity: &'a str,
    leader: bool,
    holder_identity: Option<&'a str>,
    term: Option<u64>,
    valid_for_ms: u64,
    #[serde(serialize_with = "seconds")]
    lease_duration_seconds: Duration,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    holds: usize,
}

/// 200 while this instance leads, else 503.
pub(super) async fn leader(State(app): State<App>, Query(question): Query<Question>) -> Response {
    let wait = match duration("wait", question.wait.as_deref(), MAX_WAIT) {
        Ok(wait) => wait,
        Err(refusal) => return refusal,
    };
    let longest = app.election.leadership().timing.renew_deadline();
    let min_valid = match duration("min-valid", question.min_valid.as_deref(), longest) {
        Ok(min_valid) => min_valid,
        Err(refusal) => return refusal,
    };
    let view = leading_within(&app, wait, min_valid).await;
    answer(&app, &view, app.election.now(), min_valid)
}

/// `{"name", "last_update"}`, as the sidecars that came before answer.
pub(super) async fn name(State(app): State<App>) -> Response {
    #[derive(Serialize)]
    struct Name<'a> {
        name: &'a str,
        last_update: String,
    }
    let (view, now) = (app.election.leadership(), app.election.now());
    let name = view.holder(now).map_or("", |holder| holder.identity.as_str());
    json(StatusCode::OK, &Name { name, last_update: HostClock.now().wall.to_string() })
}

/// The view as soon as this instance leads for `min_valid`, or at the end of `wait`.
async fn leading_within(app: &App, wait: Duration, min_valid: Duration) -> Leadership {
    let mut views = app.election.watch();
    let leads = |view: &Leadership| {
        let now = app.election.now();
        view.is_leading(now) && view.valid_for(now) >= min_valid
    };
    let found = tokio::time::timeout(wait, async {
        // Fails only when the election is over, at the end of a shutdown.
        views.wait_for(leads).await.map(|view| view.clone()).ok()
    });
    match found.await {
        Ok(Some(view)) => view,
        Ok(None) | Err(_) => app.election.leadership(),
    }
}

/// 200 if this instance leads for `min_valid` more, else 503.
pub(super) fn answer(app: &App, view: &Leadership, now: BootTime, min_valid: Duration) -> Response {
    let yes = view.is_leading(now) && view.valid_for(now) >= min_valid;
    let status = if yes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = json(status, &body(app, view, now));
    if let Some(term) = view.term() {
        response.headers_mut().insert(TERM, HeaderValue::from(term));
    }
    response
}

/// What is known at `now`.
pub(super) fn body<'a>(app: &'a App, view: &'a Leadership, now: BootTime) -> Answer<'a> {
    let holder = view.holder(now);
    Answer {
        election: app.election.election().as_str(),
        identity: &view.candidate.identity,
        leader: view.is_leading(now),
        holder_identity: holder.map(|holder| holder.identity.as_str()),
        term: view.term(),
        valid_for_ms: u64::try_from(view.valid_for(now).as_millis()).unwrap_or(u64::MAX),
        lease_duration_seconds: holder
            .map_or(view.timing.lease_duration(), |holder| holder.lease_duration),
        acquire_time: holder.map(|holder| holder.acquire_time.to_string()),
        renew_time: holder.map(|holder| holder.renew_time.to_string()),
        holds: app.holds.count(),
    }
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

/// Whole seconds as Kubernetes writes them, fractions only where there are some.
fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    if duration.subsec_nanos() == 0 {
        serializer.serialize_u64(duration.as_secs())
    } else {
        serializer.serialize_f64(duration.as_secs_f64())
    }
}
