//! `--on-elected` and `--on-lost`.

use std::fs;

use crate::only::scene::hold_by_hand;
use crate::sidecar::gate_command::running;
use crate::sidecar::gate_url::{PATIENT, leads, leads_not};
use support::lock::Lock;
use support::{Pasture, Sidecar, bellwether, eventually};

const ELECTED: &str =
    "echo elected $BELLWETHER_ELECTION $BELLWETHER_IDENTITY $BELLWETHER_TERM >> ran";
const LOST: &str = "echo lost $BELLWETHER_ELECTION $BELLWETHER_IDENTITY $BELLWETHER_TERM $BELLWETHER_REASON >> ran";

/// A program that continues, with children in and out of its group that ignore SIGTERM.
const HANG: &str = "trap '' TERM; (setsid sleep $LONG) & sleep $LONG & sleep $LONG";

fn hooked(pasture: &Pasture, more: &[&str]) -> Sidecar {
    let mut command = bellwether();
    command.current_dir(pasture.folder());
    Sidecar::start_as("a", &pasture.store(), more, command)
}

/// One whose `--on-elected` hangs, and the mark of the hook's processes, which begins with these digits.
fn hanging(pasture: &Pasture, digits: &str, more: &[&str]) -> (Sidecar, String) {
    let mark = format!("{digits}{}.5", std::process::id());
    let mut command = bellwether();
    command.env("LONG", &mark);
    let flags = [&["--on-elected", HANG], more].concat();
    let sidecar = Sidecar::start_as("a", &pasture.store(), &flags, command);
    eventually("it hangs", || (running(&mark) > 0).then_some(()));
    (sidecar, mark)
}

fn ran(pasture: &Pasture) -> Vec<String> {
    let text = fs::read_to_string(pasture.folder().join("ran")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Waits until hooks have run with this, and no others.
#[track_caller]
fn expect(pasture: &Pasture, lines: &[&str]) {
    eventually(&format!("ran: {lines:?}"), || (ran(pasture) == lines).then_some(()));
}

fn resign(sidecar: &Sidecar, cooldown: &str) {
    let body = format!(r#"{{"cooldown":"{cooldown}"}}"#);
    ureq::post(format!("{}/resign", sidecar.url)).send(&body).unwrap();
}

/// Has the sidecar lead in `term`, the one after the present.
fn lead_again(sidecar: &Sidecar, term: u64) {
    resign(sidecar, "0s");
    eventually("it leads in a new term", || {
        let answer = sidecar.leader();
        (answer.leads() && answer.term() == term).then_some(())
    });
}

#[test]
fn they_run_at_every_change_with_its_term_and_reason() {
    let pasture = Pasture::new();
    let mut sidecar = hooked(&pasture, &["--on-elected", ELECTED, "--on-lost", LOST]);
    expect(&pasture, &["elected default a 1"]);
    lead_again(&sidecar, 2);
    let first = ["elected default a 1", "lost default a 1 resigned", "elected default a 2"];
    expect(&pasture, &first);
    sidecar.signal("TERM");
    assert!(sidecar.wait().success());
    let all = [&first[..], &["lost default a 2 shutting_down"]].concat();
    assert_eq!(ran(&pasture), all, "the last is waited for");
}

/// Else what asks a sidecar in it would ask another one of the host, and might make that one resign.
#[test]
fn they_and_the_command_of_the_gate_ask_the_sidecar_that_runs_them() {
    let pasture = Pasture::new();
    let own = env!("CARGO_BIN_EXE_bellwether");
    let hook = format!("echo $BELLWETHER_SIDECAR $({own} is-leader) >> ran");
    let gate = "echo $BELLWETHER_SIDECAR > found";
    let elections = ["--election", "a", "--election", "b"];
    let more = [&elections[..], &["--on-elected", &hook, "--gate-command", gate]].concat();
    let sidecar = hooked(&pasture, &more);
    eventually("both hooks have run", || (ran(&pasture).len() == 2).then_some(()));
    let mut lines = ran(&pasture);
    lines.sort();
    let url = &sidecar.url;
    assert_eq!(lines, [format!("{url} yes: a leads"), format!("{url}/elections/b yes: a leads")]);
    let found = fs::read_to_string(pasture.folder().join("found")).unwrap();
    assert_eq!(found.trim(), url);
}

#[test]
fn they_run_at_the_end_of_validity_when_the_store_hangs() {
    let pasture = Pasture::new();
    let sidecar = hooked(&pasture, &["--on-elected", ELECTED, "--on-lost", LOST]);
    expect(&pasture, &["elected default a 1"]);
    let lock = Lock::take(&pasture);
    expect(&pasture, &["elected default a 1", "lost default a 1 renew_deadline"]);
    leads_not(&sidecar);
    drop(lock);
    eventually("it leads again, and its hooks have run", || {
        (ran(&pasture).len() == 3).then_some(())
    });
}

#[test]
fn one_of_the_two_is_enough() {
    let pasture = Pasture::new();
    let sidecar = hooked(&pasture, &["--on-lost", LOST]);
    leads(&sidecar);
    resign(&sidecar, "1h");
    expect(&pasture, &["lost default a 1 resigned"]);
}

#[test]
fn each_election_has_its_own() {
    let pasture = Pasture::new();
    let flags = ["--election", "one", "--election", "two", "--on-elected", ELECTED];
    let mut sidecar = hooked(&pasture, &[&flags[..], &["--on-lost", LOST]].concat());
    let both = |event: &str, more: &str| {
        eventually(event, || {
            let ran = ran(&pasture);
            let line = |election: &str| format!("{event} {election} a 1{more}");
            ["one", "two"].iter().all(|name| ran.contains(&line(name))).then_some(())
        });
    };
    both("elected", "");
    sidecar.signal("TERM");
    assert!(sidecar.wait().success());
    both("lost", " shutting_down");
    assert_eq!(ran(&pasture).len(), 4);
}

#[test]
fn hooks_of_many_elections_run_a_few_at_a_time_and_none_is_forgotten() {
    const ELECTIONS: usize = 40;
    let pasture = Pasture::new();
    let names: Vec<_> = (0..ELECTIONS).map(|number| format!("e{number}")).collect();
    let busy = "mkdir busy.$$; ls -d busy.* | wc -l >> busy; sleep 0.1; rmdir busy.$$";
    let (elected, lost) = (format!("{busy}; {ELECTED}"), format!("{busy}; {LOST}"));
    let mut command = bellwether();
    command.current_dir(pasture.folder()).env("BELLWETHER_ELECTION", names.join(","));
    // So many processes at once can keep two cores busy for longer than a quick lease bears.
    let patient = ["--lease-duration", "60s", "--renew-deadline", "40s", "--shutdown-grace", "60s"];
    let flags = [&["--on-elected", &elected, "--on-lost", &lost][..], &patient].concat();
    let mut sidecar = Sidecar::start_as("a", &pasture.store(), &flags, command);
    eventually("all hooks have run", || (ran(&pasture).len() == ELECTIONS).then_some(()));
    sidecar.signal("TERM");
    assert!(sidecar.wait().success());
    let ran = ran(&pasture);
    for name in &names {
        assert!(ran.contains(&format!("elected {name} a 1")), "{name}: {ran:?}");
        assert!(ran.contains(&format!("lost {name} a 1 shutting_down")), "{name}: {ran:?}");
    }
    assert_eq!(ran.len(), 2 * ELECTIONS);
    let busy = fs::read_to_string(pasture.folder().join("busy")).unwrap();
    let most = busy.lines().map(|count| count.trim().parse::<usize>().unwrap()).max().unwrap();
    assert!((2..=16).contains(&most), "{most} at once");
}

#[test]
fn a_hook_that_hangs_holds_up_nothing_but_the_next_and_is_killed_with_all_it_started() {
    let pasture = Pasture::new();
    // A duration that no other process sleeps for.
    let mark = format!("62{}.5", std::process::id());
    let mut command = bellwether();
    command.current_dir(pasture.folder()).env("LONG", &mark);
    let flags = ["--on-elected", HANG, "--on-lost", LOST, "--hook-timeout", "4s"];
    let flags = [&flags[..], &PATIENT].concat();
    let mut sidecar = Sidecar::start_as("a", &pasture.store(), &flags, command);
    eventually("it hangs", || (running(&mark) > 0).then_some(()));
    let renewed = sidecar.get("/leader?wait=30s&min-valid=11s").unwrap();
    assert!(renewed.leads() && renewed.term() == 1, "renewals continue: {renewed:?}");
    eventually("it is stopped", || (running(&mark) == 0).then_some(()));
    let failed = "it did not end in time, and was stopped";
    sidecar.log().await_lines(failed, 1);
    assert_eq!(leads(&sidecar), 1, "nothing was lost by it");
    lead_again(&sidecar, 2);
    expect(&pasture, &["lost default a 1 resigned"]);
    // The next one hangs as well. A shutdown does not wait for it, and runs the hook of the end.
    eventually("the next hangs", || (running(&mark) > 0).then_some(()));
    sidecar.signal("TERM");
    assert!(sidecar.wait().success());
    assert_eq!(running(&mark), 0);
    assert_eq!(ran(&pasture), ["lost default a 1 resigned", "lost default a 2 shutting_down"]);
}

#[test]
fn a_shutdown_waits_for_the_last_hook_no_longer_than_its_grace() {
    let pasture = Pasture::new();
    let flags = ["--on-lost", "touch begun; sleep 600", "--shutdown-grace", "1s"];
    let mut sidecar = hooked(&pasture, &flags);
    leads(&sidecar);
    sidecar.signal("TERM");
    assert!(sidecar.wait().success());
    assert!(pasture.folder().join("begun").exists());
    assert_eq!(sidecar.log().count("it did not end in time"), 1, "{}", sidecar.log().text());
}

/// The lease is renewed for the work that still ends, and each renewal is a step of the election.
#[test]
fn a_shutdown_ends_a_hook_in_time_while_other_work_still_ends() {
    let pasture = Pasture::new();
    let (mut sidecar, mark) = hanging(&pasture, "64", &["--shutdown-grace", "30s"]);
    let held = hold_by_hand(&sidecar);
    sidecar.signal("TERM");
    eventually("it is killed", || (running(&mark) == 0).then_some(()));
    assert!(!sidecar.log().has_ended(), "the work that is held has not ended");
    drop(held);
    assert!(sidecar.wait().success());
}

#[test]
fn a_sidecar_that_is_killed_leaves_no_hook_behind() {
    let pasture = Pasture::new();
    let (mut sidecar, mark) = hanging(&pasture, "63", &[]);
    sidecar.kill();
    eventually("nothing is left", || (running(&mark) == 0).then_some(()));
}

#[test]
fn changes_during_a_hook_are_skipped_except_for_the_last() {
    let pasture = Pasture::new();
    let slow = format!("{ELECTED}; until [ -f go ]; do sleep 0.05; done");
    let sidecar = hooked(&pasture, &["--on-elected", &slow, "--on-lost", LOST]);
    expect(&pasture, &["elected default a 1"]);
    (2..=4).for_each(|term| lead_again(&sidecar, term));
    assert_eq!(ran(&pasture), ["elected default a 1"], "one at a time");
    fs::write(pasture.folder().join("go"), "").unwrap();
    let lost = "lost default a 1 resigned";
    expect(&pasture, &["elected default a 1", lost, "elected default a 4"]);
}

#[test]
fn the_log_has_the_output_and_the_failure_of_hooks() {
    let pasture = Pasture::new();
    let mut command = bellwether();
    command.stdout(fs::File::create(pasture.folder().join("out")).unwrap());
    let flags = ["--on-elected", "echo to stdout; echo to stderr >&2; exit 3", "--on-lost"];
    let flags = [&flags[..], &[r#"["/no/such/program", "x"]"#]].concat();
    let sidecar = Sidecar::start_as("a", &pasture.store(), &flags, command);
    let says = |words: &str| {
        sidecar.log().await_lines(words, 1);
    };
    says("to stdout");
    says("to stderr");
    says("it exited with 3");
    assert_eq!(leads(&sidecar), 1);
    resign(&sidecar, "1h");
    says("it cannot be started: No such file or directory");
    assert_eq!(fs::read_to_string(pasture.folder().join("out")).unwrap(), "");
}

#[test]
fn a_closed_gate_is_a_reason() {
    let pasture = Pasture::new();
    let up = pasture.folder().join("up");
    fs::write(&up, "").unwrap();
    let flags = ["--gate-command", "test -f up", "--gate-period", "200ms", "--gate-timeout", "2s"];
    let sidecar = hooked(&pasture, &[&flags[..], &["--on-lost", LOST]].concat());
    leads(&sidecar);
    fs::remove_file(&up).unwrap();
    expect(&pasture, &["lost default a 1 gate_closed"]);
}
