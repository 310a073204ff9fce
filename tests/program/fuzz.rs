//! Requests as no client should send them, to a leader and a standby that change places meanwhile.
//!
//! `BELLWETHER_FUZZ` says how many, `BELLWETHER_SEED` from which seed: the requests of a run are
//! the same for the same seed. `make fuzz` sends a million.

mod ledger;
mod request;
mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bellwether::election::time::BootTime;

use ledger::Ledger;
use request::{ELECTIONS, Request, Shape, TOKEN};
use support::{Flock, Pasture, QUICK_LEASE, Sidecar, eventually, now};
use wire::{Reply, Wire};

/// Enough to try every kind of request, in about ten seconds.
const REQUESTS: u64 = 50_000;

/// Clients at once, half of them at each sidecar.
const CLIENTS: u64 = 4;

/// How long all sidecars run before one is stopped.
const BETWEEN_STOPS: Duration = Duration::from_secs(1);

/// Requests that a stopped process finds when it continues.
const CROWD: usize = 20;

/// What the program may answer. No other 5xx than 503: it says "not now", never "I broke".
const ANSWERS: [u16; 14] = [200, 400, 401, 403, 404, 405, 408, 413, 414, 417, 429, 431, 501, 503];

/// What a sidecar may take of memory at most, in kilobytes, in a build that is not optimized.
const MEMORY: u64 = 64 * 1024;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn no_request_breaks_a_sidecar_or_gets_a_wrong_yes() {
    let requests = setting("BELLWETHER_FUZZ", REQUESTS);
    let seed = setting("BELLWETHER_SEED", 1);
    let pasture = Pasture::new();
    let flock = Flock { members: ["alice", "bob"].map(|name| start(name, &pasture)).into() };
    flock.settled();

    let began = now();
    let ledger = Ledger::default();
    let over = AtomicBool::new(false);
    let tallies = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (ledger, at) = (&ledger, &flock.members[client as usize % 2]);
                let share = requests / CLIENTS + u64::from(client < requests % CLIENTS);
                scope.spawn(move || {
                    send(seed.wrapping_mul(1_000).wrapping_add(client), share, at, ledger)
                })
            })
            .collect();
        let shepherd = scope.spawn(|| freeze_one_after_the_other(&flock, &ledger, &over));
        let tallies: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        shepherd.join().unwrap();
        tallies
    });
    let mut answers = BTreeMap::new();
    for tally in tallies {
        for (status, count) in tally.unwrap_or_else(|failure| {
            eprintln!("play it again with BELLWETHER_SEED={seed}");
            resume_unwind(failure)
        }) {
            *answers.entry(status).or_insert(0) += count;
        }
    }
    let seconds = now().since(began).as_secs_f64();

    let (yes, terms) = ledger.sum();
    println!("{requests} requests in {seconds:.0} s, {yes} yes in {terms} terms: {answers:?}");
    assert!(yes * 500 > requests, "too few of {requests} were answered with yes: {yes}");
    assert!(terms > 2 * ELECTIONS.len(), "the leadership has to move: {terms} terms");
    for sidecar in &flock.members {
        assert_eq!(sidecar.log().count("panicked"), 0, "{}", sidecar.log().text());
        assert_eq!(sidecar.status("/livez"), 200, "{} lives", sidecar.name);
        let memory = peak_memory(sidecar);
        println!("{}: {memory} kB at most", sidecar.name);
        assert!(memory < MEMORY, "{} took {memory} kB", sidecar.name);
    }
    eventually("the default election is decided again", || {
        flock.members.iter().find(|sidecar| sidecar.leader().leads()).map(drop)
    });
}

fn start(name: &str, pasture: &Pasture) -> Sidecar {
    let file = pasture.folder().join("token");
    fs::write(&file, TOKEN).unwrap();
    let mut more = vec!["--token-file", file.to_str().unwrap()];
    more.extend(ELECTIONS.iter().flat_map(|election| ["--election", election]));
    Sidecar::start_with(name, &pasture.store(), &more)
}

/// How often each answer came; 0 stands for a connection that was closed without one.
type Tally = BTreeMap<u16, u64>;

/// Sends the requests of one seed, and checks each answer.
fn send(seed: u64, count: u64, sidecar: &Sidecar, ledger: &Ledger) -> Tally {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut wire = Wire::new(sidecar);
    let mut tally = Tally::new();
    for _ in 0..count {
        let request = Request::random(&mut rng, wire.authority());
        let sent = now();
        let reply = wire.send(&request);
        let answered = now();
        *tally.entry(reply.as_ref().map_or(0, |reply| reply.status)).or_default() += 1;
        let checked = AssertUnwindSafe(|| check(&request, reply.as_ref(), ledger, sent, answered));
        if let Err(failure) = catch_unwind(checked) {
            eprintln!("{} answered {reply:?} to\n{}", sidecar.name, request.text());
            resume_unwind(failure);
        }
    }
    tally
}

fn check(
    request: &Request,
    reply: Option<&Reply>,
    ledger: &Ledger,
    sent: BootTime,
    answered: BootTime,
) {
    let Some(reply) = reply else {
        assert_eq!(request.shape, Shape::Broken, "a request that is in order gets an answer");
        return;
    };
    assert!(ANSWERS.contains(&reply.status), "status {}", reply.status);
    if request.changes && !request.permitted {
        assert!((400..500).contains(&reply.status), "no client may do this");
    }
    if let Some(state) = reply.state().filter(|state| state["leader"].is_boolean()) {
        let leads = state["leader"] == true;
        assert_eq!(leads, state["validForMs"] != 0 || leads && reply.status == 200);
        if request.asks_leader && reply.status == 200 {
            assert!(leads, "yes of one who does not lead");
            let valid = Duration::from_millis(state["validForMs"].as_u64().unwrap());
            // Cut to milliseconds in the answer.
            assert!(valid + Duration::from_millis(1) > request.min_valid, "not for long enough");
        }
        if leads {
            ledger.yes(&state, sent, answered);
        }
    }
}

/// Stops each for longer than a lease from time to time. Its first answer after that has to be no.
fn freeze_one_after_the_other(flock: &Flock, ledger: &Ledger, over: &AtomicBool) {
    let stopped = QUICK_LEASE + Duration::from_millis(500);
    let questions = ELECTIONS.map(Request::plain);
    for sidecar in flock.members.iter().cycle() {
        for _ in 0..BETWEEN_STOPS.as_millis() / 10 {
            if over.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let ask = |question| {
            let mut wire = Wire::new(sidecar);
            assert!(wire.send(question).is_some());
            (wire, question)
        };
        let mut waiting: Vec<_> = questions.iter().cycle().take(CROWD).map(ask).collect();
        sidecar.signal("STOP");
        eventually("it is stopped", || is_stopped(sidecar).then_some(()));
        // Before any of its timers rings, so that they are the first that it sees when it continues.
        waiting.iter_mut().for_each(|(wire, question)| wire.write(question).unwrap());
        thread::sleep(stopped);
        // It cannot have thought about them before now.
        let sent = now();
        sidecar.signal("CONT");
        for (mut wire, question) in waiting {
            let reply = wire.read(question).unwrap();
            check(question, reply.as_ref(), ledger, sent, now());
        }
    }
}

fn is_stopped(sidecar: &Sidecar) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", sidecar.id())).unwrap();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}

/// The most memory that a process has had so far, in kilobytes.
fn peak_memory(sidecar: &Sidecar) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sidecar.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
