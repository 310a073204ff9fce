//! The dashboard for Grafana: every panel shows something of real sidecars.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::metrics::promql;
use crate::metrics::scene::{Scene, scrape};
use crate::metrics::tools::{JOB, Prometheus, file};
use support::{LIMIT, now};

struct Query {
    panel: String,
    /// As it stands in the file.
    expression: String,
    legend: String,
}

impl Query {
    /// With the variables filled in, as Grafana does it.
    fn filled_in(&self) -> String {
        let expression = self.expression.replace("$__rate_interval", "20s");
        let expression = expression.replace("$job", JOB).replace("$election", ".*");
        assert!(!expression.contains('$'), "an unknown variable: {expression}");
        expression
    }
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(file("deploy/grafana/dashboard.json")).unwrap();
    serde_json::from_str(&text).expect("JSON")
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

fn queries(dashboard: &Value) -> Vec<Query> {
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().unwrap().clone();
        targets.into_iter().map(move |target| Query {
            panel: title.clone(),
            expression: target["expr"].as_str().unwrap().to_owned(),
            legend: target["legendFormat"].as_str().unwrap_or_default().to_owned(),
        })
    };
    panels(dashboard).flat_map(of_panel).collect()
}

#[test]
fn every_query_names_what_the_program_exposes_and_shows_something() {
    let scene = Scene::new();
    let exposed = scrape(scene.leader());
    let queries = queries(&dashboard());
    assert!(queries.len() >= 30, "the test has to find the queries: {}", queries.len());
    for query in &queries {
        promql::check(&query.expression, &exposed);
    }
    let prometheus = Prometheus::of(&scene.sidecars.each_ref());
    let mut missing: Vec<_> = queries.iter().collect();
    let give_up = now() + LIMIT;
    while !missing.is_empty() {
        missing.retain(|query| !shows(query, &prometheus));
        let expressions: Vec<_> = missing.iter().map(|query| query.filled_in()).collect();
        assert!(now() < give_up, "nothing to see of {expressions:#?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Whether there is a result; it then has the labels that the legend names.
fn shows(query: &Query, prometheus: &Prometheus) -> bool {
    let results = prometheus.query(&query.filled_in());
    for result in &results {
        for label in query.legend.split("{{").skip(1) {
            let (label, _) = label.split_once("}}").expect("a label");
            let has = result["metric"].get(label).is_some();
            assert!(has, "{}: no {label} in {result}", query.panel);
        }
    }
    !results.is_empty()
}

#[test]
fn the_variables_choose_from_labels_that_there_are() {
    let scene = Scene::new();
    let exposed = scrape(scene.leader());
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: BTreeSet<_> = variables.iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "election", "job"].into());
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = variable["query"]["query"].as_str().unwrap();
        let inside = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
        let (selector, label) = inside.rsplit_once(", ").unwrap();
        assert_eq!(variable["name"], label);
        promql::check(&format!("count by ({label}) ({selector})"), &exposed);
    }
}

#[test]
fn every_panel_asks_the_chosen_source_and_says_what_it_shows() {
    let dashboard = dashboard();
    let mut places = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "an id twice: {}", panel["id"]);
        let place = &panel["gridPos"];
        let (x, y) = (place["x"].as_u64().unwrap(), place["y"].as_u64().unwrap());
        assert!(places.insert((x, y)), "two panels at {place}");
        assert!(x + place["w"].as_u64().unwrap() <= 24, "wider than the page: {place}");
    }
    for panel in panels(&dashboard) {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        assert!(!panel["title"].as_str().unwrap().is_empty());
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
    }
}
