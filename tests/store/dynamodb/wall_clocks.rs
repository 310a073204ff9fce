//! Hosts whose wall clocks are hours apart, or jump: they elect as if nothing were: rule
//! `boot-clock`.

use std::fs;
use std::path::Path;

use support::dynamodb::Emulator;
use support::{Flock, QUICK_LEASE, Sidecar, Witness, eventually, now, with_credentials};

/// A sidecar whose wall clock is off by what the file says, now and later.
fn start(name: &str, emulator: &Emulator, offset: &Path) -> Sidecar {
    let mut command = with_credentials();
    support::faketime::shift(&mut command, offset);
    Sidecar::start_as(name, &emulator.url(), &[], command)
}

#[test]
fn hosts_whose_wall_clocks_are_hours_apart_never_lead_together() {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let files = ["a", "b", "c"].map(|name| folder.path().join(name));
    let offsets = ["+7h", "-7h", "+0"];
    let mut flock = Flock { members: Vec::new() };
    for ((name, file), offset) in ["a", "b", "c"].iter().zip(&files).zip(offsets) {
        fs::write(file, offset).unwrap();
        flock.members.push(start(name, &emulator, file));
    }
    let leader = flock.settled();
    let witness = Witness::of(&flock);
    let lease = now();
    let term = flock.members[leader].leader().term();
    // Every clock jumps, the leader's too.
    for (file, offset) in files.iter().zip(["-3d", "+9h", "+1h"]) {
        fs::write(file, offset).unwrap();
    }
    let jumped = |at: usize| flock.members[at].log().events("lost");
    eventually("a lease passes", || (now().since(lease) > QUICK_LEASE * 2).then_some(()));
    assert_eq!((flock.settled(), flock.members[leader].leader().term()), (leader, term));
    assert_eq!(jumped(leader), 0);
    // The jump was real: the record shows it to people.
    let shown = flock.members[leader].leader().body["renewTime"].to_string();
    let truth = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H"]).output().unwrap();
    let truth = String::from_utf8(truth.stdout).unwrap();
    assert!(!shown.contains(truth.trim()), "{shown} is not hours away from {truth}");
    // A crash is taken over by the others, whose clocks disagree on everything.
    flock.members[leader].kill();
    flock.members.remove(leader);
    let next = flock.settled();
    assert!(flock.members[next].leader().term() > term);
    witness.saw_never_two();
}

#[test]
fn a_host_in_the_future_does_not_take_the_lease_of_a_live_leader() {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let (today, future) = (folder.path().join("today"), folder.path().join("future"));
    fs::write(&today, "+0").unwrap();
    fs::write(&future, "+1d").unwrap();
    let first = start("a", &emulator, &today);
    eventually("it leads", || first.leader().leads().then_some(()));
    let second = start("b", &emulator, &future);
    let flock = Flock { members: vec![first, second] };
    let witness = Witness::of(&flock);
    assert_eq!(flock.settled(), 0);
    let since = now();
    eventually("a lease passes", || (now().since(since) > QUICK_LEASE).then_some(()));
    assert_eq!(flock.settled(), 0);
    witness.saw_never_two();
}
