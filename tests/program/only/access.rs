//! Who may change something. The rules themselves are tested beside the code; here, that they are
//! in force.

use std::process::Command;

use crate::only::scene::{ask, leader, post};
use support::{Pasture, bellwether, eventually};

#[test]
fn a_browser_on_the_host_cannot_resign_the_leader() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let authority = sidecar.url.trim_start_matches("http://").to_owned();
    for headers in [
        "Origin: https://evil.example\r\n".to_owned(),
        "Origin: null\r\n".to_owned(),
        "Host: evil.example\r\n".to_owned(),
        "Host: evil.example\r\nOrigin: http://evil.example\r\n".to_owned(),
        format!("Host: {authority}\r\nOrigin: http://localhost:1\r\n"),
    ] {
        for path in ["/resign", "/hold"] {
            let (status, body) = post(&sidecar, path, &headers, "");
            assert_eq!(status, 403, "{path} {headers}: {body}");
            assert!(body["error"].is_string(), "{body}");
        }
    }
    assert!(sidecar.leader().leads());
    let own = format!("Host: {authority}\r\nOrigin: {}\r\n", sidecar.url);
    assert_eq!(post(&sidecar, "/resign", &own, "").0, 200, "its own page may");
}

#[test]
fn a_token_opens_what_the_name_does_not() {
    let pasture = Pasture::new();
    let file = pasture.folder().join("token");
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    let sidecar = leader(&pasture, &["--token-file", file.to_str().unwrap()]);
    let with = |token: &str| {
        let headers = format!("Host: web-0.web\r\nAuthorization: Bearer {token}\r\n");
        post(&sidecar, "/resign", &headers, r#"{"cooldown":"1ms"}"#).0
    };
    assert_eq!(with("0123456789abcdeX"), 403);
    assert_eq!(with("0123456789abcdef"), 200);
    eventually("it leads again", || sidecar.leader().leads().then_some(()));
    // A client on the same host needs none, and may send one.
    let (code, _) = ask(&sidecar, &["resign", "--token-file", file.to_str().unwrap()]);
    assert_eq!(code, Some(0));
}

/// The command of `run` finds the sidecar at the address that it listens on, and so has that address
/// itself.
#[test]
fn a_client_on_this_host_needs_no_token_at_another_address_than_the_loopback() {
    let pasture = Pasture::new();
    let script = "ip link set lo up && ip address add 198.51.100.7/32 dev lo && exec \"$@\"";
    let bellwether = bellwether();
    let program = bellwether.get_program();
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script, "sh"]).arg(program).args(bellwether.get_args());
    command.args(["run", "--store", &pasture.store(), "--listen", "198.51.100.7:4040", "--"]);
    command.arg(program).args(["only", "--", "echo", "held"]);
    for (name, value) in bellwether.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "held\n", "{log}");
}

#[test]
fn wrong_wishes_are_refused_in_words() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    for (body, words) in [
        ("nonsense", "the body is not like {\"cooldown\":\"30s\"}"),
        (r#"{"cooldown":"soon"}"#, "not a duration such as 30s"),
        (r#"{"cooldown":"30days"}"#, "at most 7days"),
        (r#"{"cool":"30s"}"#, "unknown field"),
    ] {
        let (status, answer) = post(&sidecar, "/resign", "", body);
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(words), "{body}: {answer}");
    }
    assert!(sidecar.leader().leads());
}
