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
    clippy::print_stderr,
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
use support::watchdog::Watchdog;

use crate::arena::Arena;
use crate::faults::Faults;
use crate::history::History;
use crate::report::Report;
use crate::witness::Witness;

/// How many candidates stand.
const CANDIDATES: usize = 20;

/// In minutes. An hour fills the history with a few hundred thousand lines; a day would fill the memory.
const LONGEST: f64 = 240.0;

/// What `make chaos` was given.
struct Settings {
    stores: Vec<String>,
    duration: Duration,
    seed: u64,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(worker::ARGUMENT) {
        worker::work();
        return ExitCode::SUCCESS;
    }
    let Settings { stores, duration, seed } = match Settings::of_environment() {
        Ok(settings) => settings,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    check::can_fail();
    let mut failed = false;
    for store in &stores {
        let report = play(store, duration, seed);
        println!("{report}");
        failed |= !report.violations.is_empty();
    }
    // In the words of the other test programs, so that a reader of logs finds it.
    let (result, stores) = (if failed { "FAILED" } else { "ok" }, stores.join(" "));
    println!("test result: {result}. chaos on {stores}");
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Settings {
    /// Checks all of them: a wrong one must not show after an hour.
    fn of_environment() -> Result<Self, String> {
        let setting = |name: &str| std::env::var(name).unwrap_or_default();
        let mut stores: Vec<_> =
            setting("CHAOS_STORES").split_whitespace().map(str::to_owned).collect();
        if stores.is_empty() {
            stores = arena::NAMES.map(str::to_owned).to_vec();
        }
        if let Some(store) = stores.iter().find(|store| !arena::NAMES.contains(&store.as_str())) {
            return Err(format!("STORE: no store '{store}', only {}", arena::NAMES.join(", ")));
        }
        let minutes = match setting("CHAOS_MINUTES").as_str() {
            "" => 1.0,
            text => text
                .parse::<f64>()
                .ok()
                .filter(|minutes| *minutes > 0.0 && *minutes <= LONGEST)
                .ok_or_else(|| {
                    format!("MINUTES={text}: give a number above 0, at most {LONGEST}")
                })?,
        };
        let seed = match setting("BELLWETHER_SEED").as_str() {
            "" => fastrand::u64(0..1_000_000),
            text => text.parse::<u64>().map_err(|_| format!("SEED={text}: give a whole number"))?,
        };
        Ok(Self { stores, duration: Duration::from_secs_f64(minutes * 60.0), seed })
    }
}

fn play(store: &str, duration: Duration, seed: u64) -> Report {
    println!("chaos on {store} for {} s, seed {seed}", duration.as_secs());
    let began = now();
    let history = Arc::new(History::new());
    // After Ctrl-C, candidates that are frozen would stay so forever.
    let _ends_all = Watchdog::kills_all_with(worker::FOLDER, history.folder());
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
