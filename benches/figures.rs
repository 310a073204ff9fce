//! The figures of docs/reliability.md, measured on this machine: `make figures`.
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

use std::time::Duration;
use std::{fs, thread};

use shown::{print, spread};
use support::dynamodb::Emulator;
use support::process::{cpu_ticks, resident};
use support::{
    Flock, Pasture, QUICK_LEASE, QUICK_RENEW_DEADLINE, Sidecar, eventually, get, now,
    with_credentials,
};

/// How often each hand-over is played.
const ROUNDS: usize = 20;

/// How long CPU time is counted for.
const IDLE: Duration = Duration::from_secs(30);

fn main() {
    if std::env::args().any(|word| word == "advertise") {
        return without_push();
    }
    let size = fs::metadata(env!("CARGO_BIN_EXE_bellwether")).unwrap().len();
    print("binary, stripped", &format!("{:.1} MB", megabytes(size)));
    idle();
    cold_start();
    let mut after_term = Vec::new();
    let mut after_kill = Vec::new();
    for _ in 0..ROUNDS {
        after_term.push(hand_over_after_term());
        after_kill.push(take_over_after_kill());
    }
    print("SIGTERM to the next leader's 200", &spread(after_term));
    print("kill -9: end of the lease to the next leader's 200", &spread(after_kill));
    without_push();
}

/// Hand-overs on a store without notifications, with and without the leader's events, in turn.
fn without_push() {
    let emulator = Emulator::start();
    let (mut polled, mut notified) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        polled.push(hand_over_on(&emulator, &[]));
        notified.push(hand_over_on(&emulator, &["--advertise", "http://127.0.0.1:1"]));
    }
    let total = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64();
    let ratio = total(&polled) / total(&notified);
    print("DynamoDB: SIGTERM to the next leader's 200", &spread(polled));
    print("the same with --advertise", &spread(notified));
    print("mean without / with", &format!("{ratio:.0}"));
}

/// At the default durations, when the standby has settled.
fn hand_over_on(emulator: &Emulator, more: &[&str]) -> Duration {
    let start = |name: &str| {
        let words = ["--identity", name, "--store", &emulator.url()];
        Sidecar::start_lasting(name, &[], &[&words[..], more].concat(), with_credentials())
    };
    let leader = start("a");
    eventually("it leads", || leader.leader().leads().then_some(()));
    let standby = start("b");
    eventually("it follows", || (standby.leader().holder() == Some("a")).then_some(()));
    // Long enough to find the events, and no part of a period is preferred.
    thread::sleep(Duration::from_secs(1) + Duration::from_secs(2).mul_f64(fastrand::f64()));
    let waiting = wait_to_lead(&standby);
    let signalled = now();
    leader.signal("TERM");
    waiting.join().unwrap().since(signalled)
}

fn megabytes(bytes: u64) -> f64 {
    Duration::from_micros(bytes).as_secs_f64()
}

/// Memory and CPU time of a leader and a standby at their default settings.
fn idle() {
    let pasture = Pasture::new();
    let default = ["--lease-duration", "15s", "--renew-deadline", "10s", "--retry-period", "2s"];
    let members =
        ["leader", "standby"].map(|name| Sidecar::start_with(name, &pasture.store(), &default));
    eventually("one leads", || members.iter().any(|m| m.leader().leads()).then_some(()));
    thread::sleep(Duration::from_secs(5));
    let before = members.each_ref().map(|member| cpu_ticks(member.id()));
    thread::sleep(IDLE);
    for (member, before) in members.iter().zip(before) {
        let ticks = cpu_ticks(member.id()) - before;
        let name = &member.name;
        print(&format!("{name}, resident"), &format!("{:.1} MB", megabytes(resident(member.id()))));
        print(&format!("{name}, CPU time in {IDLE:?}"), &format!("{} ms", ticks * 10));
    }
}

/// From the start of a process to its first 200, on a fresh file and on a dead leader's record.
fn cold_start() {
    let mut fresh = Vec::new();
    let mut dead = Vec::new();
    for _ in 0..5 {
        let pasture = Pasture::new();
        fresh.push(start_to_lead(&pasture));
        thread::sleep(QUICK_LEASE);
        dead.push(start_to_lead(&pasture));
    }
    print("start to 200, on a fresh file", &spread(fresh));
    print("start to 200, on a dead leader's record", &spread(dead));
}

fn start_to_lead(pasture: &Pasture) -> Duration {
    let started = now();
    let mut sidecar = Sidecar::start("a", &pasture.store());
    assert!(sidecar.get("/leader?wait=60s").unwrap().leads());
    let took = now().since(started);
    sidecar.kill();
    took
}

fn hand_over_after_term() -> Duration {
    let pasture = Pasture::new();
    let flock = Flock::start(&["a", "b"], &pasture.store());
    let leader = flock.settled();
    let waiting = wait_to_lead(&flock.members[1 - leader]);
    let signalled = now();
    flock.members[leader].signal("TERM");
    waiting.join().unwrap().since(signalled)
}

fn take_over_after_kill() -> Duration {
    let pasture = Pasture::new();
    let mut flock = Flock::start(&["a", "b"], &pasture.store());
    let leader = flock.settled();
    let waiting = wait_to_lead(&flock.members[1 - leader]);
    let answer = flock.members[leader].leader();
    let valid_for = Duration::from_millis(answer.body["validForMs"].as_u64().unwrap());
    let lease_end = answer.answered + valid_for + (QUICK_LEASE - QUICK_RENEW_DEADLINE);
    flock.members[leader].kill();
    waiting.join().unwrap().since(lease_end)
}

/// The time of the sidecar's first answer that it leads.
fn wait_to_lead(sidecar: &Sidecar) -> thread::JoinHandle<bellwether::election::time::BootTime> {
    let url = format!("{}/leader?wait=60s", sidecar.url);
    let waiting = thread::spawn(move || {
        let answer = get(&url).unwrap();
        assert!(answer.leads());
        answer.answered
    });
    thread::sleep(Duration::from_millis(50));
    waiting
}
