//! The program as it is shipped: one static binary.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::program;
use super::tools::{must, project};

/// The static binary of what is under test.
///
/// The one that `BELLWETHER_STATIC_BINARY` names: in CI and in `make release-check` that is the one
/// that is shipped. Otherwise one that is linked here, in a second, from what Cargo has compiled for
/// the tests: the same code and the same C library, without the optimizing that takes minutes.
pub fn static_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| named().unwrap_or_else(linked))
}

/// Whether it is the one that is shipped, so that its size means something.
pub fn is_shipped() -> bool {
    named().is_some()
}

fn named() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("BELLWETHER_STATIC_BINARY")?);
    assert!(path.is_absolute() && path.exists(), "BELLWETHER_STATIC_BINARY: {}", path.display());
    Some(path)
}

fn linked() -> PathBuf {
    let program = program();
    let compiled = program.parent().unwrap();
    let folder = compiled.parent().unwrap().join("static");
    fs::create_dir_all(&folder).unwrap();
    // Several test programs may want it at once.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();

    let library = library();
    let names = project().join("build/names.c");
    let binary = folder.join("bellwether");
    if newer(&binary, &[&library, &names, program]) {
        return binary;
    }
    let (object, draft) = (folder.join("names.o"), folder.join("draft"));
    must(Command::new("cc").args(["-O2", "-c", "-o"]).arg(&object).arg(&names));
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--edition", "2024", "--crate-name", "bellwether", "src/main.rs"])
        .args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"])
        .arg(format!("-Ldependency={}", compiled.join("deps").display()))
        .arg(format!("--extern=bellwether={}", library.display()))
        .arg(format!("-Clink-arg={}", object.display()))
        .arg("-o")
        .arg(&draft)
        .current_dir(project());
    must(&mut rustc);
    fs::rename(draft, &binary).unwrap();
    binary
}

/// The library that the tests are linked with. Cargo says where it is, and compiles nothing that they did not. For
/// `cargo build` it would: tests add features to dependencies, and without them all that uses these is another library.
fn library() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--no-run", "--quiet", "--locked", "--offline", "--bin", "bellwether"]);
    cargo.arg("--message-format=json").current_dir(project());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // The variables that Cargo sets for tests would count as a changed environment: it would
    // compile again what has C in it (ring), with all that depends on it.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "OUT_DIR"]
            .iter()
            .any(|own| name.starts_with(own))
        {
            cargo.env_remove(name.as_ref());
        }
    }
    let messages = must(&mut cargo);
    let is_library = |message: &Value| {
        let target = &message["target"];
        target["name"] == "bellwether" && target["kind"] == json!(["lib"])
    };
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let library = artifacts.filter(is_library).find_map(|library| {
        let mut files = library["filenames"].as_array()?.iter().filter_map(Value::as_str);
        files.find(|file| file.ends_with(".rlib")).map(PathBuf::from)
    });
    library.unwrap_or_else(|| panic!("Cargo names no library:\n{messages}"))
}

/// Whether a file is there and newer than all of `others`.
fn newer(file: &Path, others: &[&Path]) -> bool {
    let age = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    age(file).is_ok_and(|own| others.iter().all(|other| age(other).unwrap() < own))
}
