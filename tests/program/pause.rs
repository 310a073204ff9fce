//! What `pause` takes, and what is shown of a pause, also of one that another program wrote to the store.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};

use serde_json::Value;
use support::lock::stop_between_writes;
use support::{Flock, Pasture, Sidecar, bellwether, eventually};

fn pause(pasture: &Pasture) -> Command {
    let mut command = bellwether();
    command.args(["pause", "--store", &pasture.store()]);
    command
}

fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    text(&output.stdout) + &text(&output.stderr)
}

/// Whether a terminal would show it as it is: lines of text.
#[track_caller]
fn is_harmless(text: &str) {
    let acts = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(acts), "{text:?}");
}

#[test]
fn a_reason_that_is_no_line_of_text_is_refused_before_the_store_is_opened() {
    let pasture = Pasture::new();
    let long = "x".repeat(10_000);
    let hostile: [&[u8]; 9] = [
        b"",
        b"   ",
        b"two\nlines",
        b"back\rspace",
        b"\x1b[2J\x1b[31mred",
        b"bell\x07",
        "\u{202e}backwards".as_bytes(),
        b"no \xff UTF-8",
        long.as_bytes(),
    ];
    for reason in hostile {
        let output = pause(&pasture).arg("--reason").arg(OsStr::from_bytes(reason)).output();
        let output = output.unwrap();
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(64), "{text}");
        is_harmless(&text);
        let names = reason.contains(&0xff) || text.contains("--reason");
        assert!(names && text.len() < 2_000, "{text}");
    }
    for (flag, bad) in [("--for", "0s"), ("--for", "soon"), ("--timeout", "-1")] {
        let output = pause(&pasture).arg(format!("{flag}={bad}")).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
    }
    for command in ["pause", "resume"] {
        let output = bellwether().args([command, "--work", "web"]).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
        assert!(printed(&output).contains("a work of `once` cannot be paused"));
    }
    assert!(!pasture.path().exists(), "nothing was opened");
}

#[test]
fn the_name_of_the_operator_is_shown_as_text_whatever_the_environment_has() {
    let pasture = Pasture::new();
    assert!(bellwether().args(["init", "--store", &pasture.store()]).status().unwrap().success());
    for user in [&b"ops"[..], b"\x1b[2Jops\n", b"o\xffps", "o\u{202e}ps".as_bytes()] {
        let mut command = pause(&pasture);
        command.env_remove("SUDO_USER").env("USER", OsStr::from_bytes(user));
        let output = command.output().unwrap();
        let text = printed(&output);
        assert!(output.status.success(), "{text}");
        is_harmless(&text);
        assert!(text.contains(", by ") && text.contains('@'), "{text}");
    }
}

#[test]
fn a_hostile_pause_in_the_store_does_no_harm_where_it_is_shown() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start("a", &pasture.store());
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let text = format!(r"\u001b[2J\n\r\u202e\u0000<img src=x>{}", "x".repeat(10_000));
    let stored = format!(r#"{{"since":"2026-11-23T07:39:46Z","by":"{text}","reason":"{text}"}}"#);
    let sql = format!(
        "UPDATE leases SET pause = '{stored}', version = version || 'x' WHERE election = 'default'"
    );
    let mut sqlite = Command::new("sqlite3");
    sqlite.args(["-cmd", ".timeout 10000"]).arg(pasture.path()).arg(sql);
    let output = sqlite.output().expect("sqlite3 is installed (make setup)");
    assert!(output.status.success(), "{}", printed(&output));

    let answer = eventually("it is paused", || {
        Some(sidecar.leader()).filter(|answer| answer.body["paused"] == true)
    });
    let reason = answer.body["reason"].as_str().unwrap();
    assert!(reason.starts_with("paused until it is resumed, by "), "{reason}");
    is_harmless(reason);
    assert!(reason.len() < 1_500, "{reason}");
    let log = eventually("it is logged", || {
        let text = sidecar.log().text();
        text.contains("\"event\":\"paused\"").then_some(text)
    });
    let line: Value = serde_json::from_str(
        log.lines().find(|line| line.contains("\"event\":\"paused\"")).unwrap(),
    )
    .unwrap();
    for field in ["reason", "by"] {
        is_harmless(line[field].as_str().unwrap());
    }
    for args in [&[][..], &["--wide"], &["--json"]] {
        let mut status = bellwether();
        let output = status.args(["status", "--store", &pasture.store()]).args(args).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", printed(&output));
        is_harmless(&printed(&output));
        assert!(printed(&output).contains("pause"), "{}", printed(&output));
    }
    let metrics = ureq::get(format!("{}/metrics", sidecar.url)).call();
    let metrics = metrics.unwrap().body_mut().read_to_string().unwrap();
    assert!(metrics.contains("bellwether_paused{election=\"default\"} 1"), "{metrics}");
    assert!(
        metrics.contains("bellwether_paused_until_resumed{election=\"default\"} 1"),
        "{metrics}"
    );
    is_harmless(&metrics);
    assert!(!metrics.contains("<img"), "no text of an operator is a label");
    let mut resume = bellwether();
    let output = resume.args(["resume", "--store", &pasture.store()]).output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    is_harmless(&printed(&output));
    eventually("it leads again", || sidecar.leader().leads().then_some(()));
}

/// Two operators at once: one of them writes last, and each says what it replaced.
#[test]
fn operators_at_once_leave_one_pause_and_it_is_a_whole_one() {
    let pasture = Pasture::new();
    let mut flock = Flock::start(&["a", "b"], &pasture.store());
    flock.settled();
    let commands = (0..6).map(|number| {
        let mut command = pause(&pasture);
        command.args(["--no-wait", "--reason", &format!("number {number}")]);
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    });
    let outputs: Vec<_> = commands.map(|child| child.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()), "{outputs:?}");
    let output = bellwether().args(["status", "--json", "--store", &pasture.store()]).output();
    let status: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    assert!(status[0]["pause"]["reason"].as_str().unwrap().starts_with("number "), "{status}");
    let texts: Vec<_> = outputs.iter().map(printed).collect();
    let replaced = texts.iter().filter(|text| text.contains(" (it was ")).count();
    assert_eq!(replaced, 5, "each but the first replaced one: {texts:?}");
    eventually("no instance leads", || {
        flock.members.iter().all(|sidecar| !sidecar.leader().leads()).then_some(())
    });
    for sidecar in &mut flock.members {
        sidecar.signal("TERM");
        assert!(sidecar.wait().success(), "a paused instance shuts down as any other");
    }
}

/// A pause outlives the operator's command and every instance.
#[test]
fn a_pause_whose_command_was_killed_is_over_by_its_own_time() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start_with("a", &pasture.store(), &["--shutdown-grace", "30s"]);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    stop_between_writes(&pasture.store(), |signal| sidecar.signal(signal));
    let mut command = pause(&pasture).args(["--for", "6s"]).spawn().unwrap();
    eventually("the pause is written", || {
        let output = bellwether().args(["status", "--store", &pasture.store()]).output().unwrap();
        printed(&output).contains("is paused until ").then_some(())
    });
    command.kill().unwrap();
    command.wait().unwrap();
    sidecar.signal("CONT");
    eventually("it obeys", || (sidecar.leader().body["paused"] == true).then_some(()));
    let answer = sidecar.leader();
    let reason = answer.body["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("; stands again in "), "{reason}");
    eventually("it leads again", || sidecar.leader().leads().then_some(()));
    sidecar.log().await_events("paused", 1);
    sidecar.log().await_events("resumed", 1);
}

/// With no instance left to remove it, the record keeps a pause past its end.
#[test]
fn status_shows_that_the_time_of_a_pause_is_over() {
    let pasture = Pasture::new();
    assert!(bellwether().args(["init", "--store", &pasture.store()]).status().unwrap().success());
    let status = || {
        let output = bellwether().args(["status", "--store", &pasture.store()]).output().unwrap();
        printed(&output)
    };
    assert!(pause(&pasture).args(["--for", "1h"]).status().unwrap().success());
    let text = status();
    assert!(text.contains("default is paused until ") && text.contains("  paused  "), "{text}");
    assert!(pause(&pasture).args(["--for", "1ms"]).status().unwrap().success());
    let text = eventually("it is over", || Some(status()).filter(|text| text.contains(" was ")));
    assert!(text.contains("default was paused until "), "{text}");
    let whole = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(whole.contains("over by this host's clock"), "{text}");
    assert!(!text.contains("  paused  "), "{text}");
}

#[test]
fn without_time_to_wait_it_tries_once() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start_with("a", &pasture.store(), &["--shutdown-grace", "30s"]);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let at_once = ["--timeout", "0s"];
    stop_between_writes(&pasture.store(), |signal| sidecar.signal(signal));
    let output = pause(&pasture).args(at_once).output().unwrap();
    sidecar.signal("CONT");
    assert_eq!(output.status.code(), Some(75), "{}", printed(&output));
    assert!(printed(&output).contains("a still holds its lease"), "{}", printed(&output));
    eventually("it obeys", || (sidecar.leader().body["paused"] == true).then_some(()));
    eventually("the lease is free", || {
        pause(&pasture).args(at_once).status().unwrap().success().then_some(())
    });
    let mut resume = bellwether();
    let output = resume.args(["resume", "--store", &pasture.store()]).args(at_once).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", printed(&output));
}
