//! `--timeout` bounds each wait, whatever is waited for, and however long a call may take. A store that
//! does not answer at all: `tests/store/dynamodb/once.rs`.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::once::scene::{Once, lines, once};
use support::lock::Lock;
use support::{Pasture, bellwether, eventually};

/// A call may take eight minutes with these: longer than a test waits.
const PATIENT: [&str; 6] =
    ["--lease-duration", "1h", "--renew-deadline", "40m", "--retry-period", "15m"];

fn patient(pasture: &Pasture, args: &[&str]) -> Command {
    let mut command = bellwether();
    command.args(["once", "--store", &pasture.store()]).args(PATIENT).args(args);
    command.current_dir(pasture.folder()).stdin(Stdio::null());
    command
}

#[track_caller]
fn gives_up(command: Command) {
    assert_eq!(Once::start(command).exit_code(), Some(75));
}

/// A history with a key that is done.
fn done() -> Pasture {
    let pasture = Pasture::new();
    assert_eq!(once(&pasture, "a", &["--key", "done"], "true").exit_code(), Some(0));
    pasture
}

#[test]
fn a_store_that_takes_no_write_is_waited_for_as_long_as_that() {
    let pasture = done();
    let _lock = Lock::take(&pasture);
    let limit = ["--timeout", "1s"];
    for args in [
        &["--key", "new", "--", "true"][..],
        &["--revert", "done", "--", "true"],
        &["--work", "report", "--every", "1h", "--", "true"],
        &["--reset", "--key", "done"],
        &["--reset", "--work", "default"],
    ] {
        gives_up(patient(&pasture, &[&limit[..], args].concat()));
    }
}

#[test]
fn a_check_that_hangs_is_waited_for_as_long_as_that_and_ends() {
    let pasture = done();
    let check = ["--check", "sh -c 'echo $$ >> checks; exec sleep 600'"];
    let args = [&["--key", "done", "--timeout", "2s"][..], &check, &["--", "true"]].concat();
    gives_up(patient(&pasture, &args));
    // And by an instance that has waited for another one.
    let slow = "echo run >> runs; until [ -e go ]; do sleep 0.02; done";
    let mut runner = once(&pasture, "a", &["--key", "k"], slow);
    eventually("it runs", || (!lines(&pasture, "runs").is_empty()).then_some(()));
    let args = [&["--key", "k", "--timeout", "5s"][..], &check, &["--", "true"]].concat();
    let mut waiter = Once::start(patient(&pasture, &args));
    eventually("it waits", || (waiter.log.events("following") > 0).then_some(()));
    fs::write(pasture.folder().join("go"), "").unwrap();
    assert_eq!(runner.exit_code(), Some(0));
    assert_eq!(waiter.exit_code(), Some(75));
    let checks = lines(&pasture, "checks");
    assert_eq!(checks.len(), 2);
    for check in checks {
        eventually("it is gone", || (!fs::exists(format!("/proc/{check}")).unwrap()).then_some(()));
    }
}

/// Without time to wait for others, what it takes to ask is bounded all the same.
#[test]
fn without_time_to_wait_a_check_that_hangs_ends() {
    let pasture = done();
    let check = ["--check", "sh -c 'echo $$ >> checks; exec sleep 600'"];
    let args = [&["--key", "done", "--timeout", "0s"][..], &check, &["--", "true"]].concat();
    let mut checked = Once::start(patient(&pasture, &args));
    assert_eq!(checked.exit_code(), Some(75));
    for check in lines(&pasture, "checks") {
        eventually("it is gone", || (!fs::exists(format!("/proc/{check}")).unwrap()).then_some(()));
    }
}

#[test]
fn a_platform_that_does_not_answer_is_waited_for_as_long_as_that() {
    let pasture = Pasture::new();
    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v4/abc", silent.local_addr().unwrap());
    for what in ["--key", "--revert"] {
        let mut command = patient(&pasture, &[what, "auto", "--timeout", "300ms", "--", "true"]);
        command.env("ECS_CONTAINER_METADATA_URI_V4", &url);
        gives_up(command);
    }
    assert!(!pasture.path().exists());
}

#[test]
fn a_key_is_not_read_from_a_pipe_that_may_never_have_one() {
    let pasture = Pasture::new();
    let pipe = pasture.folder().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let command = patient(&pasture, &["--key-file", "pipe", "--", "true"]);
    assert_eq!(Once::start(command).exit_code(), Some(64));
}
