//! The commands beside a sidecar find it, retry if it has no room, and run inside others.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Output};
use std::thread;

use crate::only::scene::leader;
use support::{Pasture, QUICK, Sidecar, bellwether, eventually};

fn printed(output: &Output) -> String {
    [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat()
}

fn with_listen(args: &[&str], listen: &str) -> Output {
    bellwether().args(args).env("BELLWETHER_LISTEN", listen).output().unwrap()
}

#[test]
fn commands_find_the_sidecar_by_the_address_that_it_listens_on() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let (_, port) = sidecar.url.rsplit_once(':').unwrap();
    for listen in [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}")] {
        for args in [&["is-leader"][..], &["healthcheck"], &["wait"], &["only", "--", "true"]] {
            let output = with_listen(args, &listen);
            assert!(output.status.success(), "{args:?} {listen}: {}", printed(&output));
        }
    }
    let output = with_listen(&["is-leader", "--sidecar", "http://127.0.0.1:1"], "127.0.0.1:2");
    assert!(printed(&output).contains("http://127.0.0.1:1"), "the flag wins: {}", printed(&output));
    let output = with_listen(&["healthcheck"], "[::]:1");
    assert!(printed(&output).contains("http://[::1]:1"), "{}", printed(&output));
    let output = with_listen(&["healthcheck"], "4040");
    assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
    assert!(printed(&output).contains("BELLWETHER_LISTEN: '4040'"), "{}", printed(&output));
}

#[test]
fn a_variable_that_is_no_text_is_a_mistake_and_does_not_count_as_unset() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let cases: [(&str, &[&str]); 6] = [
        ("BELLWETHER_LISTEN", &["is-leader"]),
        ("BELLWETHER_LISTEN", &["serve", "--check", "--store", &store]),
        ("BELLWETHER_SIDECAR", &["is-leader"]),
        ("BELLWETHER_STORE", &["serve", "--check"]),
        ("BELLWETHER_LEASE_DURATION", &["serve", "--check", "--store", &store]),
        ("PGHOST", &["serve", "--check", "--store", "postgres:///flock"]),
    ];
    for (variable, args) in cases {
        let value = OsStr::from_bytes(b"127.0.0.1:40\xff");
        let output = bellwether().args(args).env(variable, value).output().unwrap();
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(64), "{variable} {args:?}: {printed}");
        assert!(printed.contains(variable) && printed.contains("UTF-8"), "{printed}");
    }
    // A flag needs no variable.
    let mut command = bellwether();
    command.args(["is-leader", "--sidecar", "http://127.0.0.1:1"]);
    let output = command.env("BELLWETHER_LISTEN", OsStr::from_bytes(b"\xff")).output().unwrap();
    assert!(printed(&output).contains("http://127.0.0.1:1"), "{}", printed(&output));
}

/// A sidecar that has no room for the first requests, and then sends the given answer.
fn full_at_first(refusals: [&'static str; 2], then: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for answer in refusals.into_iter().chain(std::iter::repeat(then)) {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let (status, body) = answer.split_once(' ').unwrap();
            let length = body.len();
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(head.as_bytes());
        }
    });
    url
}

#[test]
fn a_request_to_a_full_sidecar_is_repeated() {
    let full = [r#"503 {"error":"too many connections are busy"}"#, r#"429 {"error":"too many"}"#];
    let skip = r#"503 {"election":"e","identity":"a","leader":false,"holderIdentity":"b"}"#;
    let url = full_at_first(full, skip);
    let output = bellwether().args(["only", "--sidecar", &url, "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert!(printed(&output).contains("\"event\":\"skipped\""), "{}", printed(&output));
    for (leading, then) in [
        (None, r#"200 {"ok":true}"#),
        (
            Some("--leading"),
            r#"200 {"election":"e","identity":"a","leader":true,"holderIdentity":"a"}"#,
        ),
    ] {
        let url = full_at_first(full, then);
        let output = bellwether().args(["wait", "--sidecar", &url]).args(leading).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    }
    // For as long as its flag allows, and no longer.
    let url = full_at_first(full, full[0]);
    let only = ["only", "--wait", "1s", "--sidecar", &url, "--", "true"];
    let output = bellwether().args(only).output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", printed(&output));
    assert!(printed(&output).contains("too many connections"), "{}", printed(&output));
}

/// `bellwether run` with its settings in the environment, as in a container.
fn run(pasture: &Pasture, args: &[&str]) -> Output {
    let mut command = bellwether();
    command.env("BELLWETHER_STORE", pasture.store()).env("BELLWETHER_IDENTITY", "a");
    command.args(["run", "--listen", "127.0.0.1:0"]).args(QUICK).arg("--").args(args);
    command.output().unwrap()
}

#[test]
fn a_command_does_not_inherit_the_settings_of_bellwether() {
    let pasture = Pasture::new();
    let mut command = bellwether();
    command.env("BELLWETHER_STORE", pasture.store()).env("BELLWETHER_TOKEN_FILE", "");
    command.env("BELLWETHER_LEASE_DURATION", "6s").env("BELLWETHER_RENEW_DEADLINE", "4s");
    command.env("BELLWETHER_ELECTION", "cron").env("BELLWETHER_IDENTITY", "a");
    command.env("BELLWETHER_LISTEN", "127.0.0.1:0").env("BELLWETHER_SERVICE_PORT", "1");
    command.args(["run", "--", "env"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<_> = printed
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name))
        .filter(|name| name.starts_with("BELLWETHER_"))
        .collect();
    names.sort_unstable();
    let passed = ["ELECTION", "GUARD", "IDENTITY", "SERVICE_PORT", "SIDECAR", "TERM"];
    assert_eq!(names, passed.map(|name| format!("BELLWETHER_{name}")), "{printed}");
}

#[test]
fn commands_inside_commands_work_or_are_refused_with_a_reason() {
    let (pasture, own) = (Pasture::new(), env!("CARGO_BIN_EXE_bellwether"));
    let store = pasture.store();
    let output = run(&pasture, &[own, "only", "--", "sh", "-c", "echo it works"]);
    assert!(output.status.success(), "{}", printed(&output));
    assert!(printed(&output).contains("it works"), "{}", printed(&output));
    let once = [own, "once", "--store", &store, "--key", "k", "--", "sh", "-c", "echo it works"];
    let output = run(&pasture, &once);
    assert!(output.status.success(), "{}", printed(&output));
    assert!(printed(&output).contains("it works"), "{}", printed(&output));
    let output = run(&pasture, &[own, "run", "--store", &store, "--", "true"]);
    assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
    assert!(printed(&output).contains("it would wait for itself"), "{}", printed(&output));
    // The variable is what has to be overruled, and to name another in it would be refused as well.
    assert!(
        printed(&output).contains("name another election with --election"),
        "{}",
        printed(&output)
    );
    let other = [own, "run", "--store", &store, "--election", "other", "--", "true"];
    let output = run(&pasture, &other);
    assert!(output.status.success(), "{}", printed(&output));
    // Without a store it would be a file of its own.
    let output = run(&pasture, &[own, "once", "--key", "k2", "--", "true"]);
    assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
    assert!(printed(&output).contains("does not inherit its store"), "{}", printed(&output));
}

#[test]
fn a_key_that_is_done_needs_no_time() {
    let pasture = Pasture::new();
    let once = |timeout: &str, key: &str| {
        let mut command: Command = bellwether();
        command.args(["once", "--store", &pasture.store(), "--key", key, "--timeout", timeout]);
        command.args(QUICK).args(["--max-attempts", "1", "--"]);
        command
    };
    let code = |mut command: Command, script: &str| {
        command.args(["sh", "-c", script]).output().unwrap().status.code()
    };
    assert_eq!(code(once("0s", "k"), "exit 0"), Some(75), "it is not done, and is not begun");
    assert_eq!(code(once("60s", "k"), "exit 0"), Some(0));
    assert_eq!(code(once("0s", "k"), "exit 3"), Some(0), "it is done");
    assert_eq!(code(once("60s", "failed"), "exit 3"), Some(3));
    assert_eq!(code(once("0s", "failed"), "exit 0"), Some(3), "it has failed for good");
}

#[test]
fn a_forwarded_request_is_not_from_this_host() {
    let pasture = Pasture::new();
    let sidecar: Sidecar = leader(&pasture, &[]);
    for header in ["Forwarded: for=10.0.0.9", "X-Forwarded-For: 10.0.0.9", "Via: 1.1 nginx"] {
        for path in ["/resign", "/hold"] {
            let headers = format!("{header}\r\n");
            let (status, body) = support::raw::post(&sidecar, path, &headers, "");
            assert_eq!(status, 403, "{header}: {body}");
        }
    }
    eventually("it leads on", || sidecar.leader().leads().then_some(()));
}
