//! The forms of a response: JSON, a refusal in words, a refusal for lack of room.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What a client that was refused for lack of room may wait before it tries again, in seconds.
const RETRY_AFTER: &str = "5";

/// Bytes of a response of `/leader`, in which nearly every one fits without a second allocation.
const USUAL_BODY: usize = 1024;

#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
}

/// A refusal, in words for the author of the request.
pub(super) fn problem(status: StatusCode, error: &str) -> Response {
    json(status, &Problem { error })
}

/// A refusal for lack of room.
pub(super) fn busy(error: &str) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, error);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
}

/// A JSON answer that must not be cached: it is true now.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(USUAL_BODY);
    match serde_json::to_writer(&mut text, body) {
        Ok(()) => {
            text.push(b'\n');
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (status, headers, text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
