//! A client with write access to the store, or a server in a sidecar's place, can put any bytes
//! into texts. These tests check the output of each command byte by byte.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::lease::{Candidate, ElectionName, LeaseRecord};
use bellwether::election::term::Term;
use bellwether::election::time::WallTime;
use bellwether::store::{self, Store, StoreOptions, StoreUrl};
use bellwether::time::clock::HostClock;
use serde_json::json;

use support::dynamodb::{self, Emulator};
use support::postgres::Server;
use support::{Pasture, Sidecar, bellwether, with_credentials};

/// Clears a screen, names a window, begins a line, colours by C1, turns text around, ends a line.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nFORGED\u{9b}31m\u{202e}live\u{2028}x\u{7f}";

/// Lines of what can be printed, and no line that the store began.
#[track_caller]
fn is_harmless(what: &str, printed: &[u8]) {
    let text = std::str::from_utf8(printed).unwrap_or_else(|_| panic!("{what}: no UTF-8"));
    for c in text.chars() {
        let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
        assert!(c == '\n' || !(c.is_control() || turns), "{what}: {c:?} in {text:?}");
    }
    for line in text.lines() {
        assert!(!line.starts_with("FORGED"), "{what}: {text:?}");
    }
}

/// Decoded JSON contains no control characters either.
#[track_caller]
fn is_harmless_decoded(what: &str, printed: &[u8]) {
    let text = String::from_utf8_lossy(printed);
    for escaped in ["u001b", "u{1b}", "u202e", "u009b"] {
        assert!(!text.contains(escaped), "{what}: {text:?}");
    }
}

fn says(what: &str, command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    is_harmless(&format!("{what}, output"), &output.stdout);
    is_harmless(&format!("{what}, errors"), &output.stderr);
    output
}

fn record(held: bool, payload: Option<String>) -> LeaseRecord {
    let holder = Candidate { identity: HOSTILE.to_owned(), incarnation: HOSTILE.to_owned() };
    LeaseRecord {
        holder: held.then_some(holder),
        term: Term::new(7),
        payload: payload.map(Into::into),
        ..LeaseRecord::without_holder(Duration::from_secs(3600), WallTime::EPOCH)
    }
}

/// The history of a work as any client of the store can write it.
fn history() -> String {
    let attempt = json!({ "holder": HOSTILE, "term": 7, "began": 0 });
    let stderr = format!("one line\n{HOSTILE}\n");
    json!({ "format": 1, "order": 9, "keys": [
        { "key": "done", "order": 9, "state": "done", "ended": 1, "attempt": attempt },
        { "key": "failed", "state": "failed", "ended": u64::from(u32::MAX) * 1_000, "failures": 9,
          "code": 3, "stderr": stderr, "attempt": attempt },
        { "key": "held", "state": "begun", "attempt": attempt },
    ]})
    .to_string()
}

async fn plant(store: &dyn Store) {
    store.init().await.unwrap();
    for (name, record) in [
        ("default", record(true, None)),
        ("once/default", record(true, None)),
        ("history/default", record(false, Some(history()))),
        (
            "history/hostile",
            record(false, Some(format!("{{\"format\":1,\"keys\":\"{HOSTILE}\"}}"))),
        ),
        ("once/hostile", record(false, None)),
    ] {
        let name = ElectionName::from_store(name).unwrap();
        let planted = store.swap(&name, None, &record).await.unwrap();
        assert!(matches!(planted, Swapped::Won(_)), "{planted:?}");
    }
}

/// Every command that reads the store at `url`, and those beside a sidecar that does.
fn every_command_is_harmless(url: &str, program: fn() -> Command) {
    let run = |what: &str, words: &[&str]| {
        for format in ["json", "text"] {
            let mut command = program();
            command.args(["--log-format", format]).args(words);
            says(&format!("{what} ({format})"), &mut command);
        }
        let mut command = program();
        let output = says(what, command.args(words));
        is_harmless_decoded(what, &output.stdout);
        is_harmless_decoded(what, &output.stderr);
        output
    };
    let status = run("status", &["status", "--store", url]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("FORGED"), "{status:?}");
    let status = run("status --json", &["status", "--json", "--store", url]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("FORGED"), "{status:?}");
    let once = |key| ["once", "--store", url, "--timeout", "2s", "--key", key, "--", "true"];
    let other =
        ["once", "--store", url, "--timeout", "2s", "--order", "3", "--key", "k", "--", "true"];
    assert_eq!(run("once that is superseded", &other).status.code(), Some(0));
    let foreign = ["once", "--store", url, "--work", "hostile", "--key", "k", "--", "true"];
    assert_eq!(run("once on a foreign record", &foreign).status.code(), Some(69));
    let failed = run("once that failed", &once("failed"));
    assert_eq!(failed.status.code(), Some(3), "{failed:?}");
    assert!(String::from_utf8_lossy(&failed.stderr).contains("one line"), "{failed:?}");
    assert_eq!(run("once that is done", &once("done")).status.code(), Some(0));
    assert_eq!(run("once that is under way", &once("held")).status.code(), Some(75));
    let reset = ["once", "--store", url, "--timeout", "2s", "--reset", "--key", "held"];
    assert_eq!(run("once --reset", &reset).status.code(), Some(75));

    let mut sidecar = Sidecar::start_as("standby", url, &[], program());
    for path in ["/leader", "/ready", "/elections", "/", "/metrics"] {
        let answer = sidecar.get(path).unwrap();
        is_harmless(path, answer.body.to_string().replace("\\n", "\n").as_bytes());
    }
    let at = sidecar.url.clone();
    let beside = |words: &[&'static str]| [words, &["--sidecar", at.as_str()]].concat();
    assert_eq!(run("is-leader", &beside(&["is-leader"])).status.code(), Some(1));
    run("wait", &beside(&["wait", "--leading", "--timeout", "1s"]));
    let only = [&beside(&["only"])[..], &["--", "true"]].concat();
    assert_eq!(run("only", &only).status.code(), Some(0));
    sidecar.signal("TERM");
    sidecar.wait();
    is_harmless("the log of serve", sidecar.log().text().as_bytes());
    is_harmless_decoded("the log of serve", sidecar.log().text().as_bytes());
    assert!(sidecar.log().text().contains("FORGED"), "{}", sidecar.log().text());
}

async fn planted(url: &str) {
    let options = StoreOptions { patience: Duration::from_secs(20), max_clock_skew: None };
    let target = StoreUrl::parse(url, &|_| None).unwrap();
    plant(&*store::open(&target, options, Arc::new(HostClock))).await;
}

#[tokio::test]
async fn nothing_that_an_sqlite_record_says_reaches_a_terminal_unchecked() {
    let pasture = Pasture::new();
    planted(&pasture.store()).await;
    every_command_is_harmless(&pasture.store(), bellwether);
}

#[tokio::test]
async fn nothing_that_a_postgres_record_says_reaches_a_terminal_unchecked() {
    let server = Server::shared();
    let url = server.url(&server.database().await);
    planted(&url).await;
    every_command_is_harmless(&url, bellwether);
}

#[tokio::test]
async fn nothing_that_a_dynamodb_item_says_reaches_a_terminal_unchecked() {
    let emulator = Emulator::start();
    let url = emulator.url();
    let store = dynamodb::open(&url, dynamodb::PATIENCE, Some(dynamodb::SKEW));
    plant(&*store).await;
    every_command_is_harmless(&url, with_credentials);
}

#[test]
fn a_host_without_a_usable_name_gives_no_identity_that_a_terminal_obeys() {
    for (name, shown) in [
        ("", "host-"),
        ("a\\033[2Jb", "host-"),
        ("\\342\\200\\256evil", "host-"),
        ("meadow", "meadow"),
    ] {
        let pasture = Pasture::new();
        let program = bellwether();
        let script = format!("printf '{name}\\n' > /proc/sys/kernel/hostname && exec \"$@\"");
        let mut command = Command::new("unshare");
        support::without_settings(&mut command);
        command.args(["--uts", "sh", "-c", &script, "sh"]).arg(program.get_program());
        command.args(program.get_args());
        let sidecar = Sidecar::start_nameless("nameless", &pasture.store(), &[], command);
        let identity = sidecar.leader().body["identity"].as_str().unwrap().to_owned();
        assert!(identity.starts_with(shown) && identity.len() < 20, "{name}: {identity:?}");
        is_harmless(name, identity.as_bytes());
        is_harmless("the log", sidecar.log().text().as_bytes());
        is_harmless_decoded("the log", sidecar.log().text().as_bytes());
        let warned = sidecar.log().events("identity_random");
        assert_eq!(warned, usize::from(shown == "host-"), "{name}: {}", sidecar.log().text());
    }
}

/// Answers every request with this body.
fn answering(status: &'static str, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let body = body.clone();
            thread::spawn(move || {
                let _ = client.read(&mut [0; 4096]);
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
                let _ = client
                    .write_all(head.as_bytes())
                    .and_then(|()| client.write_all(body.as_bytes()));
            });
        }
    });
    url
}

#[test]
fn nothing_that_answers_in_a_sidecars_place_reaches_a_terminal_unchecked() {
    let leader = json!({
        "election": HOSTILE, "identity": HOSTILE, "leader": false, "holderIdentity": HOSTILE,
    });
    let leading = json!({
        "election": HOSTILE, "identity": HOSTILE, "leader": true, "holderIdentity": HOSTILE,
    });
    let hold = json!({
        "election": HOSTILE, "identity": HOSTILE, "leader": true, "term": 1, "clock": HOSTILE,
        "untilBootMs": 1, "killAtBootMs": 1,
    });
    let bodies = [
        leader.to_string(),
        leading.to_string(),
        format!("{hold}\n"),
        json!({ "error": HOSTILE }).to_string(),
        json!({ "reason": HOSTILE }).to_string(),
        HOSTILE.to_owned(),
        String::new(),
    ];
    for status in ["200 OK", "503 Service Unavailable", "403 Forbidden", "400 Bad Request"] {
        for body in &bodies {
            let url = answering(status, body.clone());
            for format in ["json", "text"] {
                for words in [
                    &["is-leader"][..],
                    &["wait", "--timeout", "0s"],
                    &["wait", "--leading", "--timeout", "0s"],
                    &["resign"],
                    &["healthcheck"],
                    &["only", "--wait", "0s", "--", "true"],
                ] {
                    let mut command = bellwether();
                    command.args(["--log-format", format]).env("BELLWETHER_SIDECAR", &url);
                    says(&format!("{words:?} on {status} {body:?}"), command.args(words));
                }
            }
        }
    }
}
