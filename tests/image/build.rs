//! The last stage of the Dockerfile, built for real. The stage before it starts from an image that
//! only a registry has: its scripts are run here without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::static_binary::{is_shipped, static_binary};
use crate::support::tools::{must, project, tool};

/// Twelve megabytes, as the project promises.
const LARGEST: u64 = 12_000_000;

const PAPERS: &str = "usr/share/doc/bellwether";

/// An image, in a place of its own.
pub struct Image {
    place: PathBuf,
    /// Its digest, or what buildah calls it.
    id: String,
}

impl Image {
    /// The image that the tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Image> = OnceLock::new();
        SHARED.get_or_init(|| Self::build(place_of_this_process()))
    }

    fn build(place: PathBuf) -> Self {
        let context = place.join("context");
        fs::create_dir(&context).unwrap();
        let root = context.join("image");
        must(Command::new(project().join("image/root.sh")).arg(static_binary()).arg(root));
        fs::create_dir(context.join("state")).unwrap();
        let dockerfile = fs::read_to_string(project().join("Dockerfile")).unwrap();
        let (_, last) = dockerfile.split_once("\nFROM scratch\n").expect("the last stage");
        let whole = format!("FROM scratch AS build\nCOPY . /\nFROM scratch\n{last}");
        fs::write(place.join("Dockerfile"), whole).unwrap();
        let mut image = Self { place, id: String::new() };
        let mut command = image.buildah();
        command.args(["build", "--quiet", "--format", "docker", "--isolation", "chroot"]);
        command.args(["--timestamp", "0", "--file"]).arg(image.place.join("Dockerfile"));
        image.id = must(command.arg(&context)).trim().to_owned();
        image
    }

    fn buildah(&self) -> Command {
        let mut command = Command::new("buildah");
        command.args(["--storage-driver", "vfs", "--root"]).arg(self.place.join("root"));
        command.arg("--runroot").arg(self.place.join("runroot"));
        command
    }

    fn inspected(&self) -> Value {
        let text = must(self.buildah().args(["inspect", "--type", "image", &self.id]));
        serde_json::from_str(&text).unwrap()
    }

    /// What a container of it is started with.
    pub fn settings(&self) -> Value {
        self.inspected()["Docker"].clone()
    }

    /// The digests of its layers.
    fn layers(&self) -> Value {
        self.inspected()["OCIv1"]["rootfs"]["diff_ids"].clone()
    }

    /// Its file system. Not to be changed.
    pub fn files(&self) -> &Path {
        static MOUNTED: OnceLock<PathBuf> = OnceLock::new();
        MOUNTED.get_or_init(|| {
            let container = must(self.buildah().args(["from", &self.id]));
            must(self.buildah().args(["mount", container.trim()])).trim().into()
        })
    }
}

/// A folder that outlives the tests, because they share it: the next run removes it.
fn place_of_this_process() -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
    fs::create_dir_all(&all).unwrap();
    for old in fs::read_dir(&all).unwrap().map(|entry| entry.unwrap()) {
        if !Path::new("/proc").join(old.file_name()).exists() {
            must(Command::new("rm").arg("-rf").arg(old.path()));
        }
    }
    let own = all.join(std::process::id().to_string());
    fs::create_dir(&own).unwrap();
    own
}

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

    // Nothing that is copied is kept out, and Cargo can read what it is given.
    let let_in = fs::read_to_string(project().join(".dockerignore")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copies = dockerfile.lines().take_while(|line| *line != "FROM scratch");
    for line in copies.filter_map(|line| line.strip_prefix("COPY ")) {
        let words: Vec<_> = line.split(' ').collect();
        let (_to, names) = words.split_last().unwrap();
        for name in names {
            let known = let_in.contains(&format!("!{name}\n"))
                || name.starts_with("LICENSE-") && let_in.contains("!LICENSE-*\n");
            assert!(known, ".dockerignore keeps {name} out");
            must(Command::new("cp").arg("-r").arg(project().join(name)).arg(folder.path()));
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
