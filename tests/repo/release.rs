//! What a release is made of: one version everywhere, its notes, and licences that may be shipped.

use std::fs;
use std::path::Path;
use std::process::Command;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What may say which version it is of, or for.
const SHIPPED: [&str; 8] =
    ["Cargo.toml", "Dockerfile", "README.md", "charts", "deploy", "docs", "examples", "image"];

/// By what a version of ours is preceded, wherever one is repeated.
const BEFORE: [&str; 9] = [
    "bellwether:",
    "bellwether_",
    "bellwether-",
    "--version ",
    "\nversion: ",
    "\nappVersion: ",
    "    version: ",
    "newTag: ",
    "image.version=\"",
];

/// The texts of all files below a place.
fn texts(place: &Path, found: &mut Vec<(String, String)>) {
    if place.is_dir() {
        for entry in fs::read_dir(place).unwrap() {
            texts(&entry.unwrap().path(), found);
        }
    } else if let Ok(text) = fs::read_to_string(place) {
        found.push((place.display().to_string(), text));
    }
}

/// The version at the beginning of a text, if it begins with one.
fn version(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let version = text[..end].trim_end_matches('.');
    (version.split('.').filter(|part| !part.is_empty()).count() == 3).then_some(version)
}

/// Cargo.toml says it; whatever cannot read that repeats it.
#[test]
fn the_version_is_the_same_everywhere() {
    let mut all = Vec::new();
    for place in SHIPPED {
        texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place), &mut all);
    }
    let (mut repeated, mut known) = (0, 0);
    for (file, text) in &all {
        for before in BEFORE {
            for after in text.split(before).skip(1) {
                let Some(found) = version(after) else { continue };
                // The chart of an application has a version of its own.
                if file.ends_with("charts/example/Chart.yaml") && before == "\nversion: " {
                    continue;
                }
                assert_eq!(found, VERSION, "{file}, after {before:?}");
                known += 1;
            }
        }
        let places = text.match_indices(VERSION).filter(|(at, _)| {
            let inside = |c: char| c.is_ascii_digit() || c == '.';
            let (before, after) = (&text[..*at], &text[at + VERSION.len()..]);
            let own_line = before.rsplit('\n').next().unwrap();
            // The manifest itself, and what a part of it asks of another package.
            let manifest = own_line.contains("version = \"");
            !before.ends_with(inside) && !after.starts_with(inside) && !manifest
        });
        repeated += places.count();
    }
    assert!(known >= 10, "only {known} places repeat the version");
    assert_eq!(known, repeated, "a version stands where this test does not look: add to BEFORE");
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
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
}

/// A folder of its own with the workflows, of which one may be changed.
fn workflows_with(file: &str, change: Change) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join(".github/workflows");
    fs::create_dir_all(&place).unwrap();
    for name in WORKFLOWS {
        let before = text(&format!(".github/workflows/{name}"));
        let after = if name == file { change(&before) } else { before.clone() };
        assert!(name != file || before != after, "nothing was changed in {file}");
        fs::write(place.join(name), after).unwrap();
    }
    fs::write(folder.path().join(".github/dependabot.yml"), text(".github/dependabot.yml"))
        .unwrap();
    folder
}

/// Takes the text of a workflow, and returns another one.
type Change = fn(&str) -> String;

const WORKFLOWS: [&str; 2] = ["ci.yml", "release.yml"];

/// What the two checkers say of the workflows in a folder; nothing if they are content.
fn complaints(folder: &Path) -> Vec<String> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let mut actionlint = Command::new(tools.join("bin/actionlint"));
    actionlint.args(["-no-color", "-shellcheck=shellcheck"]);
    actionlint.args(WORKFLOWS.map(|name| format!(".github/workflows/{name}")));
    let mut zizmor = Command::new(tools.join("kubernetes/bin/zizmor"));
    // It asks no service here, so it cannot compare a digest with the tag that stands beside it.
    zizmor.args(["--offline", "--no-progress", "--color=never", "--persona=pedantic", "."]);
    let mut all = Vec::new();
    for mut command in [actionlint, zizmor] {
        let output = command.current_dir(folder).output();
        let output = output.expect("a checker is not installed: run `make setup`");
        if !output.status.success() {
            all.push(
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            );
        }
    }
    all
}

#[test]
fn the_workflows_are_sound_and_the_checkers_see_what_is_not() {
    let found = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows"));
    assert_eq!(found.unwrap().count(), WORKFLOWS.len());
    let sound = complaints(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(sound.is_empty(), "{}", sound.join("\n"));
    let planted: [(&str, Change, &str); 4] = [
        // A tag can be moved to other code.
        (
            "ci.yml",
            |text| text.replacen("@de0fac2e4500dabe0009e67214ff5f5447ce83dd", "@v6", 1),
            "unpinned-uses",
        ),
        // A name of a tag, put into a line of shell.
        (
            "release.yml",
            |text| text.replacen("\"$TAG\"", "${{ github.ref_name }}", 1),
            "template-injection",
        ),
        ("release.yml", |text| text.replacen("needs: test", "needs: tests", 1), "tests"),
        (
            "ci.yml",
            |text| text.replacen("permissions: {}", "permissions: write-all", 1),
            "excessive-permissions",
        ),
    ];
    for (file, change, expected) in planted {
        let folder = workflows_with(file, change);
        let printed = complaints(folder.path()).join("\n");
        assert!(printed.contains(expected), "{expected} was not seen: {printed}");
    }
}

/// By its whole digest, with the version in a comment, the same one everywhere.
#[test]
fn every_action_is_pinned() {
    let mut pinned = std::collections::BTreeMap::new();
    for name in WORKFLOWS {
        let text = text(&format!(".github/workflows/{name}"));
        let uses = text
            .lines()
            .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: "));
        for action in uses.filter(|action| !action.starts_with("./") && !action.starts_with("$/")) {
            let (reference, version) = action.split_once(" # v").expect(action);
            let (name, digest) = reference.split_once('@').unwrap();
            assert!(
                digest.len() == 40 && digest.bytes().all(|b| b.is_ascii_hexdigit()),
                "{action}"
            );
            assert_eq!(version.split('.').count(), 3, "{action}");
            let before = pinned.insert(name.to_owned(), reference.to_owned());
            assert!(before.is_none_or(|before| before == reference), "{name} in two versions");
        }
    }
    assert!(pinned.len() >= 4, "{pinned:?}");
}

/// Cargo.toml names the owner; whatever else names one of this repository, of its image or of its chart
/// names the same. As long as it is a placeholder, nothing can be released.
#[test]
fn the_owner_is_the_same_everywhere() {
    let owner = env!("CARGO_PKG_REPOSITORY").split('/').nth(3).unwrap();
    if std::env::var_os("BELLWETHER_RELEASE").is_some() {
        assert_ne!(owner, "OWNER", "put the owner in its place: grep -rn OWNER");
    }
    let mut files = Command::new("git");
    files.args(["ls-files"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let files = String::from_utf8(files.output().expect("git").stdout).unwrap();
    let mut seen = 0;
    for file in files.lines() {
        // Pictures and the like.
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for host in ["github.com/", "ghcr.io/"] {
            for (at, _) in text.match_indices(host) {
                let rest = &text[at + host.len()..];
                let Some((named, repository)) = rest.split_once('/') else { continue };
                let ours = ["bellwether", "charts/bellwether"];
                if named.contains(char::is_whitespace)
                    || !ours.iter().any(|own| repository.starts_with(own))
                {
                    continue;
                }
                seen += 1;
                assert_eq!(named, owner, "{file} names another owner than Cargo.toml");
            }
        }
    }
    assert!(seen >= 20, "the test has to find them: {seen}");
}

/// What crates.io would get: what builds and explains the program, and nothing else.
#[test]
fn the_package_of_the_crate_has_what_it_needs() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["package", "--list", "--allow-dirty", "--offline", "--locked"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = String::from_utf8(output.stdout).unwrap();
    let files: Vec<_> = files.lines().collect();
    for needed in [
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "build/names.c",
        "build/relocations.c",
        "src/main.rs",
        "src/http/page/page.js",
    ] {
        assert!(files.contains(&needed), "{needed} is missing");
    }
    let strangers = files.iter().filter(|file| {
        let known = [
            "src/",
            "build/",
            "Cargo.",
            "LICENSE-",
            ".cargo_vcs_info.json",
            "build.rs",
            "README.md",
            "CHANGELOG.md",
        ];
        !known.iter().any(|start| file.starts_with(start))
    });
    assert_eq!(strangers.collect::<Vec<_>>(), Vec::<&&str>::new());
}
