//! What happens to a sidecar is counted where it belongs.

use crate::metrics::exposition::Exposition;
use crate::metrics::scene::{ELECTIONS, Scene, SilentStore, leads, scrape, silence};
use support::eventually;
use support::lock::Lock;

#[test]
fn a_store_that_cannot_be_written_is_seen_in_calls_renewals_and_the_reason_of_the_loss() {
    let scene = Scene::new();
    let lock = Lock::take(&scene.pasture);
    // The answer turns by the clock. The election counts its loss, and a call under way its failure, a
    // moment later: another scrape may come in between.
    let locked = eventually("it no longer leads, and has counted why", || {
        let scrape = leads(scene.leader(), 0.0)?;
        let lost = |name| {
            let lost = [("election", name), ("to", "standby"), ("reason", "renew_deadline")];
            scrape.value("bellwether_transitions_total", &lost) >= 1.0
        };
        ELECTIONS.into_iter().all(lost).then_some(scrape)
    });
    for name in ELECTIONS {
        let of = [("election", name)];
        assert_eq!(locked.value("bellwether_validity_seconds", &of), 0.0);
        assert_eq!(locked.value("bellwether_standing", &of), 1.0, "it would lead if it could");
        let lost = [("election", name), ("to", "standby"), ("reason", "renew_deadline")];
        assert_eq!(locked.value("bellwether_transitions_total", &lost), 1.0);
        let renewals = |outcome| {
            let labels = [("election", name), ("outcome", outcome)];
            locked.value("bellwether_renewals_total", &labels)
        };
        assert!(renewals("failed") >= 1.0, "{name}");
        let slow = locked.value("leader_election_slowpath_total", &[("name", name)]);
        assert_eq!(slow, renewals("failed") + renewals("refused"), "as client-go counts");
    }
    let swaps = [("store", "sqlite"), ("verb", "swap"), ("outcome", "unavailable")];
    let failed = locked.value("bellwether_store_request_duration_seconds_count", &swaps);
    assert!(failed >= 3.0, "{failed}");

    drop(lock);
    eventually("one leads each election again, under the next term", || {
        let both = scene.sidecars.each_ref().map(scrape);
        let led = ELECTIONS.into_iter().all(|name| {
            let of = [("election", name)];
            let leads = |s: &&Exposition| s.value("bellwether_leading", &of) == 1.0;
            let leader = both.iter().find(leads);
            leader.is_some_and(|s| s.value("bellwether_term", &of) >= 2.0)
        });
        led.then_some(())
    });
}

#[test]
fn a_store_that_never_answers_is_seen_in_the_age_of_its_last_answer() {
    let store = SilentStore::new();
    let sidecar = store.sidecar("alpha");
    let silent = eventually("the store is silent for a lease", || silence(&sidecar));
    for name in ELECTIONS {
        let of = [("election", name)];
        assert_eq!(silent.value("bellwether_decided", &of), 0.0);
        assert_eq!(silent.value("bellwether_leading", &of), 0.0);
        assert_eq!(silent.value("bellwether_term", &of), 0.0);
    }
    let looks = [("store", "postgres"), ("verb", "observe"), ("outcome", "unavailable")];
    let looks = silent.value("bellwether_store_request_duration_seconds_count", &looks);
    assert!(looks >= 3.0, "{looks}");
}

#[test]
fn a_resignation_is_seen_in_one_election_and_not_in_the_others() {
    let scene = Scene::new();
    let url = format!("{}/elections/mail/resign", scene.leader().url);
    let answer = ureq::post(url).send(r#"{"cooldown":"10m"}"#).expect("a response");
    assert_eq!(answer.status(), 200);
    let scrape = eventually("the other leads it", || {
        let leads = scrape(scene.standby()).value("bellwether_leading", &[("election", "mail")]);
        (leads == 1.0).then(|| scrape(scene.leader()))
    });
    let standing = |name| scrape.value("bellwether_standing", &[("election", name)]);
    assert_eq!(ELECTIONS.map(standing), [1.0, 0.0, 1.0]);
    let resigned = |name| {
        let labels = [("election", name), ("to", "standby"), ("reason", "resigned")];
        scrape.value("bellwether_transitions_total", &labels)
    };
    assert_eq!(ELECTIONS.map(resigned), [0.0, 1.0, 0.0]);
}

#[test]
fn a_closed_gate_is_seen_in_the_gate_its_probes_and_every_election() {
    let scene = Scene::new();
    std::fs::remove_file(scene.pasture.folder().join("healthy")).unwrap();
    let closed = eventually("its gate closes, and it leads nothing", || {
        let scrape = leads(scene.leader(), 0.0)?;
        (scrape.value("bellwether_gate_open", &[]) == 0.0).then_some(scrape)
    });
    assert!(closed.value("bellwether_gate_probe_failures_total", &[]) >= 1.0);
    for name in ELECTIONS {
        assert_eq!(closed.value("bellwether_standing", &[("election", name)]), 0.0);
        let lost = [("election", name), ("to", "standby"), ("reason", "gate_closed")];
        assert_eq!(closed.value("bellwether_transitions_total", &lost), 1.0);
    }
}
