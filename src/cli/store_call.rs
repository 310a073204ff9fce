//! One call to a store, for a person who waits.

use std::time::Duration;

use super::exit::CommandError;
use crate::store::{StoreError, StoreUrl};

/// How long a store may take: a person waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The store's answer, or why there is none within the limit.
pub(super) async fn within<T>(
    url: &StoreUrl,
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, CommandError> {
    let answer = attempt(url, limit, call).await;
    answer.map_err(|error| CommandError::Unavailable(error.to_string()))
}

/// The same, for a caller that may call again.
pub(super) async fn attempt<T>(
    url: &StoreUrl,
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        let after = humantime::format_duration(limit);
        Err(StoreError::Unavailable(format!("{url}: no response from the store within {after}")))
    })
}

/// Refuses a store that does not exist yet: a command that only looks at elections creates none.
pub(super) fn must_exist(url: &StoreUrl) -> Result<(), CommandError> {
    if url.is_missing() {
        return Err(CommandError::Unavailable(format!(
            "{url} does not exist yet; run `bellwether init`, or start an instance"
        )));
    }
    Ok(())
}
