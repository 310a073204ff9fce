//! What many elections and many clients cost, measured on this machine: `make figures`.
//!
//! Names of parts as arguments run these alone: `sqlite`, `postgres`, `crowd`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::thread;
use std::time::Duration;

use support::crowd::{Crowd, room_for};
use support::postgres::Server;
use support::process::{cpu_ticks, resident};
use support::{Pasture, Sidecar, eventually, now};

/// How many elections one process stands in.
const ELECTIONS: usize = 200;

/// How long CPU time is counted for.
const STEADY: Duration = Duration::from_secs(30);

/// Event streams, and slow clients as many.
const CROWD: usize = 1000;

/// How often the crowd sends a request, each on a connection of its own.
const QUESTIONS: usize = 2000;

const DEFAULT: [&str; 6] =
    ["--lease-duration", "15s", "--renew-deadline", "10s", "--retry-period", "2s"];

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let parts: [(&str, fn()); 3] =
        [("sqlite", many_on_sqlite), ("postgres", many_on_postgres), ("crowd", crowd)];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part();
        }
    }
}

fn print(what: &str, figure: &str) {
    println!("{what:<60} {figure}");
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", Duration::from_micros(bytes).as_secs_f64())
}

fn many_on_sqlite() {
    many("SQLite", &Pasture::new().store());
}

/// Commits wait for the disk.
fn many_on_postgres() {
    let server = Server::start(&["fsync = on"]);
    many("Postgres", &server.url("postgres"));
}

/// One process leads them all, another stands by in all.
fn many(name: &str, store: &str) {
    let names: Vec<_> = (0..ELECTIONS).map(|number| format!("election-{number}")).collect();
    let names = names.join(",");
    let more = [&DEFAULT[..], &["--election", &names]].concat();
    let started = now();
    let leader = Sidecar::start_with("leader", store, &more);
    let all = |sidecar: &Sidecar, wanted: &dyn Fn(&serde_json::Value) -> bool| {
        let answer = sidecar.get("/elections").unwrap();
        answer.body["elections"].as_array().unwrap().iter().all(wanted).then_some(())
    };
    eventually("all are led", || all(&leader, &|one| one["leader"] == true));
    let what = format!("{name}, {ELECTIONS} elections");
    print(&format!("{what}: from start to leading all"), &format!("{:?}", now().since(started)));
    let standby = Sidecar::start_with("standby", store, &more);
    eventually("all know", || all(&standby, &|one| one["holderIdentity"] == "leader"));
    thread::sleep(Duration::from_secs(5));
    let members = [&leader, &standby];
    let before = members.map(|member| cpu_ticks(member.id()));
    thread::sleep(STEADY);
    for (member, before) in members.iter().zip(before) {
        let ticks = cpu_ticks(member.id()) - before;
        let name = &member.name;
        print(&format!("{what}: {name}, resident"), &megabytes(resident(member.id())));
        print(&format!("{what}: {name}, CPU in {STEADY:?}"), &format!("{} ms", ticks * 10));
    }
    assert_eq!(leader.log().count("this instance no longer leads"), 0);
    let sent = now();
    leader.signal("TERM");
    eventually("all are handed over", || all(&standby, &|one| one["leader"] == true));
    print(&format!("{what}: SIGTERM to leading all"), &format!("{:?}", now().since(sent)));
}

/// Questions among idle streams and slow clients.
fn crowd() {
    room_for(3000);
    let pasture = Pasture::new();
    let sidecar = Sidecar::start_with("a", &pasture.store(), &DEFAULT);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    print("alone: /leader", &spread(ask(&sidecar, None)));
    print("alone: resident", &megabytes(resident(sidecar.id())));
    let mut crowd = Crowd::around(&sidecar, CROWD, CROWD);
    let what = format!("{CROWD} streams, {CROWD} slow clients");
    print(&format!("{what}: /leader"), &spread(ask(&sidecar, Some(&mut crowd))));
    print(&format!("{what}: resident"), &megabytes(resident(sidecar.id())));
    assert_eq!(sidecar.log().count("this instance no longer leads"), 0);
}

fn ask(sidecar: &Sidecar, mut crowd: Option<&mut Crowd>) -> Vec<Duration> {
    let mut times = Vec::with_capacity(QUESTIONS);
    for number in 0..QUESTIONS {
        if let Some(crowd) = crowd.as_mut().filter(|_| number % 100 == 0) {
            crowd.shuffle();
        }
        let answer = sidecar.leader();
        assert!(answer.leads());
        times.push(answer.answered.since(answer.sent));
        thread::sleep(Duration::from_millis(5));
    }
    times
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let at = |part: usize| ms(times[(times.len() - 1) * part / 1000]);
    format!(
        "{:.1} ms median, {:.1} ms 99.9th percentile, {:.1} ms at most, of {}",
        at(500),
        at(999),
        at(1000),
        times.len()
    )
}
