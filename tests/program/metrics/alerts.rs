//! The alert rules: they are right about made-up series, whose names are real ones; they are
//! silent about healthy sidecars; and each says what to do.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::metrics::promql;
use crate::metrics::scene::{Scene, scrape};
use crate::metrics::tools::{Prometheus, file, promtool};
use support::eventually;

const RULES: &str = "deploy/grafana/alerts.yaml";
const TESTS: &str = "deploy/grafana/alerts_test.yaml";

fn path(file_name: &str) -> String {
    file(file_name).display().to_string()
}

#[test]
fn the_rules_pass_their_unit_tests() {
    let checked = promtool(&["check", "rules", "--lint-fatal", &path(RULES)], "");
    checked.unwrap_or_else(|printed| panic!("{printed}"));
    let tested = promtool(&["test", "rules", &path(TESTS)], "");
    tested.unwrap_or_else(|printed| panic!("{printed}"));
}

#[test]
fn the_unit_tests_use_series_that_the_program_exposes() {
    let scene = Scene::new();
    let exposed = scrape(scene.leader());
    let text = fs::read_to_string(file(TESTS)).unwrap();
    let series = text.lines().filter_map(|line| line.trim().strip_prefix("- series: "));
    let mut seen = 0;
    for series in series.filter(|series| !series.starts_with("up{")) {
        seen += 1;
        has_exactly_these_labels(series, &exposed);
    }
    assert!(seen > 40, "the test has to find the series: {seen}");
}

/// A rule that ignores a label of real series, or uses one that they do not have, would pass its
/// test on made-up ones.
#[track_caller]
fn has_exactly_these_labels(series: &str, exposed: &crate::metrics::exposition::Exposition) {
    // Values of an election, a version and a store kind are examples.
    let (name, labels) = series.split_once('{').unwrap();
    let real = exposed.labels(name).unwrap_or_else(|| panic!("no {name} is exposed"));
    let labels = labels.strip_suffix('}').unwrap().split(", ").map(|label| {
        let (label, value) = label.split_once('=').unwrap();
        (label, value.trim_matches('"'))
    });
    let labels: Vec<_> = labels.collect();
    let of_target = ["job", "instance", "cluster", "namespace", "pod"];
    let named: BTreeSet<_> =
        labels.iter().map(|(label, _)| *label).filter(|l| !of_target.contains(l)).collect();
    assert_eq!(named, real.keys().copied().collect(), "{series}");
    for (label, value) in labels {
        if ["to", "reason", "outcome", "verb"].contains(&label) {
            assert!(real[label].contains(value), "{series}: {label} is never {value}");
        }
    }
}

#[test]
fn every_alert_is_tested_both_ways_and_has_a_page_to_turn_to() {
    let rules = fs::read_to_string(file(RULES)).unwrap();
    let tests = fs::read_to_string(file(TESTS)).unwrap();
    let page = fs::read_to_string(file("docs/operations.md")).unwrap();
    let alerts: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in &alerts {
        let fires = format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels:");
        assert!(tests.contains(&fires), "no test in which {alert} fires");
        let silent = format!("alertname: {alert}, exp_alerts: []");
        assert!(tests.contains(&silent), "no test in which {alert} is silent");
    }
    // Some headings are not alerts; none that looks like one is left over.
    let headings = page.lines().filter_map(|line| line.strip_prefix("### Bellwether"));
    let headings: BTreeSet<_> = headings.map(|rest| format!("Bellwether{rest}")).collect();
    assert_eq!(headings, alerts.iter().map(|alert| (*alert).to_owned()).collect());
}

/// As Prometheus reads and evaluates them, on what real sidecars expose.
#[test]
fn healthy_sidecars_set_off_nothing_and_every_rule_can_be_evaluated() {
    let scene = Scene::new();
    let exposed = scrape(scene.leader());
    let prometheus = Prometheus::of(&scene.sidecars.each_ref());
    let rules = eventually("all rules are evaluated and inactive", || {
        let rules = prometheus.rules();
        let scraped = prometheus.query("count(up == 1)");
        let all_up = scraped.first().is_some_and(|result| result["value"][1] == "2");
        let is_quiet = |rule: &Value| rule["health"] == "ok" && rule["state"] == "inactive";
        (all_up && rules.iter().all(is_quiet)).then_some(rules)
    });
    for rule in &rules {
        let name = rule["name"].as_str().unwrap();
        let query = rule["query"].as_str().unwrap();
        promql::check(query, &exposed);
        for annotation in ["summary", "description"] {
            let words = rule["annotations"][annotation].as_str().unwrap_or_default();
            assert!(!words.is_empty(), "{name} has no {annotation}");
        }
        let page = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/operations.md");
        let anchor = format!("{page}#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], anchor.as_str());
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{name}: {severity:?}");
    }
}
