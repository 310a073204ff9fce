//! `bellwether once`: work that is done once per key, across instances that start together, fail
//! and die.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::process::{Child, Stdio};

use support::{Log, Pasture, QUICK, bellwether, eventually, kill};

/// A `bellwether once` of its own, killed when dropped.
struct Once {
    child: Child,
    log: Log,
}

/// Starts one instance; `script` runs in the folder of the database.
fn once(pasture: &Pasture, name: &str, args: &[&str], script: &str) -> Once {
    let mut command = bellwether();
    command.args(["once", "--store", &pasture.store(), "--identity", name]).args(QUICK).args(args);
    command.args(["--", "sh", "-c", script]).current_dir(pasture.folder());
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::of(child.stderr.take().unwrap());
    Once { child, log }
}

impl Once {
    #[track_caller]
    fn exit_code(&mut self) -> Option<i32> {
        eventually("it exits", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log:\n{}", self.log.text());
        }
    }
}

/// The lines that the commands wrote to a file.
fn lines(pasture: &Pasture, file: &str) -> Vec<String> {
    let text = fs::read_to_string(pasture.folder().join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

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
fn what_is_done_is_not_done_again_but_another_key_is() {
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
    let args = ["--key", "bad", "--max-attempts", "3"];
    let mut all: Vec<_> = NAMES.iter().map(|name| once(&pasture, name, &args, script)).collect();
    for instance in &mut all {
        assert_eq!(instance.exit_code(), Some(9));
    }
    assert_eq!(lines(&pasture, "runs").len(), 3);
    let said = eventually("it says why", || {
        let lines = all[0].log.lines();
        lines.into_iter().find(|line| line.contains("failed for good"))
    });
    assert!(said.contains("no such table") && said.contains("--reset"), "{said}");
    let mut late = once(&pasture, "late", &args, script);
    assert_eq!(late.exit_code(), Some(9), "who comes later learns of it too");
    assert_eq!(lines(&pasture, "runs").len(), 3);
}

#[test]
fn an_attempt_that_fails_can_be_followed_by_one_that_succeeds() {
    let pasture = Pasture::new();
    let script = "echo run >> runs; test $(wc -l < runs) -ge 2";
    let mut all: Vec<_> =
        NAMES.iter().map(|name| once(&pasture, name, &["--key", "k"], script)).collect();
    for instance in &mut all {
        assert_eq!(instance.exit_code(), Some(0));
    }
    assert_eq!(lines(&pasture, "runs").len(), 2);
}

#[test]
fn a_reset_allows_it_again_and_the_term_goes_on() {
    let pasture = Pasture::new();
    let script = "echo $BELLWETHER_TERM >> runs; exit 1";
    let args = ["--key", "k", "--max-attempts", "1"];
    for _ in 0..2 {
        assert_eq!(once(&pasture, "a", &args, script).exit_code(), Some(1));
    }
    let reset = bellwether()
        .args(["once", "--store", &pasture.store(), "--reset", "--key", "k"])
        .status()
        .unwrap();
    assert!(reset.success());
    assert_eq!(once(&pasture, "a", &args, script).exit_code(), Some(1));
    assert_eq!(lines(&pasture, "runs"), ["1", "2"], "each attempt has a term of its own");
}

#[test]
fn a_reset_is_refused_while_somebody_is_at_it() {
    let pasture = Pasture::new();
    let _runner = once(&pasture, "a", &["--key", "k"], "echo run >> runs; sleep 60");
    eventually("it runs", || (!lines(&pasture, "runs").is_empty()).then_some(()));
    let reset = bellwether()
        .args(["once", "--store", &pasture.store(), "--reset", "--key", "k"])
        .output()
        .unwrap();
    assert_eq!(reset.status.code(), Some(75));
    let said = String::from_utf8(reset.stderr).unwrap();
    assert!(said.contains("a is at it now"), "{said}");
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
    kill("KILL", first.child.id());
    first.child.wait().unwrap();
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
    let first_of_second = beats.iter().find(|b| b.0 == 2).unwrap().1;
    assert!(last_of_first < first_of_second, "{last_of_first} {first_of_second}");
}

#[test]
fn a_runner_that_is_asked_to_end_hands_over() {
    let pasture = Pasture::new();
    let script = "echo $BELLWETHER_IDENTITY >> runs; sleep 60";
    let mut first = once(&pasture, "a", &["--key", "k"], script);
    eventually("it runs", || (!lines(&pasture, "runs").is_empty()).then_some(()));
    let mut second = once(&pasture, "b", &["--key", "k"], "echo second >> runs");
    kill("TERM", first.child.id());
    assert_eq!(first.exit_code(), Some(143), "it was not done here");
    assert_eq!(second.exit_code(), Some(0));
    assert_eq!(lines(&pasture, "runs"), ["a", "second"]);
}

#[test]
fn who_waits_for_too_long_exits_75() {
    let pasture = Pasture::new();
    let _runner = once(&pasture, "a", &["--key", "k"], "echo run >> runs; sleep 60");
    eventually("it runs", || (!lines(&pasture, "runs").is_empty()).then_some(()));
    let mut waiter = once(&pasture, "b", &["--key", "k", "--timeout", "300ms"], "echo no >> runs");
    assert_eq!(waiter.exit_code(), Some(75));
    assert_eq!(lines(&pasture, "runs"), ["run"]);
}

#[test]
fn its_own_attempt_that_takes_too_long_is_stopped_and_freed() {
    let pasture = Pasture::new();
    let slow = "echo run >> runs; sleep 60";
    let mut first = once(&pasture, "a", &["--key", "k", "--timeout", "1s"], slow);
    assert_eq!(first.exit_code(), Some(75));
    let mut second = once(&pasture, "b", &["--key", "k"], "echo second >> runs");
    assert_eq!(second.exit_code(), Some(0));
    assert_eq!(lines(&pasture, "runs"), ["run", "second"]);
}

#[test]
fn a_command_that_does_not_exist_fails_like_any_other() {
    let pasture = Pasture::new();
    let output = bellwether()
        .args(["once", "--store", &pasture.store(), "--key", "k", "--max-attempts", "2"])
        .args(["--", "/no/such/program"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(127));
}

#[test]
fn a_wrong_key_exits_64() {
    let pasture = Pasture::new();
    for key in ["", "two words"] {
        let args = ["once", "--store", &pasture.store(), "--key", key, "--", "true"];
        let output = bellwether().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("is not a key: use 1 to 255 bytes"), "{said}");
    }
    assert!(!pasture.path().exists());
}
