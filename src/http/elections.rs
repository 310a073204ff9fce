//! `/elections`: who leads in each election of this sidecar, on which store and at which pace.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::app::{App, StoreName};
use super::leader;
use super::reply::json;
use crate::api::leader::{Leader, seconds};

/// What `/leader` says of each.
pub(super) async fn elections(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ElectionsBody<'a> {
        store: &'a StoreName,
        #[serde(serialize_with = "seconds")]
        lease_duration_seconds: Duration,
        #[serde(serialize_with = "seconds")]
        renew_deadline_seconds: Duration,
        #[serde(serialize_with = "seconds")]
        retry_period_seconds: Duration,
        elections: Vec<Leader<'a>>,
    }
    let now = app.elections.first().election.now();
    let views: Vec<_> =
        app.elections.iter().map(|state| (state, state.election.leadership())).collect();
    let elections =
        views.iter().map(|(state, view)| leader::body(&app, state, view, now)).collect();
    // All elections of a sidecar have the same.
    let timing = app.elections.first().election.leadership().timing;
    let body = ElectionsBody {
        store: &app.store,
        lease_duration_seconds: timing.lease_duration(),
        renew_deadline_seconds: timing.renew_deadline(),
        retry_period_seconds: timing.retry_period(),
        elections,
    };
    json(StatusCode::OK, &body)
}
