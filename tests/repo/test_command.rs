//! What the test command names by hand.

use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn every_store_has_chaos() {
    let arena = read("tests/chaos/arena.rs");
    let names = arena.lines().find(|line| line.contains("const NAMES")).unwrap();
    let mut stores: Vec<_> = names.split('"').skip(1).step_by(2).collect();
    let command = read("tests/all.sh");
    let runs = command.lines().filter_map(|line| line.strip_prefix("chaos \"")?.split('"').next());
    let mut in_runs: Vec<_> = runs.flat_map(str::split_whitespace).collect();
    stores.sort_unstable();
    in_runs.sort_unstable();
    assert_eq!(in_runs, stores);
}
