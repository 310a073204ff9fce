//! The body of a request, within bounds.

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Bytes;

use super::connections::InRequest;
use super::reply::problem;

/// How large the body of a request may be, in bytes, and how long it may take.
const MAX_BODY: usize = 4 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The whole body of a request.
pub(super) async fn read_body(request: Request) -> Result<Bytes, Response> {
    let in_request = request.extensions().get::<InRequest>().cloned();
    let _waiting = in_request.map(InRequest::waits);
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let words = format!("the body is longer than {MAX_BODY} bytes");
            Err(problem(StatusCode::PAYLOAD_TOO_LARGE, &words))
        }
        Ok(Err(_)) => {
            let words = "the body is incomplete, or its chunks are not valid";
            Err(problem(StatusCode::BAD_REQUEST, words))
        }
        Err(_) => Err(problem(StatusCode::REQUEST_TIMEOUT, "the body takes too long to arrive")),
    }
}
