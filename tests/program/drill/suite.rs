//! The scenes that every store has to play.

use std::thread;
use std::time::Duration;

use bellwether::election::watch::TERM_JUMP;
use support::lock::stop_between_writes;
use support::raw::post;
use support::{
    Answer, Flock, QUICK_LEASE, Sidecar, Witness, eventually, get, no_instance_leads_while, now,
};

use super::subject::Subject;

/// Bears an outage of seconds, on a machine that is busy.
const PATIENT: [&str; 6] =
    ["--lease-duration", "60s", "--renew-deadline", "40s", "--retry-period", "1s"];

#[track_caller]
fn leads(sidecar: &Sidecar) -> Answer {
    eventually("it leads", || Some(sidecar.leader()).filter(Answer::leads))
}

/// Terms grow, and jump only where the store may have lost some.
#[track_caller]
fn follows(term: u64, earlier: u64) {
    assert!(term > earlier && term < earlier + TERM_JUMP, "term {term} after term {earlier}");
}

fn term_of(flock: &Flock, place: usize) -> u64 {
    flock.members[place].leader().term()
}

pub fn of_three_exactly_one_leads_and_the_others_name_it(subject: &Subject) {
    let flock = subject.flock(&["a", "b", "c"]);
    let leader = flock.settled();
    for (place, sidecar) in flock.members.iter().enumerate() {
        let answer = sidecar.leader();
        assert_eq!(answer.leads(), place == leader, "{answer:?}");
        assert_eq!(answer.holder(), Some(flock.members[leader].name.as_str()));
        for path in ["/ready", "/started", "/livez"] {
            assert_eq!(sidecar.status(path), 200, "{path}");
        }
    }
}

pub fn a_killed_leader_is_replaced_under_a_later_term(subject: &Subject) {
    let mut flock = subject.flock(&["a", "b", "c"]);
    let leader = flock.settled();
    let witness = Witness::of(&flock);
    let term = term_of(&flock, leader);
    flock.members[leader].kill();
    flock.members.remove(leader);
    let next = flock.settled();
    follows(term_of(&flock, next), term);
    witness.saw_never_two();
}

pub fn a_terminated_leader_says_no_frees_the_lease_and_exits_zero(subject: &Subject) {
    let mut flock = subject.flock(&["a", "b"]);
    let leader = flock.settled();
    let witness = Witness::of(&flock);
    let term = term_of(&flock, leader);
    flock.members[leader].signal("TERM");
    assert!(flock.members[leader].wait().success());
    assert_eq!(flock.members[leader].log().events("vacated"), 1, "handed over, not run out");
    flock.members.remove(leader);
    let next = flock.settled();
    follows(term_of(&flock, next), term);
    witness.saw_never_two();
}

pub fn a_leader_that_was_frozen_says_no_with_its_first_answer(subject: &Subject) {
    let flock = subject.flock(&["a", "b"]);
    let leader = flock.settled();
    let frozen = &flock.members[leader];
    stop_between_writes(&subject.store, |signal| frozen.signal(signal));
    let next = flock.led_by_one_of(&[1 - leader]);
    // Sent while it is still frozen: the request waits in the kernel, and is the first thing that the
    // process finds when it wakes.
    let url = format!("{}/leader", frozen.url);
    let first = thread::spawn(move || get(&url));
    thread::sleep(Duration::from_millis(100));
    frozen.signal("CONT");
    let first = first.join().unwrap().expect("it answers");
    assert!(!first.leads(), "{first:?}");
    assert_eq!(flock.settled(), next, "the frozen one follows");
}

pub fn a_leader_that_resigns_hands_over_and_follows(subject: &Subject) {
    let flock = subject.flock(&["a", "b"]);
    let leader = flock.settled();
    let witness = Witness::of(&flock);
    let term = term_of(&flock, leader);
    let (status, body) = post(&flock.members[leader], "/resign", "", r#"{"cooldown":"1h"}"#);
    assert_eq!(status, 200, "{body}");
    assert!(!flock.members[leader].leader().leads(), "its own answer says so already");
    let next = flock.settled();
    assert_eq!(next, 1 - leader);
    follows(term_of(&flock, next), term);
    witness.saw_never_two();
}

pub fn the_named_successor_leads_next(subject: &Subject) {
    let flock = subject.flock(&["a", "b", "c"]);
    let mut leader = flock.settled();
    let witness = Witness::of(&flock);
    for _ in 0..4 {
        // Now the one, now the other of the two that stand by.
        let next = (leader + 1 + usize::from(leader == 1)) % 3;
        let name = flock.members[next].name.as_str();
        let body = format!(r#"{{"cooldown":"1ms","to":"{name}"}}"#);
        let (status, body) = post(&flock.members[leader], "/resign", "", &body);
        assert_eq!(status, 200, "{body}");
        leader = flock.settled();
        assert_eq!(flock.members[leader].name, name);
    }
    witness.saw_never_two();
}

pub fn a_successor_that_is_not_there_is_not_waited_for_long(subject: &Subject) {
    let flock = subject.flock(&["a", "b"]);
    let leader = flock.settled();
    let (status, body) = post(&flock.members[leader], "/resign", "", r#"{"to":"ghost"}"#);
    assert_eq!((status, &body["successor"]), (200, &"ghost".into()), "{body}");
    let standby = &flock.members[1 - leader];
    eventually("the standby knows", || {
        let seen = standby.leader();
        (seen.leads() || seen.body["successor"] == "ghost").then_some(())
    });
    assert_eq!(flock.settled(), 1 - leader);
    assert_eq!(standby.leader().body["successor"], serde_json::Value::Null);
}

pub fn after_all_died_a_new_process_leads_without_waiting(subject: &Subject) {
    let mut flock = subject.flock(&["a", "b"]);
    let leader = flock.settled();
    let term = term_of(&flock, leader);
    flock.members.iter_mut().for_each(Sidecar::kill);
    let dead_since = now();
    eventually("the night is over", || (now().since(dead_since) > subject.night).then_some(()));
    let started = now();
    let fresh = subject.start("fresh");
    follows(leads(&fresh).term(), term);
    // Not a claim about speed: waiting for a lease is what it must not do.
    assert!(now().since(started) < QUICK_LEASE, "it waited for a lease that was over");
}

pub fn a_restarted_process_does_not_take_itself_for_the_holder(subject: &Subject) {
    let mut first = subject.start("same-name");
    let term = leads(&first).term();
    first.kill();
    let second = subject.start("same-name");
    let answer = second.leader();
    assert!(!answer.leads(), "the lease of the dead process is still live: {answer:?}");
    follows(leads(&second).term(), term);
}

pub fn a_question_that_waits_is_answered_at_the_hand_over(subject: &Subject) {
    let flock = subject.flock(&["a", "b"]);
    let leader = flock.settled();
    let standby = &flock.members[1 - leader];
    assert_eq!(standby.status("/leader?wait=10ms"), 503);
    let url = format!("{}/leader?wait=60s", standby.url);
    let waiting = thread::spawn(move || get(&url));
    flock.members[leader].signal("TERM");
    let answer = waiting.join().unwrap().expect("it answers");
    assert!(answer.leads(), "{answer:?}");
}

pub fn an_outage_demotes_and_all_rejoin(subject: &Subject) {
    let flock = subject.flock(&["a", "b", "c"]);
    assert!(!subject.outages.is_empty());
    for outage in &subject.outages {
        no_instance_leads_while(&flock, outage, drop);
    }
    let log = flock.members[0].log();
    eventually("its log tells of it", || (log.events("store_answers") > 0).then_some(()));
    let log = log.text();
    assert!(log.contains(subject.reason), "{log}");
    assert!(!log.contains(support::postgres::PASSWORD), "{log}");
}

pub fn a_short_outage_demotes_no_leader(subject: &Subject) {
    let sidecar = subject.start_with("a", &PATIENT);
    let before = leads(&sidecar);
    let outage = subject.hang();
    let renewed = sidecar.leader().body["renewTime"].clone();
    thread::sleep(Duration::from_secs(3));
    drop(outage);
    let after = eventually("it renews again", || {
        Some(sidecar.leader()).filter(|answer| answer.body["renewTime"] != renewed)
    });
    assert_eq!((after.leads(), after.term()), (true, before.term()));
    assert_eq!(sidecar.log().events("lost"), 0);
}

/// Outages that are shorter and longer than the renew deadline, one after another.
pub fn in_a_storm_of_outages_there_are_never_two_and_afterwards_one(subject: &Subject) {
    let flock = subject.flock(&["a", "b", "c"]);
    flock.settled();
    let witness = Witness::of(&flock);
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..6 {
        let outage = subject.outages[round % subject.outages.len()]();
        thread::sleep(Duration::from_millis(random.u64(100..3000)));
        drop(outage);
        thread::sleep(Duration::from_millis(random.u64(100..1000)));
    }
    flock.settled();
    witness.saw_never_two();
}

pub fn a_second_signal_exits_at_once_and_leaves_the_lease(subject: &Subject) {
    let mut sidecar = subject.start_with("a", &["--shutdown-grace", "60s"]);
    leads(&sidecar);
    let outage = subject.hang();
    sidecar.signal("TERM");
    eventually("it says no", || (sidecar.status("/leader") != 200).then_some(()));
    // The same one would be taken for the same request: see `signals`.
    sidecar.signal("INT");
    assert!(!sidecar.wait().success());
    drop(outage);
    assert_eq!(sidecar.log().events("vacated"), 0);
}

pub fn shutting_down_does_not_wait_for_a_store_that_hangs(subject: &Subject) {
    let mut sidecar = subject.start_with("a", &["--shutdown-grace", "1h"]);
    leads(&sidecar);
    let _outage = subject.hang();
    sidecar.signal("TERM");
    assert!(sidecar.wait().success(), "it exits although the store never answers");
}

pub fn eight_at_once_do_it_once(subject: &Subject) {
    support::eight::do_it_once(&subject.store, subject.program);
}

/// Runs `bellwether COMMAND` for the store. Returns its exit code and all that it prints.
fn operates(subject: &Subject, command: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut command_line = (subject.program)();
    command_line.args([command, "--store", &subject.store]).args(more);
    let output = command_line.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[track_caller]
fn succeeds(subject: &Subject, command: &str, more: &[&str]) -> String {
    let (code, printed) = operates(subject, command, more);
    assert_eq!(code, Some(0), "{printed}");
    printed
}

pub fn a_paused_election_has_no_leader_until_it_is_resumed(subject: &Subject) {
    let flock = subject.flock(&["a", "b", "c"]);
    let term = term_of(&flock, flock.settled());
    let witness = Witness::of(&flock);
    let printed = succeeds(subject, "pause", &["--for", "1h", "--reason", "new disks"]);
    assert!(
        printed.contains("paused until ") && printed.contains("no instance leads"),
        "{printed}"
    );
    for sidecar in &flock.members {
        let answer = eventually("it is known everywhere", || {
            let known =
                |answer: &Answer| answer.body["paused"] == true && answer.holder().is_none();
            Some(sidecar.leader()).filter(known)
        });
        assert!(!answer.leads() && answer.holder().is_none(), "{answer:?}");
        let reason = answer.body["reason"].as_str().unwrap_or_default().to_owned();
        assert!(
            reason.starts_with("paused until ") && reason.contains(": new disks; stands again in "),
            "{reason}"
        );
        for path in ["/ready", "/started", "/livez"] {
            assert_eq!(sidecar.status(path), 200, "{path}: a paused election is decided");
        }
        assert_eq!(sidecar.log().events("paused_or_copied"), 0, "{}", sidecar.log().text());
    }
    let fresh = subject.start("fresh");
    eventually("it has started", || (fresh.status("/started") == 200).then_some(()));
    thread::sleep(QUICK_LEASE * 2);
    assert!(flock.members.iter().chain([&fresh]).all(|sidecar| !sidecar.leader().leads()));
    assert!(succeeds(subject, "status", &[]).contains(": new disks"));
    let json: serde_json::Value =
        serde_json::from_str(&succeeds(subject, "status", &["--json"])).unwrap();
    assert_eq!(json[0]["pause"]["reason"], "new disks");
    assert_eq!(json[0]["term"], term);
    // Another operator changes it, and resumes.
    let printed = succeeds(subject, "pause", &["--reason", "more disks"]);
    assert!(printed.contains(": more disks (it was paused until "), "{printed}");
    assert!(succeeds(subject, "resume", &[]).contains("more disks"));
    assert!(succeeds(subject, "resume", &[]).contains("is not paused"));
    eventually("an instance leads", || {
        let all = flock.members.iter().chain([&fresh]);
        all.map(Sidecar::leader).find(Answer::leads).map(|answer| follows(answer.term(), term))
    });
    witness.saw_never_two();
    // The one that leads now may be the first that looked.
    flock.members.iter().for_each(|sidecar| sidecar.log().await_events("resumed", 1));
    for sidecar in &flock.members {
        assert!(sidecar.log().events("paused") > 0, "{}", sidecar.log().text());
    }
    let log = flock.members.iter().map(|sidecar| sidecar.log().text()).collect::<String>();
    assert!(log.contains("\"reason\":\"paused\""), "{log}");
}

pub fn a_pause_ends_automatically_and_begins_before_the_first_instance(subject: &Subject) {
    if subject.store.starts_with("sqlite") {
        let (code, printed) = operates(subject, "pause", &[]);
        assert!(code == Some(69) && printed.contains("does not exist yet"), "{printed}");
    }
    succeeds(subject, "init", &[]);
    let paused = now();
    let printed = succeeds(subject, "pause", &["--for", "8s"]);
    assert!(printed.contains("no instance leads"), "{printed}");
    let sidecar = subject.start("a");
    eventually("it knows", || (sidecar.leader().body["paused"] == true).then_some(()));
    assert_eq!(sidecar.status("/ready"), 200);
    assert_eq!(leads(&sidecar).term(), 1);
    // Both clocks are this host's. A record keeps whole milliseconds.
    assert!(now().since(paused) >= Duration::from_millis(7_900));
    assert!(sidecar.leader().body["paused"] == false);
    let status = succeeds(subject, "status", &["--json"]);
    assert!(status.contains("\"pause\":null"), "{status}");
}

pub fn a_pause_during_an_outage_is_written_afterwards(subject: &Subject) {
    let flock = subject.flock(&["a", "b"]);
    flock.settled();
    let witness = Witness::of(&flock);
    let outage = subject.hang();
    let (code, printed) = operates(subject, "pause", &["--timeout", "2s"]);
    assert_eq!(code, Some(69), "{printed}");
    let pausing = thread::scope(|scope| {
        let (store, program) = (&subject.store, subject.program);
        let pausing = scope.spawn(move || {
            let mut command = program();
            command.args(["pause", "--store", store, "--timeout", "2m"]).output().unwrap()
        });
        thread::sleep(QUICK_LEASE * 2);
        drop(outage);
        pausing.join().unwrap()
    });
    assert!(pausing.status.success(), "{}", String::from_utf8_lossy(&pausing.stderr));
    thread::sleep(QUICK_LEASE * 2);
    assert!(flock.members.iter().all(|sidecar| !sidecar.leader().leads()));
    succeeds(subject, "resume", &[]);
    flock.settled();
    witness.saw_never_two();
}

pub fn work_ends_before_a_pause_is_reported(subject: &Subject) {
    let sidecar = subject.start_with("a", &["--shutdown-grace", "60s"]);
    let term = leads(&sidecar).term();
    let folder = tempfile::tempdir().unwrap();
    let (began, ended) = (folder.path().join("began"), folder.path().join("ended"));
    let script = format!(
        "trap 'sleep 8; echo done > {}; exit' TERM; echo > {}; while :; do sleep 0.1; done",
        ended.display(),
        began.display()
    );
    let mut work = (subject.program)();
    work.args(["only", "--sidecar", &sidecar.url, "--", "sh", "-c", &script]);
    let mut work = work.spawn().unwrap();
    eventually("it works", || began.exists().then_some(()));
    let (code, printed) = operates(subject, "pause", &["--timeout", "1s"]);
    assert_eq!(code, Some(75), "it still holds: {printed}");
    eventually("the answer is no", || (!sidecar.leader().leads()).then_some(()));
    assert!(!ended.exists(), "the answer is no before the work has ended");
    succeeds(subject, "pause", &[]);
    assert!(ended.exists(), "the pause is reported after the work");
    work.wait().unwrap();
    let status = succeeds(subject, "status", &["--json"]);
    assert!(
        status.contains("\"state\":\"vacated\"") && status.contains(&format!("\"term\":{term},"))
    );
}

/// The leader sees another version of its record, and nothing else that is new.
pub fn a_pause_between_two_looks_is_no_sign_of_a_copy(subject: &Subject) {
    let sidecar = subject.start_with(
        "a",
        &["--lease-duration", "60s", "--renew-deadline", "40s", "--retry-period", "1s"],
    );
    let term = leads(&sidecar).term();
    for _ in 0..2 {
        stop_between_writes(&subject.store, |signal| sidecar.signal(signal));
        succeeds(subject, "pause", &["--no-wait"]);
        succeeds(subject, "resume", &[]);
        sidecar.signal("CONT");
        let renewed = sidecar.leader().body["renewTime"].clone();
        eventually("it has renewed since", || {
            (sidecar.leader().body["renewTime"] != renewed).then_some(())
        });
    }
    let log = sidecar.log();
    for event in ["paused_or_copied", "lost", "paused", "resumed"] {
        assert_eq!(log.events(event), 0, "{event}: {}", log.text());
    }
    assert_eq!((sidecar.leader().leads(), sidecar.leader().term()), (true, term));
}
