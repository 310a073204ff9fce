//! The figures of `docs/postgres.md`, measured on this machine: `make figures-postgres`.
//!
//! Names of parts as arguments run these alone: `hand-over`, `crash`, `cold`, `steady`,
//! `second` (a lease of one second, for five minutes, on a busy machine).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and fails by panicking"
)]

mod shown;

use std::thread;
use std::time::Duration;

use bellwether::election::time::BootTime;
use shown::{print, spread};
use sqlx::postgres::{PgConnection, PgListener};
use support::postgres::Server;
use support::{QUICK_LEASE, QUICK_RENEW_DEADLINE, Sidecar, eventually, get, now};

const DEFAULT_TIMING: [&str; 6] =
    ["--lease-duration", "15s", "--renew-deadline", "10s", "--retry-period", "2s"];

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let parts: [(&str, fn()); 5] = [
        ("hand-over", hand_over),
        ("crash", crash),
        ("cold", cold_start),
        ("steady", steady_state),
        ("second", one_second_lease),
    ];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part();
        }
    }
}

/// A server that keeps its promises: commits wait for the disk.
fn durable_server() -> Server {
    Server::start(&[
        "fsync = on",
        "shared_preload_libraries = 'pg_stat_statements'",
        "pg_stat_statements.track = all",
    ])
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The time of the sidecar's first answer that it leads.
fn wait_to_lead(sidecar: &Sidecar) -> thread::JoinHandle<BootTime> {
    let url = format!("{}/leader?wait=60s", sidecar.url);
    let waiting = thread::spawn(move || {
        let answer = get(&url).unwrap();
        assert!(answer.leads());
        answer.answered
    });
    thread::sleep(Duration::from_millis(300));
    waiting
}

fn leads(sidecar: &Sidecar) {
    eventually("it leads", || sidecar.leader().leads().then_some(()));
}

fn follows(sidecar: &Sidecar) {
    eventually("it follows", || sidecar.leader().holder().map(drop));
}

/// SIGTERM to the leader until the standby's 200: a little more than from the old leader's "no".
fn hand_over() {
    const ROUNDS: usize = 200;
    let server = durable_server();
    let store = server.url("postgres");
    let mut leader = Sidecar::start_with("0", &store, &DEFAULT_TIMING);
    leads(&leader);
    let mut times = Vec::new();
    let mut limits = Vec::new();
    for round in 1..=ROUNDS {
        let standby = Sidecar::start_with(&round.to_string(), &store, &DEFAULT_TIMING);
        follows(&standby);
        let waiting = wait_to_lead(&standby);
        let process = rustix::process::Pid::from_raw(leader.id().try_into().unwrap()).unwrap();
        let signalled = now();
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        times.push(waiting.join().unwrap().since(signalled));
        assert!(leader.wait().success());
        leader = standby;
        limits.extend(commits_and_notifications(&server, 2));
    }
    print("SIGTERM to the next leader's 200", &spread(times));
    print("beside it: one commit and one notification", &spread(limits));
}

/// The physical limit: a durable write by one session until another has received it.
fn commits_and_notifications(server: &Server, rounds: usize) -> Vec<Duration> {
    block_on(async {
        server.run_sql("postgres", "CREATE TABLE IF NOT EXISTS limits (at timestamptz)").await;
        let mut writer: PgConnection = server.connect("postgres").await;
        let mut listener = PgListener::connect(&server.url("postgres")).await.unwrap();
        listener.listen("limits").await.unwrap();
        let mut times = Vec::new();
        for _ in 0..rounds {
            let started = now();
            let write = "INSERT INTO limits VALUES (now()); SELECT pg_notify('limits', '')::text";
            let write = sqlx::raw_sql(write).execute(&mut writer);
            let (written, notified) = tokio::join!(write, listener.recv());
            written.unwrap();
            notified.unwrap();
            times.push(now().since(started));
        }
        times
    })
}

/// kill -9 of the leader: from the end of its lease until the standby's 200.
fn crash() {
    const ROUNDS: usize = 20;
    let server = durable_server();
    let store = server.url("postgres");
    let mut leader = Sidecar::start("0", &store);
    leads(&leader);
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let standby = Sidecar::start(&round.to_string(), &store);
        follows(&standby);
        let waiting = wait_to_lead(&standby);
        let answer = leader.leader();
        let valid_for = Duration::from_millis(answer.body["validForMs"].as_u64().unwrap());
        let lease_end = answer.answered + valid_for + (QUICK_LEASE - QUICK_RENEW_DEADLINE);
        leader.kill();
        times.push(waiting.join().unwrap().since(lease_end));
        leader = standby;
    }
    print("kill -9: end of the lease to the next leader's 200", &spread(times));
}

/// A start on the record of a leader that is long dead.
fn cold_start() {
    const ROUNDS: usize = 20;
    let server = durable_server();
    let store = server.url("postgres");
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut sidecar = Sidecar::start("a", &store);
        leads(&sidecar);
        sidecar.kill();
        let past = "UPDATE bellwether.leases SET expires_at = clock_timestamp()";
        block_on(server.run_sql("postgres", past));
        let started = now();
        let mut fresh = Sidecar::start("b", &store);
        assert!(fresh.get("/leader?wait=60s").unwrap().leads());
        times.push(now().since(started));
        fresh.kill();
        block_on(server.run_sql("postgres", past));
    }
    print("start to 200, on a dead leader's record", &spread(times));
}

/// Messages (round trips) and statements, counted by the server.
fn counted(server: &Server) -> (u64, u64) {
    let sum = |filter: &str| {
        let sql = format!(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements \
             WHERE query LIKE '%bellwether%leases%' {filter}"
        );
        block_on(server.ask("postgres", &sql)).parse::<u64>().unwrap()
    };
    let settings = block_on(server.ask(
        "postgres",
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements \
         WHERE query LIKE 'SELECT set_config%'",
    ))
    .parse::<u64>()
    .unwrap();
    // Each message begins with one statement of settings.
    (settings, settings + sum("AND query NOT LIKE '%pg_stat_statements%'"))
}

fn flock(server: &Server, members: usize, timing: &[&str]) -> Vec<Sidecar> {
    let store = server.url("postgres");
    let mut flock = vec![Sidecar::start_with("0", &store, timing)];
    leads(&flock[0]);
    flock.extend((1..members).map(|n| Sidecar::start_with(&n.to_string(), &store, timing)));
    flock.iter().for_each(follows);
    flock
}

fn steady_state() {
    const SPAN: Duration = Duration::from_secs(30);
    for members in [1, 10, 200] {
        let server = durable_server();
        block_on(server.run_sql("postgres", "CREATE EXTENSION pg_stat_statements"));
        let _flock = flock(&server, members, &DEFAULT_TIMING);
        // Longer than every self-test.
        thread::sleep(Duration::from_secs(10));
        let before = counted(&server);
        thread::sleep(SPAN);
        let after = counted(&server);
        let rate = |before: u64, after: u64| {
            Duration::from_secs(after - before).as_secs_f64() / SPAN.as_secs_f64()
        };
        print(
            &format!("{members} candidates, one leader, per second"),
            &format!(
                "{:.1} messages, {:.1} statements",
                rate(before.0, after.0),
                rate(before.1, after.1)
            ),
        );
    }
}

/// A lease of one second while every core is busy: what the documentation promises.
fn one_second_lease() {
    const SPAN: Duration = Duration::from_secs(300);
    let server = durable_server();
    let timing = ["--lease-duration", "1s", "--renew-deadline", "700ms", "--retry-period", "150ms"];
    let flock = flock(&server, 2, &timing);
    let term = flock[0].leader().term();
    let busy = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let load: Vec<_> = (0..thread::available_parallelism().unwrap().get())
        .map(|_| {
            let busy = std::sync::Arc::clone(&busy);
            thread::spawn(move || while busy.load(std::sync::atomic::Ordering::Relaxed) {})
        })
        .collect();
    thread::sleep(SPAN);
    busy.store(false, std::sync::atomic::Ordering::Relaxed);
    load.into_iter().for_each(|thread| thread.join().unwrap());
    let lost: usize = flock.iter().map(|sidecar| sidecar.log().count("no longer leads")).sum();
    let last = flock[0].leader();
    print(
        "a lease of 1s, renewed for 5 minutes on busy cores",
        &format!("{lost} losses, terms {term} to {}", last.term()),
    );
}
