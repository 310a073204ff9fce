//! Many candidates of one election: how often they call the store, and how soon one of them follows a leader that
//! crashes or hands over. `make figures-scale` writes the table and the plots of docs/scale.md.
//!
//! The candidates are the program's own drivers and stores, all in this process; the servers are real. `QUICK=1` leaves
//! the largest crowd out, and measures for a shorter time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

mod crowd;
mod page;
#[path = "../compare/plot.rs"]
mod plot;

use std::time::Duration;

use support::Pasture;
use support::postgres::Server;

use crate::crowd::{Crowd, Disturbed};

/// What was measured of one crowd on one store.
pub(crate) struct Figures {
    store: &'static str,
    candidates: usize,
    /// Of all candidates, while nothing changes.
    requests_a_minute: f64,
    crash: Disturbed,
    hand_overs: Vec<Disturbed>,
}

/// Hand-overs of each crowd.
const HAND_OVERS: usize = 5;

fn main() {
    let is_quick = std::env::var_os("QUICK").is_some_and(|value| !value.is_empty());
    let head = page::Head::before(is_quick);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sizes: &[usize] = if is_quick { &[10, 100] } else { &[10, 100, 1_000] };
    let mut figures = Vec::new();
    for size in sizes {
        // A server that keeps its promises: commits wait for the disk.
        let server = Server::start(&["fsync = on"]);
        figures.push(runtime.block_on(measure(
            "Postgres",
            &server.url("postgres"),
            *size,
            is_quick,
        )));
        let folder = Pasture::new();
        figures.push(runtime.block_on(measure("SQLite", &folder.store(), *size, is_quick)));
    }
    page::write(&head, &figures);
}

async fn measure(store: &'static str, url: &str, candidates: usize, is_quick: bool) -> Figures {
    let mut crowd = Crowd::gather(url, candidates).await;
    let span = Duration::from_secs(if is_quick { 20 } else { 60 });
    let requests_a_minute = crowd.requests_a_minute(span).await;
    let crash = crowd.crash().await;
    let mut hand_overs = Vec::new();
    for _ in 0..HAND_OVERS {
        hand_overs.push(crowd.hand_over().await);
    }
    let figures = Figures { store, candidates, requests_a_minute, crash, hand_overs };
    println!("{}", page::row(&figures));
    figures
}
