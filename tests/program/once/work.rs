//! Who runs it, how often, and who learns of it.

use crate::once::scene::{Once, lines, once};
use support::lock::Lock;
use support::{Pasture, bellwether, eventually};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[test]
fn eight_at_once_run_it_once_and_all_succeed() {
    let pasture = Pasture::new();
    let script = "echo $BELLWETHER_IDENTITY $BELLWETHER_KEY $BELLWETHER_TERM >> runs; sleep 0.5";
    let mut all: Vec<_> =
        NAMES.iter().map(|name| once(&pasture, name, &["--key", "v1"], script)).collect();
    for instance in &mut all {
        assert_eq!(instance.exit_code(), Some(0));
    }
    let runs = lines(&pasture, "runs");
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert!(runs[0].ends_with(" v1 1"), "{runs:?}");
}

#[test]
fn a_key_that_is_done_is_not_done_again_but_another_is() {
    let pasture = Pasture::new();
    for key in ["v1", "v1", "v2", "v1", "sha256:00ff/web@2"] {
        let mut instance = once(&pasture, "a", &["--key", key], "echo $BELLWETHER_KEY >> runs");
        assert_eq!(instance.exit_code(), Some(0));
    }
    assert_eq!(lines(&pasture, "runs"), ["v1", "v2", "sha256:00ff/web@2"]);
}

#[test]
fn a_failure_is_tried_so_many_times_in_all_and_everyone_gets_its_code() {
    let pasture = Pasture::new();
    let script = "echo run >> runs; echo 'no such table' >&2; exit 9";
    let args = ["--key", "bad", "--max-attempts", "3", "--retry-delay", "10ms"];
    let mut all: Vec<_> = NAMES.iter().map(|name| once(&pasture, name, &args, script)).collect();
    for instance in &mut all {
        assert_eq!(instance.exit_code(), Some(9));
    }
    assert_eq!(lines(&pasture, "runs").len(), 3);
    let printed = eventually("it says why", || {
        let lines = all[0].log.lines();
        lines.into_iter().find(|line| line.contains("all attempts failed"))
    });
    assert!(printed.contains("no such table") && printed.contains("--reset"), "{printed}");
    let mut late = once(&pasture, "late", &args, script);
    assert_eq!(late.exit_code(), Some(9), "who comes later learns of it too");
    assert_eq!(lines(&pasture, "runs").len(), 3);
}

#[test]
fn an_attempt_that_fails_can_be_followed_by_one_that_succeeds() {
    let pasture = Pasture::new();
    let script = "echo run >> runs; test $(wc -l < runs) -ge 2";
    let args = ["--key", "k", "--retry-delay", "10ms"];
    let mut all: Vec<_> = NAMES.iter().map(|name| once(&pasture, name, &args, script)).collect();
    for instance in &mut all {
        assert_eq!(instance.exit_code(), Some(0));
    }
    assert_eq!(lines(&pasture, "runs").len(), 2);
}

#[test]
fn a_runner_that_is_killed_is_taken_over_and_its_command_is_dead_before() {
    let pasture = Pasture::new();
    let script = "trap '' TERM; for i in $(seq 50); do \
                  read up idle < /proc/uptime; echo $BELLWETHER_TERM $up >> beats; sleep 0.1; done; \
                  echo $BELLWETHER_IDENTITY >> finished";
    let mut first = once(&pasture, "a", &["--key", "k"], script);
    eventually("it runs", || (!lines(&pasture, "beats").is_empty()).then_some(()));
    let mut second = once(&pasture, "b", &["--key", "k"], script);
    first.kill();
    assert_eq!(second.exit_code(), Some(0));
    assert_eq!(lines(&pasture, "finished"), ["b"], "the first was cut off, the second was not");
    let beats: Vec<(u64, f64)> = lines(&pasture, "beats")
        .iter()
        .map(|line| {
            let (term, at) = line.split_once(' ').unwrap();
            (term.parse().unwrap(), at.parse().unwrap())
        })
        .collect();
    let last_of_first = beats.iter().filter(|b| b.0 == 1).map(|b| b.1).fold(0.0, f64::max);
    // Where the store does not respond in time, the term after the first may pass without a command.
    let first_of_second = beats.iter().find(|b| b.0 > 1).unwrap().1;
    assert!(last_of_first < first_of_second, "{last_of_first} {first_of_second}");
}

#[test]
fn a_runner_hands_over_on_sigterm() {
    let pasture = Pasture::new();
    let script = "echo $BELLWETHER_IDENTITY >> runs; sleep 60";
    let mut first = once(&pasture, "a", &["--key", "k"], script);
    eventually("it runs", || (!lines(&pasture, "runs").is_empty()).then_some(()));
    let mut second = once(&pasture, "b", &["--key", "k"], "echo second >> runs");
    first.signal("TERM");
    assert_eq!(first.exit_code(), Some(143), "it was not done here");
    assert_eq!(second.exit_code(), Some(0));
    assert_eq!(lines(&pasture, "runs"), ["a", "second"]);
}

#[test]
fn an_instance_that_waits_for_too_long_exits_75() {
    let pasture = Pasture::new();
    let _runner = once(&pasture, "a", &["--key", "k"], "echo run >> runs; sleep 60");
    eventually("it runs", || (!lines(&pasture, "runs").is_empty()).then_some(()));
    let mut waiter = once(&pasture, "b", &["--key", "k", "--timeout", "300ms"], "echo no >> runs");
    assert_eq!(waiter.exit_code(), Some(75));
    assert_eq!(lines(&pasture, "runs"), ["run"]);
}

#[test]
fn a_time_limit_for_waiting_never_stops_the_command() {
    let pasture = Pasture::new();
    let slow = "echo run >> runs; sleep 7; echo done >> runs";
    let mut first = once(&pasture, "a", &["--key", "k", "--timeout", "6s"], slow);
    assert_eq!(first.exit_code(), Some(0));
    assert_eq!(lines(&pasture, "runs"), ["run", "done"]);
}

#[test]
fn a_time_limit_for_the_command_ends_it_and_counts() {
    let pasture = Pasture::new();
    let slow = "echo run >> runs; sleep 60";
    // The command has this long to begin.
    let args = ["--key", "k", "--run-timeout", "5s", "--max-attempts", "2"];
    let args = [&args[..], &["--retry-delay", "10ms"]].concat();
    assert_eq!(once(&pasture, "a", &args, slow).exit_code(), Some(124));
    assert_eq!(lines(&pasture, "runs"), ["run", "run"]);
    let mut late = once(&pasture, "b", &args, "echo no >> runs");
    assert_eq!(late.exit_code(), Some(124));
    assert_eq!(lines(&pasture, "runs").len(), 2);
}

/// On the same host it would fail again, without having done anything.
#[test]
fn a_command_that_does_not_exist_is_tried_once_by_each_instance() {
    let pasture = Pasture::new();
    for code in [Some(127), Some(127)] {
        let output = bellwether()
            .args(["once", "--store", &pasture.store(), "--key", "k", "--max-attempts", "9"])
            .args(["--retry-delay", "10ms", "--", "/no/such/program"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), code);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(printed.matches("cannot start the command").count(), 1, "{printed}");
    }
}

#[test]
fn a_second_signal_exits_at_once_and_the_command_is_gone_soon_after() {
    let pasture = Pasture::new();
    let script = "trap '' TERM; while :; do echo beat >> beats; sleep 0.02; done";
    let mut runner = once(&pasture, "a", &["--key", "k", "--shutdown-grace", "1h"], script);
    eventually("it runs", || (!lines(&pasture, "beats").is_empty()).then_some(()));
    runner.signal("TERM");
    eventually("it waits for the command", || {
        (runner.log.count("shutting down") > 0).then_some(())
    });
    runner.signal("INT");
    assert_eq!(runner.exit_code(), Some(1));
    eventually("the command is gone", || {
        let before = lines(&pasture, "beats").len();
        std::thread::sleep(std::time::Duration::from_millis(200));
        (lines(&pasture, "beats").len() == before).then_some(())
    });
}

/// With a retry period of a quarter of an hour, only a push can be so quick.
#[test]
fn a_waiting_instance_is_notified_and_does_not_have_to_look() {
    let pasture = Pasture::new();
    let slow = ["--lease-duration", "1h", "--renew-deadline", "40m", "--retry-period", "15m"];
    let args = [&["--key", "k"][..], &slow].concat();
    let mut runner = once(&pasture, "a", &args, "until [ -e go ]; do sleep 0.02; done");
    eventually("it leads", || (runner.log.count("elected") > 0).then_some(()));
    let mut waiters = ["b", "c"].map(|name| once(&pasture, name, &args, "echo no >> runs"));
    for waiter in &waiters {
        eventually("it waits", || (waiter.log.count("another instance leads") > 0).then_some(()));
    }
    std::fs::write(pasture.folder().join("go"), "").unwrap();
    assert_eq!(runner.exit_code(), Some(0));
    assert_eq!(waiters.each_mut().map(|waiter| waiter.exit_code()), [Some(0); 2]);
    assert_eq!(lines(&pasture, "runs").len(), 0);
}

/// A command that has just succeeded while the store hangs, and an instance that has to end.
fn unrecorded(pasture: &Pasture, lease: &[&str]) -> (Once, Lock) {
    let args = [&["--key", "k", "--shutdown-grace", "100ms"], lease].concat();
    let runner =
        once(pasture, "a", &args, "echo run >> runs; until [ -e go ]; do sleep 0.02; done");
    eventually("it runs", || (!lines(pasture, "runs").is_empty()).then_some(()));
    let lock = Lock::take(pasture);
    std::fs::write(pasture.folder().join("go"), "").unwrap();
    eventually("it succeeds", || (runner.log.count("the command ended") > 0).then_some(()));
    runner.signal("TERM");
    eventually("it says so", || {
        (runner.log.count("does not accept its outcome") > 0).then_some(())
    });
    (runner, lock)
}

#[test]
fn a_success_that_the_store_takes_late_is_recorded_after_the_grace() {
    let pasture = Pasture::new();
    let lease = ["--lease-duration", "30s", "--renew-deadline", "20s"];
    let (mut runner, lock) = unrecorded(&pasture, &lease);
    // Longer than the grace, what is added to it, and the time of one call.
    std::thread::sleep(std::time::Duration::from_secs(10));
    drop(lock);
    assert_eq!(runner.exit_code(), Some(0), "it is done");
    let mut next = once(&pasture, "b", &["--key", "k"], "echo run >> runs");
    assert_eq!(next.exit_code(), Some(0));
    assert_eq!(lines(&pasture, "runs").len(), 1);
}

#[test]
fn a_success_that_a_second_signal_abandons_is_not_lost_without_a_word() {
    let pasture = Pasture::new();
    let (mut runner, _lock) = unrecorded(&pasture, &[]);
    runner.signal("INT");
    assert_eq!(runner.exit_code(), Some(1));
    eventually("its log", || runner.log.has_ended().then_some(()));
    assert_eq!(runner.log.count("could not be recorded; it will run again"), 1);
}

#[test]
fn a_success_that_cannot_be_recorded_is_not_lost_without_a_word() {
    let pasture = Pasture::new();
    let (mut runner, _lock) = unrecorded(&pasture, &[]);
    assert_eq!(runner.exit_code(), Some(143));
    eventually("its log", || runner.log.has_ended().then_some(()));
    assert_eq!(runner.log.count("could not be recorded; it will run again"), 1);
}
