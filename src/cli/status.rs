//! `bellwether status`: what the store has, for people, without standing.

use std::sync::Arc;

use self::view::View;
use super::exit::CommandError;
use super::logging::print_problem;
use super::output::print_apart;
use super::store_call::{PATIENCE, must_exist};
use crate::config::StoreArgs;
use crate::election::time::Clock as _;
use crate::time::clock::HostClock;

mod page;
mod row;
mod screen;
mod state;
mod table;
mod view;
mod watch;
mod works;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON array, for programs.
    #[arg(long)]
    json: bool,

    /// Show whole names, dates and the URLs of leaders, however wide that is.
    ///
    /// Without this a line fits the terminal, or 80 columns: "…" replaces a part of a name in which
    /// it does not differ from the others, and less important columns are left out.
    #[arg(long, conflicts_with = "json")]
    wide: bool,

    /// Repeat every second, until stopped. With --json, one array a line.
    #[arg(long)]
    watch: bool,

    /// Show the records of all namespaces, not only those of --namespace.
    #[arg(long, conflicts_with = "namespace")]
    all_namespaces: bool,

    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let config = args.store.check()?;
    let url = config.url.clone();
    if !args.watch {
        must_exist(&url)?;
    }
    let clock = Arc::new(HostClock);
    let store = match args.all_namespaces {
        true => config.open_all(PATIENCE, clock),
        false => config.open(PATIENCE, clock),
    };
    let Args { json, wide, all_namespaces: all, .. } = args;
    let view = View { json, wide, all, config, store };
    if args.watch {
        watch::run(&view).await?;
    } else {
        let look = view.look().await?;
        print_apart(view.printed(&look, HostClock.now().wall)?).await?;
        look.unreadable.iter().for_each(|why| print_problem(why));
    }
    Ok(0)
}
