//! The output of real sidecars: conventions, and that it says what is true.

use crate::metrics::exposition::Exposition;
use crate::metrics::scene::{ELECTIONS, Scene, scrape, text};
use crate::metrics::tools::promtool;
use support::eventually;

#[test]
fn promtool_finds_nothing_to_complain_about_in_a_leader_or_a_standby() {
    let scene = Scene::new();
    for sidecar in &scene.sidecars {
        let text = text(sidecar);
        let printed = promtool(&["check", "metrics"], &text);
        assert_eq!(printed.as_deref(), Ok(""), "promtool on {}\n{text}", sidecar.name);
        follows_conventions(&Exposition::parse(&text));
    }
}

/// What promtool does not look at.
fn follows_conventions(exposed: &Exposition) {
    for family in &exposed.families {
        let name = &family.name;
        let known = ["bellwether_", "leader_election_", "process_"];
        assert!(known.iter().any(|prefix| name.starts_with(prefix)), "{name}");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name}");
        assert!(family.help.ends_with('.'), "a sentence: {name}: {}", family.help);
        assert!(!family.samples.is_empty(), "{name}");
        let is_time = family.kind == "histogram" || name.contains("_duration_");
        assert!(!is_time || name.ends_with("_seconds"), "{name}");
    }
}

#[test]
fn the_program_answers_in_the_format_that_it_names() {
    let scene = Scene::new();
    let agent = ureq::Agent::new_with_defaults();
    let url = format!("{}/metrics", scene.leader().url);
    let answer = agent.get(url).call().unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
}

#[test]
fn a_leader_and_a_standby_say_what_they_are_of_every_election() {
    let scene = Scene::new();
    let (leader, standby) = (scrape(scene.leader()), scrape(scene.standby()));
    for name in ELECTIONS {
        let of = [("election", name)];
        let both = [(&leader, 1.0), (&standby, 0.0)];
        for (scrape, leads) in both {
            assert_eq!(scrape.value("bellwether_leading", &of), leads);
            let master = scrape.value("leader_election_master_status", &[("name", name)]);
            assert_eq!(master, leads);
            let elected = [("election", name), ("to", "leading"), ("reason", "elected")];
            assert_eq!(scrape.value("bellwether_transitions_total", &elected), leads);
            assert_eq!(scrape.value("bellwether_validity_seconds", &of) > 0.0, leads == 1.0);
            assert_eq!(scrape.value("bellwether_term", &of), 1.0);
            assert_eq!(scrape.value("bellwether_decided", &of), 1.0);
            assert_eq!(scrape.value("bellwether_standing", &of), 1.0);
            assert_eq!(scrape.value("bellwether_holds", &of), 0.0);
        }
        let deadline = leader.value("bellwether_renew_deadline_seconds", &[]);
        assert!(leader.value("bellwether_validity_seconds", &of) <= deadline);
    }
    assert_eq!(leader.value("bellwether_lease_duration_seconds", &[]), 3.0);
    assert_eq!(leader.value("bellwether_renew_deadline_seconds", &[]), 2.0);
    assert_eq!(leader.value("bellwether_retry_period_seconds", &[]), 0.3);
    assert_eq!(leader.value("bellwether_gate_open", &[]), 1.0);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(leader.value("bellwether_build_info", &version), 1.0);
    eventually("renewals are counted, and calls are timed", || {
        let scrape = scrape(scene.leader());
        let renewed = [("election", "jobs"), ("outcome", "on_time")];
        let swaps = [("store", "sqlite"), ("verb", "swap"), ("outcome", "answered")];
        let timed = scrape.value("bellwether_store_request_duration_seconds_count", &swaps);
        let renewed = scrape.value("bellwether_renewals_total", &renewed);
        (renewed >= 2.0 && timed >= renewed).then_some(())
    });
}

/// No client can make series: no label has a value from a request, a holder or an error.
#[test]
fn requests_to_a_sidecar_add_no_series() {
    let scene = Scene::new();
    let series = |exposed: &Exposition| {
        let series = exposed.samples().map(|sample| (sample.name.clone(), sample.labels.clone()));
        series.collect::<std::collections::BTreeSet<_>>()
    };
    let before = series(&scrape(scene.leader()));
    for path in ["/elections/unknown/leader", "/nonsense", "/leader?min-valid=5s", "/ready"] {
        scene.leader().get(path).expect("it answers");
    }
    assert_eq!(series(&scrape(scene.leader())), before);
}
