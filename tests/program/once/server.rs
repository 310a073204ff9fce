//! What follows the work, and what it is done for: the server, the check, the key in a file.

use std::fs;
use std::process::{Command, Stdio};

use crate::once::scene::{Once, lines, once};
use support::jam::Jam;
use support::lock::Lock;
use support::{Killed, Pasture, QUICK, bellwether, eventually, kill};

fn command(pasture: &Pasture, args: &[&str]) -> Command {
    let mut command = bellwether();
    command.args(["once", "--store", &pasture.store()]).args(QUICK).args(args);
    command.current_dir(pasture.folder()).stdin(Stdio::null());
    command
}

const MIGRATE: &str = r#"sh -c "echo 'two  words' >> lines""#;

#[test]
fn the_server_takes_the_place_of_the_process_when_the_work_is_done() {
    let pasture = Pasture::new();
    let server =
        "echo $$ > pid; trap 'exit 7' TERM; echo serves >> lines; while :; do sleep 0.05; done";
    let args = ["--key", "v1", "--run", MIGRATE, "--", "sh", "-c", server];
    let child = command(&pasture, &args).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let mut instance = Once::of(child);
    eventually("it serves", || {
        lines(&pasture, "lines").contains(&"serves".to_owned()).then_some(())
    });
    assert_eq!(lines(&pasture, "lines"), ["two  words", "serves"]);
    assert_eq!(lines(&pasture, "pid"), [pid.to_string()]);
    let mut second = once(&pasture, "b", &["--key", "v2"], "echo free >> lines");
    assert_eq!(second.exit_code(), Some(0), "the lease is free");
    instance.signal("TERM");
    assert_eq!(instance.exit_code(), Some(7), "the signal has reached the server");
}

#[test]
fn without_the_work_there_is_no_server() {
    let pasture = Pasture::new();
    let args = ["--key", "v1", "--max-attempts", "1", "--run", "sh -c 'exit 3'"];
    let args = [&args[..], &["--", "sh", "-c", "echo serves >> lines"]].concat();
    assert_eq!(command(&pasture, &args).status().unwrap().code(), Some(3));
    assert!(lines(&pasture, "lines").is_empty());
    let no_server = ["--key", "v2", "--run", "true", "--", "/no/such/server"];
    assert_eq!(command(&pasture, &no_server).status().unwrap().code(), Some(127));
    let odd = ["--key", "v2", "--run", "open 'quote", "--", "true"];
    assert_eq!(command(&pasture, &odd).status().unwrap().code(), Some(64));
}

/// A database that was restored, with its records elsewhere.
#[test]
fn a_key_that_is_done_but_fails_the_check_is_done_again() {
    let pasture = Pasture::new();
    let args = ["--key", "v1", "--check", "test -e migrated"];
    let migrate = "echo run >> lines; sleep 0.3; touch migrated";
    let all = || {
        for mut instance in ["a", "b", "c"].map(|name| once(&pasture, name, &args, migrate)) {
            assert_eq!(instance.exit_code(), Some(0));
        }
    };
    all();
    assert_eq!(lines(&pasture, "lines").len(), 1);
    all();
    assert_eq!(lines(&pasture, "lines").len(), 1);
    fs::remove_file(pasture.folder().join("migrated")).unwrap();
    all();
    assert_eq!(lines(&pasture, "lines").len(), 2);
    let args = ["--key", "v2", "--check", "test -e other", "--max-attempts", "1"];
    assert_eq!(once(&pasture, "a", &args, "echo other >> lines").exit_code(), Some(1));
    let args = ["--key", "v1", "--check", "/no/such/check"];
    assert_eq!(once(&pasture, "a", &args, migrate).exit_code(), Some(127));
    assert_eq!(lines(&pasture, "lines").len(), 3);
}

#[test]
fn the_key_may_be_in_a_file_of_the_image() {
    let pasture = Pasture::new();
    fs::write(pasture.folder().join("release"), "3f2a9c1\n").unwrap();
    let args = ["--key-file", "release", "--", "sh", "-c", "echo $BELLWETHER_KEY >> lines"];
    assert!(command(&pasture, &args).status().unwrap().success());
    assert_eq!(lines(&pasture, "lines"), ["3f2a9c1"]);
    let args = ["--key-file", "missing", "--", "true"];
    assert_eq!(command(&pasture, &args).status().unwrap().code(), Some(64));
}

#[test]
fn old_keys_are_forgotten_and_their_order_is_not() {
    let pasture = Pasture::new();
    let run = |key: &str, order: &str, more: &[&str]| {
        let args = [&["--key", key, "--order", order][..], more].concat();
        assert_eq!(
            once(&pasture, "a", &args, "echo $BELLWETHER_KEY >> lines").exit_code(),
            Some(0)
        );
    };
    run("v1", "1", &[]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    run("v2", "2", &[]);
    // Two of them show that the time has passed.
    run("v3", "3", &["--keep", "1s"]);
    let status = || {
        let status = bellwether().args(["status", "--store", &pasture.store()]).output().unwrap();
        String::from_utf8(status.stdout).unwrap()
    };
    assert!(!status().contains("v1") && status().contains("v2"), "{}", status());
    run("v1", "1", &[]);
    let ran = lines(&pasture, "lines");
    assert_eq!(ran, ["v1", "v2", "v3"], "it is older, and not begun again");
}

#[test]
fn a_key_that_names_a_tag_that_moves_warns() {
    let pasture = Pasture::new();
    let mut instance = once(&pasture, "a", &["--key", "web:latest"], "true");
    assert_eq!(instance.exit_code(), Some(0));
    eventually("it warns", || (instance.log.count("is a tag that moves") > 0).then_some(()));
}

#[test]
fn a_command_that_runs_once_for_the_same_work_does_not_wait_for_itself() {
    let pasture = Pasture::new();
    let again = |more: &str| {
        let program = env!("CARGO_BIN_EXE_bellwether");
        format!("{program} once --store {} {more} -- echo inner >> lines", pasture.store())
    };
    let args = ["--key", "outer", "--max-attempts", "1"];
    let mut instance = once(&pasture, "a", &args, &again("--key inner"));
    assert_eq!(instance.exit_code(), Some(64));
    let args = ["--key", "other", "--max-attempts", "1"];
    let mut instance = once(&pasture, "a", &args, &again("--work inner --key inner"));
    assert_eq!(instance.exit_code(), Some(0));
    assert_eq!(lines(&pasture, "lines"), ["inner"]);
}

/// The server would not know of it, and no process would end it.
#[test]
fn a_signal_before_the_server_starts_is_not_lost() {
    let pasture = Pasture::new();
    let lease = ["--lease-duration", "30s", "--renew-deadline", "20s", "--shutdown-grace", "100ms"];
    let migrate = "sh -c 'echo run >> lines; until [ -e go ]; do sleep 0.02; done'";
    let args = [&lease[..], &["--key", "k", "--run", migrate, "--", "sh", "-c"]].concat();
    let args = [&args[..], &["echo serves >> lines"]].concat();
    let mut instance = Once::of(command(&pasture, &args).stderr(Stdio::piped()).spawn().unwrap());
    eventually("it runs", || (!lines(&pasture, "lines").is_empty()).then_some(()));
    let lock = Lock::take(&pasture);
    fs::write(pasture.folder().join("go"), "").unwrap();
    eventually("it succeeds", || (instance.log.events("command_ended") > 0).then_some(()));
    instance.signal("TERM");
    eventually("it is leaving", || (instance.log.events("outcome_delayed") > 0).then_some(()));
    drop(lock);
    assert_eq!(instance.exit_code(), Some(143));
    assert_eq!(lines(&pasture, "lines"), ["run"]);
}

/// A log that is not read takes half a second: after the lease is free, and before the server starts.
#[test]
fn a_signal_while_the_log_is_written_is_not_lost() {
    // The signal may come too late for that: then the next key.
    let mut number = 0;
    eventually("a signal before the server starts", || {
        number += 1;
        let (pasture, key) = (Pasture::new(), format!("k{number}"));
        let server = "echo serves >> lines; exec sleep 600";
        let args = ["--key", &key, "--run", "true", "--", "sh", "-c", server];
        let (_jam, full) = Jam::new();
        let mut once = Killed(command(&pasture, &args).stderr(full).spawn().unwrap());
        eventually("the lease is free", || {
            let status = ["status", "--json", "--store", &pasture.store()];
            let status = bellwether().args(status).output().unwrap();
            let status = String::from_utf8(status.stdout).unwrap();
            let is_free = status.contains(r#""state":"vacated""#);
            (is_free && status.contains(r#""state":"done""#)).then_some(())
        });
        kill("TERM", once.0.id());
        let ended = eventually("it ends, or serves", || match once.0.try_wait().unwrap() {
            Some(status) => Some(status.code()),
            None => (!lines(&pasture, "lines").is_empty()).then_some(None),
        });
        (ended == Some(143) && lines(&pasture, "lines").is_empty()).then_some(())
    });
}
