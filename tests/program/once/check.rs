//! `--check`: what it costs, and what ends it.

use std::fs;

use crate::once::scene::{Once, lines, once};
use support::lock::Lock;
use support::{Pasture, eventually, now};

const HANGS: [&str; 4] = ["--key", "k", "--check", "sh -c 'echo $$ >> checks; exec sleep 600'"];

/// An instance whose command has succeeded, and the process that checks that.
fn checking(pasture: &Pasture) -> (Once, String) {
    let instance = once(pasture, "a", &HANGS, "echo run >> runs");
    let check = eventually("it checks", || lines(pasture, "checks").pop());
    (instance, check)
}

#[track_caller]
fn is_gone(process: &str) {
    eventually("it is gone", || (!fs::exists(format!("/proc/{process}")).unwrap()).then_some(()));
}

/// The limit is the time for which the end of its output would be awaited.
#[test]
fn a_check_that_has_ended_is_waited_for_no_longer() {
    let pasture = Pasture::new();
    let args = ["--key", "k", "--check", "true"];
    assert_eq!(once(&pasture, "a", &args, "true").exit_code(), Some(0));
    eventually("it takes less than a second", || {
        let begun = now();
        assert_eq!(once(&pasture, "a", &args, "true").exit_code(), Some(0));
        (now().since(begun).as_millis() < 1_000).then_some(())
    });
}

#[test]
fn a_signal_ends_the_check_of_an_attempt_and_is_not_kept_for_the_next_one() {
    for (signal, code) in [("HUP", 129), ("QUIT", 131), ("TERM", 143)] {
        let pasture = Pasture::new();
        let (mut instance, check) = checking(&pasture);
        instance.signal(signal);
        assert_eq!(instance.exit_code(), Some(code), "{signal}");
        is_gone(&check);
        assert_eq!(instance.log.events("vacated"), 1, "{signal}");
        assert_eq!(lines(&pasture, "runs").len(), 1, "{signal}");
        let mut next = once(&pasture, "b", &["--key", "k"], "echo run >> runs");
        assert_eq!(next.exit_code(), Some(0), "the check has not confirmed it");
        assert_eq!(lines(&pasture, "runs").len(), 2, "{signal}");
    }
}

#[test]
fn a_check_does_not_outlive_the_lease_of_its_attempt() {
    let pasture = Pasture::new();
    let (_instance, check) = checking(&pasture);
    let lock = Lock::take(&pasture);
    is_gone(&check);
    drop(lock);
    eventually("it runs again", || (lines(&pasture, "checks").len() == 2).then_some(()));
    assert_eq!(lines(&pasture, "runs").len(), 2);
}
