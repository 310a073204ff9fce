//! The whole drill with real processes and real signals: elect, tell the truth, take over.
//!
//! What is asserted is order and safety. How fast it goes is measured by `make figures`.

mod clocks;
mod guard;
mod one_line;
mod run;
mod signals;
mod store_trouble;

use std::thread;

use support::{Flock, Pasture, QUICK_LEASE, Sidecar, Witness, eventually, get, now};

#[test]
fn of_three_exactly_one_leads_and_the_others_name_it() {
    let pasture = Pasture::new();
    let flock = Flock::start(&["a", "b", "c"], &pasture.store());
    let leader = flock.settled();
    for (place, sidecar) in flock.members.iter().enumerate() {
        let answer = sidecar.leader();
        assert_eq!(answer.leads(), place == leader, "{answer:?}");
        assert_eq!(answer.holder(), Some(flock.members[leader].name.as_str()));
        assert_eq!(sidecar.status("/ready"), 200);
        assert_eq!(sidecar.status("/started"), 200);
        assert_eq!(sidecar.status("/livez"), 200);
    }
}

#[test]
fn a_killed_leader_is_replaced_under_a_larger_term() {
    let pasture = Pasture::new();
    let mut flock = Flock::start(&["a", "b", "c"], &pasture.store());
    let leader = flock.settled();
    let witness = Witness::of(&flock);
    let term = flock.members[leader].leader().term();
    flock.members[leader].kill();
    flock.members.remove(leader);
    let next = flock.settled();
    assert!(flock.members[next].leader().term() > term);
    witness.saw_never_two();
}

#[test]
fn a_terminated_leader_says_no_frees_the_lease_and_exits_zero() {
    let pasture = Pasture::new();
    let mut flock = Flock::start(&["a", "b"], &pasture.store());
    let leader = flock.settled();
    let witness = Witness::of(&flock);
    let term = flock.members[leader].leader().term();
    flock.members[leader].signal("TERM");
    assert!(flock.members[leader].wait().success());
    assert_eq!(flock.members[leader].log().events("vacated"), 1);
    flock.members.remove(leader);
    let next = flock.settled();
    assert_eq!(flock.members[next].leader().term(), term + 1, "handed over, not run out");
    witness.saw_never_two();
}

#[test]
fn a_leader_that_was_frozen_says_no_with_its_first_answer() {
    let pasture = Pasture::new();
    let flock = Flock::start(&["a", "b"], &pasture.store());
    let leader = flock.settled();
    let (frozen, other) = (&flock.members[leader], 1 - leader);
    frozen.signal("STOP");
    let next = flock.led_by_one_of(&[other]);
    // Asked while it is still frozen: the question waits in the kernel, and is the first thing
    // that the process finds when it wakes.
    let url = format!("{}/leader", frozen.url);
    let first = thread::spawn(move || get(&url));
    thread::sleep(std::time::Duration::from_millis(100));
    frozen.signal("CONT");
    let first = first.join().unwrap().expect("it answers");
    assert!(!first.leads(), "{first:?}");
    assert!(flock.members[next].leader().leads());
    assert_eq!(flock.settled(), next, "the frozen one follows");
}

#[test]
fn after_everybody_died_a_new_process_leads_without_waiting() {
    let pasture = Pasture::new();
    let mut flock = Flock::start(&["a", "b"], &pasture.store());
    let leader = flock.settled();
    let last_term = flock.members[leader].leader().term();
    flock.members.iter_mut().for_each(Sidecar::kill);
    let dead_since = now();
    eventually("the lease runs out", || (now().since(dead_since) > QUICK_LEASE).then_some(()));
    let started = now();
    let fresh = Sidecar::start("fresh", &pasture.store());
    let answer = eventually("it leads", || Some(fresh.leader()).filter(|answer| answer.leads()));
    assert!(answer.term() > last_term, "the term goes on: {answer:?}");
    // Not a claim about speed: waiting for a lease is what it must not do.
    assert!(now().since(started) < QUICK_LEASE, "it waited for a lease that was over");
}

#[test]
fn a_restarted_process_does_not_take_itself_for_the_holder() {
    let pasture = Pasture::new();
    let mut first = Sidecar::start("same-name", &pasture.store());
    let term = eventually("it leads", || {
        Some(first.leader()).filter(|answer| answer.leads()).map(|answer| answer.term())
    });
    first.kill();
    let second = Sidecar::start("same-name", &pasture.store());
    let answer = second.leader();
    assert!(!answer.leads(), "the lease of the dead process is still live: {answer:?}");
    let answer = eventually("it leads", || Some(second.leader()).filter(|answer| answer.leads()));
    assert!(answer.term() > term);
}

#[test]
fn a_question_that_waits_is_answered_at_the_hand_over() {
    let pasture = Pasture::new();
    let flock = Flock::start(&["a", "b"], &pasture.store());
    let leader = flock.settled();
    let standby = &flock.members[1 - leader];
    assert_eq!(standby.status("/leader?wait=10ms"), 503);
    let url = format!("{}/leader?wait=60s", standby.url);
    let waiting = thread::spawn(move || get(&url));
    flock.members[leader].signal("TERM");
    let answer = waiting.join().unwrap().expect("it answers");
    assert!(answer.leads(), "{answer:?}");
}

#[test]
fn min_valid_asks_for_that_much_validity() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start("a", &pasture.store());
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let answer = sidecar.get("/leader?min-valid=1900ms&wait=30s").unwrap();
    assert_eq!(answer.status, 200, "each renewal brings 2s: {answer:?}");
    assert!(answer.body["validForMs"].as_u64() >= Some(1900), "{answer:?}");
    assert_eq!(sidecar.status("/leader?min-valid=5s"), 400, "longer than the renew deadline");
    assert_eq!(sidecar.status("/leader?wait=soon"), 400);
}

#[test]
fn a_second_signal_exits_at_once_and_leaves_the_lease() {
    let pasture = Pasture::new();
    let mut sidecar = Sidecar::start_with("a", &pasture.store(), &["--shutdown-grace", "60s"]);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let lock = support::lock::Lock::take(&pasture);
    sidecar.signal("TERM");
    eventually("it says no", || (sidecar.status("/leader") != 200).then_some(()));
    // The same one would be taken for the same request: see `signals`.
    sidecar.signal("INT");
    assert!(!sidecar.wait().success());
    drop(lock);
    assert_eq!(sidecar.log().events("vacated"), 0);
}

#[test]
fn shutting_down_does_not_wait_for_a_store_that_hangs() {
    let pasture = Pasture::new();
    let mut sidecar = Sidecar::start_with("a", &pasture.store(), &["--shutdown-grace", "1h"]);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let _lock = support::lock::Lock::take(&pasture);
    sidecar.signal("TERM");
    assert!(sidecar.wait().success(), "it exits although the store never answers");
}
