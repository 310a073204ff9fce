//! Many candidates of one election, and many elections: how often they call the store, and how soon a candidate follows
//! a leader that crashes or hands over. `make figures-scale` writes the tables and the plots of docs/scale.md.
//!
//! The candidates are the program's own drivers and stores, all in this process; the servers are real. `QUICK=1` leaves
//! the largest crowds out, and measures for a shorter time. With the names of stores as arguments it measures only
//! these, with numbers only crowds of this size, and writes no page.
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
mod place;
#[path = "../compare/plot.rs"]
mod plot;
mod process;
#[path = "../shown/report.rs"]
mod report;
mod requests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use support::crowd::room_for;
use support::now;

use crate::crowd::{Crowd, Disturbed, Steady};
use crate::place::Place;

/// A crowd, and what was measured of it; none if it failed.
pub(crate) struct Measured {
    scene: &'static Scene,
    figures: Option<Figures>,
}

pub(crate) struct Figures {
    /// While nothing changes.
    steady: Steady,
    crash: Disturbed,
    hand_overs: Vec<Disturbed>,
}

pub(crate) struct Scene {
    store: &'static str,
    place: fn() -> Place,
    elections: usize,
    /// Of each election.
    candidates: usize,
}

/// What a thousand candidates have open: a runtime, a timer, connections, and those of the proxy between.
const FILES: u64 = 16_000;

const fn one(store: &'static str, place: fn() -> Place, candidates: usize) -> Scene {
    Scene { store, place, elections: 1, candidates }
}

const fn many(store: &'static str, place: fn() -> Place) -> Scene {
    Scene { store, place, elections: 256, candidates: 20 }
}

const SCENES: [Scene; 17] = [
    one("Postgres", Place::postgres, 10),
    one("Postgres", Place::postgres, 100),
    one("Postgres", Place::postgres, 1_000),
    one("Kubernetes", Place::kubernetes, 10),
    one("Kubernetes", Place::kubernetes, 100),
    one("Kubernetes", Place::kubernetes, 1_000),
    one("DynamoDB, `--advertise`", || Place::dynamodb(true), 10),
    one("DynamoDB, `--advertise`", || Place::dynamodb(true), 100),
    one("DynamoDB, `--advertise`", || Place::dynamodb(true), 1_000),
    one("DynamoDB", || Place::dynamodb(false), 10),
    one("DynamoDB", || Place::dynamodb(false), 100),
    one("DynamoDB", || Place::dynamodb(false), 1_000),
    one("SQLite", Place::sqlite, 10),
    one("SQLite", Place::sqlite, 100),
    one("SQLite", Place::sqlite, 1_000),
    many("Postgres", Place::postgres),
    many("SQLite", Place::sqlite),
];

struct Plan {
    steady: Duration,
    hand_overs: usize,
    /// Of all elections of a crowd.
    most_candidates: usize,
}

/// Smaller crowds leave room for others beside them: so many are measured at a time.
const SMALL_AT_ONCE: usize = 3;

const FULL: Plan =
    Plan { steady: Duration::from_secs(60), hand_overs: 3, most_candidates: usize::MAX };

const QUICK: Plan = Plan { steady: Duration::from_secs(20), hand_overs: 1, most_candidates: 100 };

fn main() {
    let is_quick = report::is_quick();
    let plan = if is_quick { QUICK } else { FULL };
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let (begun, setting) = (now(), report::Setting::of("scale"));
    room_for(FILES);
    let scenes: Vec<_> = SCENES.iter().filter(|scene| scene.is_in(&plan, &wanted)).collect();
    let (large, small): (Vec<_>, Vec<_>) =
        (0..scenes.len()).partition(|at| scenes[*at].all_candidates() >= page::LARGE);
    let measured = Mutex::new(scenes.iter().map(|_| None).collect::<Vec<_>>());
    for (crowds, at_once) in [(small, SMALL_AT_ONCE), (large, 1)] {
        let waiting = Mutex::new(crowds.into_iter());
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    loop {
                        let Some(at) = waiting.lock().unwrap().next() else { break };
                        let scene = scenes[at];
                        let one = Measured { scene, figures: measure(scene, &plan) };
                        println!("{:>5} s  {}", now().since(begun).as_secs(), page::row(&one));
                        measured.lock().unwrap()[at] = Some(one);
                    }
                });
            }
        });
    }
    if wanted.is_empty() {
        let measured: Vec<_> = measured.into_inner().unwrap().into_iter().flatten().collect();
        page::write(&setting, is_quick, now().since(begun), &measured);
    }
}

impl Scene {
    /// Of all its elections.
    fn all_candidates(&self) -> usize {
        self.candidates * self.elections
    }

    /// Whether it is among the stores and the numbers of candidates that were named. Without numbers, those of the plan.
    fn is_in(&self, plan: &Plan, wanted: &[String]) -> bool {
        let (sizes, stores): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|word| word.parse::<usize>().is_ok());
        let size = self.all_candidates().to_string();
        let is_of_plan = sizes.is_empty() && self.all_candidates() <= plan.most_candidates;
        (is_of_plan || sizes.contains(&&size))
            && (stores.is_empty() || stores.iter().any(|store| self.store.contains(store.as_str())))
    }
}

/// A crowd that this machine does not bear costs its own figures only.
fn measure(scene: &Scene, plan: &Plan) -> Option<Figures> {
    let measured = || {
        let mut crowd = Crowd::gather((scene.place)(), scene.candidates, scene.elections);
        let steady = crowd.stay(plan.steady);
        let hand_overs = (0..plan.hand_overs).map(|_| crowd.hand_over()).collect();
        Figures { steady, crash: crowd.crash(), hand_overs }
    };
    catch_unwind(AssertUnwindSafe(measured)).ok()
}
