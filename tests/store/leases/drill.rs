//! Real processes on a real API server: crash, hand-over, a frozen leader, an unavailable server.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use support::kubernetes::ApiServer;
use support::tools::must;
use support::{Flock, QUICK_LEASE, Sidecar, Witness, eventually, get, now};

struct Scene {
    server: Arc<ApiServer>,
    namespace: String,
    flock: Flock,
}

impl Scene {
    fn set(names: &[&str]) -> Self {
        Self::on(ApiServer::shared(), names)
    }

    fn on(server: Arc<ApiServer>, names: &[&str]) -> Self {
        let namespace = server.namespace();
        let flock = Flock::start(names, &server.url(&namespace));
        Self { server, namespace, flock }
    }

    fn store(&self) -> String {
        self.server.url(&self.namespace)
    }

    fn term(&self, place: usize) -> u64 {
        self.flock.members[place].leader().term()
    }
}

#[test]
fn of_three_exactly_one_leads_and_the_lease_says_so_to_kubectl() {
    let scene = Scene::set(&["a", "b", "c"]);
    let leader = scene.flock.settled();
    let mut command = scene.server.kubectl();
    command.args(["get", "lease", "default", "-n", &scene.namespace, "-o"]);
    let holder = must(command.arg("jsonpath={.spec.holderIdentity} {.spec.leaseDurationSeconds}"));
    assert_eq!(holder, format!("{} 3", scene.flock.members[leader].name));
}

#[test]
fn a_killed_leader_is_replaced_under_a_larger_term() {
    let mut scene = Scene::set(&["a", "b", "c"]);
    let leader = scene.flock.settled();
    let witness = Witness::of(&scene.flock);
    let term = scene.term(leader);
    let killed = now();
    scene.flock.members[leader].kill();
    scene.flock.members.remove(leader);
    let next = scene.flock.led_by_one_of(&[0, 1]);
    println!("crash to next leader: {:?}, with a lease of {QUICK_LEASE:?}", now().since(killed));
    assert!(scene.term(next) > term);
    witness.saw_never_two();
}

#[test]
fn a_terminated_leader_hands_over_by_the_watch() {
    let scene = Scene::set(&["a", "b"]);
    let leader = scene.flock.settled();
    let witness = Witness::of(&scene.flock);
    let term = scene.term(leader);
    let told = now();
    scene.flock.members[leader].signal("TERM");
    let next = scene.flock.led_by_one_of(&[1 - leader]);
    println!("SIGTERM to next leader: {:?}", now().since(told));
    assert_eq!(scene.term(next), term + 1, "handed over, not run out");
    witness.saw_never_two();
}

#[test]
fn a_leader_that_was_frozen_says_no_with_its_first_answer() {
    let scene = Scene::set(&["a", "b"]);
    let leader = scene.flock.settled();
    let frozen = &scene.flock.members[leader];
    frozen.signal("STOP");
    scene.flock.led_by_one_of(&[1 - leader]);
    let url = format!("{}/leader", frozen.url);
    let first = thread::spawn(move || get(&url));
    thread::sleep(Duration::from_millis(100));
    frozen.signal("CONT");
    let first = first.join().unwrap().expect("it answers");
    assert!(!first.leads(), "{first:?}");
    assert_eq!(scene.flock.settled(), 1 - leader, "the frozen one follows");
}

/// The API server's `Date` shows that the lease is long over.
#[test]
fn after_a_night_at_zero_the_first_instance_leads_at_once() {
    let more = ["--max-clock-skew", "500ms"];
    let server = ApiServer::shared();
    let store = server.url(&server.namespace());
    let mut first = Sidecar::start_with("first", &store, &more);
    let term = eventually("it leads", || Some(first.leader()).filter(|a| a.leads())).term();
    first.kill();
    let dead_since = now();
    let night = QUICK_LEASE + Duration::from_secs(3);
    eventually("the night is over", || (now().since(dead_since) > night).then_some(()));
    let started = now();
    let next = Sidecar::start_with("next", &store, &more);
    let answer = eventually("it leads", || Some(next.leader()).filter(|a| a.leads()));
    println!("cold start on a dead record: {:?}", now().since(started));
    assert!(now().since(started) < QUICK_LEASE, "without watching the lease");
    assert_eq!(answer.term(), term + 1);
}

/// The API server restarts, then etcd is frozen for two leases: never two leaders, and one again.
#[test]
fn everybody_rejoins_after_the_server_was_away() {
    let scene = Scene::on(Arc::new(ApiServer::start()), &["a", "b", "c"]);
    scene.flock.settled();
    let witness = Witness::of(&scene.flock);
    scene.server.restart();
    scene.flock.settled();
    let frozen = scene.server.freeze_etcd();
    eventually("nobody leads", || {
        scene.flock.members.iter().all(|member| !member.leader().leads()).then_some(())
    });
    let since = now();
    eventually("two leases pass", || (now().since(since) > QUICK_LEASE * 2).then_some(()));
    for member in &scene.flock.members {
        assert_eq!((member.status("/livez"), member.status("/started")), (200, 200));
    }
    drop(frozen);
    scene.flock.settled();
    witness.saw_never_two();
}

/// A PUT with the version of an object that was deleted would create it again.
#[test]
fn a_lease_that_was_deleted_under_its_leader_costs_the_leadership_and_no_term() {
    let scene = Scene::set(&["a", "b"]);
    let leader = scene.flock.settled();
    let witness = Witness::of(&scene.flock);
    let term = scene.term(leader);
    let mut command = scene.server.kubectl();
    must(command.args(["delete", "lease", "default", "-n", &scene.namespace]));
    let next = eventually("one leads in a later term", || {
        let answers = scene.flock.members.iter().map(Sidecar::leader);
        answers.into_iter().find(|answer| answer.leads() && answer.term() > term)
    });
    assert!(next.term() > term);
    scene.flock.settled();
    witness.saw_never_two();
}

#[test]
fn status_shows_leases_by_their_plain_names() {
    let scene = Scene::set(&["a"]);
    scene.flock.settled();
    let store = scene.store();
    let mut once = support::bellwether();
    once.args(["once", "--key", "web:7", "--store", &store, "--", "true"]);
    assert!(once.status().unwrap().success());
    let mut status = support::bellwether();
    let shown = must(status.args(["status", "--store", &store]));
    assert!(shown.contains("default") && shown.contains("web:7"), "{shown}");
}
