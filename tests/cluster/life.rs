//! From the installation to the end of a release: each change of the leader is a hand-over.

use std::process::Stdio;

use crate::node::patiently;
use crate::place::{Place, Pod};
use support::tools::must;
use support::{Killed, Log, now};

/// Longer than any wait of a test: a leader that comes before its end was handed the lease.
const LONG_LEASE: [&str; 3] = ["leaseDuration=600s", "renewDeadline=400s", "retryPeriod=2s"];

#[test]
fn nothing_else_is_needed_for_one_pod_to_lead() {
    let place = Place::new();
    let started = now();
    place.installed("demo", &[]);
    println!("from helm install until one works: {:?}", now().since(started));
    let leader = place.leader();
    place.rolled_out("demo");
    let others: Vec<_> =
        place.pods().into_iter().filter(|pod| pod.name() != leader.name()).collect();
    assert_eq!(others.len(), 1);
    let answer = others[0].get("/leader").unwrap();
    assert_eq!((answer.status, answer.holder()), (503, Some(leader.name())));
    must(&mut place.helm(&["test", "demo", "--timeout", "4m"]));
    place.world.saw_never_two();
}

/// The application continues to work under its lease until it has ended, and only then another one begins.
#[test]
fn the_pod_of_the_leader_is_deleted() {
    let place = Place::new();
    place.installed("demo", &LONG_LEASE);
    let first = place.leader();
    must(&mut place.kubectl(&["delete", "pod", first.name(), "--wait=false"]));
    let next = place.world.sees_next_term();
    let reports = place.world.reports();
    let of_first = |what: &str| {
        let of = reports.iter().filter(|report| report.pod == first.name() && report.what == what);
        of.map(|report| report.at).next_back().unwrap_or_else(|| panic!("no {what}"))
    };
    assert!(of_first("ending") < of_first("works"), "it worked on after SIGTERM");
    assert!(of_first("ends") < next.at, "it had ended before another worked");
    println!(
        "from the end of the application until another worked: {:?}",
        next.at.since(of_first("ends"))
    );
    place.world.saw_never_two();
}

/// Follows what a sidecar logs until it ends, or until the returned process is dropped.
fn log_of(place: &Place, pod: &Pod) -> (Log, Killed) {
    let mut command = place.kubectl(&["logs", "--follow", "--container=bellwether", pod.name()]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let log = Log::of(child.stdout.take().unwrap());
    (log, Killed(child))
}

/// What a sidecar logs if it keeps the lease for the application beside it.
const KEPT: &str = "the application in this pod may still run";

/// The kubelet kills the application in the moment in which it asks the sidecar to end.
#[test]
fn an_application_that_uses_up_its_grace_is_dead_before_another_leads() {
    let place = Place::new();
    let grace =
        ["app.terminationGracePeriodSeconds=3", "app.env[1].name=STUBBORN", "app.env[1].value=yes"];
    place.installed("demo", &[&LONG_LEASE[..], &grace].concat());
    let first = place.leader();
    let (log, _follows) = log_of(&place, &first);
    must(&mut place.kubectl(&["delete", "pod", first.name(), "--wait=false"]));
    let next = place.world.sees_next_term();
    assert_eq!(next.term, 2, "the lease was handed over");
    patiently("the log has ended", || log.has_ended().then_some(()));
    assert_eq!(log.count(KEPT), 1, "{}", log.text());
    assert!(
        place.world.of("ends").iter().all(|report| report.pod != first.name()),
        "it was killed"
    );
    place.world.saw_never_two();
}

#[test]
fn an_application_that_ends_in_time_does_not_delay_the_hand_over() {
    let place = Place::new();
    place.installed("demo", &LONG_LEASE);
    let first = place.leader();
    let (log, _follows) = log_of(&place, &first);
    must(&mut place.kubectl(&["delete", "pod", first.name(), "--wait=false"]));
    place.world.sees_next_term();
    patiently("the log has ended", || log.has_ended().then_some(()));
    assert!(log.count("shutting down") == 1 && log.count(KEPT) == 0, "{}", log.text());
}

#[test]
fn a_rollout_of_three() {
    let place = Place::new();
    place.installed("demo", &[&LONG_LEASE[..], &["app.replicas=3"]].concat());
    let before: Vec<_> = place.pods().iter().map(|pod| pod.name().to_owned()).collect();
    assert_eq!(before.len(), 3);
    must(&mut place.kubectl(&["rollout", "restart", "deployment/demo"]));
    place.rolled_out("demo");
    let next = place
        .world
        .sees("a new pod works", |report| report.what == "works" && !before.contains(&report.pod));
    patiently("the old pods have gone", || (place.pods().len() == 3).then_some(()));
    println!("hand-overs of a rollout: {}", next.term - 1);
    place.world.saw_never_two();
}

#[test]
fn no_leader_for_a_while_and_one_again() {
    let place = Place::new();
    place.installed("demo", &LONG_LEASE);
    must(&mut place.kubectl(&["scale", "deployment/demo", "--replicas=0"]));
    patiently("all pods have gone", || {
        place.api("pods")["items"].as_array().unwrap().is_empty().then_some(())
    });
    must(&mut place.kubectl(&["scale", "deployment/demo", "--replicas=2"]));
    place.world.sees_next_term();
    place.world.saw_never_two();
}

/// Helm's server-side apply would otherwise fail because another tool owns `replicas`.
#[test]
fn an_upgrade_keeps_the_number_of_pods_that_was_set_by_kubectl() {
    let place = Place::new();
    let sets = [&LONG_LEASE[..], &["app.replicas=null"]].concat();
    place.installed("demo", &sets);
    must(&mut place.kubectl(&["scale", "deployment/demo", "--replicas=3"]));
    place.rolled_out("demo");
    must(&mut place.chart(
        "upgrade",
        "demo",
        &[&sets[..], &["app.podAnnotations.release=two"]].concat(),
    ));
    place.rolled_out("demo");
    let is_new = |pod: &Pod| pod.0["metadata"]["annotations"]["release"] == "two";
    let pods = place.pods();
    assert_eq!(pods.len(), 3);
    assert!(pods.iter().all(is_new));
    assert!(is_new(&place.leader()));
    place.world.saw_never_two();
}
