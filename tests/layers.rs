//! The floors of the house: a lower one never imports an upper one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. Rooms of one floor do not import each other either.
const FLOORS: [&[&str]; 9] = [
    &["election"],
    &["files", "gate", "http_client", "time"],
    &["api", "platform", "store"],
    &["metrics"],
    &["driver"],
    &["command", "http"],
    &["health", "hooks"],
    &["config"],
    &["cli"],
];

/// Words that must not appear in the pure core, and why.
const IMPURE: [(&str, &str); 6] = [
    ("tokio", "it waits for nothing"),
    ("tracing", "it logs nothing"),
    ("async ", "it waits for nothing"),
    ("std::fs", "it does no I/O"),
    ("std::net", "it does no I/O"),
    ("std::thread", "it spawns nothing"),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The room that a file belongs to: the first part of its path.
fn room(file: &Path) -> String {
    let inside = file.strip_prefix(src()).unwrap();
    let first = inside.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> usize {
    let found = FLOORS.iter().position(|rooms| rooms.contains(&room));
    found.unwrap_or_else(|| panic!("'{room}' is on no floor: give it one in tests/layers.rs"))
}

/// Code without comments and without what begins with a test module.
fn production(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap().lines();
    let code = code.filter(|line| !line.trim_start().starts_with("//"));
    code.map(|line| format!("{line}\n")).collect()
}

/// The rooms that a text imports or names by `crate::`.
fn imports(text: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let after = text.split("crate::").skip(1);
    after.map(|rest| rest.chars().take_while(|c| is_name(*c)).collect()).collect()
}

#[test]
fn no_import_climbs() {
    let mut seen = 0;
    for file in sources(&src()) {
        let from = room(&file);
        if from == "lib" || from == "main" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("crate::{"), "{}: one `use crate::room` a room", file.display());
        for to in imports(&production(&text)).iter().filter(|to| **to != from) {
            seen += 1;
            assert!(
                floor(to) < floor(&from),
                "{}: '{from}' must not import '{to}'",
                file.display()
            );
        }
    }
    assert!(seen > 20, "the test has to find the imports to mean anything: {seen}");
}

#[test]
fn the_core_is_pure() {
    for file in sources(&src().join("election")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = production(&text);
        for (word, why) in IMPURE {
            assert!(!code.contains(word), "{}: '{word}': {why}", file.display());
        }
    }
}

#[test]
fn readers_never_see_a_store() {
    for room in ["http", "command"] {
        for file in sources(&src().join(room)) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!imports(&text).contains(&"store".to_owned()), "{}", file.display());
        }
    }
}

#[test]
fn only_the_store_names_its_backends() {
    let tests = |file: &PathBuf| file.ends_with("tests.rs");
    for file in sources(&src()).iter().filter(|file| room(file) != "store" && !tests(file)) {
        let text = fs::read_to_string(file).unwrap();
        for backend in ["sqlite", "memory", "postgres", "dynamodb", "kubernetes"] {
            let backend = format!("store::{backend}");
            assert!(!production(&text).contains(&backend), "{}: {backend}", file.display());
        }
    }
}
