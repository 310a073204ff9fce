//! The pod that this process runs in: whether the kubelet still waits for it to end in order.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::api::{Api, ApiResponse};
use super::url::{Target, is_label};
use crate::election::time::Clock;
use crate::store::contract::StoreError;
use crate::store::service_clock::ServiceTime;

/// How long the request may take: a shutdown waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The `Date` of an answer and the time of a deletion are cut to whole seconds, and two API servers may have made
/// them: their clocks differ by less than a second.
const DOUBT: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Pod {
    kind: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    /// When the grace is over: the time of the request plus the grace.
    deletion_timestamp: Option<String>,
}

/// Whether a pod is being deleted and its grace is not over yet, by the clock of the API server alone.
///
/// # Errors
///
/// When the API server does not say.
pub async fn has_grace_left(
    target: &Target,
    clock: Arc<dyn Clock>,
    namespace: &str,
    name: &str,
) -> Result<bool, StoreError> {
    let api = Api::new(target.clone(), PATIENCE, clock);
    if !name.split('.').all(is_label) || !is_label(namespace) {
        return Err(StoreError::Unavailable("the name of this pod is not known".to_owned()));
    }
    let answer =
        api.send(Method::GET, &format!("/api/v1/namespaces/{namespace}/pods/{name}"), None).await?;
    match answer.status {
        StatusCode::OK => Ok(has_left(&answer)),
        StatusCode::FORBIDDEN => Err(StoreError::Misconfigured(format!(
            "the service account of this pod needs the right to get pods in the namespace \
             {namespace}"
        ))),
        status => {
            let why = answer.failure().message;
            Err(StoreError::Unavailable(format!(
                "the API server does not show the pod ({status}): {why}"
            )))
        }
    }
}

fn has_left(answer: &ApiResponse) -> bool {
    let pod = serde_json::from_slice::<Pod>(&answer.body).ok().filter(|pod| pod.kind == "Pod");
    let over_at = pod.and_then(|pod| pod.metadata.deletion_timestamp);
    let over_at = over_at.as_deref().and_then(ServiceTime::from_rfc3339);
    over_at.zip(answer.date).is_some_and(|(over_at, date)| over_at.since(date) > DOUBT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Thu, 26 Nov 2026 18:00:00 GMT";

    fn answered(pod: &str, date: Option<&str>) -> bool {
        has_left(&ApiResponse {
            status: StatusCode::OK,
            body: pod.to_owned().into(),
            date: date.and_then(ServiceTime::from_http_date),
        })
    }

    #[test]
    fn grace_is_left_only_if_the_api_server_shows_it() {
        let deleted = |at: &str| {
            format!(r#"{{"kind":"Pod","metadata":{{"name":"a","deletionTimestamp":"{at}"}}}}"#)
        };
        assert!(answered(&deleted("2026-11-26T18:00:30Z"), Some(DATE)));
        for over in ["2026-11-26T17:59:59Z", "2026-11-26T18:00:00Z", "2026-11-26T18:00:02Z", "soon"]
        {
            assert!(!answered(&deleted(over), Some(DATE)), "{over}");
        }
        assert!(!answered(&deleted("2026-11-26T18:00:30Z"), None), "no time to compare with");
        assert!(!answered(r#"{"kind":"Pod","metadata":{"name":"a"}}"#, Some(DATE)), "not deleted");
        assert!(!answered(r#"{"kind":"Status","metadata":{}}"#, Some(DATE)));
        assert!(!answered("<html>", Some(DATE)));
    }
}
