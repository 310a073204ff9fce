//! One call to a store, for a person who waits.

use std::time::Duration;

use super::exit::CommandError;
use crate::store::{self, StoreUrl};

/// How long a store may take: a person waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The store's answer, or why there is none within the limit.
pub(super) async fn within<T>(
    url: &StoreUrl,
    limit: Duration,
    call: impl Future<Output = Result<T, store::StoreError>>,
) -> Result<T, CommandError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| CommandError::Unavailable(error.to_string())),
        Err(_) => {
            let after = humantime::format_duration(limit);
            Err(CommandError::Unavailable(format!(
                "{url}: no response from the store within {after}"
            )))
        }
    }
}
