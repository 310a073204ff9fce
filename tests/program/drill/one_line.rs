//! Each change is one line of the log, whatever the problem is.

use std::net::TcpListener;
use std::thread;

use support::lock::Lock;
use support::{Flock, Pasture, QUICK_LEASE, Sidecar, eventually};

/// How often a leader or standby of these tests has tried, by its metrics.
fn failed_calls(sidecar: &Sidecar, verb: &str) -> f64 {
    let text = sidecar.get("/metrics").unwrap().body.as_str().unwrap().to_owned();
    let begin = "bellwether_store_request_duration_seconds_count{";
    let lines = text.lines().filter(|line| line.starts_with(begin));
    let lines = lines.filter(|line| line.contains(&format!("verb=\"{verb}\"")));
    let lines = lines.filter(|line| !line.contains("answered"));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

#[test]
fn where_looks_succeed_and_writes_fail_the_store_does_not_answer_again_at_every_look() {
    let pasture = Pasture::new();
    let flock = Flock::start(&["a", "b"], &pasture.store());
    let leader = &flock.members[flock.settled()];
    let lock = Lock::take(&pasture);
    eventually("four writes fail", || (failed_calls(leader, "swap") >= 4.0).then_some(()));
    for sidecar in &flock.members {
        assert_eq!(sidecar.log().events("store_answers"), 0, "{}", sidecar.log().text());
        assert!(sidecar.log().events("store_unreachable") <= 1, "{}", sidecar.log().text());
    }
    drop(lock);
    flock.settled();
    for sidecar in &flock.members {
        let count = |line| sidecar.log().count(line);
        eventually("what began is over in the log", || {
            let troubles = count("the store is unavailable");
            (troubles == count("the store responds again")).then_some(())
        });
        assert!(sidecar.log().lines().len() < 20, "{}", sidecar.log().text());
    }
}

#[test]
fn a_store_that_hangs_is_one_line_and_not_one_for_each_measured_nanosecond() {
    // The backlog accepts connections, and no server answers on them.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("postgres://u:p@{}/d?sslmode=disable", mute.local_addr().unwrap());
    let sidecar = Sidecar::start("a", &store);
    eventually("six looks fail", || (failed_calls(&sidecar, "observe") >= 6.0).then_some(()));
    thread::sleep(QUICK_LEASE);
    let log = sidecar.log();
    assert_eq!(log.events("store_unreachable"), 1, "{}", log.text());
    assert!(log.lines().len() < 20, "{}", log.text());
}

#[test]
fn an_application_that_is_well_by_turns_does_not_flood_the_log() {
    let pasture = Pasture::new();
    let flag = pasture.folder().join("flag");
    let check = format!("if test -e {0}; then rm {0}; else touch {0}; exit 1; fi", flag.display());
    let more = [
        "--gate-command",
        &check,
        "--gate-period",
        "100ms",
        "--gate-failures",
        "1",
        "--gate-grace",
        "0s",
    ];
    let sidecar = Sidecar::start_with("a", &pasture.store(), &more);
    eventually("it was elected many times", || (sidecar.leader().term() >= 25).then_some(()));
    let log = sidecar.log();
    assert!(log.lines().len() < 40, "{}", log.text());
    assert!(log.events("elected") >= 3, "{}", log.text());
    assert!(log.events("log_lines_left_out") <= 2, "{}", log.text());
}
