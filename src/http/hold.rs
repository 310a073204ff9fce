//! `POST /hold`: leader-only work in another process, which the sidecar knows of.
//!
//! [`Hold`] implements it; the other end receives lines of JSON, and ends the hold by closing the
//! connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use tokio::sync::mpsc;

use super::access::Permitted;
use super::app::App;
use super::body::read_body;
use super::election_state::{ElectionState, MAX_HOLDS};
use super::leader;
use super::reply::problem;
use crate::api::hold::HoldLine;
use crate::driver::Hold;
use crate::time::alarm::Sleep;
use crate::time::boot::Boot;

/// A stream of [`HoldLine`]s while this instance leads, else the answer of `/leader`.
pub(super) async fn hold(
    _: Permitted,
    State(app): State<Arc<App>>,
    state: ElectionState,
    request: Request,
) -> Response {
    // Nothing is expected in it, but an unread body would hide the end of the connection.
    if let Err(refusal) = read_body(request).await {
        return refusal;
    }
    // Most who ask are standbys: their question must not look like work to the election.
    let (seen, now) = (state.election.leadership(), state.election.now());
    if !seen.is_leading(now) {
        return leader::respond(&app, &state, &seen, now, Duration::ZERO);
    }
    let Some(permit) = state.holds.room() else {
        let words = format!("there are {MAX_HOLDS} holds already; wait until one of them ends");
        return problem(StatusCode::TOO_MANY_REQUESTS, &words);
    };
    let host = match Boot::this() {
        Ok(host) => host,
        Err(error) => {
            let words = format!("cannot identify this host's clock: {error}");
            return problem(StatusCode::INTERNAL_SERVER_ERROR, &words);
        }
    };
    let clock = host.clock().to_owned();
    let (hold, lines) = match Hold::begin(state.election.clone(), state.holds.grace(), clock, Sleep)
    {
        Ok(begun) => begun,
        Err(seen) => {
            drop(permit);
            return leader::respond(&app, &state, &seen, state.election.now(), Duration::ZERO);
        }
    };
    let term = hold.term();
    tracing::info!(
        target: "bellwether::ordinary", term = term.get(), event = "hold_started",
        "a hold begins"
    );
    tokio::spawn(async move {
        hold.run().await;
        drop(permit);
        tracing::info!(
            target: "bellwether::ordinary", term = term.get(), event = "hold_ended",
            "a hold has ended"
        );
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::new(Stream(lines))).into_response()
}

/// The lines of one hold, on their way to the connection.
struct Stream(mpsc::Receiver<HoldLine>);

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = serde_json::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, serde_json::Error>>> {
        let encode = |line: HoldLine| {
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            Ok(Frame::data(text.into()))
        };
        self.get_mut().0.poll_recv(context).map(|line| line.map(encode))
    }
}
