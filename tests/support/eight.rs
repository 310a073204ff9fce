//! Eight instances that start together, on whatever store.

use std::fs;
use std::process::{Command, Stdio};

use super::{QUICK, eventually};

/// Eight `once` of a key that succeeds and of one that fails: one run and eight zeros; as many
/// runs as there are attempts, and eight times the command's code.
pub fn do_it_once(store: &str, program: impl Fn() -> Command) {
    let folder = tempfile::tempdir().unwrap();
    let works = "echo run >> works; sleep 1";
    assert_eq!(exit_codes(store, &program, folder.path(), "good", works), [Some(0); 8]);
    assert_eq!(runs(folder.path(), "works"), 1);
    let fails = "echo run >> fails; exit 9";
    assert_eq!(exit_codes(store, &program, folder.path(), "bad", fails), [Some(9); 8]);
    assert_eq!(runs(folder.path(), "fails"), 2);
}

fn exit_codes(
    store: &str,
    program: &impl Fn() -> Command,
    folder: &std::path::Path,
    key: &str,
    script: &str,
) -> [Option<i32>; 8] {
    let start = |name: &str| {
        let mut command = program();
        command.args(["once", "--store", store, "--identity", name, "--key", key]).args(QUICK);
        command
            .args(["--max-attempts", "2", "--retry-delay", "100ms", "--", "sh", "-c", script])
            .current_dir(folder);
        command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut all = ["a", "b", "c", "d", "e", "f", "g", "h"].map(start);
    all.each_mut().map(|child| eventually("it exits", || child.try_wait().unwrap()).code())
}

fn runs(folder: &std::path::Path, file: &str) -> usize {
    fs::read_to_string(folder.join(file)).unwrap_or_default().lines().count()
}
