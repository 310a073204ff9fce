//! The hand-overs of a roll-out, measured on this machine: `make figures-rollout`.
//!
//! Five instances are updated one by one, fifty times, and the terms are counted. Every second series
//! gives each release its `--order`; the others go by the age of the instances alone, which are as
//! young as a roll-out that follows the last one at once makes them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and fails by panicking"
)]

use support::postgres::Server;
use support::rollout::Rollouts;
use support::{Pasture, bellwether};

const ROLLOUTS: u32 = 50;

/// What the instances of a release are started with.
type Arguments = fn(release: u64) -> Vec<String>;

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if wants("sqlite") {
        measure("SQLite", Pasture::new, Pasture::store);
    }
    if wants("postgres") {
        // A server that keeps its promises: commits wait for the disk.
        let server = || Server::start(&["fsync = on"]);
        measure("Postgres", server, |server| server.url("postgres"));
    }
}

fn measure<T>(name: &str, store: impl Fn() -> T, url: impl Fn(&T) -> String) {
    let by_age: Arguments = |_| Vec::new();
    let by_order: Arguments = |release| vec!["--order".to_owned(), release.to_string()];
    for (how, more) in [("by age", by_age), ("by --order", by_order)] {
        let store = store();
        let url = url(&store);
        let mut rollouts = Rollouts::begin(&url, bellwether, more, 1);
        let handovers: Vec<_> = (0..ROLLOUTS).map(|_| rollouts.roll()).collect();
        let (sum, most) = (handovers.iter().sum::<u64>(), handovers.iter().max().unwrap());
        let mean = sum as f64 / f64::from(ROLLOUTS);
        println!(
            "{name}, {how}: {mean:.2} hand-overs in a roll-out, {most} at most, of {ROLLOUTS}"
        );
    }
}
