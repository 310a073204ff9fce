//! Holds: the lease is kept for leader-only work of other processes, and not for too long.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;

use serde_json::Value;

use crate::only::scene::{
    BEAT, Only, beat_after, hold_by_hand, holds, leader, post, raw, standby, stubborn, taken_over,
};
use support::{Pasture, eventually, now};

/// The JSON lines of a hold, without what HTTP puts around them.
fn lines(stream: TcpStream) -> impl Iterator<Item = Value> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(&line).ok()).filter(Value::is_object)
}

/// So many milliseconds from now, on the clock of the lines.
fn millis_in(from_now: u64) -> u64 {
    u64::try_from(now().as_duration().as_millis()).unwrap() + from_now
}

#[test]
fn every_renewal_is_sent_with_later_deadlines() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let mut received = lines(hold_by_hand(&sidecar));
    let (first, second) = (received.next().unwrap(), received.next().unwrap());
    for line in [&first, &second] {
        assert_eq!((line["leader"].as_bool(), line["term"].as_u64()), (Some(true), Some(1)));
        assert!(line["killAtBootMs"].as_u64() > line["untilBootMs"].as_u64(), "{line}");
    }
    let until = first["untilBootMs"].as_u64().unwrap();
    let in_two_seconds = millis_in(2_000);
    assert!(until <= in_two_seconds, "never longer than the renew deadline: {first}");
    assert!(second["untilBootMs"].as_u64().unwrap() > until, "{first} {second}");
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(first["clock"].as_str().unwrap().starts_with(boot_id.trim()));
}

#[test]
fn a_standby_grants_no_hold() {
    let pasture = Pasture::new();
    let _leader = leader(&pasture, &[]);
    let standby = standby(&pasture);
    let (status, body) = post(&standby, "/hold", "", "");
    assert_eq!((status, body["leader"].as_bool()), (503, Some(false)));
    assert_eq!(body["holderIdentity"], "a");
    assert_eq!(body["holds"], 0);
}

#[test]
fn holds_are_counted_and_bounded() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let held: Vec<_> = (0..64).map(|_| hold_by_hand(&sidecar)).collect();
    assert_eq!(holds(&sidecar), 64);
    let metrics = sidecar.get("/metrics").unwrap().body;
    assert!(metrics.as_str().unwrap().contains("bellwether_holds{election=\"default\"} 64"));
    let (status, body) = post(&sidecar, "/hold", "", "");
    assert_eq!(status, 429);
    assert!(body["error"].as_str().unwrap().contains("64 holds already"), "{body}");
    drop(held);
    eventually("they end with their connections", || (holds(&sidecar) == 0).then_some(()));
    drop(hold_by_hand(&sidecar));
}

#[test]
fn shutting_down_waits_for_the_command_that_holds() {
    let pasture = Pasture::new();
    let mut sidecar = leader(&pasture, &[]);
    let other = standby(&pasture);
    // Six seconds, two leases, of orderly end.
    let slow = format!(
        "trap 'for i in 1 2 3 4 5 6; do sleep 1; done; echo done > finished; exit 0' TERM; {BEAT}"
    );
    let mut only = Only::start(&sidecar, &pasture, &slow);
    let term = beat_after(&pasture, 0).term;
    sidecar.signal("TERM");
    eventually("it says no at once", || (!sidecar.leader().leads()).then_some(()));
    let next =
        eventually("the other one leads", || Some(other.leader()).filter(|answer| answer.leads()));
    assert!(pasture.folder().join("finished").exists(), "the lease was freed under the command");
    assert_eq!(next.term(), term + 1);
    assert!(sidecar.wait().success());
    assert_eq!(sidecar.log().events("vacated"), 1, "handed over, not run out");
    assert_eq!(only.exit_code(), Some(75));
}

#[test]
fn a_shutdown_frees_the_lease_of_a_command_that_uses_its_whole_grace() {
    let pasture = Pasture::new();
    let mut sidecar = leader(&pasture, &["--shutdown-grace", "1s"]);
    let other = standby(&pasture);
    let mut only = Only::start(&sidecar, &pasture, &stubborn());
    let term = beat_after(&pasture, 0).term;
    sidecar.signal("TERM");
    taken_over(&pasture, &other, term);
    assert!(sidecar.wait().success());
    assert_eq!(sidecar.log().events("vacated"), 1, "handed over, not run out");
    assert_eq!(only.exit_code(), Some(75));
    assert_eq!(only.log.events("command_killed"), 1);
}

#[test]
fn resigning_waits_for_the_command_that_holds_then_stays_down() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let mut other = standby(&pasture);
    let slow = format!("trap 'sleep 1; echo done > finished; exit 0' TERM; {BEAT}");
    let mut only = Only::start(&sidecar, &pasture, &slow);
    let term = beat_after(&pasture, 0).term;
    let (status, body) = post(&sidecar, "/resign", "", r#"{"cooldown":"1h"}"#);
    assert_eq!((status, body["leader"].as_bool()), (200, Some(false)), "{body}");
    taken_over(&pasture, &other, term);
    assert!(pasture.folder().join("finished").exists(), "the lease was freed under the command");
    assert_eq!(only.exit_code(), Some(75));
    sidecar.log().await_events("vacated", 1);
    // It stays down, also when no instance leads.
    other.signal("TERM");
    assert!(other.wait().success());
    let reason = eventually("it is undecided", || {
        let ready = sidecar.get("/ready").unwrap();
        ready.body["reason"].as_str().map(str::to_owned)
    });
    assert!(reason.contains("resigned, stands again in"), "{reason}");
    assert!(!sidecar.leader().leads());
}

#[test]
fn a_killed_only_keeps_the_lease_until_its_command_is_gone() {
    let pasture = Pasture::new();
    let mut sidecar = leader(&pasture, &[]);
    let other = standby(&pasture);
    let only = Only::start(&sidecar, &pasture, &stubborn());
    let term = beat_after(&pasture, 0).term;
    only.signal("KILL");
    sidecar.signal("TERM");
    taken_over(&pasture, &other, term);
    assert!(sidecar.wait().success());
    assert_eq!(sidecar.log().events("vacated"), 1, "freed when the command was gone");
}

#[test]
fn a_shutdown_waits_for_a_stuck_hold_no_longer_than_the_grace() {
    let pasture = Pasture::new();
    let mut sidecar = leader(&pasture, &["--shutdown-grace", "1s"]);
    let mut received = lines(hold_by_hand(&sidecar));
    sidecar.signal("TERM");
    let end = received.find(|line| line["leader"] == false).unwrap();
    let in_a_second = millis_in(1_000);
    assert!(end["killAtBootMs"].as_u64().unwrap() <= in_a_second, "{end}");
    assert!(sidecar.wait().success(), "it ends although the hold never does");
    assert_eq!(sidecar.log().events("vacated"), 0, "the work may still be there");
}

#[test]
fn after_a_resignation_a_stuck_hold_keeps_the_lease_no_longer_than_the_grace() {
    let pasture = Pasture::new();
    // Long enough for a busy machine not to lose it before the grace is over.
    let lease = ["--lease-duration", "10s", "--renew-deadline", "8s"];
    let sidecar = leader(&pasture, &[&["--shutdown-grace", "1s"], &lease[..]].concat());
    let other = standby(&pasture);
    let _stuck = hold_by_hand(&sidecar);
    let (status, _) = post(&sidecar, "/resign", "", r#"{"cooldown":"1h"}"#);
    assert_eq!(status, 200);
    eventually("the lease runs out", || other.leader().leads().then_some(()));
    assert_eq!(sidecar.log().events("vacated"), 0, "the work may still be there");
    sidecar.log().await_events("hold_overdue", 1);
    assert_eq!(holds(&sidecar), 1);
}

#[test]
fn a_stuck_hold_does_not_keep_its_instance_out_forever() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &["--shutdown-grace", "1s"]);
    let term = sidecar.leader().term();
    let _stuck = hold_by_hand(&sidecar);
    assert_eq!(post(&sidecar, "/resign", "", r#"{"cooldown":"1ms"}"#).0, 200);
    let again = eventually("it leads again", || Some(sidecar.leader()).filter(|a| a.leads()));
    assert!(again.term() > term);
}

#[test]
fn a_long_body_and_a_get_of_hold_are_refused() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture, &[]);
    let (status, _) = post(&sidecar, "/resign", "", &"x".repeat(5000));
    assert_eq!(status, 413);
    let (status, _) = raw(&sidecar, "GET /hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(status, 405);
    assert!(sidecar.leader().leads());
}
