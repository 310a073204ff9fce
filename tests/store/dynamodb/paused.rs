//! Machines that were paused: the service's time continued, and their boot clock did not. The tests
//! move the service's time of one instance forward instead: for that instance it is the same.

use std::process::Stdio;
use std::thread;

use support::dynamodb::Emulator;
use support::http_proxy::{Dates, Proxy};
use support::{
    Flock, Killed, Log, Pasture, QUICK, QUICK_LEASE, Sidecar, Witness, eventually, with_credentials,
};

const NOTICED: &str = "paused_or_copied";

fn start(name: &str, proxy: &Proxy) -> Sidecar {
    Sidecar::start_as(name, &proxy.url(), &[], with_credentials())
}

#[test]
fn a_leader_whose_clock_stood_still_stops_and_stands_again_under_another_name() {
    let emulator = Emulator::start();
    let proxies = ["a", "b"].map(|_| Proxy::before(emulator.port()));
    let members = ["a", "b"].iter().zip(&proxies).map(|(name, proxy)| start(name, proxy)).collect();
    let flock = Flock { members };
    let leader = flock.settled();
    let witness = Witness::of(&flock);
    let paused = flock.members[leader].log();
    let term = flock.members[leader].leader().term();
    proxies[leader].dates(Dates::Shifted(60));
    paused.await_events(NOTICED, 1);
    paused.await_events("lost", 1);
    // The next leader has waited for the lease, and leads in another term.
    let next = flock.settled();
    assert!(flock.members[next].leader().term() > term);
    assert_eq!(paused.events("following_earlier_run"), 1, "its own lease: {}", paused.text());
    assert_eq!(paused.events("following_namesake"), 0, "{}", paused.text());
    // The clock that is put back is no second alarm, nor is a clock that stays ahead.
    thread::sleep(QUICK_LEASE);
    proxies[leader].dates(Dates::AsTheyAre);
    thread::sleep(QUICK_LEASE);
    let settled = flock.settled();
    assert!(flock.members[settled].leader().leads());
    assert_eq!(paused.events(NOTICED), 1, "{}", paused.text());
    witness.saw_never_two();
}

#[test]
fn the_work_of_a_leader_whose_clock_stood_still_is_killed_at_once() {
    let (emulator, pasture) = (Emulator::start(), Pasture::new());
    let proxy = Proxy::before(emulator.port());
    let script = "trap '' TERM; echo \"$BELLWETHER_TERM\" >> terms; while :; do sleep 0.1; done";
    let mut command = with_credentials();
    command.args(["run", "--store", &proxy.url()]).args(QUICK).args(["--shutdown-grace", "1h"]);
    command.args(["--", "sh", "-c", script]).current_dir(pasture.folder()).stderr(Stdio::piped());
    let mut run = Killed(command.spawn().unwrap());
    let log = Log::of(run.0.stderr.take().unwrap());
    let terms = || std::fs::read_to_string(pasture.folder().join("terms")).unwrap_or_default();
    eventually("the work begins", || (terms() == "1\n").then_some(()));
    proxy.dates(Dates::Shifted(60));
    log.await_events(NOTICED, 1);
    // It ignores SIGTERM and has an hour of grace, and is gone before the next term begins.
    eventually("the next term begins", || (terms() == "1\n2\n").then_some(()));
}
