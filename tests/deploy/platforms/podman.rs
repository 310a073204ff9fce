//! Podman, with everything that it keeps in a folder of the test's own. Containers end with it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use support::eventually;

pub struct Podman {
    folder: tempfile::TempDir,
    /// The service on its socket, if there is one.
    service: Option<Child>,
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
        // Names as Docker completes them.
        let names = "unqualified-search-registries = [\"docker.io\"]\n";
        fs::write(folder.path().join("registries.conf"), names).unwrap();
        Self { folder, service: None }
    }

    pub fn command(&self) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let mut podman = Command::new("podman");
        podman.env("CONTAINERS_CONF", self.settings()).stdin(Stdio::null());
        podman.env("CONTAINERS_REGISTRIES_CONF", at("registries.conf"));
        podman.arg("--root").arg(at("root")).arg("--runroot").arg(at("run"));
        podman.arg("--tmpdir").arg(at("tmp")).args(["--storage-driver", "overlay"]);
        podman
    }

    /// The program and its flags, as a line for a shell that has `settings` in its environment.
    pub fn line(&self) -> String {
        let command = self.command();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
    }

    /// The value of `CONTAINERS_CONF`.
    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("containers.conf")
    }

    /// The address at which it answers as a Docker engine does.
    pub fn serve(&mut self) -> String {
        let socket = self.folder.path().join("socket");
        let address = format!("unix://{}", socket.display());
        let mut service = self.command();
        service.args(["system", "service", "--time", "0", &address]);
        service.stdout(Stdio::null()).stderr(Stdio::null());
        self.service = Some(service.spawn().unwrap());
        eventually("podman answers", || socket.exists().then_some(()));
        address
    }

    /// For a test that fails.
    pub fn print_logs(&self) {
        let names = self.command().args(["ps", "--all", "--quiet"]).output().unwrap();
        for id in String::from_utf8_lossy(&names.stdout).lines() {
            let logs = self.command().args(["logs", id]).output().unwrap();
            eprintln!("--- {id}\n{}", crate::platforms::tools::printed(&logs));
        }
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
            self.print_logs();
        }
        let _ = self.command().args(["rm", "--force", "--all", "--time", "0"]).output();
        if let Some(service) = &mut self.service {
            let _ = service.kill();
            let _ = service.wait();
        }
        // Podman mounts it onto itself, and leaves it so. What is mounted cannot be removed.
        let storage = self.folder.path().join("root/overlay");
        let _ = Command::new("umount").arg(storage).stderr(Stdio::null()).status();
    }
}
