//! The program answers as its description at `/openapi.json` says: schemathesis, which knows only
//! the description, asks and compares.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Flock, Pasture, Sidecar, eventually};

const TOKEN: &str = "0123456789abcdef";

/// Streams have no end to wait for: `tests/program/fuzz` reads their heads.
const STREAMS: &str = "/(events|sse|hold)$";

/// A standby waits when the request demands it. And of all that says that the server is at fault, 503
/// is an answer here: "not now".
const SETTINGS: &str = r#"
[parameters]
"query.wait" = "50ms"

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
"#;

/// Test cases for each operation and kind of data.
const EXAMPLES: &str = "15";

/// Not checked: that all that fits the description is accepted. How long a duration may be depends
/// on the settings, and a description cannot say so.
const UNCHECKED: &str = "positive_data_acceptance";

/// Which requests are made, and how.
struct Questions<'a> {
    only: &'a str,
    never: &'a str,
    headers: &'a [&'a str],
}

fn start(name: &str, pasture: &Pasture) -> Sidecar {
    let token = pasture.folder().join("token");
    fs::write(&token, TOKEN).unwrap();
    let elections = ["--election", "default", "--election", "second"];
    let token = ["--token-file", token.to_str().unwrap()];
    Sidecar::start_with(name, &pasture.store(), &[&elections[..], &token[..]].concat())
}

fn schemathesis() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/schemathesis");
    let program = tools.join("bin/schemathesis");
    assert!(program.exists(), "{} is missing: make setup", program.display());
    program
}

#[track_caller]
fn conforms(sidecar: &Sidecar, questions: &Questions<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("schemathesis.toml");
    fs::write(&settings, SETTINGS).unwrap();
    let mut command = Command::new(schemathesis());
    command.arg("--no-color").arg("--config-file").arg(settings);
    command.arg("run").arg(format!("{}/openapi.json", sidecar.url));
    command.args(["--seed", "1", "--max-examples", EXAMPLES, "--exclude-checks", UNCHECKED]);
    command.args(["--request-timeout", "20", "--no-shrink", "--warnings", "off"]);
    command.args(["--include-path-regex", questions.only, "--exclude-path-regex", questions.never]);
    command.args(questions.headers.iter().flat_map(|header| ["--header", header]));
    // It leaves what it found out in the folder in which it runs.
    let command = command.current_dir(folder.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.stdin(Stdio::null()).output().expect("schemathesis runs");
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{report}\n{errors}", sidecar.name);
    assert!(report.contains("No issues found"), "{report}");
    assert_eq!(sidecar.log().count("panicked"), 0);
}

#[test]
fn the_answers_are_as_described() {
    let pasture = Pasture::new();
    let mut flock = Flock { members: vec![start("alice", &pasture)] };
    eventually("alice leads", || flock.members[0].leader().leads().then_some(()));
    flock.members.push(start("bob", &pasture));
    flock.settled();
    let questions = Questions { only: "/", never: &format!("{STREAMS}|/resign$"), headers: &[] };
    for sidecar in &flock.members {
        conforms(sidecar, &questions);
    }
    flock.settled();

    let bearer = format!("Authorization: Bearer {TOKEN}");
    let allowed = ["Host: web-0.web", &bearer];
    let refused = ["Origin: https://evil.example"];
    for headers in [&allowed[..], &refused] {
        conforms(&flock.members[0], &Questions { only: "/resign$", never: "^$", headers });
    }
}
