//! The tools of the platforms, as tests/platforms/setup.sh installs them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// The root of this project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A program of the Python packages.
pub fn python(program: &str) -> Command {
    installed(root().join("target/tools/platforms/bin").join(program))
}

/// A program that stands by itself.
pub fn tool(program: &str) -> Command {
    installed(root().join("target/tools/bin").join(program))
}

fn installed(path: PathBuf) -> Command {
    assert!(path.exists(), "{} is not installed: make setup", path.display());
    Command::new(path)
}

/// Runs it to its end, which has to be a success; what it printed.
#[track_caller]
pub fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{:?} cannot be run: {error}: make setup", command.get_program())
    });
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Everything that it printed.
pub fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

/// A YAML file, with CloudFormation's short tags spelled out.
pub fn yaml(path: &str) -> Value {
    static READ: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let read = read.entry(path.to_owned()).or_insert_with(|| {
        let script = "import json, sys; from cfnlint.decode import cfn_yaml; \
                      print(json.dumps(cfn_yaml.load(sys.argv[1])))";
        let text = must(python("python").args(["-c", script]).arg(root().join(path)));
        serde_json::from_str(&text).unwrap()
    });
    read.clone()
}

/// How long a time as these files write it is, such as 1m30s.
pub fn duration(text: &str) -> std::time::Duration {
    humantime::parse_duration(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
