//! What the test command names by hand.

use std::fs;
use std::path::Path;
use std::process::Command;

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

#[test]
fn a_failure_is_shown_again_in_few_lines() {
    let folder = tempfile::tempdir().unwrap();
    let log = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let logs = [
        log("chaos", "terms | 3 |\nviolation: two leaders\n\nerror: test failed\n"),
        log(
            "tests",
            "---- a::b stdout ----\n\npanicked at x.rs:1\nno leader\n\n\nfailures:\n    a::b\n",
        ),
        log("lints", "Checking a\n"),
    ];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/failures.sh");
    let output = Command::new(script).args(logs).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let expected = [
        "chaos: violation: two leaders",
        "chaos: error: test failed",
        "tests: ---- a::b stdout ----",
        "tests: panicked at x.rs:1",
        "tests: no leader",
        "tests: failures:",
        "tests:     a::b",
    ];
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
}
