//! What a benchmark wrote to a page.

use std::fs;

use crate::docs::pages::project;

/// The part of a page that a command wrote.
pub fn generated(page: &str, command: &str) -> String {
    let page = fs::read_to_string(project().join("docs").join(page)).unwrap();
    let [begin, end] =
        ["begin", "end"].map(|at| format!("<!-- {at} of what `{command}` writes -->"));
    let (_, rest) = page.split_once(&begin).unwrap();
    rest.split_once(&end).unwrap().0.to_owned()
}

/// The tables of a text, each a list of rows, each a list of cells. The first row is the head.
pub fn tables(text: &str) -> Vec<Vec<Vec<String>>> {
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

#[track_caller]
pub fn has_a_date_a_commit_and_a_machine(text: &str) {
    let text = text.replace('\n', " ");
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

/// Of the plots with this prefix: how many there are. Each has a row of this name.
#[track_caller]
pub fn plots_can_be_read_without_being_seen(text: &str, prefix: &str, row: &str) -> usize {
    let plots: Vec<_> = text.split(&format!("]({prefix}-")).skip(1).collect();
    for plot in &plots {
        let file = format!("docs/{prefix}-{}", plot.split_once(')').unwrap().0);
        let svg = fs::read_to_string(project().join(&file)).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{file}");
        let words =
            svg.split_once("<desc id=\"words\">").unwrap().1.split_once("</desc>").unwrap().0;
        assert!(words.contains(&format!("{row}: ")), "{file}: {words}");
        assert!(svg.contains("prefers-color-scheme: dark"), "{file}");
    }
    plots.len()
}
