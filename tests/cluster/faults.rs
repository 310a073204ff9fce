//! What breaks below a release: the API server, the path to it, a sidecar.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::node::patiently;
use crate::place::{Place, Pod};
use support::now;
use support::tools::must;

/// Longer than the lease of the chart's default values.
const LONG: Duration = Duration::from_secs(40);

/// The network path from pods to the API server, which drops every packet until this is dropped.
struct BlackHole<'a> {
    place: &'a Place,
    from: String,
}

impl<'a> BlackHole<'a> {
    fn from(place: &'a Place, addresses: &str) -> Self {
        let hole = Self { place, from: addresses.to_owned() };
        must(&mut hole.rule("--insert"));
        hole
    }

    fn from_all_pods(place: &'a Place) -> Self {
        Self::from(place, "10.88.0.0/16")
    }

    fn rule(&self, verb: &str) -> std::process::Command {
        let mut command = self.place.node.inside();
        command.args(["iptables", "--wait", verb, "INPUT", "--source", &self.from]);
        command.args(["--protocol", "tcp", "--dport", "6443", "--jump", "DROP"]);
        command
    }
}

impl Drop for BlackHole<'_> {
    fn drop(&mut self) {
        let _ = self.rule("--delete").status();
    }
}

fn leads_no_more(pod: &Pod) {
    patiently("it leads no more", || (!pod.leads()).then_some(()));
}

/// What must not change for any pod during a fault: since when it is ready, and its restarts.
fn services(place: &Place) -> Vec<(String, Option<String>, [u64; 2])> {
    let of = |pod: &Pod| {
        let restarts = ["app", "bellwether"].map(|container| pod.restarts(container));
        (pod.name().to_owned(), pod.ready_since(), restarts)
    };
    let mut all: Vec<_> = place.pods().iter().map(of).collect();
    all.sort();
    all
}

#[test]
fn an_api_server_that_is_away_takes_no_pod_out_of_service() {
    let place = Place::alone();
    place.installed("demo", &["app.replicas=3"]);
    let pods = place.pods();
    let before = services(&place);
    assert!(before.iter().all(|(_, ready, restarts)| ready.is_some() && *restarts == [0, 0]));
    let away = place.node.without("kube-apiserver");
    pods.iter().for_each(leads_no_more);
    thread::sleep(LONG);
    for pod in &pods {
        let status = |path| pod.get(path).map(|answer| answer.status);
        assert_eq!(
            (status("/livez"), status("/started")),
            (Some(200), Some(200)),
            "{}",
            pod.name()
        );
        assert!(!pod.leads());
    }
    drop(away);
    place.world.sees_next_term();
    assert_eq!(services(&place), before);
    place.world.saw_never_two();
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_comes_back_as_a_standby() {
    let place = Place::new();
    place.installed("demo", &[]);
    place.rolled_out("demo");
    let before = services(&place);
    let first = place.leader();
    let address = first.0["status"]["podIP"].as_str().unwrap().to_owned();
    let since = now();
    let hole = BlackHole::from(&place, &address);
    let next = place.world.sees_next_term();
    assert_ne!(next.pod, first.name());
    thread::sleep(LONG.saturating_sub(now().since(since)));
    assert!(!first.leads());
    drop(hole);
    patiently("it knows who leads", || {
        let answer = first.get("/leader")?;
        (answer.holder() == Some(next.pod.as_str())).then_some(())
    });
    assert_eq!(services(&place), before);
    place.world.saw_never_two();
}

#[test]
fn etcd_that_hangs_for_two_leases_demotes_and_all_rejoin() {
    let place = Place::alone();
    place.installed("demo", &[]);
    place.rolled_out("demo");
    let pods = place.pods();
    let frozen = place.node.frozen("etcd");
    pods.iter().for_each(leads_no_more);
    thread::sleep(LONG);
    assert!(!pods.iter().any(Pod::leads));
    drop(frozen);
    place.world.sees_next_term();
    place.world.saw_never_two();
}

/// Looks at a pod all the time, and says for how long it was not ready.
fn unready_while(place: &Place, pod: &Pod, fault: impl FnOnce()) -> Duration {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut unready = Duration::ZERO;
            let mut last = now();
            while !over.load(Ordering::Relaxed) {
                let ready = place.pod(pod.name()).ready_since().is_some();
                let at = now();
                if !ready {
                    unready += at.since(last);
                }
                last = at;
                thread::sleep(Duration::from_millis(10));
            }
            unready
        });
        fault();
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    })
}

/// Kills the sidecar of a pod, and waits until it runs again.
fn kill_sidecar(place: &Place, pod: &Pod) {
    let restarts = pod.restarts("bellwether");
    place.kill(pod, "bellwether");
    patiently("the sidecar runs again", || {
        let pod = place.pod(pod.name());
        let runs = pod.container("bellwether")["state"]["running"].is_object();
        (runs && pod.restarts("bellwether") > restarts).then_some(())
    });
}

#[test]
fn a_sidecar_that_is_killed_is_back_at_once() {
    let place = Place::new();
    place.installed("demo", &[]);
    place.rolled_out("demo");
    let leader = place.leader();
    let unready = unready_while(&place, &leader, || {
        kill_sidecar(&place, &leader);
        thread::sleep(Duration::from_secs(5));
    });
    println!("a killed sidecar: its pod was not ready for {unready:?}");
    place.world.sees_next_term();
    assert!(place.pod(leader.name()).ready_since().is_some());
    assert_eq!(place.pod(leader.name()).restarts("app"), 0);
    place.world.saw_never_two();
}

/// Readiness once followed from the first decision after each start, which a store that is away prevents.
#[test]
fn a_sidecar_that_restarts_while_the_store_is_away_leaves_its_pod_ready() {
    let place = Place::alone();
    place.installed("demo", &[]);
    place.rolled_out("demo");
    let pods = place.pods();
    let hole = BlackHole::from_all_pods(&place);
    for pod in &pods {
        kill_sidecar(&place, pod);
        patiently("its pod is ready", || place.pod(pod.name()).ready_since());
    }
    // As it stays.
    thread::sleep(LONG);
    for pod in &pods {
        assert!(place.pod(pod.name()).ready_since().is_some());
        assert!(!pod.leads());
    }
    drop(hole);
    place.world.sees_next_term();
    place.world.saw_never_two();
}

#[test]
fn at_its_first_start_the_application_waits_for_the_first_decision() {
    let place = Place::alone();
    let hole = BlackHole::from_all_pods(&place);
    must(&mut place.chart("install", "demo", &["app.replicas=1"]));
    let pod = patiently("the sidecar runs", || {
        let pods = place.pods();
        let pod = pods.first()?;
        pod.container("bellwether")["state"]["running"].is_object().then(|| pod.clone())
    });
    thread::sleep(Duration::from_secs(10));
    assert!(place.pod(pod.name()).container("app")["state"]["waiting"].is_object());
    assert!(place.world.reports().is_empty());
    drop(hole);
    place.rolled_out("demo");
    assert_eq!(place.pod(pod.name()).restarts("bellwether"), 0);
    place.world.sees("it works", |report| report.what == "works");
}
