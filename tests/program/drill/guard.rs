//! What ends the command when its guard, or both of its keepers, are killed; and how it behaves
//! with a terminal.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::drill::run::{Runner, command, under};
use crate::drill::signals::{children, text};
use support::beats::{BEAT, beat_after, beats, never_overlapped};
use support::terminal::Terminal;
use support::{Log, Pasture, QUICK, bellwether, eventually, kill};

/// Kills several processes at once.
fn kill_together(pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    assert!(Command::new("kill").arg("-9").args(pids).status().unwrap().success());
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn main_and_guard_killed_together_do_not_leave_the_command() {
    let pasture = Pasture::new();
    for _ in 0..5 {
        let term = beats(&pasture).last().map_or(0, |beat| beat.term);
        let runner = Runner::start("a", &pasture, &format!("trap '' TERM INT HUP; {BEAT}"));
        beat_after(&pasture, term);
        let guard = children(runner.id())[0];
        let command = children(guard)[0];
        kill_together(&[guard, runner.id()]);
        eventually("the command is gone", || (!is_alive(command)).then_some(()));
    }
}

/// Its own main and guard are children of the command, and its command has another mark.
#[test]
fn a_nested_run_is_gone_before_its_command_is_started_again() {
    let pasture = Pasture::new();
    // In another election: in the same one it would wait for itself, and is refused.
    let more = [&QUICK[..], &["--election", "inner"]].concat();
    let inner = command("inner", &pasture, &more, BEAT);
    let words = std::iter::once(inner.get_program()).chain(inner.get_args());
    let words: Vec<_> =
        words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))).collect();
    let nested = format!("read up idle < /proc/uptime; echo $up >> starts; {}", words.join(" "));
    // In another folder, and so with another store.
    let outside = Pasture::new();
    let mut outer = command("outer", &outside, &QUICK, &nested);
    outer.current_dir(pasture.folder());
    let runner = Runner::begin(outer);
    let term = beat_after(&pasture, 0).term;
    kill("KILL", children(runner.id())[0]);
    let starts = || text(&pasture.folder().join("starts"));
    eventually("it is started again", || (starts().lines().count() == 2).then_some(()));
    let again: f64 = starts().lines().last().unwrap().parse().unwrap();
    beat_after(&pasture, term);
    let last = beats(&pasture)
        .iter()
        .filter(|beat| beat.term == term)
        .map(|beat| beat.at)
        .fold(0.0, f64::max);
    assert!(
        last <= again,
        "the inner command worked at {last}, and the outer one began at {again}"
    );
    runner.log.await_events("command_gone_after_guard", 1);
}

#[test]
fn as_the_first_process_it_ends_what_a_killed_guard_left_before_it_starts_again() {
    let pasture = Pasture::new();
    let daemon = "setsid env -i sh -c 'while :; do read up idle < /proc/uptime; echo $up >> daemon; sleep 0.02; done'";
    let script = format!(
        "read up idle < /proc/uptime; echo $up >> starts
         [ -e daemon ] || {daemon} &
         {BEAT}"
    );
    let run = command("a", &pasture, &QUICK, &script);
    let words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let mut child =
        under(&words, &run).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::of(child.stderr.take().unwrap());
    let file = |name: &str| text(&pasture.folder().join(name));
    eventually("the daemon", || (file("daemon").lines().count() > 5).then_some(()));
    let first = children(child.id())[0];
    kill("KILL", children(first)[0]);
    eventually("it is started again", || (file("starts").lines().count() == 2).then_some(()));
    let seconds =
        |name: &str| file(name).trim_end().rsplit('\n').next().unwrap().parse::<f64>().unwrap();
    let again = seconds("starts");
    std::thread::sleep(Duration::from_millis(300));
    assert!(seconds("daemon") <= again, "the daemon continued beside the new command");
    kill("TERM", first);
    assert!(log.exit_status(&mut child).success());
    assert_eq!(log.events("command_gone_after_guard"), 1, "{}", log.text());
    assert_eq!(log.events("vacated"), 1);
}

/// Else a fence could not tell a late write of the first run from one of the second.
#[test]
fn once_starts_again_in_another_term_after_its_guard_was_killed() {
    let pasture = Pasture::new();
    let script = "echo $BELLWETHER_TERM >> runs; test $(wc -l < runs) -ge 2 || sleep 600";
    let mut once = bellwether();
    once.args(["once", "--store", &pasture.store(), "--key", "k"]).args(QUICK);
    once.args(["--", "sh", "-c", script]).current_dir(pasture.folder());
    let mut runner = Runner::begin(once);
    let runs = || text(&pasture.folder().join("runs"));
    eventually("it runs", || (!runs().is_empty()).then_some(()));
    kill("KILL", children(runner.id())[0]);
    assert_eq!(runner.exit_code(), Some(0));
    runner.log.await_events("command_gone_after_guard", 1);
    let terms: Vec<u64> = runs().lines().map(|term| term.parse().unwrap()).collect();
    assert!(matches!(terms[..], [first, second] if first < second), "{terms:?}");
}

/// Work in a session of its own and with an environment of its own, below a command that cannot be killed:
/// the command changes to a user that main and the guard may not signal.
struct Unkillable {
    runner: Runner,
    command: u32,
    work: u32,
}

impl Unkillable {
    fn start(pasture: &Pasture) -> Self {
        let environment = r#"env -i PATH="$PATH" BELLWETHER_TERM="$BELLWETHER_TERM" BELLWETHER_IDENTITY="$BELLWETHER_IDENTITY""#;
        let script = format!(
            "setsid {environment} sh -c '{BEAT}' & echo $! > work
             exec setpriv --reuid 65534 sleep 600"
        );
        let run = command("a", pasture, &QUICK, &script);
        let runner = Runner::begin(under(&["setpriv", "--bounding-set", "-kill"], &run));
        beat_after(pasture, 0);
        let command = children(children(runner.id())[0])[0];
        eventually("the command is another user", || {
            let status = text(Path::new(&format!("/proc/{command}/status")));
            status.contains("\nUid:\t65534\t").then_some(())
        });
        runner.log.await_events("command_out_of_reach", 1);
        let work = text(&pasture.folder().join("work")).trim().parse().unwrap();
        Self { runner, command, work }
    }
}

impl Drop for Unkillable {
    /// A test that failed because it has ended must not abort the others.
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.command.to_string()]).status();
    }
}

#[test]
fn what_a_command_that_cannot_be_killed_started_is_killed_in_time() {
    let pasture = Pasture::new();
    let first = Unkillable::start(&pasture);
    let term = beats(&pasture)[0].term;
    first.runner.signal("KILL");
    let _next = Runner::start("b", &pasture, BEAT);
    beat_after(&pasture, term);
    eventually("the work ends", || (!is_alive(first.work)).then_some(()));
    assert!(is_alive(first.command), "the work ended because its parent did");
    never_overlapped(&pasture);
}

#[test]
fn what_a_command_that_cannot_be_killed_started_is_killed_after_the_guard_too() {
    let pasture = Pasture::new();
    let first = Unkillable::start(&pasture);
    kill("KILL", children(first.runner.id())[0]);
    eventually("the work ends", || (!is_alive(first.work)).then_some(()));
    assert!(is_alive(first.command), "the work ended because its parent did");
}

/// It has no terminal that could stop it: a question for a password fails, and input is empty.
#[test]
fn a_command_that_asks_its_terminal_fails_instead_of_hanging() {
    let pasture = Pasture::new();
    let log = pasture.folder().join("log");
    let script = format!(
        "cat > input; stty -echo < /dev/tty; echo $? > echo; read x < /dev/tty; echo $? > password; {BEAT}"
    );
    let mut terminal = Terminal::start(&command("a", &pasture, &QUICK, &script), &log);
    beat_after(&pasture, 0);
    let read = |name: &str| text(&pasture.folder().join(name));
    assert_eq!(read("input"), "");
    assert_ne!(read("echo").trim(), "0");
    assert_ne!(read("password").trim(), "0");
    terminal.types("\x03");
    assert_eq!(terminal.wait().code(), Some(0), "{}", text(&log));
}

#[test]
fn a_stopped_command_is_reported() {
    let pasture = Pasture::new();
    let mut runner = Runner::start("a", &pasture, BEAT);
    beat_after(&pasture, 0);
    let command = children(children(runner.id())[0])[0];
    kill("STOP", command);
    eventually("it is logged", || (runner.log.events("command_suspended") > 0).then_some(()));
    let beaten = beats(&pasture).len();
    kill("CONT", command);
    eventually("it is logged", || (runner.log.events("command_continued") > 0).then_some(()));
    eventually("it works", || (beats(&pasture).len() > beaten).then_some(()));
    runner.signal("TERM");
    assert_eq!(runner.exit_code(), Some(0));
}
