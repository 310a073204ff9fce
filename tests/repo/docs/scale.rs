//! docs/scale.md has the figures of a run of `make figures-scale`, all of them. Nothing is measured here.

use crate::docs::measured::{
    generated, has_a_date_a_commit_and_a_machine, plots_can_be_read_without_being_seen, tables,
};

fn text() -> String {
    generated("scale.md", "make figures-scale")
}

#[test]
fn the_figures_have_a_date_a_commit_and_a_machine() {
    has_a_date_a_commit_and_a_machine(&text());
}

#[test]
fn every_crowd_has_every_figure_or_failed() {
    let tables = tables(&text());
    let [one, many, targets] = &tables[..] else { panic!("three tables: {}", tables.len()) };
    for target in &targets[2..] {
        // Behind it stands how many crowds failed.
        let met = target[2].split(" (").next().unwrap();
        assert!(["met", "not met"].contains(&met), "{target:?}");
    }
    for store in ["Postgres", "Kubernetes", "DynamoDB", "SQLite"] {
        for candidates in ["10", "100"] {
            let is_here = |row: &Vec<String>| row[0] == store && row[1] == candidates;
            assert!(one[2..].iter().any(is_here), "{store}, {candidates}");
        }
    }
    assert!(many[2..].iter().any(|row| row[0] == "Postgres" && row[1] == "256 × 20"));
    for row in one[2..].iter().chain(&many[2..]) {
        assert_eq!(row.len(), one[0].len(), "{row:?}");
        let is_figure = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit());
        assert!(row[1..].iter().all(|cell| is_figure(cell) || cell == "failed"), "{row:?}");
    }
}

#[test]
fn every_plot_can_be_read_without_being_seen() {
    let plots = plots_can_be_read_without_being_seen(&text(), "scale", "Postgres, 100");
    assert_eq!(plots, 3);
}
