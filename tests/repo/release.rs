//! What a release is made of: one version everywhere, its notes, and licences that may be shipped.

use std::fs;
use std::path::Path;
use std::process::Command;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Cargo.toml says it; whatever cannot read that repeats it.
#[test]
fn the_version_is_the_same_everywhere() {
    for (file, line) in [
        ("charts/bellwether/Chart.yaml", format!("\nversion: {VERSION}\n")),
        ("charts/bellwether/Chart.yaml", format!("\nappVersion: {VERSION}\n")),
        ("charts/example/Chart.yaml", format!("\n    version: {VERSION}\n")),
        ("Dockerfile", format!("org.opencontainers.image.version=\"{VERSION}\"")),
        ("docs/kubernetes.md", format!("bellwether:{VERSION}\n")),
        ("docs/image.md", format!("bellwether:{VERSION}\n")),
    ] {
        assert!(
            text(file).contains(&line),
            "{file} has another version than Cargo.toml: {VERSION}"
        );
    }
    let example = text("charts/example/Chart.yaml");
    let versions: Vec<_> = example.lines().filter(|l| l.starts_with("    version:")).collect();
    assert!(versions.iter().all(|line| line.ends_with(VERSION)), "{versions:?}");
}

/// A version that is released has its notes; before that they stand under "Unreleased".
#[test]
fn the_changes_are_noted() {
    let changes = text("CHANGELOG.md");
    let section = |title: &str| {
        let after = changes.split(&format!("\n## {title}")).nth(1)?;
        Some(after.split("\n## ").next().unwrap().lines().skip(1).collect::<String>())
    };
    let released = section(VERSION);
    if std::env::var_os("BELLWETHER_RELEASE").is_some() {
        let notes = released.unwrap_or_else(|| panic!("CHANGELOG.md has no part '## {VERSION}'"));
        assert!(notes.contains("- "), "CHANGELOG.md says nothing about {VERSION}");
    } else {
        let unreleased = section("Unreleased").is_some_and(|notes| notes.contains("- "));
        assert!(unreleased || released.is_some(), "CHANGELOG.md");
    }
}

/// As far as that can be told without a network: not whether a part has become known to be unsafe.
#[test]
fn every_part_may_be_shipped() {
    let deny = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/kubernetes/bin/cargo-deny");
    let mut command = Command::new(deny);
    command.args(["--offline", "--locked", "check", "licenses", "bans", "sources"]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.expect("cargo-deny is not installed: run `make setup`");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
