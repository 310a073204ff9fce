//! The runs of periods, as the cron of every instance starts them.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::once::scene::{Once, command, lines, once};
use support::{Pasture, bellwether, eventually, faketime, now};

const EVERY: [&str; 4] = ["--work", "report", "--every", "6s"];

fn all_at_once(pasture: &Pasture) {
    let start = |name| once(pasture, name, &EVERY, "echo $BELLWETHER_KEY >> runs; sleep 0.3");
    for mut instance in ["a", "b", "c"].map(start) {
        assert_eq!(instance.exit_code(), Some(0));
    }
}

#[test]
fn each_period_has_one_run_and_one_small_record_holds_them() {
    let pasture = Pasture::new();
    let began = now();
    all_at_once(&pasture);
    all_at_once(&pasture);
    assert_eq!(lines(&pasture, "runs").len(), 1);
    for period in 1..=2 {
        let next = Duration::from_secs(6) * period;
        thread::sleep(next.saturating_sub(now().since(began)));
        all_at_once(&pasture);
        assert_eq!(lines(&pasture, "runs").len(), 1 + period as usize);
    }
    let status = bellwether().args(["status", "--json", "--store", &pasture.store()]).output();
    let records: Vec<Value> = serde_json::from_slice(&status.unwrap().stdout).unwrap();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["work"]["keys"].as_array().unwrap().len(), 3);
}

#[test]
fn a_run_whose_instance_dies_is_taken_over() {
    let pasture = Pasture::new();
    let every = ["--work", "report", "--every", "1h"];
    let mut first = once(&pasture, "a", &every, "echo $BELLWETHER_KEY >> runs; sleep 60");
    eventually("it runs", || (!lines(&pasture, "runs").is_empty()).then_some(()));
    let mut second = once(&pasture, "b", &every, "echo $BELLWETHER_KEY >> runs");
    first.kill();
    assert_eq!(second.exit_code(), Some(0));
    let runs = lines(&pasture, "runs");
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0], runs[1], "it is the same period");
}

/// The clock of the host that ran it last was ahead.
#[test]
fn a_run_in_the_future_is_reported_and_can_be_reset() {
    let pasture = Pasture::new();
    let every = ["--work", "report", "--every", "1h"];
    let mut ahead = command(&pasture, "ahead", &every, "echo $BELLWETHER_KEY >> runs");
    let offset = pasture.folder().join("offset");
    std::fs::write(&offset, "+2d").unwrap();
    faketime::shift(&mut ahead, &offset);
    assert_eq!(Once::start(ahead).exit_code(), Some(0));
    let runs = lines(&pasture, "runs");
    let mut skips = once(&pasture, "b", &every, "echo $BELLWETHER_KEY >> runs");
    assert_eq!(skips.exit_code(), Some(0));
    skips.log.await_events("period_in_future", 1);
    let reset = ["--reset", "--work", "report", "--key", &runs[0]];
    let status = bellwether().args(["status", "--store", &pasture.store()]).output().unwrap();
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(text.contains("is in the future"), "{text}");
    let output = bellwether().arg("once").args(reset).args(["--store", &pasture.store()]).output();
    assert!(output.unwrap().status.success());
    assert_eq!(once(&pasture, "b", &every, "echo again >> runs").exit_code(), Some(0));
    assert_eq!(lines(&pasture, "runs"), [runs[0].as_str(), "again"]);
}

/// And so --retry-after is not over until that time.
#[test]
fn a_failure_in_the_future_is_reported_and_can_be_reset() {
    let pasture = Pasture::new();
    let key = ["--work", "report", "--key", "k", "--max-attempts", "1"];
    let mut ahead = command(&pasture, "ahead", &key, "exit 9");
    let offset = pasture.folder().join("offset");
    std::fs::write(&offset, "+2d").unwrap();
    faketime::shift(&mut ahead, &offset);
    assert_eq!(Once::start(ahead).exit_code(), Some(9));
    let mut late = once(&pasture, "b", &key, "echo no >> runs");
    assert_eq!(late.exit_code(), Some(9));
    late.log.await_events("failed_in_future", 1);
    let status = bellwether().args(["status", "--store", &pasture.store()]).output().unwrap();
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(text.contains("failed at a time in the future"), "{text}");
    let reset = ["--reset", "--work", "report", "--key", "k"];
    let output = bellwether().arg("once").args(reset).args(["--store", &pasture.store()]).output();
    assert!(output.unwrap().status.success());
    assert_eq!(once(&pasture, "b", &key, "echo run >> runs").exit_code(), Some(0));
    assert_eq!(lines(&pasture, "runs"), ["run"]);
}

#[test]
fn a_period_needs_a_work_of_its_own() {
    for args in [&["--every", "1h"][..], &["--every", "1h", "--work", "w", "--key", "k"]] {
        let output = bellwether().arg("once").args(args).args(["--", "true"]).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{args:?}");
    }
}
