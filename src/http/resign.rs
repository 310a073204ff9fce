//! `POST /resign`: step down, and stay down for a while.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::access::Permitted;
use super::app::App;
use super::body::read_body;
use super::election_state::ElectionState;
use super::leader;
use super::reply::{json, problem};
use crate::driver::Left;
use crate::election::leadership::Leadership;

/// The longest cooldown: to take an instance out of the election for good, stop it.
const MAX_COOLDOWN: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long the election may take to hear of it. It takes no time, unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResignRequest {
    cooldown: Option<String>,
}

/// Why a request names no cooldown.
#[derive(Debug, thiserror::Error)]
enum InvalidCooldown {
    #[error("the body is not like {{\"cooldown\":\"30s\"}}: {0}")]
    Body(#[from] serde_json::Error),
    #[error("'cooldown' is not a duration such as 30s or 5m: {0}")]
    Duration(#[from] humantime::DurationError),
    #[error("'cooldown' can be at most {}", humantime::format_duration(MAX_COOLDOWN))]
    TooLong,
}

/// Answers as `/leader` does when the answer has turned to "no", with 200.
pub(super) async fn resign(
    _: Permitted,
    State(app): State<App>,
    state: ElectionState,
    request: Request,
) -> Response {
    let body = match read_body(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let default = state.election.leadership().timing.lease_duration();
    let cooldown = match cooldown(&body, default) {
        Ok(cooldown) => cooldown,
        Err(refusal) => return problem(StatusCode::BAD_REQUEST, &refusal.to_string()),
    };
    let term_led = |view: &Leadership| view.leading(state.election.now()).map(|own| own.term());
    let before = term_led(&state.election.leadership());
    let stepped_down = tokio::time::timeout(PATIENCE, async {
        state.election.resign(cooldown).await?;
        // Fails when the election is over, at the end of a shutdown: then no election leads here.
        let over = |view: &Leadership| before.is_none() || term_led(view) != before;
        let _ = state.election.watch().wait_for(over).await;
        Ok::<_, Left>(())
    });
    match stepped_down.await {
        Ok(Ok(())) => {}
        Ok(Err(left)) => return problem(StatusCode::SERVICE_UNAVAILABLE, &left.to_string()),
        Err(_) => {
            let words = "the election does not turn: see /livez";
            return problem(StatusCode::SERVICE_UNAVAILABLE, words);
        }
    }
    let view = state.election.leadership();
    json(StatusCode::OK, &leader::body(&app, &state, &view, state.election.now()))
}

fn cooldown(body: &[u8], default: Duration) -> Result<Duration, InvalidCooldown> {
    let wish = if body.trim_ascii().is_empty() {
        ResignRequest::default()
    } else {
        serde_json::from_slice(body)?
    };
    let Some(text) = wish.cooldown else { return Ok(default) };
    let cooldown = humantime::parse_duration(&text)?;
    if cooldown <= MAX_COOLDOWN { Ok(cooldown) } else { Err(InvalidCooldown::TooLong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cooldown_is_read_or_refused_in_words() {
        let default = Duration::from_secs(15);
        let read = |body: &str| cooldown(body.as_bytes(), default);
        for empty in ["", " \n", "{}", r#"{"cooldown":null}"#] {
            assert_eq!(read(empty).unwrap(), default, "{empty}");
        }
        assert_eq!(read(r#"{"cooldown":"1m 30s"}"#).unwrap(), Duration::from_secs(90));
        for (wrong, words) in [
            ("nonsense", "the body is not like {\"cooldown\":\"30s\"}: expected"),
            (r#"{"cooldown":30}"#, "the body is not like"),
            (r#"{"cool-down":"30s"}"#, "unknown field"),
            (
                r#"{"cooldown":"30"}"#,
                "'cooldown' is not a duration such as 30s or 5m: time unit needed",
            ),
            (r#"{"cooldown":"8d"}"#, "'cooldown' can be at most 7days"),
        ] {
            let refusal = read(wrong).unwrap_err().to_string();
            assert!(refusal.contains(words), "{wrong}: {refusal}");
        }
    }
}
