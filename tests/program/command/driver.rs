//! Main as a process of its own, so that it can be killed and stopped.
//!
//! Not tests: this test binary starts itself again to run one of them.

use std::fs;
use std::process::Command;

use bellwether::command::group::Group;
use bellwether::command::plan::Deadlines;
use bellwether::command::spec::CommandSpec;

use crate::command::scene::{ms, now};

/// Runs `$BW_TEST_SCRIPT`; writes how it ended to `$DIR/ended`.
///
/// Not a test but a process for the tests, which say so; among them it has nothing to do.
#[tokio::test]
async fn main_process() {
    if !is_wanted("driver::main_process") {
        return;
    }
    let spec = CommandSpec::new("sh", ["-c", &var("BW_TEST_SCRIPT")])
        .guarded_by(env!("CARGO_BIN_EXE_bellwether"));
    let mut group = Group::start(&spec, deadlines()).unwrap();
    let ended = group.ended().await;
    fs::write(format!("{}/ended", var("DIR")), format!("{ended:?}")).unwrap();
}

fn deadlines() -> Deadlines {
    let words = var("BW_TEST_DEADLINES");
    let (stop, kill) = words.split_once(' ').unwrap();
    let start = now();
    Deadlines {
        stop_at: start + ms(stop.parse().unwrap()),
        kill_at: start + ms(kill.parse().unwrap()),
    }
}

fn var(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Whether this process was started to be that one.
fn is_wanted(name: &str) -> bool {
    std::env::var("BW_TEST_PROCESS").is_ok_and(|wanted| wanted == name)
}

/// This test binary, to run one function of it in a process of its own.
pub fn process(name: &str) -> Command {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args([&format!("command::{name}"), "--exact", "--nocapture"]);
    process.env("BW_TEST_PROCESS", name);
    process
}

/// Runs a function in a process of its own, which has to succeed.
fn play(name: &str) {
    let output = process(name).output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// See `alone`. `place` is the path of something inside of the test.
pub fn is_played_elsewhere(place: &str) -> bool {
    let (_, name) = place.split_once("::command::").unwrap();
    let name = name.trim_end_matches("::here").trim_end_matches("::{{closure}}");
    if is_wanted(name) {
        return false;
    }
    play(name);
    true
}
