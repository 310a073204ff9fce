//! The tools of the platforms, as tests/deploy/platforms/setup.sh installs them.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use support::tools;
pub use support::tools::{must, printed, project as root};

pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A program of the Python packages.
pub fn python(program: &str) -> Command {
    tools::tool(&format!("platforms/bin/{program}"))
}

/// A program that stands on its own.
pub fn tool(program: &str) -> Command {
    tools::tool(&format!("bin/{program}"))
}

/// A YAML file, with CloudFormation's short tags spelled out.
pub fn yaml(path: &str) -> Value {
    // By its text: the same path may hold another one later.
    static READ: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let read = read.entry(text(path)).or_insert_with(|| {
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
