//! `bellwether only`: who runs the command, and how it ends.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::only::scene::{
    BEAT, Only, beat_after, beats, beside, exists, leader, standby, stubborn, taken_over,
};
use support::lock::{Lock, stop_between_writes};
use support::{Pasture, QUICK_LEASE, Sidecar, bellwether, eventually, now};

#[test]
fn on_the_leader_it_runs_and_its_exit_code_passes_through() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let term = sidecar.leader().term();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        assert_eq!(Only::start(&sidecar, &pasture, script).exit_code(), Some(code), "{script}");
    }
    let script = "echo $BELLWETHER_TERM $BELLWETHER_ELECTION $BELLWETHER_IDENTITY > env";
    assert_eq!(Only::start(&sidecar, &pasture, script).exit_code(), Some(0));
    let env = fs::read_to_string(pasture.folder().join("env")).unwrap();
    assert_eq!(env, format!("{term} default a\n"));
    let missing = beside(&sidecar, &pasture, &["only", "--", "/no/such/program"]).output();
    assert_eq!(missing.unwrap().status.code(), Some(127));
}

/// The lease is long enough to look several times in its second half.
#[test]
fn a_leader_that_missed_its_renewal_is_named_as_such() {
    let pasture = Pasture::new();
    let long = ["--lease-duration", "16s", "--renew-deadline", "12s", "--retry-period", "1s"];
    let mut leader = leader(&pasture, &long);
    let standby = Sidecar::start_with("b", &pasture.store(), &long);
    eventually("it knows who leads", || standby.leader().holder().map(drop));
    let mut only = Only::start(&standby, &pasture, "touch ran");
    assert_eq!(only.exit_code(), Some(0));
    assert_eq!(only.log.events("skipped_overdue"), 0, "{}", only.log.text());
    leader.kill();
    eventually("it says that the leader is overdue", || {
        let mut only = Only::start(&standby, &pasture, "touch ran");
        assert_eq!(only.exit_code(), Some(0));
        (only.log.events("skipped_overdue") == 1).then_some(())
    });
    assert!(!exists(&pasture, "ran"), "the lease is not over yet");
}

#[test]
fn on_a_standby_it_is_skipped_and_says_so() {
    let pasture = Pasture::new();
    let _leader = leader(&pasture, &[]);
    let standby = standby(&pasture);
    let mut only = Only::start(&standby, &pasture, "touch ran");
    assert_eq!(only.exit_code(), Some(0));
    eventually("it says why", || {
        let printed = only.log.text();
        (printed.contains("\"event\":\"skipped\"") && printed.contains("\"holder\":\"a\""))
            .then_some(())
    });
    let mut only = Only::start_with(&standby, &pasture, &["--skip-code", "3"], "touch ran");
    assert_eq!(only.exit_code(), Some(3));
    assert!(!exists(&pasture, "ran"));
}

#[test]
fn undecided_it_waits_and_runs_nothing() {
    let pasture = Pasture::new();
    assert!(
        bellwether().args(["init", "--store", &pasture.store()]).output().unwrap().status.success()
    );
    let lock = Lock::take(&pasture);
    let sidecar = Sidecar::start("a", &pasture.store());
    let mut only = Only::start_with(&sidecar, &pasture, &["--wait", "500ms"], "touch ran");
    assert_eq!(only.exit_code(), Some(75));
    eventually("it says why", || {
        (only.log.count("was not decided within 500ms") > 0).then_some(())
    });
    assert!(!exists(&pasture, "ran"));
    let mut patient = Only::start(&sidecar, &pasture, "touch ran");
    eventually("it waits", || (patient.log.events("undecided") > 0).then_some(()));
    drop(lock);
    assert_eq!(patient.exit_code(), Some(0));
    assert!(exists(&pasture, "ran"));
}

#[test]
fn without_a_sidecar_nothing_is_run() {
    let pasture = Pasture::new();
    let mut sidecar = leader(&pasture, &[]);
    sidecar.kill();
    let mut only = Only::start_with(&sidecar, &pasture, &["--wait", "300ms"], "touch ran");
    assert_eq!(only.exit_code(), Some(69));
    eventually("it says what to do", || {
        (only.log.count("or set BELLWETHER_SIDECAR") > 0).then_some(())
    });
    assert!(!exists(&pasture, "ran"));
}

#[test]
fn a_sidecar_with_another_clock_is_refused() {
    let pasture = Pasture::new();
    // Pretends to be a sidecar on a host of another boot.
    let line = r#"{"election":"default","identity":"a","leader":true,"term":1,"clock":"another/boot","bootMs":0,"untilBootMs":9999999999,"killAtBootMs":9999999999}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}\n", line.len() + 1);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Read::read(&mut stream, &mut [0; 1024]).unwrap();
        std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        std::thread::sleep(support::LIMIT);
    });
    let output = bellwether()
        .args(["only", "--sidecar", &url, "--", "touch", "ran"])
        .current_dir(pasture.folder())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{printed}");
    assert!(printed.contains("its clock is not this host's"), "{printed}");
    assert!(!exists(&pasture, "ran"));
}

#[test]
fn a_lost_store_stops_the_command_before_the_lease_ends() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let mut only = Only::start(&sidecar, &pasture, &stubborn());
    let term = beat_after(&pasture, 0).term;
    let lock = Lock::take(&pasture);
    let locked = now();
    assert_eq!(only.exit_code(), Some(75));
    let last = beats(&pasture).last().unwrap().at;
    // Renewed at the latest when the lock was taken.
    assert!(last < (locked + QUICK_LEASE).as_duration().as_secs_f64(), "it outlived the lease");
    drop(lock);
    eventually("it leads again", || sidecar.leader().leads().then_some(()));
    let _again = Only::start(&sidecar, &pasture, BEAT);
    assert!(beat_after(&pasture, term).term > term);
}

#[test]
fn a_killed_sidecar_stops_the_command_before_another_leads() {
    let pasture = Pasture::new();
    let mut sidecar = leader(&pasture, &[]);
    let other = standby(&pasture);
    let mut only = Only::start(&sidecar, &pasture, &stubborn());
    let term = beat_after(&pasture, 0).term;
    sidecar.kill();
    assert_eq!(only.exit_code(), Some(75));
    assert!(only.log.events("sidecar_lost") > 0);
    taken_over(&pasture, &other, term);
}

#[test]
fn a_frozen_sidecar_stops_the_command_before_another_leads() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let other = standby(&pasture);
    let mut only = Only::start(&sidecar, &pasture, &stubborn());
    let term = beat_after(&pasture, 0).term;
    stop_between_writes(&pasture.store(), |signal| sidecar.signal(signal));
    assert_eq!(only.exit_code(), Some(75));
    taken_over(&pasture, &other, term);
    sidecar.signal("CONT");
}

#[test]
fn signals_are_passed_on_and_sigterm_ends_it() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let script = "trap 'echo hup >> signals' HUP; trap 'exit 5' TERM; \
                  echo 1 0 a > beats; while :; do sleep 0.01; done";
    let mut only = Only::start(&sidecar, &pasture, script);
    beat_after(&pasture, 0);
    only.signal("HUP");
    eventually("the command sees it", || exists(&pasture, "signals").then_some(()));
    only.signal("TERM");
    assert_eq!(only.exit_code(), Some(5), "the command's own code");
    assert!(sidecar.leader().leads());
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_the_grace() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let grace = ["--shutdown-grace", "100ms"];
    let mut only = Only::start_with(&sidecar, &pasture, &grace, &stubborn());
    beat_after(&pasture, 0);
    only.signal("TERM");
    assert_eq!(only.exit_code(), Some(137));
}

#[test]
fn called_leader_only_it_takes_the_command_as_it_is() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let link = pasture.folder().join("leader_only");
    symlink(env!("CARGO_BIN_EXE_bellwether"), &link).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(&link);
        command.args(args).env("BELLWETHER_SIDECAR", &sidecar.url).current_dir(pasture.folder());
        command.stdin(Stdio::null()).output().unwrap()
    };
    let output = run(&["sh", "-c", "echo $BELLWETHER_TERM; exit 4", "--help"]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1");
    // Not the program's own guard, whatever it is called.
    assert_eq!(run(&["guard"]).status.code(), Some(127));
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(run(&["--help"]).status.success());
}

#[test]
fn a_signal_before_the_first_line_of_a_hold_ends_it() {
    let pasture = Pasture::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut only = bellwether();
    only.args(["only", "--sidecar", &url, "--request-timeout", "10m", "--", "touch", "ran"]);
    only.current_dir(pasture.folder()).stderr(Stdio::piped());
    let mut only = Only::of(only.spawn().unwrap());
    let (mut stream, _) = listener.accept().unwrap();
    std::io::Read::read(&mut stream, &mut [0; 1024]).unwrap();
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    std::io::Write::write_all(&mut stream, head).unwrap();
    // It takes the head in.
    std::thread::sleep(std::time::Duration::from_millis(300));
    only.signal("TERM");
    assert_eq!(only.exit_code(), Some(75));
    assert_eq!(only.log.count("SIGTERM received while waiting"), 1);
    assert!(!exists(&pasture, "ran"));
}
