//! Signals as they really come: from `timeout`, from a terminal, twice, or ignored from the start.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::drill::run::{Runner, command, under};
use support::beats::{BEAT, beat_after, beats};
use support::lock::Lock;
use support::terminal::Terminal;
use support::{Log, Pasture, QUICK, bellwether, eventually, kill, now};

/// Takes a while to shut down, so that a second signal arrives during the shutdown.
fn orderly() -> String {
    format!("trap 'sleep 1; echo done > finished; exit 0' TERM; {BEAT}")
}

pub fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_signal_that_arrives_twice_is_one_request() {
    let pasture = Pasture::new();
    for signal in ["TERM", "INT"] {
        let mut runner = Runner::start("a", &pasture, &orderly());
        beat_after(&pasture, beats(&pasture).last().map_or(0, |beat| beat.term));
        runner.signal(signal);
        eventually("it ends", || (runner.log.events("shutting_down") > 0).then_some(()));
        runner.signal(signal);
        assert_eq!(runner.exit_code(), Some(0), "{signal}");
        assert_eq!(runner.log.events("vacated"), 1, "{signal}");
    }
}

/// `timeout` signals its child, and then the whole group.
#[test]
fn timeout_of_coreutils_lets_it_end_in_order() {
    let pasture = Pasture::new();
    let run = command("a", &pasture, &QUICK, &orderly());
    let mut runner = Runner::begin(under(&["timeout", "2"], &run));
    assert_eq!(runner.exit_code(), Some(124), "the code of timeout");
    eventually("its log", || runner.log.has_ended().then_some(()));
    assert_eq!(runner.log.events("forced_exit"), 0);
    assert_eq!(runner.log.events("vacated"), 1);
    assert!(pasture.folder().join("finished").exists());
}

#[test]
fn a_second_signal_later_exits_at_once() {
    let pasture = Pasture::new();
    let mut runner = Runner::start("a", &pasture, &format!("trap '' TERM; {BEAT}"));
    beat_after(&pasture, 0);
    runner.signal("TERM");
    let signalled = now();
    eventually("more than a second to pass", || {
        (now().since(signalled) > Duration::from_millis(1_100)).then_some(())
    });
    runner.signal("TERM");
    assert_eq!(runner.exit_code(), Some(1));
    assert_eq!(runner.log.events("forced_exit"), 1);
}

/// It requests what happens already, so it is no second one.
#[test]
fn the_first_signal_while_the_lease_is_being_freed_does_not_abandon_it() {
    let pasture = Pasture::new();
    let timing = ["--lease-duration", "30s", "--renew-deadline", "20s", "--retry-period", "300ms"];
    let script = "touch runs; until [ -e go ]; do sleep 0.02; done; exit 7";
    let mut runner = Runner::start_with("a", &pasture, &timing, script);
    eventually("it runs", || pasture.folder().join("runs").exists().then_some(()));
    let lock = Lock::take(&pasture);
    fs::write(pasture.folder().join("go"), "").unwrap();
    runner.log.await_events("command_ended", 1);
    runner.signal("TERM");
    runner.log.await_events("shutting_down", 1);
    drop(lock);
    assert_eq!(runner.exit_code(), Some(7));
    assert_eq!((runner.log.events("vacated"), runner.log.events("forced_exit")), (1, 0));
}

/// The platform has not yet named the release.
#[test]
fn a_signal_before_anything_is_known_ends_it_in_order() {
    let store = Pasture::new();
    for (args, code) in [
        (&["serve", "--listen", "127.0.0.1:0"][..], 0),
        (&["serve", "--listen", "127.0.0.1:0", "--check"], 143),
        (&["run"], 0),
    ] {
        // One for each: a query has several connections.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v4/abc", silent.local_addr().unwrap());
        let mut command = bellwether();
        command.args(args).args(["--order", "auto", "--store", &store.store()]);
        command.env("ECS_CONTAINER_METADATA_URI_V4", &url);
        if args[0] == "run" {
            command.args(["--", "true"]);
        }
        let mut runner = Runner::begin(command);
        let _request = silent.accept().unwrap();
        runner.signal("TERM");
        assert_eq!(runner.exit_code(), Some(code), "{args:?}");
        assert_eq!(runner.log.events("standing"), 0, "{args:?}");
    }
}

#[test]
fn under_nohup_a_hangup_ends_neither_it_nor_its_command() {
    let pasture = Pasture::new();
    let run = command("a", &pasture, &QUICK, BEAT);
    let mut runner = Runner::begin(under(&["nohup"], &run));
    let term = beat_after(&pasture, 0).term;
    // As a terminal that closes does: to all of its processes.
    runner.signal("HUP");
    for pid in children(runner.id()).into_iter().flat_map(children) {
        kill("HUP", pid);
    }
    let last = beats(&pasture).len();
    eventually("it works on", || (beats(&pasture).len() > last + 20).then_some(()));
    assert!(beats(&pasture).iter().all(|beat| beat.term == term));
    runner.signal("TERM");
    assert_eq!(runner.exit_code(), Some(0));
}

/// The process ids of the children of a process.
pub fn children(of: u32) -> Vec<u32> {
    let found = Command::new("pgrep").args(["-P", &of.to_string()]).output().unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    found.lines().filter_map(|line| line.parse().ok()).collect()
}

#[test]
fn a_sidecar_whose_terminal_closes_frees_the_lease() {
    let pasture = Pasture::new();
    let log = pasture.folder().join("log");
    let mut serve = bellwether();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--store", &pasture.store()]).args(QUICK);
    let mut terminal = Terminal::start(&serve, &log);
    eventually("it leads", || text(&log).contains("\"elected").then_some(()));
    terminal.close();
    assert_eq!(terminal.wait().code(), Some(0), "{}", text(&log));
    assert!(text(&log).contains("\"event\":\"vacated\""), "{}", text(&log));
}

#[test]
fn a_waiting_program_ends_in_order_when_its_terminal_closes() {
    let pasture = Pasture::new();
    let _leader = Runner::start("a", &pasture, BEAT);
    beat_after(&pasture, 0);
    let log = pasture.folder().join("log");
    let mut terminal = Terminal::start(&command("b", &pasture, &QUICK, BEAT), &log);
    eventually("it waits", || text(&log).contains("\"event\":\"following\"").then_some(()));
    terminal.close();
    assert_eq!(terminal.wait().code(), Some(0), "{}", text(&log));
    assert!(text(&log).contains("\"event\":\"shutting_down\""), "{}", text(&log));
}

#[test]
fn a_waiting_once_ends_in_order_at_a_hangup() {
    let pasture = Pasture::new();
    let once = |name: &str, script: &str| {
        let mut once = bellwether();
        once.args(["once", "--key", "k", "--store", &pasture.store(), "--identity", name]);
        once.args(QUICK).args(["--", "sh", "-c", script]).current_dir(pasture.folder());
        once
    };
    let mut runner = Runner::begin(once("a", &format!("export BELLWETHER_TERM=1; {BEAT}")));
    beat_after(&pasture, 0);
    let log = pasture.folder().join("log");
    let mut terminal = Terminal::start(&once("b", "exit 0"), &log);
    eventually("it waits", || text(&log).contains("\"event\":\"following\"").then_some(()));
    terminal.close();
    assert_eq!(terminal.wait().code(), Some(129), "{}", text(&log));
    assert!(text(&log).contains("\"event\":\"shutting_down\""), "{}", text(&log));
    // The one that runs hands the signal to its command.
    runner.signal("TERM");
    assert_eq!(runner.exit_code(), Some(143));
}

#[test]
fn ctrl_c_on_a_terminal_ends_it_in_order() {
    let pasture = Pasture::new();
    let log = pasture.folder().join("log");
    let mut terminal = Terminal::start(&command("a", &pasture, &QUICK, &orderly()), &log);
    beat_after(&pasture, 0);
    terminal.types("\x03");
    assert_eq!(terminal.wait().code(), Some(0), "{}", text(&log));
    assert!(text(&log).contains("\"event\":\"vacated\""), "{}", text(&log));
    assert!(pasture.folder().join("finished").exists());
}

/// The first process of a container inherits every orphan in it, `serve` too.
#[test]
fn a_sidecar_that_is_the_first_process_leaves_no_zombies() {
    let pasture = Pasture::new();
    let mut serve = bellwether();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--store", &pasture.store()]).args(QUICK);
    // Orphans made by a process that was there before: an entry point that became the sidecar.
    let entry = "(for i in $(seq 30); do sleep 0.1; (true &) ; done) & exec \"$@\"";
    let words =
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", entry, "sh"];
    let mut unshare = under(&words, serve.current_dir(pasture.folder()));
    let mut child =
        unshare.stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let log = Log::of(child.stderr.take().unwrap());
    eventually("it leads", || (log.events("elected") > 0).then_some(()));
    let first = children(child.id())[0];
    let zombies = || {
        let stat = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        children(first).iter().filter(|pid| stat(pid).contains(") Z ")).count()
    };
    eventually("orphans to end", || (zombies() > 0).then_some(()));
    // The last to end is the process that made them.
    eventually("all to be reaped", || children(first).is_empty().then_some(()));
    kill("TERM", first);
    assert!(eventually("it exits", || child.try_wait().unwrap()).success());
}
