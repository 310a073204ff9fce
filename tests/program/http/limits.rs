//! Bounds: each is kept, is reported, and keeps no other client from an answer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use support::ports::free_port;
use support::raw::{Events, open, post, raw, whole};
use support::{Killed, LIMIT, Pasture, Sidecar, bellwether, eventually, get};

/// With 224 files, after 128 for other things and the two timers of an election.
const CONNECTIONS: usize = 94;

/// A sidecar that may open 224 files.
fn with_few_files(pasture: &Pasture, name: &str) -> Sidecar {
    let program = bellwether();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 224; exec \"$0\" \"$@\""]);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Sidecar::start_as(name, &pasture.store(), &[], command)
}

fn leader(pasture: &Pasture) -> Sidecar {
    let sidecar = Sidecar::start("a", &pasture.store());
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    sidecar
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    for begun in ["", "GET /leader HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let mut stream = open(&sidecar, begun);
        let mut received = String::new();
        stream.read_to_string(&mut received).expect("it is closed before the test's limit");
        assert!(!received.contains("200 OK"), "{received}");
    }
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    let fill = "x".repeat(9000);
    let request = format!("GET /leader HTTP/1.1\r\nHost: localhost\r\nX-Fill: {fill}\r\n\r\n");
    // It may close before all was sent.
    let mut stream = TcpStream::connect(sidecar.url.trim_start_matches("http://")).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut received = String::new();
    let _ = stream.read_to_string(&mut received);
    assert!(received.is_empty() || received.starts_with("HTTP/1.1 431"), "{received}");
    assert!(sidecar.leader().leads());
}

#[test]
fn a_body_that_is_too_large_or_too_slow_is_refused() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    let (status, body) = post(&sidecar, "/resign", "", &" ".repeat(4097));
    assert_eq!(status, 413, "{body}");
    let slow = "POST /resign HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Length: 10\r\n\r\n{";
    let (status, body) = raw(&sidecar, slow);
    assert_eq!(status, 408, "{body}");
    assert!(sidecar.leader().leads(), "nothing was done");
}

/// It was answered like a body that is too large.
#[test]
fn a_body_that_is_malformed_or_cut_off_is_a_mistake() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    let head = "POST /resign HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let malformed = format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n");
    let (status, body) = raw(&sidecar, &malformed);
    assert_eq!(status, 400, "{body}");
    let mut cut_off = open(&sidecar, &format!("{head}Content-Length: 500\r\n\r\n{{\"c"));
    cut_off.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    cut_off.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("incomplete"), "{answer}");
    // Of a chunked body the length shows only as it arrives.
    let chunk = format!("1001\r\n{}\r\n0\r\n\r\n", " ".repeat(0x1001));
    let (status, body) = raw(&sidecar, &format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}"));
    assert_eq!(status, 413, "{body}");
    assert!(sidecar.leader().leads(), "nothing was done");
}

/// A start that waits for its store. Each idle connection had its place for five seconds, and the next
/// one was closed.
#[test]
fn quiet_connections_make_room_for_a_probe_during_a_start() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("postgres://u@{}/d?sslmode=disable", mute.local_addr().unwrap());
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = bellwether();
    command.args(["serve", "--store", &store, "--listen", &address]);
    command.args(["--lease-duration", "1h", "--renew-deadline", "45m", "--retry-period", "20m"]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let _sidecar = Killed(command.spawn().unwrap());
    let livez = format!("http://{address}/livez");
    eventually("it listens", || get(&livez).filter(|answer| answer.status == 200));
    // More than the places there are.
    let mut quiet: Vec<_> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let answer = get(&livez).expect("it answers");
    assert_eq!(answer.status, 200, "{answer:?}");
    for stream in quiet.iter_mut().take(100) {
        // Closed, or reset: the first to come are the first to go.
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let started = get(&format!("http://{address}/started")).expect("it answers");
    assert_eq!(started.status, 503, "it has not started: {started:?}");
}

#[test]
fn quiet_connections_make_room_for_a_question() {
    let pasture = Pasture::new();
    let sidecar = with_few_files(&pasture, "a");
    // The line before has the address, so this one may be still on its way.
    sidecar.log().await_events("few_connections", 1);
    let mut quiet = Vec::new();
    for begun in ["", "GET /leader HTTP/1.1\r\n", "", "GET /leader HTTP/1.1\r\n"] {
        quiet.extend((0..CONNECTIONS).map(|_| open(&sidecar, begun)));
        eventually("it answers, and leads", || sidecar.leader().leads().then_some(()));
    }
    for stream in quiet.iter_mut().take(CONNECTIONS) {
        // Closed, or reset: the first to come are the first to go.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(sidecar.log().events("accept_failed"), 0, "it did not run out of files");
}

#[test]
fn streams_and_waiting_questions_have_bounds_of_their_own() {
    let pasture = Pasture::new();
    let first = leader(&pasture);
    let sidecar = with_few_files(&pasture, "b");
    eventually("it knows", || sidecar.leader().holder().map(drop));
    let streams: Vec<_> = (0..CONNECTIONS / 2).map(|_| Events::of(&sidecar, "/events")).collect();
    assert!(streams.iter().all(Events::is_open));
    let (head, body) = whole(&sidecar, "GET /events HTTP/1.0\r\n\r\n");
    assert!(head.starts_with("http/1.0 503") && head.contains("retry-after: "), "{head}");
    assert!(body.contains("too many event streams"), "{body}");
    let wait = "GET /leader?wait=60s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut waiting: Vec<_> = (0..CONNECTIONS / 4).map(|_| open(&sidecar, wait)).collect();
    let (head, body) = eventually("one more is refused", || {
        let answer = whole(&sidecar, &wait.replace("60s", "1ms"));
        Some(answer).filter(|(_, body)| body.contains("too many requests wait"))
    });
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: "), "{head} {body}");
    assert_eq!(sidecar.leader().holder(), Some("a"), "a client that does not wait is answered");
    let metrics = sidecar.get("/metrics").unwrap().body;
    let counted = format!("bellwether_http_connections{{kind=\"stream\"}} {}", streams.len());
    assert!(metrics.as_str().unwrap().contains(&counted), "{metrics}");
    drop(streams);
    eventually("there is room again", || Events::of(&sidecar, "/events").is_open().then_some(()));
    assert_eq!(post(&first, "/resign", "", r#"{"cooldown":"1h"}"#).0, 200);
    for stream in &mut waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "every one of them: {answer}");
    }
}

#[test]
fn the_next_is_refused_when_all_are_busy() {
    let pasture = Pasture::new();
    let sidecar = with_few_files(&pasture, "a");
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let streams: Vec<_> = (0..CONNECTIONS / 2).map(|_| Events::of(&sidecar, "/events")).collect();
    let hold = "POST /hold HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let holds: Vec<_> = (0..CONNECTIONS / 2).map(|_| open(&sidecar, hold)).collect();
    let (head, body) = eventually("it is refused", || {
        let question = "GET /leader HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = whole(&sidecar, question);
        answer.0.starts_with("http/1.1 503").then_some(answer)
    });
    assert!(head.contains("retry-after: ") && body.contains("too many connections"), "{body}");
    drop((streams, holds));
    eventually("it answers again", || sidecar.get("/leader").filter(|a| a.status == 200));
}

#[test]
fn bodies_that_do_not_come_delay_no_answer() {
    let pasture = Pasture::new();
    let sidecar = with_few_files(&pasture, "a");
    let head = "POST /resign HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n";
    let _slow: Vec<_> = (0..2 * CONNECTIONS).map(|_| open(&sidecar, head)).collect();
    for _ in 0..20 {
        assert_eq!(sidecar.status("/livez"), 200);
    }
}

#[test]
fn a_connection_is_kept_for_longer_than_between_two_questions() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    let ask = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = open(&sidecar, ask);
    let answered = |stream: &mut TcpStream| {
        let mut received = [0; 1024];
        let read = stream.read(&mut received).unwrap();
        assert!(received[..read].starts_with(b"HTTP/1.1 200"), "{}", read);
    };
    answered(&mut stream);
    // Longer than the time for a first head.
    std::thread::sleep(std::time::Duration::from_secs(6));
    stream.write_all(ask.as_bytes()).unwrap();
    answered(&mut stream);
}

/// Each failed attempt was a line: ten a second.
#[test]
fn a_lack_of_files_is_reported_once_a_minute() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    let limit = |files: &str| {
        let pid = sidecar.id().to_string();
        let mut command = Command::new("prlimit");
        command.args(["--pid", &pid, &format!("--nofile={files}:")]);
        assert!(command.status().unwrap().success());
    };
    limit("3");
    let waits = TcpStream::connect(sidecar.url.trim_start_matches("http://")).unwrap();
    eventually("it is reported", || (sidecar.log().events("accept_failed") > 0).then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(sidecar.log().events("accept_failed"), 1, "{}", sidecar.log().text());
    limit("1024");
    drop(waits);
    eventually("it leads again", || sidecar.leader().leads().then_some(()));
}
