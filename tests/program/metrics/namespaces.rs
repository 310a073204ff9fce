//! Production and staging in one Prometheus, told apart by their namespace or their cluster alone:
//! nothing about the one hides, or sets off, anything about the other. By promtool.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value, json};

use crate::metrics::dashboard;
use crate::metrics::tools::{file, promtool};
use crate::metrics::yaml;

/// The labels that can tell two groups apart.
const PLACES: [&str; 2] = ["namespace", "cluster"];

/// Which instances each environment of panels.yaml has.
const ENVIRONMENTS: [(&str, [&str; 2]); 2] = [("prod", ["a", "b"]), ("staging", ["c", "d"])];

fn read(path: &str) -> Value {
    let text = fs::read_to_string(file(path)).unwrap();
    // In quotes, because `0x80`, which promtool reads as text, is a number too.
    let lines = text.lines().map(|line| match line.split_once("  values: ") {
        Some((before, values)) => format!("{before}  values: '{values}'\n"),
        None => format!("{line}\n"),
    });
    yaml::parse(&lines.collect::<String>())
}

#[track_caller]
fn passes(tests: &[Value]) {
    let rules = file("deploy/grafana/alerts.yaml");
    // JSON is YAML.
    let text = json!({
        "rule_files": [rules.display().to_string()], "evaluation_interval": "15s", "tests": tests
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.yaml");
    fs::write(&path, text.to_string()).unwrap();
    let printed = promtool(&["test", "rules", &path.display().to_string()], "");
    printed.unwrap_or_else(|printed| panic!("{printed}"));
}

/// `series` with one more label, if it has none of that name.
fn placed(series: &str, label: &str, value: &str) -> String {
    let has = |before: &str| series.contains(&format!("{before}{label}="));
    if has("{") || has(" ") {
        return series.to_owned();
    }
    let labels = series.strip_suffix('}').unwrap();
    let comma = if labels.ends_with('{') { "" } else { ", " };
    format!("{labels}{comma}{label}=\"{value}\"}}")
}

fn series_of(test: &Value, label: &str, value: &str) -> Vec<Value> {
    let series = test["input_series"].as_array().unwrap().iter().map(|one| {
        let name = placed(one["series"].as_str().unwrap(), label, value);
        json!({"series": name, "values": one["values"]})
    });
    series.collect()
}

/// Every unit test of the alerts in production, while staging is healthy, and the other way round.
#[test]
fn every_alert_is_about_one_namespace_of_one_cluster() {
    let all = read("deploy/grafana/alerts_test.yaml");
    let all = all["tests"].as_array().unwrap();
    let healthy = &all[0];
    assert!(healthy["name"].as_str().unwrap().starts_with("a healthy pair"));
    let mut tests = Vec::new();
    let mut fired = BTreeSet::new();
    for (label, test) in PLACES.iter().flat_map(|label| all.iter().map(move |t| (label, t))) {
        let mut test = test.clone();
        // A group that nothing was ever known of is in no namespace.
        let is_about_none = test["name"].as_str().unwrap().starts_with("a group that is gone");
        let mut series = series_of(&test, label, "prod");
        if !is_about_none {
            // The healthy pair stands still but for its counters: it is the same at any interval.
            series.extend(series_of(healthy, label, "staging"));
        }
        test["input_series"] = series.into();
        for case in test["alert_rule_test"].as_array_mut().unwrap() {
            let name = case["alertname"].as_str().unwrap().to_owned();
            for alert in case["exp_alerts"].as_array_mut().unwrap() {
                fired.insert(name.clone());
                if is_about_none {
                    continue;
                }
                alert["exp_labels"][label] = "prod".into();
                if *label == "namespace" {
                    let summary = alert["exp_annotations"]["summary"].as_str().unwrap();
                    let named = summary.replace(" of app", " of prod/app");
                    let named = named.replace(" of other", " of prod/other");
                    alert["exp_annotations"]["summary"] = named.into();
                }
            }
        }
        tests.push(test);
    }
    passes(&tests);
    let rules = read("deploy/grafana/alerts.yaml");
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    let named: BTreeSet<_> =
        rules.iter().map(|r| r["alert"].as_str().unwrap().to_owned()).collect();
    assert_eq!(fired, named, "each of them fires in a namespace");
}

#[test]
fn every_query_of_the_dashboard_shows_each_namespace_and_cluster_apart() {
    let expected = read("tests/program/metrics/panels.yaml");
    let expectations = expected["queries"].as_object().unwrap();
    let queries = dashboard::queries_by_name();
    let names: BTreeSet<_> = queries.keys().collect();
    assert_eq!(names, expectations.keys().collect(), "panels.yaml has what each query shows");
    let tests: Vec<_> = PLACES
        .into_iter()
        .map(|label| {
            let cases = queries.iter().flat_map(|(name, query)| {
                let expected = &expectations[name];
                let chosen = [("prod", "prod"), ("staging", "staging"), (".*", "all")];
                chosen.map(|(value, of)| {
                    let expression = filled_in(query, label, value);
                    json!({
                        "expr": expression, "eval_time": "10m",
                        "exp_samples": samples(expected, label, of),
                    })
                })
            });
            json!({
                "interval": "15s", "input_series": fixture(&expected, label),
                "promql_expr_test": cases.collect::<Vec<_>>(),
            })
        })
        .collect();
    passes(&tests);
}

/// A query with its variables filled in, and `label` chosen to be `value`.
fn filled_in(query: &str, label: &str, value: &str) -> String {
    let query = query.replace("$__rate_interval", "1m").replace("$__range", "10m");
    let query = query.replace(&format!("${label}"), value);
    let query = PLACES.iter().fold(query, |query, other| query.replace(&format!("${other}"), ".*"));
    let query = query.replace("$job", "app").replace("$election", ".*");
    assert!(!query.contains('$'), "an unknown variable: {query}");
    query
}

fn fixture(expected: &Value, label: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for (kind, begin) in [("series", ""), ("counters", "0+")] {
        for (series, values) in expected[kind].as_object().unwrap() {
            for (place, instances) in ENVIRONMENTS {
                for instance in instances {
                    all.push(one_series(series, label, place, instance, begin, &values[instance]));
                }
            }
        }
    }
    all
}

fn one_series(
    series: &str,
    label: &str,
    place: &str,
    instance: &str,
    begin: &str,
    value: &Value,
) -> Value {
    let identity = match instance {
        "a" => "alpha",
        "b" => "beta",
        "c" => "gamma",
        _ => "delta",
    };
    let series = series.replace("IDENTITY", &format!("\"{identity}\""));
    let series = placed(&placed(&series, "job", "app"), "instance", instance);
    // Samples are 15 s apart.
    let values = match value.as_str() {
        Some(written) => written.to_owned(),
        None if begin.is_empty() => format!("{value}x80"),
        None => format!("{begin}{}x80", value.as_i64().unwrap() * 15),
    };
    json!({"series": placed(&series, label, place), "values": values})
}

/// What a query has to show, as promtool reads it.
fn samples(expected: &Value, label: &str, of: &str) -> Vec<Value> {
    let of_place = |place: &str| -> Vec<Value> {
        let Some(list) = expected[place].as_array() else {
            return vec![json!({"labels": "{}", "value": expected[place]})];
        };
        let samples = list.iter().map(|sample| sample_in(sample, label, place));
        samples.collect()
    };
    match of {
        "all" if expected.get("all").is_none() => {
            ENVIRONMENTS.iter().flat_map(|(place, _)| of_place(place)).collect()
        }
        place => of_place(place),
    }
}

fn sample_in(sample: &Value, label: &str, place: &str) -> Value {
    let mut labels: Map<String, Value> = sample.as_object().unwrap().clone();
    let value = labels.remove("value").unwrap();
    labels.insert("job".to_owned(), "app".into());
    labels.insert(label.to_owned(), place.into());
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({"labels": format!("{{{}}}", labels.join(", ")), "value": value})
}
