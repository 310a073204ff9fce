//! The job form: once per release, before anything else of it.

use crate::place::Place;
use support::tools::{must, must_fail};

/// Values of a job that reports its run, and of no application.
fn values(place: &Place) -> Vec<String> {
    let url = format!("{}/job/runs/1", place.world.url);
    vec![
        "app.image=".to_owned(),
        "job.image=busybox:1.37".to_owned(),
        format!("job.command={{wget,-qO,/dev/null,{url}}}"),
        "job.securityContext.runAsUser=65532".to_owned(),
    ]
}

fn chart(place: &Place, verb: &str, more: &[&str]) -> std::process::Command {
    let values = values(place);
    let sets: Vec<_> = values.iter().map(String::as_str).chain(more.iter().copied()).collect();
    place.chart(verb, "demo", &sets)
}

#[test]
fn a_job_runs_once_for_each_key() {
    let place = Place::new();
    let runs = || place.world.of("runs").len();
    must(&mut chart(&place, "install", &[]));
    assert_eq!(runs(), 1);
    must(&mut chart(&place, "upgrade", &[]));
    assert_eq!(runs(), 1, "the same image");
    must(&mut chart(&place, "upgrade", &["job.key=next"]));
    assert_eq!(runs(), 2);
    must(&mut chart(&place, "upgrade", &[]));
    assert_eq!(runs(), 2, "a rollback to what was done");
}

#[test]
fn a_job_that_fails_for_good_fails_the_upgrade_with_one_pod() {
    let place = Place::new();
    let fails = "job.command={sh,-c,exit 3}";
    let printed = must_fail(&mut chart(&place, "install", &[fails, "job.maxAttempts=2"]));
    assert!(printed.contains("demo-once"), "{printed}");
    let pods = place.pods();
    assert_eq!(pods.len(), 1);
    let ended = &pods[0].container("once")["state"]["terminated"];
    assert_eq!(ended["exitCode"], 3, "the command's own: {ended}");
}

#[test]
fn the_job_ends_before_the_application_starts() {
    let place = Place::new();
    must(&mut chart(&place, "install", &["app.image=busybox:1.37"]));
    place.rolled_out("demo");
    place.world.sees("one works", |report| report.what == "works");
    assert_eq!(place.world.reports()[0].what, "runs");
}
