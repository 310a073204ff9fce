//! What a sidecar says of a change of leadership is what happened: by real crashes, signals and
//! outages.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use support::lock::stop_between_writes;
use support::network::{Mode, Proxy};
use support::postgres::{self, Server};
use support::raw::{Events, Message, post};
use support::{Flock, Pasture, QUICK_LEASE, Sidecar, eventually};

fn time(value: &Value) -> Duration {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    let time = humantime::parse_rfc3339(text).unwrap();
    time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap()
}

/// How long there was no leader before this one, as the event says.
#[track_caller]
fn without_leader(message: &Message) -> Duration {
    time(&message.data["last_update"]) - time(&message.data["noLeaderSince"])
}

fn reason(sidecar: &Sidecar) -> String {
    let answer = sidecar.leader();
    answer.body["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_crash_and_a_hand_over_have_different_causes() {
    let pasture = Pasture::new();
    let mut flock = Flock::start(&["a", "b"], &pasture.store());
    let leads = flock.settled();
    let mut events = Events::of(&flock.members[1 - leads], "/events");
    let cause = events.receive().data["cause"].clone();
    assert!(["found", "first"].iter().any(|known| cause == *known), "{cause}");
    flock.members[leads].signal("TERM");
    let won = events.until(Message::leads);
    assert_eq!(won.data["cause"], "handed_over", "{won:?}");
    // As it was seen: after the lease was vacated.
    without_leader(&won);
    assert!(flock.members[leads].wait().success());

    let new = Sidecar::start("c", &pasture.store());
    eventually("it follows", || new.leader().holder().map(drop));
    let mut events = Events::of(&new, "/events");
    flock.members[1 - leads].kill();
    let won = events.until(Message::leads);
    assert_eq!(won.data["cause"], "lease_ran_out", "{won:?}");
    assert!(without_leader(&won) > QUICK_LEASE / 2, "from the last renewal: {won:?}");
    let all = new.get("/elections").unwrap().body;
    let one = &all["elections"][0];
    assert_eq!(one["cause"], "lease_ran_out", "{one}");
    assert_eq!(one["unknownSince"], Value::Null);
    // The log says it too.
    new.log().await_lines("\"cause\":\"lease_ran_out\"", 1);
}

#[test]
fn a_leader_that_steps_down_says_why() {
    let pasture = Pasture::new();
    let flock = Flock::start(&["a", "b"], &pasture.store());
    let leads = flock.settled();
    let mut events = Events::of(&flock.members[leads], "/events");
    assert!(events.receive().leads());
    assert_eq!(post(&flock.members[leads], "/resign", "", r#"{"cooldown":"1h"}"#).0, 200);
    let lost = events.receive();
    assert_eq!((&lost.data["cause"], lost.name()), (&"resigned".into(), ""), "{lost:?}");
    let follows = events.until(|message| !message.name().is_empty());
    assert_eq!(follows.data["cause"], "handed_over", "{follows:?}");
}

#[test]
fn an_outage_of_ones_own_is_not_reported_as_a_time_without_a_leader() {
    let server = Server::shared();
    let proxy = Proxy::in_background(server.port());
    // So long that a busy machine does not make a leader lose its lease.
    let longer = ["--lease-duration", "6s", "--renew-deadline", "4s", "--retry-period", "500ms"];
    let within = [&longer[..], &["--namespace", "own-outage"]].concat();
    let leader = Sidecar::start_with("a", &server.url("postgres"), &within);
    eventually("it leads", || leader.leader().leads().then_some(()));
    let url = postgres::url(proxy.port(), "postgres", "postgres");
    let standby = Sidecar::start_with("b", &url, &within);
    eventually("it follows", || standby.leader().holder().map(drop));
    eventually("there is a reason also while all is well", || {
        (reason(&standby) == "a leads").then_some(())
    });
    let mut events = Events::of(&standby, "/events");
    let term = events.receive().term();

    proxy.set(Mode::Cut);
    let answer = eventually("the store's silence is reported", || {
        Some(standby.leader()).filter(|answer| !answer.body["storeError"].is_null())
    });
    assert_eq!(answer.holder(), Some("a"), "before the lease is over: {answer:?}");
    let shown = answer.body["reason"].as_str().unwrap();
    assert!(shown.contains("the store") && shown.contains("a leads, as last seen"), "{shown}");
    let unknown = events.until(|message| message.name().is_empty());
    assert_eq!((&unknown.data["cause"], unknown.name()), (&"store_silent".into(), ""));
    assert_eq!(unknown.data["noLeaderSince"], Value::Null, "{unknown:?}");
    let ready = standby.get("/ready").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.body["reason"].as_str().unwrap().contains("the leader is not known"));

    proxy.set(Mode::Pass);
    let known = events.receive();
    assert_eq!((known.name(), known.term()), ("a", term), "{known:?}");
    assert_eq!(known.data["cause"], "known_again", "{known:?}");
    assert_eq!(known.data["noLeaderSince"], Value::Null, "{known:?}");
    let gap = time(&known.data["last_update"]).checked_sub(time(&known.data["unknownSince"]));
    assert!(gap.is_some(), "{known:?}");
    eventually("all is well", || (reason(&standby) == "a leads").then_some(()));
    assert_eq!(standby.leader().body["storeError"], Value::Null);
}

#[test]
fn a_restart_under_the_same_name_is_not_the_leader_that_it_was() {
    let pasture = Pasture::new();
    let mut first = Sidecar::start("alice", &pasture.store());
    eventually("it leads", || first.leader().leads().then_some(()));
    assert_eq!(first.leader().body["holderIs"], "this_instance");
    first.kill();
    let second = Sidecar::start("alice", &pasture.store());
    let seen = eventually("it has looked", || {
        Some(second.leader()).filter(|answer| answer.holder().is_some())
    });
    assert_eq!(seen.body["holderIs"], "earlier_run", "{seen:?}");
    let reason = seen.body["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("an earlier run of this instance; its lease runs out in "),
        "{reason}"
    );
    second.log().await_events("following_earlier_run", 1);
    assert_eq!(second.log().events("following"), 0, "no other instance leads");
    eventually("it leads again", || second.leader().leads().then_some(()));
    assert_eq!(second.leader().body["cause"], "lease_ran_out");

    let namesake = Sidecar::start("alice", &pasture.store());
    eventually("it has seen that the other lives", || {
        (namesake.leader().body["holderIs"] == "namesake").then_some(())
    });
    namesake.log().await_events("following_namesake", 1);
}

#[test]
fn a_restart_after_the_lease_has_run_out_follows_no_one() {
    let pasture = Pasture::new();
    let mut first = Sidecar::start("alice", &pasture.store());
    eventually("it leads", || first.leader().leads().then_some(()));
    first.kill();
    thread::sleep(QUICK_LEASE * 2);
    let second = Sidecar::start("alice", &pasture.store());
    eventually("it leads again", || second.leader().leads().then_some(()));
    let log = second.log();
    log.await_events("lease_ran_out", 1);
    for wrong in ["following", "following_earlier_run", "following_namesake"] {
        assert_eq!(log.events(wrong), 0, "{wrong}: no instance led: {}", log.text());
    }
}

#[test]
fn a_paused_leader_knows_its_own_old_lease_from_anothers() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start("alice", &pasture.store());
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let term = sidecar.leader().term();
    sidecar.signal("STOP");
    thread::sleep(QUICK_LEASE * 2);
    sidecar.signal("CONT");
    eventually("it leads in another term", || {
        Some(sidecar.leader()).filter(|now| now.leads() && now.term() > term)
    });
    let log = sidecar.log();
    eventually("it lost the first", || (log.events("lost") >= 1).then_some(()));
    for wrong in ["following", "following_earlier_run", "following_namesake", "lease_ran_out"] {
        assert_eq!(log.events(wrong), 0, "{wrong}: {}", log.text());
    }
}

#[test]
fn a_standby_reports_how_long_the_leader_is_overdue_and_when_it_takes_over() {
    let pasture = Pasture::new();
    let flock = Flock::start(&["a", "b"], &pasture.store());
    let leads = flock.settled();
    stop_between_writes(&pasture.store(), |signal| flock.members[leads].signal(signal));
    let standby = &flock.members[1 - leads];
    let reason = eventually("the leader is overdue", || {
        Some(reason(standby)).filter(|reason| reason.contains("last renewal"))
    });
    assert!(reason.contains(" ago; takes over in "), "{reason}");
    eventually("it takes over", || standby.leader().leads().then_some(()));
    flock.members[leads].signal("CONT");
    assert_eq!(standby.leader().body["takesOverInMs"], Value::Null);
}

#[test]
fn no_503_of_leader_is_without_a_reason_and_a_store_is_named_without_its_secrets() {
    let port = support::ports::free_port();
    let url = format!("postgres://me:hunter2@127.0.0.1:{port}/named?sslmode=disable");
    let sidecar = Sidecar::start_with("a", &url, &["--namespace", "prod"]);
    let answer = eventually("it says what is wrong", || {
        Some(sidecar.leader()).filter(|answer| !answer.body["storeError"].is_null())
    });
    assert_eq!(answer.status, 503);
    let words = answer.body["reason"].as_str().unwrap();
    assert!(words.starts_with("the store has not responded yet: "), "{words}");
    assert_eq!(answer.body["cause"], "no_answer_yet");
    let all = sidecar.get("/elections").unwrap().body;
    let store = all["store"]["url"].as_str().unwrap();
    assert!(store.starts_with("postgres://") && store.ends_with("/named"), "{store}");
    assert_eq!(all["store"]["namespace"], "prod");
    assert!(!all.to_string().contains("hunter2"), "{all}");
    let durations = ["leaseDurationSeconds", "renewDeadlineSeconds", "retryPeriodSeconds"];
    assert_eq!(durations.map(|name| all[name].as_f64()), [Some(3.0), Some(2.0), Some(0.3)]);

    let pasture = Pasture::new();
    let leader = Sidecar::start("a", &pasture.store());
    eventually("it leads", || leader.leader().leads().then_some(()));
    assert_eq!(leader.leader().body["reason"], Value::Null);
    let short = eventually("a renewal is some time ago", || {
        leader.get("/leader?min-valid=2s").filter(|answer| answer.status == 503)
    });
    assert!(short.body["reason"].as_str().unwrap().contains("less than min-valid"), "{short:?}");
}
