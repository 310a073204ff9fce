//! Standard error is not read, and everything else continues.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use support::jam::{Jam, Terminal};
use support::ports::free_port;
use support::{
    Answer, Killed, Log, Pasture, QUICK, QUICK_LEASE, Sidecar, bellwether, eventually, get,
    handles_sigterm, kill,
};

/// A `serve` whose log cannot be read to find its address.
struct Mute {
    child: Killed,
    url: String,
}

impl Mute {
    fn start(store: &str, more: &[&str], stderr: Stdio) -> Self {
        Self::start_as(bellwether(), store, more, stderr)
    }

    fn start_as(mut command: Command, store: &str, more: &[&str], stderr: Stdio) -> Self {
        let free = format!("127.0.0.1:{}", free_port());
        command.args(["serve", "--identity", "mute", "--listen", &free, "--store", store]);
        command.args(QUICK).args(more).stderr(stderr);
        let child = Killed(command.spawn().unwrap());
        Self { child, url: format!("http://{free}") }
    }

    fn get(&self, path: &str) -> Option<Answer> {
        get(&format!("{}{path}", self.url))
    }

    fn leads(&self) -> Answer {
        eventually("the one whose log is not read leads", || {
            self.get("/leader").filter(|answer| answer.status == 200)
        })
    }

    /// It renews, and answers, for longer than a lease.
    fn keeps_leading(&self) {
        let first = self.leads();
        let mut seen = Vec::new();
        eventually("it renews several times", || {
            let answer = self.get("/leader").expect("it answers");
            assert!(answer.leads() && answer.term() == first.term(), "{answer:?}");
            let renewed = answer.body["renewTime"].clone();
            if seen.last() != Some(&renewed) {
                seen.push(renewed);
            }
            (seen.len() > 6 && answer.sent.since(first.sent) > QUICK_LEASE).then_some(())
        });
    }

    fn ends(mut self) {
        kill("TERM", self.child.0.id());
        let status = wait(&mut self.child.0);
        assert_eq!(status, Some(0), "it ends in order");
    }
}

fn wait(child: &mut Child) -> Option<i32> {
    eventually("it exits", || child.try_wait().unwrap()).code()
}

/// None before the sidecar has started: it has no metrics then.
fn lost(mute: &Mute) -> Option<f64> {
    let answer = mute.get("/metrics").filter(|answer| answer.status == 200)?;
    let text = answer.body.as_str().expect("a text").to_owned();
    let line = text.lines().find(|line| line.starts_with("bellwether_log_lines_dropped_total "));
    Some(line.expect("the metric is there").rsplit_once(' ').unwrap().1.parse().unwrap())
}

#[test]
fn a_full_pipe_freezes_neither_the_election_nor_the_answers_nor_the_end() {
    let pasture = Pasture::new();
    let (_jam, stderr) = Jam::new();
    let mute = Mute::start(&pasture.store(), &["--log-level", "trace"], stderr);
    mute.leads();
    let other = Sidecar::start("other", &pasture.store());
    mute.keeps_leading();
    assert!(!other.leader().leads());
    let term = other.leader().term();
    mute.ends();
    eventually("the other one leads", || other.leader().leads().then_some(()));
    assert_eq!(other.leader().term(), term + 1);
    other.log().await_events("following", 1);
}

#[test]
fn lines_that_were_lost_are_counted_and_the_log_says_so_when_it_is_read_again() {
    let pasture = Pasture::new();
    let names: Vec<_> = (0..100).map(|number| format!("e{number}")).collect();
    let names = names.join(",");
    let more = ["--log-level", "debug", "--election", &names];
    let (jam, stderr) = Jam::new();
    let mute = Mute::start(&pasture.store(), &more, stderr);
    eventually("lines are lost", || lost(&mute).filter(|lost| *lost > 10.0));
    mute.leads();
    let log = Log::of(jam.read());
    let line = eventually("the log says what it lost", || {
        log.lines().into_iter().find(|line| line.contains("\"event\":\"log_lines_lost\""))
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert!(line["lines"].as_u64().unwrap() > 10, "{line}");
    assert_eq!(line["level"], "WARN");
    mute.ends();
    eventually("the log ends", || log.has_ended().then_some(()));
    assert!(log.lines().iter().rev().take(300).any(|line| line.contains("\"event\":\"vacated\"")));
}

#[test]
fn a_stopped_terminal_freezes_neither_the_election_nor_the_answers_nor_the_end() {
    let pasture = Pasture::new();
    let (mut terminal, stderr) = Terminal::new();
    let mute = Mute::start(&pasture.store(), &["--log-level", "trace"], stderr);
    mute.leads();
    terminal.stop();
    mute.keeps_leading();
    mute.ends();
}

#[test]
fn a_terminal_or_a_reader_that_went_away_ends_nothing() {
    let pasture = Pasture::new();
    let (terminal, stderr) = Terminal::new();
    let mute = Mute::start(&pasture.store(), &["--log-level", "trace"], stderr);
    mute.leads();
    drop(terminal);
    mute.keeps_leading();
    assert!(lost(&mute).is_some_and(|lost| lost > 0.0), "what cannot be written is counted");
    mute.ends();

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mute = Mute::start(&pasture.store(), &["--log-level", "trace"], Stdio::from(writer));
    mute.keeps_leading();
    mute.ends();
}

#[test]
fn a_standard_error_that_is_closed_ends_nothing() {
    let pasture = Pasture::new();
    let mut shell = Command::new("sh");
    support::without_settings(&mut shell);
    let program = env!("CARGO_BIN_EXE_bellwether");
    shell.args(["-c", "exec \"$@\" 2>&-", "sh", program]);
    let mute = Mute::start_as(shell, &pasture.store(), &[], Stdio::inherit());
    mute.keeps_leading();
    mute.ends();
}

#[test]
fn once_waits_and_ends_beside_a_stopped_terminal() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let (begun, go) = (pasture.folder().join("begun"), pasture.folder().join("go"));
    let work =
        format!("touch {}; until test -e {}; do sleep 0.05; done", begun.display(), go.display());
    let once = |work: &str, stderr: Stdio| {
        let mut command = bellwether();
        command.args(["once", "--key", "k", "--store", &store]).args(QUICK);
        Killed(command.args(["--", "sh", "-c", work]).stderr(stderr).spawn().unwrap())
    };
    let mut first = once(&work, Stdio::null());
    eventually("the work has begun", || begun.exists().then_some(()));
    let (mut terminal, stderr) = Terminal::new();
    let mut second = once("exit 3", stderr);
    // It draws its line first.
    thread::sleep(Duration::from_secs(1));
    terminal.stop();
    thread::sleep(Duration::from_secs(2));
    std::fs::write(go, "").unwrap();
    assert_eq!(wait(&mut first.0), Some(0));
    assert_eq!(wait(&mut second.0), Some(0));
}

#[test]
fn a_command_that_writes_to_a_full_pipe_is_stopped_and_its_sidecar_ends() {
    let pasture = Pasture::new();
    let (_jam, stderr) = Jam::new();
    let mut command = bellwether();
    command.args(["once", "--key", "k", "--store", &pasture.store()]).args(QUICK);
    command.args(["--", "sh", "-c", "touch $0; while :; do echo words >&2; done"]);
    let begun = pasture.folder().join("begun");
    let mut once = Killed(command.arg(&begun).stderr(stderr).spawn().unwrap());
    eventually("the command runs", || begun.exists().then_some(()));
    thread::sleep(QUICK_LEASE);
    kill("TERM", once.0.id());
    assert_eq!(wait(&mut once.0), Some(143));
}

#[test]
fn an_error_at_the_start_is_logged_or_dropped_and_never_waited_for() {
    let (_jam, stderr) = Jam::new();
    let mut command = bellwether();
    let mut refused =
        Killed(command.args(["serve", "--lease-duration", "1s"]).stderr(stderr).spawn().unwrap());
    assert_eq!(wait(&mut refused.0), Some(64));
    let (_jam, stderr) = Jam::new();
    let mut nothing = Killed(bellwether().stderr(stderr).spawn().unwrap());
    assert_eq!(wait(&mut nothing.0), Some(64));
}

/// Standard output, too: a pipe of a pager, or of a script that waits for something else.
#[test]
fn a_command_whose_output_is_not_read_ends_at_a_signal() {
    let pasture = Pasture::new();
    let store = pasture.store();
    assert!(bellwether().args(["init", "--store", &store]).output().unwrap().status.success());
    for args in [&["status"][..], &["init"], &["pause", "--no-wait"], &["resume"]] {
        let (_jam, full) = Jam::new();
        let mut command = bellwether();
        command.args(args).args(["--store", &store]).stdout(full);
        let mut child = Killed(command.spawn().unwrap());
        eventually("it handles signals", || handles_sigterm(child.0.id()).then_some(()));
        // It begins to print.
        thread::sleep(Duration::from_secs(1));
        kill("TERM", child.0.id());
        let status = eventually("it ends", || child.0.try_wait().unwrap());
        assert_eq!(status.code(), Some(143), "{args:?}");
    }
}
