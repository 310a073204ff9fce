//! docs/http.md has every path and every field that the description of the answers has.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::docs::pages::Page;

const PAGE: &str = "docs/http.md";

/// The names in backticks in the first column of the table between two comments.
fn table(name: &str) -> BTreeSet<String> {
    let page = Page::read(Path::new(PAGE)).text;
    let (_, after) = page.split_once(&format!("<!-- {name} -->\n")).unwrap();
    let (table, _) = after.split_once(&format!("<!-- end of {name} -->")).unwrap();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.map(str::to_owned).collect()
}

fn described() -> Value {
    serde_json::from_str(include_str!("../../../src/http/openapi.json")).unwrap()
}

#[test]
fn the_page_has_every_path() {
    let described = described();
    let paths = described["paths"].as_object().unwrap();
    // The page explains the paths of one election, and the files of the status page, in words.
    let plain = paths.iter().filter(|(path, _)| !path.contains('{') && !path.starts_with("/page"));
    let named = plain.map(|(path, methods)| match methods.get("post") {
        Some(_) => format!("POST {path}"),
        None => path.clone(),
    });
    assert_eq!(table("paths"), named.collect());
}

#[test]
fn the_page_has_every_field() {
    let described = described();
    let state = described["components"]["schemas"]["State"]["properties"].as_object().unwrap();
    let fields = table("fields");
    // Values in the cells of the meaning do not count: the first column has names only.
    assert_eq!(fields, state.keys().cloned().collect());
}

#[test]
fn the_example_has_every_field() {
    let page = Page::read(Path::new(PAGE)).text;
    let (_, example) = page.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    let described = described();
    let state = described["components"]["schemas"]["State"]["properties"].as_object().unwrap();
    let shown: BTreeSet<_> = example.as_object().unwrap().keys().collect();
    assert_eq!(shown, state.keys().collect());
}

#[test]
fn the_page_has_every_cause() {
    let described = described();
    let state = &described["components"]["schemas"]["State"]["properties"];
    let causes = state["cause"]["enum"].as_array().unwrap().iter();
    let causes = causes.map(|cause| cause.as_str().unwrap().to_owned());
    assert_eq!(table("causes"), causes.collect());
}

#[test]
fn the_page_has_every_status_code() {
    let page = Page::read(Path::new(PAGE)).text;
    let described = described();
    let paths = described["paths"].as_object().unwrap();
    let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
    let responses = operations.filter_map(|operation| operation["responses"].as_object());
    for code in responses.flat_map(|responses| responses.keys()).collect::<BTreeSet<_>>() {
        assert!(page.contains(&format!("| {code} | ")), "{code}");
    }
}
