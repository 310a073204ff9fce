//! A low limit of open files: what the election needs is reserved, and clients share the rest.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use support::dynamodb::Emulator;
use support::http_proxy::{Fault, Proxy};
use support::{Pasture, QUICK_LEASE, Sidecar, eventually, now, with_credentials, without_settings};

/// The program with a limit that cannot be raised.
fn limited_to(files: usize) -> Command {
    let program = with_credentials();
    let mut command = Command::new("sh");
    without_settings(&mut command);
    command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
}

/// Clients that connect, begin a request and never end it, as many at once as they can.
fn crowd(sidecar: &Sidecar, stop: &AtomicBool, connected: &AtomicUsize) {
    let address = sidecar.url.trim_start_matches("http://");
    let mut clients = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if let Ok(mut stream) = TcpStream::connect(address) {
            let _ = stream.write_all(b"GET /leader HTTP/1.1\r\nX-Slow: ");
            clients.push(stream);
            connected.fetch_add(1, Ordering::Relaxed);
        }
        if clients.len() > 100 {
            clients.drain(..50);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn clients_never_take_the_last_descriptors_from_the_store() {
    let emulator = Emulator::start();
    for files in [64, 128] {
        let proxy = Proxy::before(emulator.port());
        let more = ["--election", &format!("with-{files}")];
        let sidecar = Sidecar::start_as("a", &proxy.url(), &more, limited_to(files));
        eventually("it leads", || sidecar.leader().leads().then_some(()));
        let (stop, connected) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let clients: Vec<_> =
                (0..3).map(|_| scope.spawn(|| crowd(&sidecar, &stop, &connected))).collect();
            eventually("there is a crowd", || {
                (connected.load(Ordering::Relaxed) > 300).then_some(())
            });
            // Of three requests one finds its connection closed: the next needs another.
            let mut requests = 0;
            proxy.on(move |_| {
                requests += 1;
                if requests % 3 == 0 { Fault::DropRequest } else { Fault::Pass }
            });
            let since = now();
            while now().since(since) < QUICK_LEASE * 3 {
                thread::sleep(Duration::from_millis(50));
            }
            stop.store(true, Ordering::Relaxed);
            clients.into_iter().for_each(|client| client.join().unwrap());
        });
        eventually("it answers", || sidecar.get("/leader").map(|answer| assert!(answer.leads())));
        let log = sidecar.log().text();
        assert_eq!(sidecar.log().events("lost"), 0, "{log}");
        assert!(!log.contains("Too many open files"), "{log}");
    }
}

#[test]
fn a_limit_that_is_too_low_is_refused_at_the_start() {
    let (pasture, emulator) = (Pasture::new(), Emulator::start());
    for store in [pasture.store(), emulator.url()] {
        let started = |files, command: &[&str]| -> (Option<i32>, String) {
            let mut limited = limited_to(files);
            limited.args(command).args(["--store", &store]);
            let Output { status, stderr, .. } =
                limited.args(["--listen", "127.0.0.1:0", "--", "true"]).output().unwrap();
            (status.code(), String::from_utf8_lossy(&stderr).into_owned())
        };
        let (code, printed) = started(48, &["run"]);
        assert_eq!(code, Some(69), "{printed}");
        assert!(
            printed.contains("raise the open-file limit (ulimit -n, LimitNOFILE)"),
            "{printed}"
        );
        let (code, printed) = started(64, &["run"]);
        assert_eq!(code, Some(0), "{printed}");
    }
}

#[test]
fn run_raises_a_limit_that_may_be_raised() {
    let (pasture, program) = (Pasture::new(), with_credentials());
    let mut command = Command::new("sh");
    without_settings(&mut command);
    command.args(["-c", "ulimit -Sn 1024; exec \"$0\" \"$@\""]);
    command.arg(program.get_program()).args(program.get_args());
    command.args(["run", "--listen", "127.0.0.1:0", "--store", &pasture.store(), "--", "true"]);
    let Output { status, stderr, .. } = command.output().unwrap();
    let printed = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{printed}");
    assert!(!printed.contains("\"event\":\"few_connections\""), "{printed}");
}
