//! The last stage of the Dockerfile, built for real. The stage before it starts from an image that
//! only a registry has: its scripts are run here without one.

use std::fs;
use std::path::Path;
use std::process::Command;

use support::image::Image;
use support::static_binary::{is_shipped, static_binary};
use support::tools::{must, project, tool};

/// Twelve megabytes, as the project promises.
const LARGEST: u64 = 12_000_000;

const PAPERS: &str = "usr/share/doc/bellwether";

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> Vec<String> {
    let mut listing = Command::new("find");
    listing.arg(".").args(["!", "-type", "d"]).current_dir(folder);
    let mut found: Vec<_> =
        must(&mut listing).lines().map(|line| line.trim_start_matches("./").to_owned()).collect();
    found.sort();
    found
}

#[test]
fn it_contains_one_program_and_its_papers() {
    let root = Image::shared().files();
    let papers = ["LICENSE-APACHE", "LICENSE-MIT", "sbom.cdx.json", "third-party-licences.txt"];
    let mut expected = vec!["bellwether".to_owned()];
    expected.extend(papers.map(|paper| format!("{PAPERS}/{paper}")));
    assert_eq!(files(root), expected);
    let sizes = expected.iter().map(|file| fs::metadata(root.join(file)).unwrap().len());
    let size: u64 = sizes.sum();
    eprintln!("the image has {size} bytes");
    assert!(size <= LARGEST || !is_shipped(), "{size} bytes");
}

#[test]
fn its_settings_are_those_that_the_documents_speak_of() {
    let settings = Image::shared().settings();
    assert_eq!(settings["architecture"], std::env::consts::ARCH.replace("x86_64", "amd64"));
    let config = &settings["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/bellwether"]));
    assert_eq!(config["Cmd"], serde_json::json!(["serve"]));
    let test = serde_json::json!(["CMD", "/bellwether", "healthcheck"]);
    assert_eq!(config["Healthcheck"]["Test"], test);
    let label = |name: &str| &config["Labels"][format!("org.opencontainers.image.{name}")];
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"), "in the Dockerfile");
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"), "in the Dockerfile");
}

#[test]
fn built_again_it_has_the_same_layers() {
    let place = tempfile::tempdir().unwrap();
    let again = Image::build(place.path().to_owned());
    assert_eq!(again.layers(), Image::shared().layers());
}

#[test]
fn the_dockerfile_is_clean_and_has_what_it_builds_from() {
    must(tool("kubernetes/bin/hadolint").arg(project().join("Dockerfile")));
    let dockerfile = fs::read_to_string(project().join("Dockerfile")).unwrap();
    let from = format!("\nFROM rust:{}-bookworm AS build\n", env!("CARGO_PKG_RUST_VERSION"));
    assert!(dockerfile.contains(&from), "the toolchain of Cargo.toml: {from}");

    // .dockerignore excludes no file that is copied, and Cargo can read those files.
    let let_in = fs::read_to_string(project().join(".dockerignore")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copies = dockerfile.lines().take_while(|line| *line != "FROM scratch");
    for line in copies.filter_map(|line| line.strip_prefix("COPY ")) {
        let words: Vec<_> = line.split(' ').collect();
        let (to, names) = words.split_last().unwrap();
        for name in names {
            let known = let_in.contains(&format!("!{name}\n"))
                || name.starts_with("LICENSE-") && let_in.contains("!LICENSE-*\n");
            assert!(known, ".dockerignore keeps {name} out");
            let to = folder.path().join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            must(Command::new("cp").arg("-r").arg(project().join(name)).arg(to));
        }
    }
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--depth", "0"]).current_dir(folder.path());
    assert!(must(&mut tree).starts_with("bellwether "));
    assert!(folder.path().join("build/names.c").exists());
}

#[test]
fn the_scripts_are_clean() {
    let scripts = fs::read_dir(project().join("image")).unwrap();
    let scripts: Vec<_> = scripts.map(|script| script.unwrap().path()).collect();
    assert!(scripts.len() >= 6, "{scripts:?}");
    must(Command::new("shellcheck").args(scripts));
}

#[test]
fn the_binary_is_static() {
    let mut readelf = Command::new("readelf");
    readelf.args(["--wide", "--program-headers", "--dynamic"]).arg(static_binary());
    let headers = must(&mut readelf);
    assert!(headers.contains("LOAD"), "{headers}");
    assert!(!headers.contains("INTERP") && !headers.contains("NEEDED"), "{headers}");
}
