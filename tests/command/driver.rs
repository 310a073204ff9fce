//! Main as a process of its own, so that it can be killed and stopped.
//!
//! Not tests: this test binary starts itself again to run one of them.

use std::fs;
use std::process::{Command, Stdio};

use bellwether::command::group::{CommandSpec, Group};
use bellwether::command::plan::Deadlines;
use bellwether::command::processes::Strays;
use rustix::process::{getpid, set_child_subreaper};

use crate::scene::{eventually_true, ms, now, pid_of, zombies_of};

/// Runs `$BW_TEST_SCRIPT`; writes how it ended to `$DIR/ended`.
///
/// Not a test but a process for the tests, which say so; among them it has nothing to do.
#[tokio::test]
async fn main_process() {
    if !is_asked_for("main_process") {
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
pub fn is_asked_for(name: &str) -> bool {
    std::env::var("BW_TEST_PROCESS").is_ok_and(|asked| asked == name)
}

/// Does what the first process of a container has to do. A process for the tests, as above.
#[test]
fn first_process() {
    if !is_asked_for("first_process") {
        return;
    }
    set_child_subreaper(Some(getpid())).unwrap();
    let mut own = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
    let keep = [pid_of(&own)];
    for _ in 0..20 {
        orphan_one();
    }
    eventually_true("twenty orphans and an own child to end", || zombies_of(getpid()) == 21);
    let mut strays = Strays::default();
    strays.reap(&keep, now());
    assert_eq!(zombies_of(getpid()), 21, "whoever waits for one of them comes first");
    strays.reap(&keep, strays.look_again_at().unwrap());
    assert_eq!(zombies_of(getpid()), 1);
    assert_eq!(strays.look_again_at(), None);
    assert_eq!(own.wait().unwrap().code(), Some(7));
    strays.reap(&[], now());
    assert_eq!(rustix::process::wait(rustix::process::WaitOptions::NOHANG).err(), no_children());
}

fn orphan_one() {
    let mut parent = Command::new("sh");
    let status = parent.args(["-c", "true & exit 0"]).stdin(Stdio::null()).status().unwrap();
    assert!(status.success());
}

fn no_children() -> Option<rustix::io::Errno> {
    Some(rustix::io::Errno::CHILD)
}
