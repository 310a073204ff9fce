//! Several elections in one sidecar, each on its own.

use std::process::Command;

use serde_json::Value;

use support::raw::post;
use support::{Answer, Pasture, QUICK_LEASE, Sidecar, bellwether, eventually, now};

/// Waits until `sidecar` leads `election`.
#[track_caller]
pub fn leads(sidecar: &Sidecar, election: &str) -> Answer {
    eventually(&format!("{} leads {election}", sidecar.name), || {
        Some(leader(sidecar, election)).filter(Answer::leads)
    })
}

#[track_caller]
pub fn leader(sidecar: &Sidecar, election: &str) -> Answer {
    sidecar.get(&format!("/elections/{election}/leader")).expect("it answers")
}

/// Waits for twice a lease: whatever leads without renewing is replaced by then.
pub fn two_leases_later() {
    let start = now();
    eventually("two leases pass", || (now().since(start) > QUICK_LEASE * 2).then_some(()));
}

/// A sidecar that leads both elections, and one that stands by in both.
fn two(store: &str) -> (Sidecar, Sidecar) {
    let first = Sidecar::start_with("first", store, &["--election", "a", "--election", "b"]);
    leads(&first, "a");
    leads(&first, "b");
    let second = Sidecar::start_with("second", store, &["--election", "a,b"]);
    for election in ["a", "b"] {
        eventually("the second knows the first", || {
            (leader(&second, election).holder() == Some("first")).then_some(())
        });
    }
    (first, second)
}

/// Runs SQL on the database, waiting for the process that writes at this moment.
fn sql(pasture: &Pasture, statement: &str) {
    let mut command = Command::new("sqlite3");
    command.args(["-cmd", ".timeout 10000"]).arg(pasture.path()).arg(statement);
    let output = command.output().expect("sqlite3 is installed (make setup)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn one_is_handed_over_and_the_other_is_not() {
    let pasture = Pasture::new();
    let (first, second) = two(&pasture.store());
    let before = leader(&first, "b").term();
    let (status, body) = post(&first, "/elections/a/resign", "", r#"{"cooldown":"1h"}"#);
    assert_eq!((status, &body["election"]), (200, &"a".into()), "{body}");
    assert_eq!((&body["standing"], &body["leader"]), (&false.into(), &false.into()), "{body}");
    assert!(body["reason"].as_str().unwrap().starts_with("resigned"), "{body}");
    leads(&second, "a");
    eventually("it follows", || (leader(&first, "a").holder() == Some("second")).then_some(()));
    let kept = leader(&first, "b");
    assert!(kept.leads() && kept.term() == before, "{kept:?}");
    assert_eq!(kept.body["standing"], true);
}

#[test]
fn the_bare_paths_mean_the_first_and_elections_shows_all() {
    let pasture = Pasture::new();
    let (first, second) = two(&pasture.store());
    assert_eq!(first.leader().body["election"], "a");
    let answer = second.get("/elections").unwrap();
    assert_eq!(answer.status, 200);
    let all = answer.body["elections"].as_array().unwrap();
    let names: Vec<_> = all.iter().map(|one| one["election"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    for one in all {
        assert_eq!(one["holderIdentity"], "first", "{one}");
        assert_eq!(one["gate"], Value::Null, "{one}");
        let reason = one["reason"].as_str().unwrap();
        assert!(reason.contains("first leads"), "a standby says who does: {one}");
        assert!(one["storeAnsweredMsAgo"].is_u64(), "{one}");
    }
    let answer = first.get("/elections/c/leader").unwrap();
    assert_eq!(answer.status, 404);
    assert!(answer.body["error"].as_str().unwrap().ends_with("but in: a b"), "{answer:?}");
    let metrics = first.get("/metrics").unwrap().body;
    for election in ["a", "b"] {
        let line = format!("leader_election_master_status{{name=\"{election}\"}} 1");
        assert!(metrics.as_str().unwrap().contains(&line), "{metrics}");
    }
}

#[test]
fn a_command_can_ask_about_any_of_them() {
    let pasture = Pasture::new();
    let (first, second) = two(&pasture.store());
    assert_eq!(post(&first, "/elections/b/resign", "", r#"{"cooldown":"1h"}"#).0, 200);
    leads(&second, "b");
    eventually("it follows", || leader(&first, "b").holder().map(drop));
    let code = |election: &str| {
        let mut command = bellwether();
        let url = format!("{}/elections/{election}", first.url);
        command.args(["is-leader", "--sidecar", &url]);
        command.output().unwrap().status.code()
    };
    assert_eq!((code("a"), code("b")), (Some(0), Some(1)));
}

#[test]
fn a_browser_can_resign_none_of_them() {
    let pasture = Pasture::new();
    let (first, _second) = two(&pasture.store());
    for foreign in ["Origin: https://evil.example\r\n", "Host: evil.example\r\n"] {
        for path in ["/elections/a/resign", "/elections/b/resign", "/elections/b/hold"] {
            assert_eq!(post(&first, path, foreign, "").0, 403, "{path} {foreign}");
        }
    }
    assert!(leader(&first, "a").leads() && leader(&first, "b").leads());
}

#[test]
fn a_shutdown_frees_all_of_them() {
    let pasture = Pasture::new();
    let (mut first, second) = two(&pasture.store());
    let terms = ["a", "b"].map(|election| leader(&first, election).term());
    first.signal("TERM");
    assert!(first.wait().success());
    assert_eq!(first.log().events("vacated"), 2);
    for (election, term) in ["a", "b"].into_iter().zip(terms) {
        assert_eq!(leads(&second, election).term(), term + 1, "handed over, not run out");
    }
}

#[test]
fn a_record_that_cannot_be_read_stops_its_own_election_only() {
    let pasture = Pasture::new();
    let (first, second) = two(&pasture.store());
    let term = leader(&first, "b").term();
    // As a newer version would write it.
    sql(&pasture, "UPDATE leases SET format = 99 WHERE election = 'a'");
    eventually("no instance leads a", || (!leader(&first, "a").leads()).then_some(()));
    two_leases_later();
    let kept = leader(&first, "b");
    assert!(kept.leads() && kept.term() == term, "{kept:?}");
    assert_eq!(first.status("/elections/a/ready"), 503);
    assert_eq!(first.status("/elections/b/ready"), 200);
    eventually("it says why", || (first.log().count("has format 99") > 0).then_some(()));
    sql(&pasture, "UPDATE leases SET format = 1 WHERE election = 'a'");
    eventually("a is led again", || {
        [&first, &second].into_iter().find(|sidecar| leader(sidecar, "a").leads())
    });
}
