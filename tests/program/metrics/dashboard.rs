//! The dashboard for Grafana: every panel shows something of real sidecars.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::metrics::promql;
use crate::metrics::scene::{Scene, scrape};
use crate::metrics::tools::{CLUSTER, JOB, NAMESPACE, Prometheus, file, tool};
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
        let expression = expression.replace("$__range", "20s");
        let expression = expression.replace("$cluster", CLUSTER).replace("$namespace", NAMESPACE);
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

/// Every query, also that of the annotations, by the title of its panel and its letter.
pub fn queries_by_name() -> BTreeMap<String, String> {
    let dashboard = dashboard();
    let mut all = BTreeMap::new();
    for panel in panels(&dashboard) {
        for target in panel["targets"].as_array().unwrap() {
            let name = format!("{} {}", text(&panel["title"]), text(&target["refId"]));
            let before = all.insert(name.clone(), text(&target["expr"]).to_owned());
            assert!(before.is_none(), "two queries are called {name}");
        }
    }
    for annotation in annotations(&dashboard) {
        all.insert(text(&annotation["name"]).to_owned(), text(&annotation["expr"]).to_owned());
    }
    all
}

/// The annotations that are not Grafana's own.
fn annotations(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let all = dashboard["annotations"]["list"].as_array().unwrap().iter();
    all.filter(|annotation| annotation["builtIn"] != 1)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
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
    for annotation in annotations(&dashboard()) {
        promql::check(text(&annotation["expr"]), &exposed);
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

/// By the types that Grafana's developers generate from its schema: nothing unknown, nothing missing.
/// Grafana itself is not among the packages that the tests can install.
#[test]
fn it_is_what_grafanas_schema_says() {
    let check = |dashboard: &Value| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dashboard.json");
        std::fs::write(&path, dashboard.to_string()).unwrap();
        let output = tool("bin/grafana-schema").arg(&path).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let mut dashboard = dashboard();
    let (passes, complaints) = check(&dashboard);
    assert!(passes, "{complaints}");
    dashboard["panels"][1]["options"]["colourMode"] = "background".into();
    let (passes, complaints) = check(&dashboard);
    assert!(!passes && complaints.contains("colourMode"), "{complaints}");
}

/// A link to a page or a runbook works from any Grafana, and arrives somewhere.
#[test]
fn every_link_is_absolute_and_leads_to_a_heading_that_there_is() {
    let dashboard = dashboard();
    let of_panels = panels(&dashboard).filter_map(|panel| panel["links"].as_array());
    let links: Vec<_> =
        dashboard["links"].as_array().into_iter().chain(of_panels).flatten().collect();
    assert!(links.len() > 10, "the test has to find the links: {}", links.len());
    for link in links {
        let base = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");
        let place = text(&link["url"]).strip_prefix(base);
        let place = place.unwrap_or_else(|| panic!("{} is not below {base}", link["url"]));
        let (page, heading) = place.split_once('#').unwrap_or((place, ""));
        let page = std::fs::read_to_string(file(page)).unwrap();
        let headings = page.lines().filter(|line| line.starts_with('#'));
        let mut anchors = headings.map(|line| line.trim_start_matches(['#', ' ']).to_lowercase());
        assert!(heading.is_empty() || anchors.any(|anchor| anchor == heading), "{place}");
    }
}

#[test]
fn the_variables_choose_from_labels_that_there_are() {
    let scene = Scene::new();
    let exposed = scrape(scene.leader());
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: BTreeSet<_> = variables.iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cluster", "datasource", "election", "job", "namespace"].into());
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
