//! docs/metrics.md and docs/operations.md say what is.

use std::collections::BTreeSet;
use std::fs;

use crate::metrics::exposition::{Exposition, Family};
use crate::metrics::scene::{Scene, scrape};
use crate::metrics::tools::file;

/// Renews the tables when `BELLWETHER_WRITE_DOCS` is set.
#[test]
fn the_tables_of_metrics_are_up_to_date() {
    let scene = Scene::new();
    let exposed = scrape(scene.leader());
    let path = file("docs/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let renewed = of_elections(&exposed, true, "elections", &page);
    let renewed = of_elections(&exposed, false, "process", &renewed);
    if std::env::var_os("BELLWETHER_WRITE_DOCS").is_some() {
        fs::write(&path, &renewed).unwrap();
    } else {
        assert!(
            page == renewed,
            "docs/metrics.md is out of date: run \
             `BELLWETHER_WRITE_DOCS=1 cargo test --test program metrics:: tables`, and commit what it wrote"
        );
    }
}

/// The page with a new table, of all metrics that are of one election each, or of all others.
fn of_elections(exposed: &Exposition, wanted: bool, table: &str, page: &str) -> String {
    let is_of_elections = |family: &&Family| {
        let labels = &family.samples[0].labels;
        (labels.contains_key("election") || labels.contains_key("name")) == wanted
    };
    let rows: String = exposed.families.iter().filter(is_of_elections).map(row).collect();
    let (begin, end) = (format!("<!-- {table} -->\n"), format!("<!-- end of {table} -->\n"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    let head = "| metric | type | labels | what it says |\n| --- | --- | --- | --- |\n";
    format!("{before}{begin}{head}{rows}{end}{after}")
}

fn row(family: &Family) -> String {
    let labels: BTreeSet<_> =
        family.samples.iter().flat_map(|sample| sample.labels.keys()).collect();
    let labels = labels.into_iter().filter(|label| *label != "le");
    let labels: Vec<_> = labels.map(|label| format!("`{label}`")).collect();
    let Family { name, kind, help, .. } = family;
    format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "))
}

#[test]
fn every_reason_and_outcome_is_explained() {
    let scene = Scene::new();
    let exposed = scrape(scene.leader());
    let page = fs::read_to_string(file("docs/metrics.md")).unwrap();
    let mut explained = 0;
    for (metric, label) in [
        ("bellwether_transitions_total", "reason"),
        ("bellwether_renewals_total", "outcome"),
        ("bellwether_store_request_duration_seconds_count", "outcome"),
    ] {
        for value in &exposed.labels(metric).unwrap()[label] {
            // As code in the text, or quoted in a help text.
            let named = [format!("`{value}`"), format!("'{value}'")];
            assert!(named.iter().any(|name| page.contains(name)), "{metric}: {label} {value}");
            explained += 1;
        }
    }
    assert!(explained >= 7 + 4 + 3, "{explained}");
}
