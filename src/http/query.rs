//! The query of a request. A misspelt parameter would be ignored where it matters most, as
//! `?min_valid=`: so unknown parameters are refused.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::extract::{FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use futures_util::future::Either;
use serde::de::DeserializeOwned;
use tower_layer::Layer;
use tower_service::Service;

use super::reply::problem;

/// How much of an unknown name the error repeats.
const SHOWN: usize = 64;

/// The query of a request. One that cannot be read is refused as every other mistake is, in JSON.
pub(super) struct FromQuery<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for FromQuery<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(question)) => Ok(Self(question)),
            Err(rejection) => Err(problem(StatusCode::BAD_REQUEST, &rejection.body_text())),
        }
    }
}

/// The parameters that a path accepts. `elections` selects among those of the sidecar, and has no
/// meaning below the name of one.
fn known(path: &str) -> &'static [&'static str] {
    match path.rsplit('/').next() {
        // Not the name of an election: `/elections/leader` is the name of a holder.
        Some("leader") if path != "/elections/leader" => &["wait", "min-valid"],
        Some("events") if path == "/events" => &["since", "elections"],
        Some("events") if path != "/elections/events" => &["since"],
        _ => &[],
    }
}

/// Refuses parameters that the path does not know. It is no function of axum's middleware, which
/// would allocate half a dozen times for each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check;

impl<S> Layer<S> for Check {
    type Service = Checked<S>;

    fn layer(&self, inner: S) -> Checked<S> {
        Checked(inner)
    }
}

/// A service behind [`Check`].
#[derive(Clone, Debug)]
pub(super) struct Checked<S>(S);

impl<S> Service<Request> for Checked<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match unknown(request.uri()) {
            Some(refusal) => Either::Left(ready(Ok(problem(StatusCode::BAD_REQUEST, &refusal)))),
            None => Either::Right(self.0.call(request)),
        }
    }
}

fn unknown(uri: &Uri) -> Option<String> {
    uri.query()?;
    // The code that reads a query refuses one that cannot be read.
    let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    let known = known(uri.path());
    let (name, _) = given.iter().find(|(name, _)| !known.contains(&name.as_str()))?;
    let name: String = name.escape_debug().take(SHOWN).collect();
    Some(match known {
        [] => format!("no parameter '{name}' is known here, nor any other"),
        known => format!("no parameter '{name}' is known here, but: {}", known.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_the_path_does_not_know_is_refused() {
        let refused = |uri: &str| unknown(&uri.parse().unwrap());
        for fine in [
            "/leader",
            "/leader?",
            "/leader?wait=1s&min-valid=2s",
            "/elections/leader/leader?min%2Dvalid=2s",
            "/events?since=a-1&elections=all",
            "/elections/a/events?since=a-1",
            "/livez",
        ] {
            assert_eq!(refused(fine), None, "{fine}");
        }
        for (wrong, words) in [
            ("/leader?min_valid=5s", "'min_valid' is known here, but: wait, min-valid"),
            ("/leader?wait=1s&Wait=2s", "'Wait' is known here, but: wait, min-valid"),
            ("/elections/a/events?elections=all", "'elections' is known here, but: since"),
            ("/livez?wait=1s", "'wait' is known here, nor any other"),
            ("/elections/leader?wait=1s", "'wait' is known here, nor any other"),
            ("/?%1b[2J", "'\\u{1b}[2J'"),
        ] {
            let refusal = refused(wrong).unwrap_or_default();
            assert!(refusal.contains(words), "{wrong}: {refusal}");
        }
    }
}
