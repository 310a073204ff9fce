//! `POST /resign`: step down, stay down for a while, and name the next leader.

use std::sync::Arc;
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
use crate::platform::identity::{self, InvalidIdentity};

/// The longest cooldown: to take an instance out of the election for good, stop it.
const MAX_COOLDOWN: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long the election may take to hear of it. It takes no time, unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResignRequest {
    cooldown: Option<String>,
    to: Option<String>,
}

/// What a request comes to.
#[derive(Debug, PartialEq)]
struct Resignation {
    cooldown: Duration,
    successor: Option<Box<str>>,
}

/// The error in a request.
#[derive(Debug, thiserror::Error)]
enum InvalidResignation {
    #[error("the body is not like {{\"cooldown\":\"30s\"}} or {{\"to\":\"web-2\"}}: {0}")]
    Body(#[from] serde_json::Error),
    #[error("'to': {0}")]
    Successor(#[from] InvalidIdentity),
    #[error("'to' names this instance, '{0}'; name the instance that is to lead next")]
    Itself(String),
    #[error("'cooldown' is not a duration such as 30s or 5m: {0}")]
    Duration(#[from] humantime::DurationError),
    #[error("'cooldown' can be at most {}", humantime::format_duration(MAX_COOLDOWN))]
    TooLong,
}

/// Answers as `/leader` does when the answer has turned to "no", with 200.
pub(super) async fn resign(
    _: Permitted,
    State(app): State<Arc<App>>,
    state: ElectionState,
    request: Request,
) -> Response {
    let body = match read_body(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let default = state.election.leadership().timing.lease_duration();
    let before = state.election.leadership();
    let resignation = match read(&body, default, &before.candidate.identity) {
        Ok(resignation) => resignation,
        Err(refusal) => return problem(StatusCode::BAD_REQUEST, &refusal.to_string()),
    };
    let Resignation { cooldown, successor } = resignation;
    let term_led = |view: &Leadership| view.leading(state.election.now()).map(|own| own.term());
    let before = term_led(&before);
    if successor.is_some() && before.is_none() {
        // The leader would not learn of it, and this instance would stay down for nothing.
        let words = "this instance does not lead, and only the leader can name its successor; send \
                     the request to the leader";
        return problem(StatusCode::CONFLICT, words);
    }
    let stepped_down = tokio::time::timeout(PATIENCE, async {
        state.election.resign(cooldown, successor).await?;
        // Fails when the election is over, at the end of a shutdown: then no election leads here.
        let over = |view: &Leadership| before.is_none() || term_led(view) != before;
        let _ = state.election.watch().wait_for(over).await;
        Ok::<_, Left>(())
    });
    match stepped_down.await {
        Ok(Ok(())) => {}
        Ok(Err(left)) => return problem(StatusCode::SERVICE_UNAVAILABLE, &left.to_string()),
        Err(_) => {
            let words = "the election does not run; see /livez";
            return problem(StatusCode::SERVICE_UNAVAILABLE, words);
        }
    }
    let view = state.election.leadership();
    json(StatusCode::OK, &leader::body(&app, &state, &view, state.election.now()))
}

/// Reads a request to an instance of the name `own`.
fn read(body: &[u8], default: Duration, own: &str) -> Result<Resignation, InvalidResignation> {
    let wish = if body.trim_ascii().is_empty() {
        ResignRequest::default()
    } else {
        // By its names: serde also fills a struct from an array.
        let fields: serde_json::Map<_, _> = serde_json::from_slice(body)?;
        serde_json::from_value(fields.into())?
    };
    let successor = wish.to.as_deref().map(identity::parse).transpose()?;
    if let Some(itself) = successor.as_ref().filter(|name| *name == own) {
        return Err(InvalidResignation::Itself(itself.clone()));
    }
    let cooldown = wish.cooldown.as_deref().map(humantime::parse_duration).transpose()?;
    let cooldown = cooldown.unwrap_or(default);
    if cooldown > MAX_COOLDOWN {
        return Err(InvalidResignation::TooLong);
    }
    Ok(Resignation { cooldown, successor: successor.map(Into::into) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cooldown_is_read_or_refused_in_words() {
        let default = Duration::from_secs(15);
        let read = |body: &str| read(body.as_bytes(), default, "web-1");
        let cooldown = |body: &str| read(body).map(|resignation| resignation.cooldown);
        for empty in ["", " \n", "{}", r#"{"cooldown":null,"to":null}"#] {
            assert_eq!(cooldown(empty).unwrap(), default, "{empty}");
        }
        assert_eq!(cooldown(r#"{"cooldown":"1m 30s"}"#).unwrap(), Duration::from_secs(90));
        let successor = Some("web 2".into());
        let named = Resignation { cooldown: default, successor };
        assert_eq!(read(r#"{"to":"web 2"}"#).unwrap(), named);
        for (wrong, words) in [
            (
                "nonsense",
                "the body is not like {\"cooldown\":\"30s\"} or {\"to\":\"web-2\"}: expected",
            ),
            (r#"{"cooldown":30}"#, "the body is not like"),
            (r#"["30s", null]"#, "the body is not like"),
            (r#"{"cool-down":"30s"}"#, "unknown field"),
            (
                r#"{"cooldown":"30"}"#,
                "'cooldown' is not a duration such as 30s or 5m: time unit needed",
            ),
            (r#"{"cooldown":"8d"}"#, "'cooldown' can be at most 7days"),
            (r#"{"to":"web-1"}"#, "'to' names this instance, 'web-1'"),
            (r#"{"to":" "}"#, "'to': ' ' cannot be an identity"),
            (r#"{"to":"a\u001b[2J"}"#, "'to': 'a\u{fffd}[2J' cannot be an identity"),
        ] {
            let refusal = read(wrong).unwrap_err().to_string();
            assert!(refusal.contains(words), "{wrong}: {refusal}");
        }
    }
}
