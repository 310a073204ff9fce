//! Whole elections, by what only Kubernetes has: kubectl, etcd, Leases that are deleted.
//!
//! What every store has is in the drill (`tests/program/drill`).

use std::sync::Arc;

use support::kubernetes::ApiServer;
use support::tools::must;
use support::{Flock, QUICK_LEASE, Sidecar, Witness, eventually, now};

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
fn kubectl_shows_who_leads() {
    let scene = Scene::set(&["a", "b", "c"]);
    let leader = scene.flock.settled();
    let mut command = scene.server.kubectl();
    command.args(["get", "lease", "default", "-n", &scene.namespace, "-o"]);
    let holder = must(command.arg("jsonpath={.spec.holderIdentity} {.spec.leaseDurationSeconds}"));
    assert_eq!(holder, format!("{} 3", scene.flock.members[leader].name));
}

/// The API server restarts, then etcd is frozen for two leases: never two leaders, and one again.
#[test]
fn all_rejoin_after_the_server_was_away() {
    let scene = Scene::on(Arc::new(ApiServer::start()), &["a", "b", "c"]);
    scene.flock.settled();
    let witness = Witness::of(&scene.flock);
    scene.server.restart();
    scene.flock.settled();
    let frozen = scene.server.freeze_etcd();
    eventually("no instance leads", || {
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
