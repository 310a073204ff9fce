//! docs/comparison.md has the figures of a run of `make compare`, all of them. Nothing is measured here.

use std::collections::BTreeSet;
use std::fs;

use crate::docs::pages::project;

/// What `make compare` wrote.
fn generated() -> String {
    let page = fs::read_to_string(project().join("docs/comparison.md")).unwrap();
    let (_, rest) = page.split_once("<!-- begin of what `make compare` writes -->\n").unwrap();
    rest.split_once("<!-- end of what `make compare` writes -->").unwrap().0.to_owned()
}

/// The tables of a text, each a list of rows, each a list of cells. The first row is the head.
fn tables(text: &str) -> Vec<Vec<Vec<String>>> {
    let mut tables: Vec<Vec<Vec<String>>> = Vec::new();
    let mut is_in_table = false;
    for line in text.lines() {
        let cells = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
        if let Some(cells) = cells {
            if !is_in_table {
                tables.push(Vec::new());
            }
            let cells = cells.split(" | ").map(str::to_owned).collect();
            tables.last_mut().unwrap().push(cells);
        }
        is_in_table = cells.is_some();
    }
    tables
}

/// The candidates that the benchmark has, by its source: each has a name, or stands among the absent.
fn candidates() -> BTreeSet<String> {
    let source = fs::read_to_string(project().join("benches/compare/rows.rs")).unwrap();
    let (_, absent) = source.split_once("pub const ABSENT").unwrap();
    let absent = absent.split_once("];").unwrap().0;
    let quoted = |text: &str| Some(text.split_once('"')?.1.split_once('"')?.0.to_owned());
    let rows =
        source.split("name: \"").skip(1).map(|rest| rest.split_once('"').unwrap().0.to_owned());
    rows.chain(absent.split('(').filter_map(quoted)).collect()
}

#[test]
fn the_figures_have_a_date_a_commit_and_a_machine() {
    let text = generated().replace('\n', " ");
    let (_, rest) = text.split_once("Measured on ").expect("a date");
    let (date, rest) = rest.split_once(", at commit ").expect("a commit");
    assert!(date.len() == 10 && date.split('-').all(|part| part.parse::<u32>().is_ok()), "{date}");
    let commit = &rest[..10];
    assert!(commit.chars().all(|c| c.is_ascii_hexdigit()), "{commit}");
    let (_, machine) = rest.split_once(", on: ").expect("a machine");
    let (machine, load) = machine.split_once(". The load average was ").expect("a load");
    assert!(load.starts_with(|c: char| c.is_ascii_digit()), "{load}");
    assert!(machine.contains(" cores, Linux "), "{machine}");
}

#[test]
fn every_candidate_has_every_figure_or_a_word_for_none() {
    let tables = tables(&generated());
    let candidates = candidates();
    assert!(candidates.len() >= 10, "{candidates:?}");
    let measured = tables.iter().filter(|table| table[0][0] == "candidate");
    let mut metrics = 0;
    for table in measured {
        let named: BTreeSet<_> = table[2..].iter().map(|row| row[0].clone()).collect();
        assert_eq!(named, candidates);
        for row in &table[2..] {
            assert_eq!(row.len(), table[0].len(), "{row:?}");
            for cell in &row[1..] {
                let is_figure = cell.contains(|c: char| c.is_ascii_digit());
                let words = ["n/a", "failed", "not measured", "no next leader"];
                assert!(is_figure || words.contains(&cell.as_str()), "{row:?}: {cell}");
            }
        }
        metrics += table[0].len() - 1;
    }
    assert_eq!(metrics, 11, "crash to two leaders, and what each costs");
}

#[test]
fn every_target_is_met_or_not() {
    let tables = tables(&generated());
    let targets = tables.iter().find(|table| table[0][0] == "target").expect("the targets");
    assert_eq!(targets[2..].len(), 8);
    for target in &targets[2..] {
        assert!(["met", "not met", "not measured"].contains(&target[2].as_str()), "{target:?}");
    }
}

#[test]
fn every_plot_can_be_read_without_being_seen() {
    let text = generated();
    let plots: Vec<_> = text.split("](compare-").skip(1).collect();
    assert_eq!(plots.len(), 5);
    for plot in plots {
        let file = format!("docs/compare-{}", plot.split_once(')').unwrap().0);
        let svg = fs::read_to_string(project().join(&file)).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{file}");
        let words =
            svg.split_once("<desc id=\"words\">").unwrap().1.split_once("</desc>").unwrap().0;
        assert!(words.contains("bellwether, Postgres: "), "{file}: {words}");
        assert!(svg.contains("prefers-color-scheme: dark"), "{file}");
    }
}
