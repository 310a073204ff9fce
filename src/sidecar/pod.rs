//! The end of the pod that this process runs in.

use std::sync::Arc;
use std::time::Duration;

use crate::platform::kubernetes;
use crate::platform::{identity, surroundings};
use crate::store::{StoreError, StoreUrl, pod_has_grace_left};
use crate::time::clock::HostClock;

/// Ends if the application in this pod has ended in order, and never otherwise. To be called at a request to end.
///
/// A kubelet ends a native sidecar after the application, but both at once when the pod's grace is over. Only an API
/// that is the store anyway is asked; `delay` is what is waited for otherwise.
pub async fn has_ended(store: &StoreUrl, delay: Duration) {
    if delay.is_zero() {
        return;
    }
    let Some(has_grace_left) = has_grace_left(store).await else {
        return std::future::pending().await;
    };
    let error = match has_grace_left {
        Ok(true) => return,
        Ok(false) => None,
        Err(error) => Some(error.to_string()),
    };
    tracing::info!(
        error,
        delay = %humantime::format_duration(delay),
        event = "vacate_delayed",
        "the application in this pod may still run; keeping the lease for --vacate-delay"
    );
    std::future::pending().await
}

/// None if the store is no API, or this is no pod.
async fn has_grace_left(store: &StoreUrl) -> Option<Result<bool, StoreError>> {
    let pod = kubernetes::pod(surroundings::here(), &identity::hostname())?;
    let namespace = pod.namespace.unwrap_or_default();
    pod_has_grace_left(store, Arc::new(HostClock), &namespace, &pod.name).await
}
