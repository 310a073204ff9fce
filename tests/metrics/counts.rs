//! What happens to a sidecar is counted where it belongs.

use crate::scene::{ELECTIONS, Scene, leads, scrape};
use crate::support::eventually;
use crate::support::lock::Lock;

#[test]
fn a_store_that_hangs_is_seen_in_calls_renewals_age_and_the_reason_of_the_loss() {
    let scene = Scene::new();
    let lock = Lock::take(&scene.pasture);
    let lease = scrape(scene.leader()).value("bellwether_lease_duration_seconds", &[]);
    let silent = eventually("it no longer leads, and the store is silent for a lease", || {
        let scrape = leads(scene.leader(), 0.0)?;
        let age = |name| scrape.value("bellwether_store_answer_age_seconds", &[("election", name)]);
        ELECTIONS.into_iter().all(|name| age(name) > lease).then_some(scrape)
    });
    for name in ELECTIONS {
        let of = [("election", name)];
        assert_eq!(silent.value("bellwether_validity_seconds", &of), 0.0);
        assert_eq!(silent.value("bellwether_decided", &of), 0.0);
        assert_eq!(silent.value("bellwether_standing", &of), 1.0, "it would lead if it could");
        let lost = [("election", name), ("to", "standby"), ("reason", "renew_deadline")];
        assert_eq!(silent.value("bellwether_transitions_total", &lost), 1.0);
        let failed = [("election", name), ("outcome", "failed")];
        let failed = silent.value("bellwether_renewals_total", &failed);
        assert!(failed >= 1.0, "{failed}");
        let refused = [("election", name), ("outcome", "refused")];
        let refused = silent.value("bellwether_renewals_total", &refused);
        let slow = silent.value("leader_election_slowpath_total", &[("name", name)]);
        assert_eq!(slow, failed + refused, "client-go's counter is the sum of the two");
    }
    let unavailable = |verb| {
        let labels = [("verb", verb), ("outcome", "unavailable")];
        silent.value("bellwether_store_request_duration_seconds_count", &labels)
    };
    assert!(unavailable("swap") >= 1.0 && unavailable("observe") >= 1.0);

    drop(lock);
    eventually("somebody leads, and the store is heard again", || {
        let both = scene.sidecars.each_ref().map(scrape);
        let led = ELECTIONS.into_iter().all(|name| {
            let of = [("election", name)];
            let leaders: f64 = both.iter().map(|s| s.value("bellwether_leading", &of)).sum();
            let heard = |s: &crate::exposition::Exposition| {
                s.value("bellwether_store_answer_age_seconds", &of) < lease
            };
            leaders == 1.0 && both.iter().all(heard)
        });
        led.then_some(())
    });
}

#[test]
fn a_resignation_is_seen_in_one_election_and_not_in_the_others() {
    let scene = Scene::new();
    let url = format!("{}/elections/mail/resign", scene.leader().url);
    let answer = ureq::post(url).send(r#"{"cooldown":"10m"}"#).expect("an answer");
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
