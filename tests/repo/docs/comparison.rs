//! docs/comparison.md has the figures of a run of `make compare`, all of them. Nothing is measured here.

use std::collections::BTreeSet;
use std::fs;

use crate::docs::measured::{
    generated, has_a_date_a_commit_and_a_machine, plots_can_be_read_without_being_seen, tables,
};
use crate::docs::pages::project;

fn text() -> String {
    generated("comparison.md", "make compare")
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
    has_a_date_a_commit_and_a_machine(&text());
}

#[test]
fn every_candidate_has_every_figure_or_a_word_for_none() {
    let tables = tables(&text());
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
    let tables = tables(&text());
    let targets = tables.iter().find(|table| table[0][0] == "target").expect("the targets");
    assert_eq!(targets[2..].len(), 8);
    for target in &targets[2..] {
        assert!(["met", "not met", "not measured"].contains(&target[2].as_str()), "{target:?}");
    }
}

#[test]
fn every_plot_can_be_read_without_being_seen() {
    let plots = plots_can_be_read_without_being_seen(&text(), "compare", "bellwether, Postgres");
    assert_eq!(plots, 5);
}
