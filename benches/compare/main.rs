//! bellwether beside its peers, on this machine, in one run: `make compare`.
//!
//! Every candidate is a real process, each store a real server on loopback. The rows take turns, so that a disturbance
//! of the machine meets all of them. What is measured, and how, is in docs/comparison.md, whose tables and plots this
//! program writes. `QUICK=1` takes three minutes instead of thirty: one round, and several elections at a time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and fails by panicking"
)]

mod candidate;
mod http;
mod page;
mod plot;
#[path = "../shown/report.rs"]
mod report;
mod rows;
mod scenes;
mod stores;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bellwether::election::time::BootTime;
use sqlx::postgres::{PgConnection, PgListener};
use support::now;
use support::tools::must;

use crate::candidate::Failure;
use crate::http::Rate;
use crate::rows::{Kind, ROWS, Row};
use crate::scenes::{Ages, Cost, Life};
use crate::stores::{Stores, block_on};

/// All that was measured.
pub(crate) struct Measured {
    is_quick: bool,
    /// For each row, as the next ones.
    lives: Vec<Vec<Life>>,
    hand_overs: Vec<Vec<Duration>>,
    /// On Postgres, of bellwether, between instances of the same age.
    same_age: Vec<Duration>,
    failures: Vec<Vec<Failure>>,
    costs: Vec<Result<Cost, Failure>>,
    rates: [Result<Vec<Rate>, Failure>; 2],
    /// Two commits and one notification on Postgres.
    physical: Path,
    /// `once` of a key that is done, on Postgres, from its start to its exit.
    once: Vec<Duration>,
    setting: report::Setting,
    /// The load of the machine after it.
    load: String,
    took: Duration,
}

/// How much of each is measured.
struct Plan {
    lives: usize,
    /// Elections at a time.
    at_once: usize,
    blocks: usize,
    /// Hand-overs of a block: on Postgres more, since its 99th percentile is a target.
    hand_overs: usize,
    hand_overs_on_postgres: usize,
    idle: Duration,
    http_rounds: usize,
    http_seconds: u64,
}

const FULL: Plan = Plan {
    lives: 3,
    at_once: 1,
    blocks: 3,
    hand_overs: 4,
    // A hundred in all, for the percentile.
    hand_overs_on_postgres: 34,
    idle: Duration::from_secs(90),
    http_rounds: 3,
    http_seconds: 5,
};

const QUICK: Plan = Plan {
    lives: 1,
    at_once: 5,
    blocks: 1,
    hand_overs: 2,
    hand_overs_on_postgres: 5,
    idle: Duration::from_secs(20),
    http_rounds: 1,
    http_seconds: 3,
};

fn main() -> ExitCode {
    let is_quick = report::is_quick();
    let plan = if is_quick { QUICK } else { FULL };
    let program = rows::bellwether();
    if !program.is_file() {
        eprintln!("COMPARED={}: there is no such program", program.display());
        return ExitCode::FAILURE;
    }
    let began = now();
    let stores = match Stores::start() {
        Ok(stores) => Arc::new(stores),
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    progress(began, "the stores are up");
    let measured = measure(&stores, &plan, is_quick, began);
    page::write(&measured);
    progress(began, "docs/comparison.md is written");
    ExitCode::SUCCESS
}

fn progress(began: BootTime, what: &str) {
    println!("{:>5} s  {what}", now().since(began).as_secs());
}

fn measure(stores: &Arc<Stores>, plan: &Plan, is_quick: bool, began: BootTime) -> Measured {
    let setting = report::Setting::of("compare");
    // Its lease is a minute long: it lives beside the others, idle most of the time.
    let slow: Vec<_> = (0..ROWS.len()).filter(|at| is_slow(&ROWS[*at])).collect();
    let beside = (!is_quick).then(|| {
        let (stores, slow) = (Arc::clone(stores), slow.clone());
        thread::spawn(move || slow.iter().map(|at| live(&stores, &ROWS[*at])).collect::<Vec<_>>())
    });
    let mut lives = lives(stores, plan, began);
    let (hand_overs, same_age, failures, physical) = hand_overs(stores, plan, began);
    let costs = scenes::idle(stores, &ROWS, plan.idle);
    progress(began, "idle candidates");
    let rates = http::compare(stores, plan.http_rounds, plan.http_seconds);
    progress(began, "/leader");
    let once = once_again(stores, plan.hand_overs_on_postgres);
    if let Some(beside) = beside {
        for (at, life) in slow.into_iter().zip(beside.join().unwrap()) {
            lives[at].push(life);
        }
    }
    let took = now().since(began);
    let failures = failures.into_iter().map(|failure| failure.into_iter().collect()).collect();
    Measured {
        is_quick,
        lives,
        hand_overs,
        same_age,
        failures,
        costs,
        rates,
        physical,
        once,
        setting,
        load: report::load(),
        took,
    }
}

fn is_slow(row: &Row) -> bool {
    row.kind == Kind::EtcdctlElect
}

/// A panic is a failure of this row only.
fn live(stores: &Stores, row: &Row) -> Life {
    catch_unwind(AssertUnwindSafe(|| scenes::life(stores, row))).unwrap_or_else(|_| Life {
        failures: vec!["the benchmark failed".to_owned()],
        ..Life::default()
    })
}

fn lives(stores: &Arc<Stores>, plan: &Plan, began: BootTime) -> Vec<Vec<Life>> {
    let rows = (0..plan.lives).flat_map(|_| (0..ROWS.len()).filter(|at| !is_slow(&ROWS[*at])));
    let rows: Vec<_> = rows.collect();
    let lives = Mutex::new(ROWS.iter().map(|_| Vec::new()).collect::<Vec<Vec<Life>>>());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..plan.at_once {
            scope.spawn(|| {
                while let Some(at) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let life = live(stores, &ROWS[*at]);
                    progress(began, &format!("{}: {:?}", ROWS[*at].name, life.failures));
                    lives.lock().unwrap()[*at].push(life);
                }
            });
        }
    });
    lives.into_inner().unwrap()
}

type HandOvers = (Vec<Vec<Duration>>, Vec<Duration>, Vec<Option<Failure>>, Path);

fn hand_overs(stores: &Stores, plan: &Plan, began: BootTime) -> HandOvers {
    let mut times = vec![Vec::new(); ROWS.len()];
    let mut failures = vec![None; ROWS.len()];
    let (mut same_age, mut physical) = (Vec::new(), Path::default());
    let play = |row: &Row, ages, rounds| {
        catch_unwind(AssertUnwindSafe(|| scenes::hand_over(stores, row, ages, rounds)))
            .unwrap_or_else(|_| Err("the benchmark failed".to_owned()))
            .map_err(|why| format!("hand-over: {why}"))
    };
    for _ in 0..plan.blocks {
        for (at, row) in ROWS.iter().enumerate() {
            let is_target = row.name == page::ON_POSTGRES;
            let rounds = if is_target { plan.hand_overs_on_postgres } else { plan.hand_overs };
            match play(row, Ages::RollOut, rounds) {
                Ok(block) => times[at].extend(block),
                Err(why) => failures[at] = Some(why),
            }
            if is_target {
                physical.measure(stores, rounds.div_ceil(3));
                same_age.extend(play(row, Ages::Same, plan.hand_overs).unwrap_or_default());
            }
        }
        progress(began, "a block of hand-overs");
    }
    (times, same_age, failures, physical)
}

/// What a hand-over on Postgres cannot be faster than. After an idle time as before a hand-over, with sessions as old as
/// those of its leader and its standby; and repeated at once, when all that it needs is at hand.
#[derive(Default)]
struct Path {
    idle: Vec<Duration>,
    repeated: Vec<Duration>,
}

impl Path {
    fn measure(&mut self, stores: &Stores, rounds: usize) {
        block_on(async {
            let server = &stores.postgres;
            server.run_sql("postgres", "CREATE TABLE IF NOT EXISTS path (at timestamptz)").await;
            let mut leader: PgConnection = server.connect("postgres").await;
            for _ in 0..rounds {
                tokio::time::sleep(scenes::OLDER).await;
                let mut standby: PgConnection = server.connect("postgres").await;
                let mut listener = PgListener::connect(&server.url("postgres")).await.unwrap();
                listener.listen("path").await.unwrap();
                tokio::time::sleep(scenes::YOUNG).await;
                let mut path = async || {
                    two_commits_and_a_notification(&mut leader, &mut listener, &mut standby).await
                };
                self.idle.push(path().await);
                for _ in 0..10 {
                    self.repeated.push(path().await);
                }
                leader = standby;
            }
        });
    }
}

/// The old leader's commit, its notification to the standby, and the standby's commit.
async fn two_commits_and_a_notification(
    leader: &mut PgConnection,
    listener: &mut PgListener,
    standby: &mut PgConnection,
) -> Duration {
    let started = now();
    let write = "INSERT INTO path VALUES (now()); SELECT pg_notify('path', '')::text";
    let write = sqlx::raw_sql(write).execute(leader);
    let follow = async {
        listener.recv().await.unwrap();
        let write = sqlx::raw_sql("INSERT INTO path VALUES (now())");
        write.execute(standby).await.unwrap();
        now()
    };
    let (written, ended) = tokio::join!(write, follow);
    written.unwrap();
    ended.since(started)
}

/// The first run does the work, and is not counted.
fn once_again(stores: &Stores, rounds: usize) -> Vec<Duration> {
    let url = stores.postgres.url("postgres");
    let key = rows::uuid();
    let run = || {
        let started = now();
        must(
            std::process::Command::new(rows::bellwether())
                .args(["once", "--store", &url, "--key", &key, "--", "true"]),
        );
        now().since(started)
    };
    run();
    (0..rounds).map(|_| run()).collect()
}
