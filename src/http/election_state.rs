//! The elections of one sidecar, as a request finds the one that it is about.
//!
//! Each has its own paths, `/elections/NAME/leader` and so on; the same paths without
//! `/elections/NAME` mean the first.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::reply::problem;
use crate::driver::Handle;
use crate::election::grace::Grace;

/// Holds at once. Each is a cron job or a hook that runs now: more than this many is a mistake.
pub(super) const MAX_HOLDS: usize = 64;

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
impl<S: Send + Sync> FromRequestParts<S> for ElectionState
where
    Elections: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &S) -> Result<Self, Response> {
        let elections = Elections::from_ref(app);
        // Fails for what is not UTF-8: no election is called so.
        let params = RawPathParams::from_request_parts(parts, app).await;
        let state = match &params {
            Ok(params) => match params.iter().find(|(key, _)| *key == NAME) {
                Some((_, name)) => elections.named(name),
                None => Some(elections.first()),
            },
            Err(_) => None,
        };
        state.cloned().ok_or_else(|| elections.no_such_election())
    }
}

/// The holds of one election.
#[derive(Clone, Debug)]
pub struct Holds {
    free: Arc<Semaphore>,
    grace: Grace,
}

impl Holds {
    /// None yet. When stepping down on purpose, held work has `grace` to end.
    pub fn new(grace: Grace) -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_HOLDS)), grace }
    }

    /// Room for one more; none if there is none.
    pub(super) fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// When stepping down on purpose, the time of held work to end.
    pub(super) fn grace(&self) -> Grace {
        self.grace
    }

    /// How many there are now.
    pub(super) fn count(&self) -> usize {
        MAX_HOLDS - self.free.available_permits()
    }
}
