//! The examples of README.md and docs/http.md, run beside real sidecars.

mod http;
mod readme;

use std::fs;

/// The code after the comment that says that this file runs it.
fn example(page: &str, file: &str, name: &str) -> String {
    let path = format!("{}/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let mark = format!("<!-- run by tests/program/docs/{file}: {name} -->\n```");
    let (_, after) = text.split_once(&mark).unwrap_or_else(|| panic!("{page}: no '{name}'"));
    let (_, code) = after.split_once('\n').unwrap();
    code.split_once("\n```").unwrap().0.to_owned()
}

/// How many examples of a page have such a mark.
fn examples(page: &str, file: &str) -> usize {
    let path = format!("{}/{page}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path)
        .unwrap()
        .matches(&format!("<!-- run by tests/program/docs/{file}: "))
        .count()
}
