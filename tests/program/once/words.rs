//! What a terminal, a log and the record show of a work.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::once::scene::{Once, command, once, runner};
use support::{Pasture, bellwether, eventually};

#[test]
fn a_log_has_a_line_every_ten_seconds_that_says_who_is_waited_for() {
    let pasture = Pasture::new();
    let _runner = runner(&pasture, &["--key", "k"]);
    let waiter = once(&pasture, "b", &["--key", "k"], "true");
    let line = eventually("it says so", || {
        waiter.log.lines().into_iter().find(|line| line.contains("waiting for a, term 1"))
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((line["level"].as_str(), line["key"].as_str()), (Some("INFO"), Some("k")));
}

#[test]
fn a_terminal_has_one_line_that_changes_and_is_gone_before_anything_else_is_written() {
    let pasture = Pasture::new();
    let mut runner = runner(&pasture, &["--key", "k"]);
    let script = "printf 'mine: '; sleep 0.6; echo all mine";
    let screen = pasture.folder().join("screen");
    let mut waiter = on_a_terminal(&command(&pasture, "b", &["--key", "k"], script), &screen);
    let seen = || {
        let bytes = fs::read(&screen).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // The first line is of `script`.
        text.split_once('\n').map_or(String::new(), |(_, text)| text.to_owned())
    };
    eventually("the line", || seen().contains("k: waiting for a, term 1 (").then_some(()));
    runner.signal("TERM");
    assert_eq!(runner.exit_code(), Some(143));
    assert_eq!(waiter.exit_code(), Some(0));
    let seen = seen();
    assert!(seen.contains("mine: all mine"), "it is not written over: {seen:?}");
    let left_behind = seen.lines().find(|line| {
        let last = line.rsplit_once("k: waiting");
        last.is_some_and(|(_, after)| !after.contains("\x1b[2K"))
    });
    assert_eq!(left_behind, None, "it is cleared before anything else: {seen:?}");
    assert!(!seen.contains("k: running"), "its own command says more: {seen:?}");
}

#[test]
fn a_failure_is_kept_with_the_last_of_its_standard_error_unless_that_is_not_wanted() {
    let pasture = Pasture::new();
    let fails = "echo 'column \"credits\" does not exist' >&2; exit 3";
    for (key, more) in [("kept", &[][..]), ("not-kept", &["--no-stderr"])] {
        let args = [&["--key", key, "--max-attempts", "1"][..], more].concat();
        let mut instance = once(&pasture, "a", &args, fails);
        assert_eq!(instance.exit_code(), Some(3));
        eventually("it is passed on", || (instance.log.count("column") > 0).then_some(()));
    }
    let status = bellwether().args(["status", "--json", "--store", &pasture.store()]).output();
    let records: Vec<Value> = serde_json::from_slice(&status.unwrap().stdout).unwrap();
    let keys = records[0]["work"]["keys"].as_array().unwrap();
    let of = |key: &str| keys.iter().find(|record| record["key"] == key).unwrap();
    assert_eq!(of("kept")["stderr"], "column \"credits\" does not exist\n");
    assert_eq!((&of("not-kept")["exitCode"], of("not-kept").get("stderr")), (&3.into(), None));
}

/// Runs `command` on a terminal of its own. What it shows is in a file.
fn on_a_terminal(command: &Command, screen: &Path) -> Once {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")));
    let line = quoted.collect::<Vec<_>>().join(" ");
    let mut script = Command::new("script");
    script.args(["-qfec", &line]).arg(screen).stdin(Stdio::null()).stdout(Stdio::null());
    Once::start(script)
}
