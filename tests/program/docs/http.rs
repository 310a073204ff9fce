//! The programs of docs/http.md, in every language: beside a leader, beside a standby, and without a
//! sidecar.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::{example, examples};
use support::{Pasture, Sidecar, eventually, target};

/// Name, file, and how it is started.
const LANGUAGES: [(&str, &str, &[&str]); 6] = [
    ("sh", "leader.sh", &["sh", "leader.sh"]),
    ("python", "leader.py", &["/usr/bin/python3", "leader.py"]),
    ("javascript", "leader.js", &["node", "leader.js"]),
    ("ruby", "leader.rb", &["ruby", "leader.rb"]),
    ("java", "Leader.java", &["java", "Leader.java"]),
    ("go", "leader.go", &["go", "run", "leader.go"]),
];

#[test]
fn every_language_distinguishes_the_leader_from_a_standby() {
    assert_eq!(examples("docs/http.md", "http.rs"), LANGUAGES.len());
    let pasture = Pasture::new();
    for (name, file, _) in LANGUAGES {
        fs::write(pasture.folder().join(file), example("docs/http.md", "http.rs", name)).unwrap();
    }
    let leader = Sidecar::start("a", &pasture.store());
    eventually("a leads", || leader.leader().leads().then_some(()));
    let standby = Sidecar::start("b", &pasture.store());
    eventually("b knows", || standby.leader().holder().map(drop));
    // No process listens on port 1.
    let none = "http://127.0.0.1:1";
    for (name, _, words) in LANGUAGES {
        let run = |sidecar: &str| run(pasture.folder(), words, sidecar);
        assert_eq!(run(none), "unknown", "{name}");
        assert_eq!(run(&standby.url), "standby", "{name}");
        assert_eq!(run(&leader.url), format!("leader, term {}", leader.leader().term()), "{name}");
    }
}

fn run(folder: &Path, words: &[&str], sidecar: &str) -> String {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(folder).env("BELLWETHER_SIDECAR", sidecar);
    command.env("PATH", path());
    let output = command.output().unwrap_or_else(|why| panic!("{words:?}: {why}: `make setup`"));
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(
        output.status.success(),
        "{words:?}: {text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// With the Go that the setup installs where Debian's is too old.
fn path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let own = target().join("tools/go/bin");
        format!("{}:{}", own.display(), std::env::var("PATH").unwrap())
    })
}
