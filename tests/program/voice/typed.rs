//! What a person types, and reads on a terminal; and what a log collector reads instead.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::ports::free_port;
use support::postgres::{Server, Stop};
use support::{
    Log, Pasture, Sidecar, bellwether, eventually, get, kill, terminal, without_settings,
};

/// The program with no format of its log: as a terminal or a pipe makes it.
fn plain(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    without_settings(&mut command);
    command.args(args).env("NO_COLOR", "1");
    command
}

fn is_time_of_day(text: &str) -> bool {
    let is_right = |(at, byte): (usize, u8)| match at {
        2 | 5 => byte == b':',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 8 && text.bytes().enumerate().all(is_right)
}

#[test]
fn a_log_on_a_terminal_has_the_time_of_the_day_and_elsewhere_the_whole_timestamp() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let args = ["run", "--store", &store, "--", "true"];
    let output = terminal::shown(&plain(&args));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.lines().count() >= 4, "{shown}");
    for line in shown.lines() {
        let begin = line.split_whitespace().next().unwrap_or_default();
        assert!(is_time_of_day(begin), "{line}");
    }
    let json = terminal::shown(plain(&args).env("BELLWETHER_LOG_FORMAT", "json"));
    for line in String::from_utf8(json.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).expect("JSON on a terminal, too");
        assert!(line["timestamp"].as_str().unwrap().contains('T'), "{line}");
    }
    let text = plain(&args).env("BELLWETHER_LOG_FORMAT", "text").output().unwrap();
    for line in String::from_utf8(text.stderr).unwrap().lines() {
        let begin = line.split_whitespace().next().unwrap_or_default();
        assert!(begin.contains('T') && begin.ends_with('Z'), "{line}");
    }
}

#[test]
fn a_log_on_a_terminal_has_the_part_of_a_name_that_differs_and_elsewhere_the_whole() {
    let arn = |task| format!("arn:aws:ecs:eu-central-1:123456789012:task/shop/{task}");
    let (leader, standby) =
        (arn("158d1c8083dd49d6b527399fd6414f5c"), arn("9c2b7e9f14f34b0c8f5f4a7de2a7f0a1"));
    let pasture = Pasture::new();
    let leads = Sidecar::start(&leader, &pasture.store());
    eventually("it leads", || leads.leader().leads().then_some(()));
    let sidecar = Sidecar::start(&standby, &pasture.store());
    eventually("it follows", || sidecar.leader().holder().map(drop));
    let args = ["only", "--sidecar", &sidecar.url, "--", "true"];
    let shown = String::from_utf8(terminal::shown(&plain(&args)).stdout).unwrap();
    for (field, whole) in [("identity", &standby), ("holder", &leader)] {
        let end = &whole[whole.len() - 23..];
        assert!(shown.contains(&format!("{field}=\"…{end}\"")), "{shown}");
        assert!(!shown.contains(whole.as_str()), "{shown}");
    }
    for format in ["text", "json"] {
        let piped = plain(&args).env("BELLWETHER_LOG_FORMAT", format).output().unwrap();
        let piped = String::from_utf8(piped.stderr).unwrap();
        assert!(piped.contains(&leader) && piped.contains(&standby), "{piped}");
    }
    let json = terminal::shown(plain(&args).env("BELLWETHER_LOG_FORMAT", "json"));
    let json = String::from_utf8(json.stdout).unwrap();
    assert!(json.contains(&leader) && json.contains(&standby), "{json}");
}

#[test]
fn the_last_line_of_a_json_log_is_json_however_the_program_ends() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let nowhere = "postgres://u@127.0.0.1:1/d?sslmode=disable";
    let away = "http://127.0.0.1:1";
    let once = ["once", "--key", "k", "--timeout", "1s", "--store", nowhere, "--", "true"];
    let ends: [(&[&str], i32); 11] = [
        (&[], 64),
        (&["serve", "--nonsense"], 64),
        (&["serve", "--retry-period", "1h", "--store", &store], 64),
        (&["serve", "--store", &store, "--listen", &taken], 69),
        (&["run", "--store", &store, "--listen", &taken, "--", "true"], 69),
        (&["run", "sleep", "1"], 64),
        (&once, 75),
        (&["status", "--store", nowhere], 69),
        (&["wait", "--timeout", "300ms", "--sidecar", away], 75),
        (&["is-leader", "--sidecar", away], 75),
        (&["only", "--wait", "300ms", "--sidecar", away, "--", "true"], 69),
    ];
    for (args, code) in ends {
        for format in ["auto", "json"] {
            let mut command = plain(args);
            let output = command.env("BELLWETHER_LOG_FORMAT", format).output().unwrap();
            let printed = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{args:?}: {printed}");
            let last = printed.lines().last().unwrap_or_default();
            let last: Value =
                serde_json::from_str(last).unwrap_or_else(|_| panic!("{args:?}: {printed}"));
            assert_eq!(last["event"], "fatal", "{args:?}: {printed}");
        }
        let shown = terminal::shown(&plain(args));
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(!shown.contains("\"event\":"), "text on a terminal: {shown}");
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = plain(&["--help"]).stdout(full).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(serde_json::from_str::<Value>(&printed).is_ok(), "{printed}");
}

#[test]
fn the_last_line_after_a_second_signal_is_json() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let up = pasture.folder().join("up");
    let command = format!("trap '' TERM; : > '{}'; while :; do sleep 1; done", up.display());
    let args = ["run", "--store", &store, "--", "sh", "-c", &command];
    let mut child = plain(&args).stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::of(child.stderr.take().unwrap());
    eventually("it ignores the signal", || up.exists().then_some(()));
    kill("TERM", child.id());
    eventually("it ends", || (log.events("shutting_down") > 0).then_some(()));
    // A repeated signal within a second is the same request.
    eventually("it exits", || {
        kill("TERM", child.id());
        thread::sleep(Duration::from_millis(300));
        child.try_wait().unwrap()
    });
    eventually("the log ends", || (log.events("forced_exit") > 0).then_some(()));
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{}", log.text());
    }
}

#[test]
fn an_outage_is_one_line_for_the_process_with_the_number_of_its_elections() {
    let server = Server::start(&[]);
    let more = ["a", "b", "c", "d"].map(|name| format!("--election={name}"));
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    let sidecar = Sidecar::start_with("s", &server.url("postgres"), &more);
    let log = sidecar.log();
    eventually("it leads all", || (log.events("elected") >= 4).then_some(()));
    // On a busy machine a call may have been too slow before.
    let before = ["store_unreachable", "store_answers"].map(|event| log.events(event));
    server.stop(Stop::Kill);
    eventually("all are lost", || (log.events("lost") >= 4).then_some(()));
    server.start_again();
    eventually("it is over", || (log.events("store_answers") > before[1]).then_some(()));
    eventually("it leads all again", || (log.events("elected") >= 8).then_some(()));
    assert!(log.events("store_unreachable") <= before[0] + 1, "{}", log.text());
    let lines = log.lines();
    let line = lines.iter().rfind(|line| line.contains("\"store_unreachable\"")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["elections"], 4, "{line}");
}

#[test]
fn an_error_shows_where_missing_dashes_go() {
    for args in [
        &["run", "sleep", "1"][..],
        &["only", "sleep", "1"],
        &["once", "--key", "k", "sleep", "1"],
        &["run", "--election", "a", "sleep", "--help-me"],
    ] {
        let output = plain(args).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{printed}");
        assert!(
            printed.contains("put -- before the command") && printed.contains("-- sleep"),
            "{printed}"
        );
    }
}

#[test]
fn run_stands_in_one_election_and_refuses_a_second() {
    let pasture = Pasture::new();
    let store = pasture.store();
    for more in [&["--election", "a", "--election", "b"][..], &["--election=a", "--election=a"]] {
        let mut command = bellwether();
        command.args(["run", "--store", &store]).args(more).args(["--", "true"]);
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{printed}");
        assert!(printed.contains("stands in one election, and 2 are named"), "{printed}");
    }
    let mut command = plain(&["run", "--store", &store, "--election", "b", "--", "true"]);
    let output = command.env("BELLWETHER_ELECTION", "a").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "the flag wins: {output:?}");
}

#[test]
fn an_address_to_listen_on_is_taken_as_people_write_it() {
    let pasture = Pasture::new();
    for host in ["", "localhost", "0.0.0.0", "127.0.0.1"] {
        for command in ["serve", "run"] {
            let port = free_port();
            let listen = format!("{host}:{port}");
            let mut program = bellwether();
            program.args([command, "--store", &pasture.store(), "--listen", &listen]);
            if command == "run" {
                program.args(["--", "sleep", "60"]);
            }
            let mut child = program.stderr(Stdio::piped()).spawn().unwrap();
            let log = Log::of(child.stderr.take().unwrap());
            let url = format!("http://127.0.0.1:{port}/livez");
            eventually(&format!("{listen} answers: {}", log.text()), || get(&url));
            let mut asks = plain(&["wait", "--started", "--timeout", "20s"]);
            let output = asks.env("BELLWETHER_LISTEN", &listen).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            kill("TERM", child.id());
            child.wait().unwrap();
        }
    }
    for listen in ["[::]:0", "[::1]:0"] {
        let mut command = plain(&["serve", "--check", "--store", &pasture.store()]);
        let output = command.args(["--listen", listen]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    for (listen, expected) in [
        ("4040", "'4040' is not an address and port; use 127.0.0.1:4040"),
        ("localhost", "or a name and a port such as localhost:4040"),
        ("no-such-host.invalid:4040", "the name 'no-such-host.invalid' has no address here"),
        ("http://localhost:4040", "is not an address and port"),
        (":99999", "is not an address and port"),
    ] {
        for command in [&["serve"][..], &["serve", "--check"], &["run"]] {
            let mut program = plain(command);
            program.args(["--store", &pasture.store(), "--listen", listen]);
            if command == ["run"] {
                program.args(["--", "true"]);
            }
            let output = program.output().unwrap();
            let printed = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{printed}");
            assert!(printed.contains("--listen") && printed.contains(expected), "{printed}");
        }
    }
}

#[test]
fn commands_that_wait_report_a_refusal_by_the_sidecar_at_once() {
    let away = "http://127.0.0.1:1";
    for args in [
        &["wait", "--timeout", "10m", "--sidecar", away][..],
        &["wait", "--started", "--timeout", "10m", "--sidecar", away],
        &["only", "--wait", "10m", "--sidecar", away, "--", "true"],
    ] {
        let mut child = plain(args).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        eventually("it says so while it waits", || {
            (log.count("connection refused") > 0).then_some(())
        });
        assert!(child.try_wait().unwrap().is_none(), "it still waits: {}", log.text());
        kill("TERM", child.id());
        child.wait().unwrap();
    }
}

/// Answers every client with these bytes, and closes the connection when the client has sent something.
fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(bytes);
        }
    });
    port
}

#[test]
fn a_server_that_is_not_postgres_does_not_speak_postgres() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start("a", &pasture.store());
    let http = sidecar.url.rsplit_once(':').unwrap().1.parse().unwrap();
    let mysql = answering(b"J\0\0\0\n8.0.32\0abcdefgh\0");
    let redis = answering(b"-ERR unknown command\r\n");
    let ssh = answering(b"SSH-2.0-OpenSSH_9.2\r\n");
    let silent = answering(b"");
    for port in [http, mysql, redis, ssh, silent] {
        for mode in ["", "?sslmode=disable", "?sslmode=require"] {
            let store = format!("postgres://u:hunter2@127.0.0.1:{port}/d{mode}");
            for command in ["status", "init"] {
                let output = plain(&[command, "--store", &store]).output().unwrap();
                let printed = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(69), "{printed}");
                assert!(printed.contains("does not speak Postgres"), "{store}: {printed}");
                assert!(!printed.contains("hunter2"), "{printed}");
            }
        }
    }
}
