//! `--gate-url`: two sidecars, each with an application of its own, of which one falls ill.

use std::fs;
use std::process::Stdio;

use crate::sidecar::app::App;
use support::{Flock, Pasture, QUICK, Sidecar, Witness, bellwether, eventually, kill};

/// Thresholds that are reached within seconds, and a timeout that bears a machine that is busy.
pub const THRESHOLDS: [&str; 6] =
    ["--gate-period", "200ms", "--gate-timeout", "2s", "--gate-failures", "2"];

/// A lease that is not lost while a busy machine starts processes, for what depends on its being
/// kept.
pub const PATIENT: [&str; 4] = ["--lease-duration", "15s", "--renew-deadline", "12s"];

/// A sidecar that obeys this gate.
pub fn gated(name: &str, pasture: &Pasture, gate: &[&str]) -> Sidecar {
    Sidecar::start_with(name, &pasture.store(), &[&THRESHOLDS, gate].concat())
}

fn metrics(sidecar: &Sidecar) -> String {
    sidecar.get("/metrics").expect("it answers").body.as_str().unwrap().to_owned()
}

/// How many checks have failed, as the metrics say.
pub fn failures(sidecar: &Sidecar, probe: &str) -> u64 {
    let name = format!("bellwether_gate_probe_failures_total{{probe=\"{probe}\"}} ");
    let metrics = metrics(sidecar);
    let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
    count.unwrap_or_else(|| panic!("no {name}in {metrics}")).parse().unwrap()
}

#[track_caller]
pub fn leads(sidecar: &Sidecar) -> u64 {
    let answer = || Some(sidecar.leader()).filter(|answer| answer.leads());
    eventually(&format!("{} leads", sidecar.name), answer).term()
}

#[track_caller]
pub fn leads_not(sidecar: &Sidecar) {
    let says_no = || (!sidecar.leader().leads()).then_some(());
    eventually(&format!("{} does not lead", sidecar.name), says_no);
}

/// Waits until every answer says that the gate is so.
#[track_caller]
pub fn shown(sidecar: &Sidecar, gate: &str) {
    let gauge = format!("bellwether_gate_open {}", u8::from(gate == "open"));
    eventually(&format!("the gate is {gate} everywhere"), || {
        let (leader, ready) = (sidecar.leader(), sidecar.get("/ready").unwrap());
        let agree = leader.body["gate"] == gate
            && leader.body["standing"] == (gate == "open")
            && ready.body["gate"] == gate
            && metrics(sidecar).lines().any(|line| line == gauge);
        agree.then_some(())
    });
}

/// Makes an application unwell, or well again.
type Change = fn(&mut App);

fn two_lead_in_turn(fall_ill: Change, recover: Change, why: &str) {
    let pasture = Pasture::new();
    let mut apps = [App::start(), App::start()];
    let start = |name: &str, app: &App| gated(name, &pasture, &["--gate-url", &app.url()]);
    let flock = Flock { members: vec![start("a", &apps[0]), start("b", &apps[1])] };
    let ill = flock.settled();
    let (sick, well) = (&flock.members[ill], &flock.members[1 - ill]);
    let witness = Witness::of(&flock);
    let term = sick.leader().term();

    fall_ill(&mut apps[ill]);
    assert_eq!(leads(well), term + 1);
    // Handed over, not run out; and the log says why.
    sick.log().await_events("vacated", 1);
    sick.log().await_events("gate_closed", 1);
    sick.log().await_lines(why, 1);
    shown(sick, "closed");
    shown(well, "open");
    eventually("it is known who leads", || (sick.status("/ready") == 200).then_some(()));

    recover(&mut apps[ill]);
    shown(sick, "open");
    assert_eq!(flock.settled(), 1 - ill, "the healthy one continues");
    fall_ill(&mut apps[1 - ill]);
    assert_eq!(leads(sick), term + 2);
    witness.saw_never_two();
}

#[test]
fn an_application_that_died_loses_the_lease() {
    two_lead_in_turn(App::die, App::restart, "connection refused");
}

#[test]
fn an_application_that_hangs_loses_the_lease() {
    two_lead_in_turn(|app| app.signal("STOP"), |app| app.signal("CONT"), "no response within 2s");
}

#[test]
fn an_application_that_answers_with_an_error_loses_the_lease() {
    two_lead_in_turn(|app| app.answers("500"), |app| app.answers("204"), "status 500");
}

#[test]
fn an_application_that_is_slow_loses_the_lease() {
    two_lead_in_turn(|app| app.answers("slow"), |app| app.answers("200"), "no response within 2s");
}

#[test]
fn a_redirect_is_not_followed() {
    two_lead_in_turn(|app| app.answers("302"), |app| app.answers("200"), "are not followed");
}

#[test]
fn no_candidate_stands_for_an_application_that_was_never_healthy() {
    let pasture = Pasture::new();
    let mut app = App::start();
    app.die();
    let sidecar = gated("a", &pasture, &["--gate-url", &app.url(), "--gate-grace", "0s"]);
    eventually("it has checked several times", || (failures(&sidecar, "url") > 5).then_some(()));
    let answer = sidecar.leader();
    assert_eq!((answer.leads(), answer.holder(), answer.term()), (false, None, 0));
    assert!(answer.body["reason"].as_str().unwrap().contains("connection refused"), "{answer:?}");
    let ready = sidecar.get("/ready").unwrap();
    assert_eq!(ready.status, 503);
    let reason = ready.body["reason"].as_str().unwrap();
    assert!(reason.contains("the gate is closed") && !reason.contains("deep=1"), "{reason}");
    assert_eq!(sidecar.status("/livez"), 200);
    assert_eq!(sidecar.status("/started"), 200, "the application may be waiting for this");
    let mut healthcheck = bellwether();
    healthcheck.arg("healthcheck").env("BELLWETHER_SIDECAR", &sidecar.url);
    assert!(healthcheck.status().unwrap().success());
    shown(&sidecar, "closed");
    let warned = sidecar.log().events("gate_closed");
    assert_eq!(warned, 1, "logged once");

    app.restart();
    assert_eq!(leads(&sidecar), 1);
    shown(&sidecar, "open");
}

#[test]
fn while_an_application_starts_its_failures_are_neither_counted_nor_warned_of() {
    let pasture = Pasture::new();
    let app = App::start();
    app.answers("503");
    let flags = ["--gate-url", &app.url(), "--gate-grace", "1h", "--log-level", "debug"];
    let sidecar = gated("a", &pasture, &flags);
    eventually("it has checked several times", || {
        (sidecar.log().count("the application is not up yet") > 5).then_some(())
    });
    assert_eq!(failures(&sidecar, "url"), 0);
    assert_eq!(sidecar.log().count("\"WARN\""), 0, "{}", sidecar.log().text());
    leads_not(&sidecar);
    app.answers("200");
    leads(&sidecar);
    app.answers("503");
    leads_not(&sidecar);
    assert!(failures(&sidecar, "url") >= 2, "it was up: failures count");
}

#[test]
fn so_many_successes_in_a_row_are_needed() {
    let pasture = Pasture::new();
    let app = App::start();
    let flags = ["--gate-url", &app.url(), "--gate-successes", "1000"];
    let patient = gated("patient", &pasture, &flags);
    let other = gated("other", &pasture, &["--gate-url", &app.url()]);
    leads(&other);
    shown(&patient, "closed");
    app.answers("500");
    eventually("no instance leads", || patient.leader().holder().is_none().then_some(()));
}

#[test]
fn without_a_gate_none_is_shown() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start("a", &pasture.store());
    leads(&sidecar);
    assert!(sidecar.leader().body["gate"].is_null());
    assert!(sidecar.get("/ready").unwrap().body.get("gate").is_none());
    assert!(!metrics(&sidecar).contains("bellwether_gate"), "{}", metrics(&sidecar));
}

#[test]
fn all_elections_of_a_process_are_behind_its_gate() {
    let pasture = Pasture::new();
    let app = App::start();
    let flags = ["--gate-url", &app.url(), "--election", "one", "--election", "two"];
    let sidecar = gated("a", &pasture, &flags);
    let all_say = |expected: bool| {
        let statuses =
            ["one", "two"].map(|name| sidecar.status(&format!("/elections/{name}/leader")));
        statuses.iter().all(|status| (*status == 200) == expected).then_some(())
    };
    eventually("both lead", || all_say(true));
    app.answers("500");
    eventually("neither leads", || all_say(false));
    app.answers("200");
    eventually("both lead again", || all_say(true));
}

#[test]
fn work_under_a_hold_ends_before_the_lease_of_a_dead_application_is_freed() {
    let pasture = Pasture::new();
    let mut app = App::start();
    let first = gated("a", &pasture, &[&["--gate-url", &app.url()][..], &PATIENT].concat());
    leads(&first);
    let second = Sidecar::start_with("b", &pasture.store(), &PATIENT);

    let script =
        "trap 'sleep 4; touch ended; exit 0' TERM; touch begun; while :; do sleep 0.1; done";
    let mut only = bellwether();
    only.args(["only", "--", "sh", "-c", script]).env("BELLWETHER_SIDECAR", &first.url);
    only.current_dir(pasture.folder()).stdin(Stdio::null()).stderr(Stdio::null());
    let mut only = only.spawn().unwrap();
    let exists = |file: &str| pasture.folder().join(file).exists();
    eventually("the work begins", || exists("begun").then_some(()));

    app.die();
    leads_not(&first);
    assert_eq!(leads(&second), 2);
    assert!(exists("ended"), "the work had ended before the other led");
    first.log().await_events("vacated", 1);
    eventually("the command is gone", || only.try_wait().unwrap());
}

#[test]
fn run_ends_its_command_when_the_application_dies_and_runs_it_again_when_it_is_back() {
    let pasture = Pasture::new();
    let mut app = App::start();
    let mut run = bellwether();
    run.args(["run", "--store", &pasture.store(), "--identity", "a", "--gate-url", &app.url()]);
    run.args(QUICK).args(THRESHOLDS).current_dir(pasture.folder());
    let script = "echo $BELLWETHER_TERM >> begun; \
                  trap 'echo $BELLWETHER_TERM >> ended; exit' TERM; while :; do sleep 0.05; done";
    run.args(["--", "sh", "-c", script]).stdin(Stdio::null()).stderr(Stdio::null());
    let mut run = run.spawn().unwrap();
    let says = |file: &str, text: &str| {
        let found = fs::read_to_string(pasture.folder().join(file)).unwrap_or_default();
        (found == text).then_some(())
    };
    eventually("it runs", || says("begun", "1\n"));
    app.die();
    eventually("it is ended", || says("ended", "1\n"));
    app.restart();
    eventually("it runs again", || says("begun", "1\n2\n"));
    kill("TERM", run.id());
    assert!(eventually("it exits", || run.try_wait().unwrap()).success());
}
