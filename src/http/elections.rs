//! `/elections`: who leads in each election of this sidecar.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::app::App;
use super::leader;
use super::reply::json;
use crate::api::leader::Leader;

/// What `/leader` says of each.
pub(super) async fn elections(State(app): State<App>) -> Response {
    #[derive(Serialize)]
    struct ElectionsBody<'a> {
        elections: Vec<Leader<'a>>,
    }
    let now = app.elections.first().election.now();
    let views: Vec<_> =
        app.elections.iter().map(|state| (state, state.election.leadership())).collect();
    let elections =
        views.iter().map(|(state, view)| leader::body(&app, state, view, now)).collect();
    json(StatusCode::OK, &ElectionsBody { elections })
}
