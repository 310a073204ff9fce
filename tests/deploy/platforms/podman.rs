//! Podman, with everything that it keeps in a folder of the test's own. Containers end with it.

use std::fs;
use std::process::{Command, Stdio};

pub struct Podman {
    folder: tempfile::TempDir,
}

impl Podman {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Podman raises these limits otherwise, which takes a right that root may not have here.
        let (files, processes) = (limit("Max open files"), limit("Max processes"));
        let settings = format!(
            "[containers]\ndefault_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n"
        );
        fs::write(folder.path().join("containers.conf"), settings).unwrap();
        Self { folder }
    }

    pub fn command(&self) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let mut podman = Command::new("podman");
        podman.env("CONTAINERS_CONF", at("containers.conf")).stdin(Stdio::null());
        podman.arg("--root").arg(at("root")).arg("--runroot").arg(at("run"));
        podman.arg("--tmpdir").arg(at("tmp")).args(["--storage-driver", "overlay"]);
        podman
    }
}

/// A limit that this process may set: its own soft one, or one that is surely below that.
fn limit(name: &str) -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap_or(ENOUGH).min(ENOUGH)
}

/// Open files, or processes, of one container.
const ENOUGH: u64 = 4096;

impl Drop for Podman {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let names = self.command().args(["ps", "--all", "--quiet"]).output().unwrap();
            for id in String::from_utf8_lossy(&names.stdout).lines() {
                let logs = self.command().args(["logs", id]).output().unwrap();
                eprintln!("--- {id}\n{}", crate::platforms::tools::said(&logs));
            }
        }
        let _ = self.command().args(["rm", "--force", "--all", "--time", "0"]).output();
    }
}
