//! No secret is printed, wherever it was put by mistake.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::{Pasture, Sidecar, bellwether, eventually};

const SECRET: &str = "hunter2";

/// Runs `bellwether ARGS`, which prints a text without the secret.
#[track_caller]
fn keeps_it(args: &[&str], change: impl FnOnce(&mut Command)) -> String {
    let mut command = bellwether();
    command.args(args);
    change(&mut command);
    let output = command.output().unwrap();
    let printed = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!printed.is_empty() && !printed.contains(SECRET), "{args:?}: {printed}");
    printed
}

#[test]
fn a_store_url_in_the_wrong_place_is_not_repeated() {
    let urls = [
        "postgres://u:hunter2@h/d",
        "postgresql://u:hunter2@h/d?sslmode=require",
        "postgres:u:hunter2@h",
        "POSTGRES://u:hunter2@h/d",
        "host=h user=u password=hunter2",
        "u:hunter2@h:5432/d",
        "postgres://h/d?user=u&password=hunter2",
        "postgres://u:a b hunter2@h/d",
    ];
    for url in urls {
        for command in ["serve", "status", "init", "is-leader", "wait", "resign", "healthcheck"] {
            keeps_it(&[command, url], |_| {});
            keeps_it(&[command, "--stor", url], |_| {});
        }
        keeps_it(&[url], |_| {});
        for flag in ["--election", "--identity", "--listen", "--lease-duration", "--namespace"] {
            let nowhere = ["--store", "sqlite:///nowhere/x.db", "--listen", "127.0.0.1:0"];
            if flag != "--identity" {
                keeps_it(&[&["serve"][..], &nowhere, &[flag, url]].concat(), |_| {});
                keeps_it(&[&["serve"][..], &nowhere, &[&format!("{flag}={url}")]].concat(), |_| {});
            }
        }
        for flag in
            ["--gate-url", "--token-file", "--max-clock-skew", "--hook-timeout", "--log-level"]
        {
            keeps_it(&["serve", "--store", "sqlite:///nowhere/x.db", flag, url], |_| {});
        }
        keeps_it(&["status", "--store-file", url], |_| {});
        keeps_it(&["is-leader", "--sidecar", url], |_| {});
        keeps_it(&["is-leader", "--token-file", url], |_| {});
        keeps_it(
            &[
                "once",
                "--store",
                "sqlite:///nowhere/x.db",
                "--max-attempts",
                url,
                "--key",
                "k",
                "--",
                "true",
            ],
            |_| {},
        );
        for variable in [
            "LISTEN",
            "SIDECAR",
            "LEASE_DURATION",
            "ELECTION",
            "TOKEN_FILE",
            "LOG_LEVEL",
            "LOG_FORMAT",
            "GATE_URL",
        ] {
            keeps_it(&["serve", "--store", "sqlite:///nowhere/x.db"], |command| {
                command.env(format!("BELLWETHER_{variable}"), url);
            });
        }
    }
    keeps_it(&["is-leader", "--token-file", SECRET], |_| {});
    keeps_it(&["status", "--store-file", SECRET], |_| {});
}

#[test]
fn a_store_url_that_cannot_be_read_is_not_repeated() {
    for url in [
        "postgres:u:hunter2@h",
        "postgres:hunter2",
        "postgresql:u:hunter2@h/d",
        "postgres://u:hunter2@h:x/d",
        "postgres://u:hunter2/x@h/d",
        "postgres://u:hunter2?x@h/d",
        "postgres://u:hunter2#x@h/d",
        "postgres://u:1?hunter2@h/d",
        "postgres://u:1/hunter2@h/d",
        "postgres://u:1#hunter2@h/d",
        "postgres://u:p@h/d?passwrd=hunter2",
        "mysql://u:hunter2@h/d",
        "sqlite://u:hunter2@h/d",
        " postgres://u:hunter2@h/d",
        "postgres//u:hunter2@h/d",
        "dynamodb://u:hunter2@leases?region=eu-1",
        "dynamodb://leases?region=eu-1&endpoint=http://u:hunter2@h",
        "dynamodb://leases?u:hunter2@h",
    ] {
        for command in ["status", "init"] {
            keeps_it(&[command, "--store", url], |_| {});
            keeps_it(&[command], |command| {
                command.env("BELLWETHER_STORE", url);
            });
        }
        let pasture = Pasture::new();
        let file = pasture.folder().join("url");
        fs::write(&file, url).unwrap();
        keeps_it(&["status", "--store-file", file.to_str().unwrap()], |_| {});
    }
}

#[test]
fn the_query_of_the_gates_url_is_not_repeated() {
    for url in [
        "https://h/healthz?key=hunter2",
        "h/healthz?key=hunter2",
        "http://h:x/?key=hunter2",
        "http://u:p@h/?key=hunter2",
        "http://h/ ?key=hunter2",
        "http://h/#hunter2",
    ] {
        keeps_it(&["serve", "--store", "sqlite:///nowhere/x.db", "--gate-url", url], |_| {});
        keeps_it(&["is-leader", "--sidecar", url], |_| {});
    }
    keeps_it(&["is-leader", "--sidecar", "http://127.0.0.1:1/?key=hunter2"], |_| {});
}

#[test]
fn a_sidecar_at_work_logs_no_secret_at_any_level() {
    let pasture = Pasture::new();
    let token = pasture.folder().join("token");
    fs::write(&token, "hunter2-hunter2-hunter2").unwrap();
    let more = [
        "--log-level",
        "trace",
        "--gate-url",
        "http://127.0.0.1:1/healthz?key=hunter2",
        "--gate-grace",
        "0s",
        "--gate-failures",
        "1",
        "--token-file",
        token.to_str().unwrap(),
        "--on-elected",
        "true hunter2",
    ];
    // No server answers there.
    let store = "postgres://u:hunter2@127.0.0.1:1/d?sslmode=disable";
    let sidecar = Sidecar::start_with("a", store, &more);
    eventually("the store fails", || (sidecar.log().events("store_unreachable") > 0).then_some(()));
    thread::sleep(Duration::from_secs(2));
    for path in [
        "/",
        "/leader",
        "/ready",
        "/metrics",
        "/elections",
        "/openapi.json",
        "/nowhere?token=hunter3",
    ] {
        let answer = sidecar.get(path).unwrap();
        assert!(!answer.body.to_string().contains(SECRET), "{path}");
    }
    assert!(!sidecar.log().text().contains(SECRET), "{}", sidecar.log().text());
    assert!(
        sidecar.log().text().contains("postgres://u@127.0.0.1:1/d"),
        "{}",
        sidecar.log().text()
    );
}

#[test]
fn a_secret_that_all_users_may_read_is_warned_of() {
    let pasture = Pasture::new();
    let (token, url) = (pasture.folder().join("token"), pasture.folder().join("url"));
    fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
    let warnings = |args: &[&str], file: &std::path::Path, mode: u32| {
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
        let output = bellwether().args(args).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        printed.lines().filter(|line| line.contains("\"event\":\"secret_readable\"")).count()
    };
    let ask =
        ["is-leader", "--sidecar", "http://127.0.0.1:1", "--token-file", token.to_str().unwrap()];
    let look = ["status", "--store-file", url.to_str().unwrap()];
    for (mode, expected) in [(0o644, 1), (0o604, 1), (0o640, 0), (0o600, 0)] {
        assert_eq!(warnings(&ask, &token, mode), expected, "a token, {mode:o}");
        fs::write(&url, "postgres://u:hunter2@127.0.0.1:1/d").unwrap();
        assert_eq!(warnings(&look, &url, mode), expected, "a URL with a password, {mode:o}");
        fs::write(&url, "postgres://u@127.0.0.1:1/d").unwrap();
        assert_eq!(warnings(&look, &url, mode), 0, "a URL without a password, {mode:o}");
    }
    fs::write(&token, "x".repeat(1_000_000)).unwrap();
    let printed = keeps_it(&ask, |_| {});
    assert!(printed.contains("longer than 64 kB"), "{printed}");
}

/// A pipe without a writer, or a network file system that hangs.
#[test]
fn a_file_with_a_secret_that_does_not_respond_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let fifo = fifo.to_str().unwrap();
    for args in [
        &["is-leader", "--sidecar", "http://127.0.0.1:1", "--token-file", fifo][..],
        &["status", "--store-file", fifo],
    ] {
        let output = bellwether().args(args).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{printed}");
        assert!(printed.contains("it was not read within 5s"), "{printed}");
    }
}

#[test]
fn help_shows_no_value_of_a_variable() {
    for command in ["serve", "run", "once", "status"] {
        let printed = keeps_it(&[command, "--help"], |command| {
            // A secret may be in the wrong variable.
            for variable in ["STORE", "GATE_URL", "ON_ELECTED", "LISTEN", "IDENTITY", "TIMEOUT"] {
                command.env(format!("BELLWETHER_{variable}"), "postgres://u:hunter2@h/d");
            }
        });
        assert!(printed.contains("BELLWETHER_STORE"), "{printed}");
    }
}
