//! `bellwether init`: creates what the store needs, or checks it.

use std::sync::Arc;
use std::time::Duration;

use super::{CommandError, print};
use crate::config::StoreArgs;
use crate::election::time::HostClock;
use crate::store::{self, StoreUrl};

/// How long a store may take: a person waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long a store may take to create what is missing: DynamoDB takes several seconds.
const CREATION: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let config = args.store.check()?;
    let url = &config.url;
    let store = config.open(PATIENCE, Arc::new(HostClock));
    within(url, CREATION, store.init()).await?;
    print(&format!("ready: {url}\n"))?;
    Ok(0)
}

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
                "{url}: no answer from the store within {after}"
            )))
        }
    }
}
