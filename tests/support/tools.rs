//! The tools of other ecosystems, which tests/setup.sh installs.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The folder of this project.
pub fn project() -> &'static Path {
    // This crate is in tests/support.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the project")
}

/// A program in target/tools.
pub fn tool(path: &str) -> Command {
    let found = tool_path(path);
    assert!(found.exists(), "{path} is not installed: run `make setup`");
    Command::new(found)
}

/// Where a program in target/tools lies.
pub fn tool_path(path: &str) -> PathBuf {
    project().join("target/tools").join(path)
}

/// Python with the packages of tests/deploy/kubernetes/requirements.txt.
pub fn python(script: &str) -> Command {
    let mut command = tool("kubernetes/bin/python");
    command.args(["-c", script]);
    command
}

/// A folder of this process below `all`. It outlives the tests, which share it: the next run removes it.
pub fn folder_of_this_process(all: &Path) -> PathBuf {
    fs::create_dir_all(all).unwrap();
    for old in fs::read_dir(all).unwrap().map(|entry| entry.unwrap()) {
        if !Path::new("/proc").join(old.file_name()).exists() {
            must(Command::new("rm").arg("-rf").arg(old.path()));
        }
    }
    let own = all.join(std::process::id().to_string());
    fs::create_dir(&own).unwrap();
    own
}

/// Runs a command that has to succeed, and returns what it printed.
#[track_caller]
pub fn must(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, printed(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command that has to fail, and returns what it printed.
#[track_caller]
pub fn must_fail(command: &mut Command) -> String {
    let output = output(command);
    assert!(!output.status.success(), "{command:?} succeeded:\n{}", printed(&output));
    printed(&output)
}

#[track_caller]
fn output(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{command:?}: {error}: run `make setup`"))
}

/// Everything that a program printed.
pub fn printed(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

/// The documents of a YAML text.
#[track_caller]
pub fn yaml(text: &str) -> Vec<Value> {
    let script =
        "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";
    let mut child = python(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "not YAML: {text}");
    let documents: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// Compares with a file, or renews it when `BELLWETHER_WRITE_GOLDEN` is set.
#[track_caller]
pub fn golden(path: &Path, text: &str) {
    if std::env::var_os("BELLWETHER_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let differs = written.lines().zip(text.lines()).find(|(old, new)| old != new);
    assert!(
        written == text,
        "{} is not what is rendered now (first difference: {differs:?}). If that is meant, run \
         `BELLWETHER_WRITE_GOLDEN=1 cargo test --test deploy kubernetes::`, and read the difference in git",
        path.display()
    );
}
