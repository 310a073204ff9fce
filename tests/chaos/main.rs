//! Chaos: real processes and a real store, harmed at random for minutes or for an hour.
//!
//! ```text
//! make chaos STORE=postgres MINUTES=60        sqlite, postgres, dynamodb or kubernetes
//! ```
//!
//! Twenty candidates stand in one election. Some run a command under the guard, at the others `only`
//! starts one under a hold. Each command writes to a fenced resource. All that they and `/leader` say
//! goes into one history, with times of the host's boot clock, which no fault touches. At the end the
//! history is checked:
//!
//! - never two leaders: no "yes" under a term after a "yes" under a later one;
//! - the commands of two terms never overlap, unless a whole instance was frozen and its command with
//!   it: then the fence is what protects;
//! - what the resource accepted and refused is linearizable, by a checker that is not ours (porcupine);
//! - one candidate leads, and the others know it, when the faults are over.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and what this one prints is its report"
)]

mod arena;
mod candidate;
mod check;
mod faults;
mod history;
mod report;
mod witness;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use support::now;

use crate::arena::Arena;
use crate::faults::Faults;
use crate::history::History;
use crate::report::Report;
use crate::witness::Witness;

/// How many candidates stand.
const CANDIDATES: usize = 20;

/// An hour fills the history with a few hundred thousand lines; a day would fill the memory.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(worker::ARGUMENT) {
        worker::work();
        return ExitCode::SUCCESS;
    }
    let setting = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let seconds = setting("CHAOS_MINUTES")
        .map_or(60.0, |text| text.parse::<f64>().expect("MINUTES is a number of minutes") * 60.0);
    let duration = Duration::from_secs_f64(seconds).min(LONGEST);
    let seed = setting("BELLWETHER_SEED").map_or_else(
        || fastrand::u64(0..1_000_000),
        |text| text.parse().expect("BELLWETHER_SEED is a number"),
    );
    let stores = setting("CHAOS_STORES").unwrap_or_else(|| arena::NAMES.join(" "));
    let mut failed = false;
    for store in stores.split_whitespace() {
        let report = play(store, duration, seed);
        println!("{report}");
        failed |= !report.violations.is_empty();
    }
    // In the words of the other test programs, so that a reader of logs finds it.
    println!("test result: {}. chaos on {stores}", if failed { "FAILED" } else { "ok" });
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn play(store: &str, duration: Duration, seed: u64) -> Report {
    println!("chaos on {store} for {} s, seed {seed}", duration.as_secs());
    let began = now();
    let history = Arc::new(History::new());
    let mut faults = Faults::new(Arena::named(store), Arc::clone(&history), seed);
    let witness = Witness::of(faults.candidates(), &history);
    while now().since(began) < duration {
        faults.next();
    }
    let settled = faults.settle();
    witness.end();
    let counts = faults.end();
    let (mut violations, seen) = (check::all(&history), history.seen());
    violations.extend(settled.err());
    if violations.is_empty() {
        history.forget();
    } else {
        println!("the logs and the history are in {}", history.folder().display());
    }
    Report { store: store.to_owned(), seed, duration, counts, seen, violations }
}
