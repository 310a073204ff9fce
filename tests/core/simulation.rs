//! The seeded simulation of whole elections.
//!
//! Each run is drawn from its seed alone and replays from it:
//!
//! ```text
//! BELLWETHER_SEED=123 cargo test --test core simulation:: -- --nocapture     one run, with a trace
//! BELLWETHER_RUNS=1000000 cargo test --test core simulation::                more runs
//! BELLWETHER_HUNT=I1 cargo test --test core simulation::                     for one invariant only
//! ```
//!
//! With `CARGO_PROFILE_DEV_OPT_LEVEL=1`, as in `make test-fast`, many runs take a third of the time.

mod host;
mod instance;
mod invariants;
mod plan;
mod store;
mod tally;
mod time;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use invariants::{ONE_BELIEVER, Violation};
use plan::{Crash, Plan, Point, Rates, Work};
use tally::Tally;
use world::{Outcome, World};

/// Runs that are enough for every invariant's planted bug (`tests/mutants`) many times over.
const RUNS: u64 = 20_000;

fn run(seed: u64, rates: Rates, trace: bool) -> Outcome {
    World::new(Plan::new(seed, rates), seed, trace).run()
}

/// Runs the seeds below `runs` on all cores, until one breaks an invariant whose name begins with
/// `hunted`. Gives back what happened, and the lowest of the seeds that did: all seeds below it
/// were run.
fn run_all(runs: u64, rates: Rates, hunted: &str) -> (Tally, Option<(u64, Violation)>) {
    let next = AtomicU64::new(0);
    let work = || {
        let (mut tally, mut failure) = (Tally::default(), None);
        while failure.is_none() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= runs {
                break;
            }
            let outcome = run(seed, rates, false);
            tally.add(&outcome.tally);
            let hunted = outcome.violation.filter(|v| v.invariant.starts_with(hunted));
            failure = hunted.map(|violation| (seed, violation));
            if failure.is_some() {
                next.store(runs, Ordering::Relaxed);
            }
        }
        (tally, failure)
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let mut all = Tally::default();
    results.iter().for_each(|(tally, _)| all.add(tally));
    (all, results.into_iter().filter_map(|(_, failure)| failure).min_by_key(|(seed, _)| *seed))
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} has to be a number, not '{text}'")))
}

#[test]
fn every_invariant_holds_in_every_run() {
    if let Some(seed) = number("BELLWETHER_SEED") {
        let outcome = run(seed, Rates::WithinMargin, true);
        println!("{}", outcome.tally);
        if let Some(violation) = outcome.violation {
            fail(seed, &violation);
        }
        return;
    }
    let runs = number("BELLWETHER_RUNS").unwrap_or(RUNS);
    let hunted = std::env::var("BELLWETHER_HUNT").unwrap_or_default();
    let (tally, failure) = run_all(runs, Rates::WithinMargin, &hunted);
    if let Some((seed, violation)) = failure {
        fail(seed, &violation);
    }
    println!("{runs} runs:\n{tally}");
    if runs >= RUNS {
        assert_much_happened(&tally);
    }
}

fn fail(seed: u64, Violation { invariant, what }: &Violation) -> ! {
    panic!(
        "{invariant}: {what}\n\
         replay: BELLWETHER_SEED={seed} cargo test --test core simulation:: -- --nocapture"
    )
}

/// The simulation cannot pass because nothing went wrong in it.
fn assert_much_happened(tally: &Tally) {
    for (what, at_least) in [
        ("elected", 50_000),
        ("elected after another", 20_000),
        ("lost by the renew deadline", 10_000),
        ("lost: resigned", 5_000),
        ("lost: paused", 1_000),
        ("pauses written", 3_000),
        ("pauses refused", 100),
        ("resumed", 1_000),
        ("lost: gate closed", 800),
        ("lost: nothing to do", 500),
        ("crashes at a write", 500),
        ("starts behind a closed gate", 10_000),
        ("gates closed", 1_200),
        ("lost: shutting down", 4_000),
        ("lost: superseded", 200),
        ("lost: record gone", 50),
        ("vacated", 10_000),
        ("left", 8_000),
        ("left in peace", 500),
        ("crashes", 8_000),
        ("clocks that stood still", 3_000),
        ("stalls of a leader", 3_000),
        ("pauses between two polls", 5_000),
        ("pauses before a request is sent", 10_000),
        ("cuts", 40_000),
        ("calls refused", 40_000),
        ("requests lost", 80_000),
        ("requests repeated", 30_000),
        ("answers lost", 70_000),
        ("looks timed out", 100_000),
        ("swaps timed out", 40_000),
        ("swaps refused", 10_000),
        ("swaps refused for no reason", 10_000),
        ("swaps applied whose answer is lost", 10_000),
        ("swaps applied after the caller gave up", 3_000),
        ("works", 30_000),
        ("works killed", 3_000),
        ("works not seen to end", 1_000),
        ("works that outlived their process", 1_000),
        ("attempts that ended", 3_000),
        ("histories written", 10_000),
        ("works settled", 1_000),
        ("attempts that ended as they had to", 100),
        ("holds that ended", 30_000),
        ("fenced writes refused", 500),
        ("hint floods", 8_000),
        ("floods of hints in peace", 400),
        ("hints that a lease was vacated", 10_000),
        ("renewals announced", 50_000),
        ("renewals announced that were none", 10_000),
        ("store can report more or less", 8_000),
        ("store clock stepped", 1_200),
        ("writes lost by the store", 1_500),
        ("writes lost by the store, which says so", 200),
        ("seen going backwards", 1_500),
        ("claims before others", 200),
        ("claims of a successor", 100),
        ("claims after a successor did not", 100),
        ("claims after a crash without delay", 500),
    ] {
        let times = tally.of(what);
        assert!(times >= at_least, "only {times} times: {what}; expected {at_least} at least");
    }
}

/// At each write to the lease and the history of a work, renewals apart: before it is sent, on its way, and when
/// it is applied.
#[test]
fn a_crash_at_each_write_of_a_work_loses_no_outcome() {
    let plan = |seed| Plan::new(seed, Rates::WithinMargin);
    let with_works = |works| {
        let fits = move |plan: &Plan| plan.work == Work::Once && plan.works == works;
        (0..).filter(move |seed| fits(&plan(*seed))).take(SEEDS_OF_CRASHES)
    };
    let mut crashes = 0;
    for seed in with_works(1).chain(with_works(2)) {
        for write in 0.. {
            let before = crashes;
            for point in Point::ALL {
                // The crash is the only fault, beside those of the network.
                let (faults, crash) = (Vec::new(), Some(Crash { write, point }));
                let run = |trace| {
                    World::new(Plan { faults: faults.clone(), crash, ..plan(seed) }, seed, trace)
                        .run()
                };
                let outcome = run(false);
                if let Some(Violation { invariant, what }) = outcome.violation {
                    run(true);
                    panic!(
                        "{invariant}: {what} (seed {seed}, a crash at write {write}, {point:?})"
                    );
                }
                crashes += outcome.tally.of("crashes at a write");
            }
            if crashes == before {
                break;
            }
        }
    }
    assert!(crashes > 500, "only {crashes} crashes");
}

/// So many seeds with one work, and as many with two.
const SEEDS_OF_CRASHES: usize = 10;

/// What shows that two believers would be noticed: clocks that differ by more than the timing
/// promises to bear do make two.
#[test]
fn clocks_beyond_the_margin_make_two_believers() {
    let (_, failure) = run_all(2_000, Rates::BeyondMargin, ONE_BELIEVER);
    let (seed, _) = failure.expect("two believers");
    println!("two believers first with seed {seed}");
}

#[test]
fn a_run_replays_from_its_seed() {
    for seed in 0..20 {
        let (one, other) =
            (run(seed, Rates::WithinMargin, false), run(seed, Rates::WithinMargin, false));
        assert_eq!(one.fingerprint, other.fingerprint);
        assert_eq!(one.tally, other.tally);
    }
    let (one, other) = (run(1, Rates::WithinMargin, false), run(2, Rates::WithinMargin, false));
    assert_ne!(one.fingerprint, other.fingerprint);
}
