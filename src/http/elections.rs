//! The elections of one sidecar, and `/elections`.
//!
//! Each has its own paths, `/elections/NAME/leader` and so on; the same paths without
//! `/elections/NAME` mean the first.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;

use super::{App, Holds, json, leader, problem};
use crate::driver::Handle;

/// The part of a path that names an election.
const NAME: &str = "name";

/// How many elections a refusal names: it is for a person, who mistyped one.
const SHOWN: usize = 20;

/// One election, and the leader-only work of it in other processes.
#[derive(Clone)]
pub struct ElectionState {
    /// The election.
    pub election: Handle,
    /// What holds.
    pub holds: Holds,
}

/// The elections that this process stands in, in the order in which they were given. At least one.
#[derive(Clone)]
pub struct Elections(Arc<ElectionStates>);

struct ElectionStates {
    first: ElectionState,
    others: Vec<ElectionState>,
}

impl Elections {
    /// The `first` is meant by the paths without a name.
    pub fn new(first: ElectionState, others: Vec<ElectionState>) -> Self {
        Self(Arc::new(ElectionStates { first, others }))
    }

    /// The first.
    pub fn first(&self) -> &ElectionState {
        &self.0.first
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &ElectionState> {
        std::iter::once(&self.0.first).chain(&self.0.others)
    }

    fn named(&self, name: &str) -> Option<&ElectionState> {
        self.iter().find(|state| state.election.election().as_str() == name)
    }

    fn no_such_election(&self) -> Response {
        let names: Vec<_> =
            self.iter().take(SHOWN).map(|state| state.election.election().as_str()).collect();
        let more = if self.iter().nth(SHOWN).is_some() { " …" } else { "" };
        let words = format!(
            "this sidecar does not stand in an election of this name, but in: {}{more}",
            names.join(" ")
        );
        problem(StatusCode::NOT_FOUND, &words)
    }
}

/// The election that a path means.
impl FromRequestParts<App> for ElectionState {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        // Fails for what is not UTF-8: no election is called so.
        let params = RawPathParams::from_request_parts(parts, app).await;
        let state = match &params {
            Ok(params) => match params.iter().find(|(key, _)| *key == NAME) {
                Some((_, name)) => app.elections.named(name),
                None => Some(app.elections.first()),
            },
            Err(_) => None,
        };
        state.cloned().ok_or_else(|| app.elections.no_such_election())
    }
}

/// What `/leader` says of each.
pub(super) async fn elections(State(app): State<App>) -> Response {
    #[derive(Serialize)]
    struct ElectionsBody<'a> {
        elections: Vec<leader::LeaderBody<'a>>,
    }
    let now = app.elections.first().election.now();
    let views: Vec<_> =
        app.elections.iter().map(|state| (state, state.election.leadership())).collect();
    let elections =
        views.iter().map(|(state, view)| leader::body(&app, state, view, now)).collect();
    json(StatusCode::OK, &ElectionsBody { elections })
}
