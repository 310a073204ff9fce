//! `bellwether init`: creates what the store needs, or checks it.

use std::sync::Arc;
use std::time::Duration;

use super::exit::CommandError;
use super::output::print_apart;
use super::store_call::{PATIENCE, within};
use crate::config::StoreArgs;
use crate::time::clock::HostClock;

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
    print_apart(format!("ready: {url}\n")).await?;
    Ok(0)
}
