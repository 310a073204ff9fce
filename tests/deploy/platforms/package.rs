//! The Debian package: packed as a release packs it, installed on a real systemd, started, upgraded and
//! removed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::platforms::podman::Podman;
use crate::platforms::tools::{must, printed, root};
use support::eventually;
use support::static_binary::static_binary;

/// What a release consists of, packed from the binary under test.
struct Dist(tempfile::TempDir);

impl Dist {
    /// The one that all tests here share: packing takes a while, and a place of its own.
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Dist> = OnceLock::new();
        SHARED.get_or_init(Self::pack)
    }

    fn pack() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("root");
        must(Command::new(root().join("image/root.sh")).arg(static_binary()).arg(&image));
        let mut pack = Command::new(root().join("release/pack.sh"));
        let tools = root().join("target/tools/cargo-deb/bin");
        assert!(tools.join("cargo-deb").exists(), "cargo-deb is not installed: run make setup");
        let path = std::env::var("PATH").unwrap();
        pack.env("PATH", format!("{}:{path}", tools.display()));
        must(pack.arg(&image).arg(folder.path().join("dist")));
        Self(folder)
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("dist")
    }

    fn with_extension(&self, extension: &str) -> PathBuf {
        let files = std::fs::read_dir(self.folder()).unwrap().map(|file| file.unwrap().path());
        let found: Vec<_> = files.filter(|file| ends_with(file, extension)).collect();
        assert_eq!(found.len(), 1, "{extension}: {found:?}");
        found[0].clone()
    }
}

fn ends_with(file: &Path, extension: &str) -> bool {
    file.to_str().unwrap().ends_with(extension)
}

struct Machine {
    podman: Podman,
}

impl Machine {
    fn boot(dist: &Dist) -> Self {
        let files = root().join("target/tools/machine");
        assert!(files.join("installed").exists(), "no machine is unpacked: run make setup");
        let podman = Podman::new();
        let mut run = podman.command();
        run.args(["run", "--detach", "--name", "host", "--hostname", "host"]);
        run.args(["--systemd=always", "--privileged", "--network", "none"]);
        run.arg("--volume").arg(format!("{}:/dist:ro", dist.folder().display()));
        run.args(["--rootfs", &format!("{}:O", files.display()), "/sbin/init"]);
        must(&mut run);
        let machine = Self { podman };
        eventually("it has booted", || {
            let state = printed(&machine.run("systemctl is-system-running"));
            ["running", "degraded"].contains(&state.trim()).then_some(())
        });
        // It stands for a host, where a store need not be named.
        machine.must("umount /run/.containerenv && rm /run/.containerenv");
        machine
    }

    fn run(&self, command: &str) -> Output {
        let mut exec = self.podman.command();
        exec.args(["exec", "host", "sh", "-c", command]).output().unwrap()
    }

    #[track_caller]
    fn must(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(output.status.success(), "{command}: {}", printed(&output));
        printed(&output)
    }

    fn leads(&self) {
        eventually("it leads", || self.run("bellwether is-leader").status.success().then_some(()));
    }

    fn property(&self, name: &str) -> String {
        self.must(&format!("systemctl show --property {name} --value bellwether")).trim().to_owned()
    }
}

const INSTALL: &str = "dpkg --install /dist/*.deb";

#[test]
fn the_package_is_installed_started_upgraded_and_removed() {
    let dist = Dist::shared();
    let machine = Machine::boot(dist);
    machine.must(INSTALL);
    // Nothing stands for election before a person has chosen the store.
    assert_eq!(machine.property("UnitFileState"), "disabled");
    assert_eq!(machine.property("ActiveState"), "inactive");
    machine.must("systemctl enable --now bellwether");
    machine.leads();
    let status = machine
        .must("bellwether status --json --store sqlite:///var/lib/private/bellwether/leases.db");
    assert!(status.contains("\"host\""), "the state directory holds the lease: {status}");

    machine.must("echo BELLWETHER_ELECTION=mine >>/etc/bellwether/environment");
    let before = machine.property("MainPID");
    machine.must(INSTALL);
    machine.leads();
    assert_ne!(machine.property("MainPID"), before, "an upgrade restarts what runs");
    let settings = machine.must("cat /etc/bellwether/environment");
    assert!(settings.contains("BELLWETHER_ELECTION=mine"), "and keeps the settings: {settings}");
    let rights = machine.must("stat --format '%a %U' /etc/bellwether/environment");
    assert_eq!(rights.trim(), "640 root", "there may be a password in it");

    machine.must("systemctl stop bellwether");
    assert_eq!(machine.property("Result"), "success", "stopped in time, in order");
    machine.must("systemctl start bellwether && dpkg --purge bellwether");
    machine
        .must("! pidof bellwether && test ! -e /usr/bin/bellwether && test ! -e /etc/bellwether");
}

/// A setting that is wrong does not heal: systemd reports it instead of trying forever.
#[test]
fn a_wrong_setting_is_a_failed_unit_and_the_journal_says_why() {
    let dist = Dist::shared();
    let machine = Machine::boot(dist);
    machine.must(INSTALL);
    machine.must("echo BELLWETHER_LEASE_DURATION=never >>/etc/bellwether/environment");
    machine.run("systemctl start bellwether");
    eventually("it has failed", || (machine.property("ActiveState") == "failed").then_some(()));
    assert_eq!(machine.property("ExecMainStatus"), "64");
    let journal = machine.must("journalctl --sync && journalctl --unit bellwether --output cat");
    assert!(journal.contains("BELLWETHER_LEASE_DURATION"), "{journal}");
}

#[test]
fn the_unit_is_right_and_has_walls() {
    let dist = Dist::shared();
    let machine = Machine::boot(dist);
    machine.must(INSTALL);
    let printed =
        printed(&machine.run("systemd-analyze verify /usr/lib/systemd/system/bellwether.service"));
    // This small machine has no `man`, so its pages cannot be looked up.
    let complaints: Vec<_> = printed
        .lines()
        .filter(|line| line.contains("bellwether") && !line.contains("man "))
        .collect();
    assert!(complaints.is_empty(), "{printed}");
    // From 0, nothing allowed, to 10: a unit without any walls has 9.6.
    machine.must("systemd-analyze security --no-pager --threshold=20 bellwether.service");
}

#[test]
fn the_archive_has_the_program_its_papers_and_what_a_shell_needs() {
    let dist = Dist::shared();
    let folder = tempfile::tempdir().unwrap();
    let archive = dist.with_extension(".tar.gz");
    must(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()));
    let name = archive.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz");
    let inside = folder.path().join(name);
    let version = must(Command::new(inside.join("bellwether")).arg("--version"));
    assert_eq!(version.trim(), concat!("bellwether ", env!("CARGO_PKG_VERSION")));
    for file in [
        "man/bellwether.1",
        "completions/bash",
        "completions/zsh",
        "completions/fish",
        "doc/LICENSE-MIT",
        "doc/LICENSE-APACHE",
        "doc/third-party-licences.txt",
        "doc/sbom.cdx.json",
    ] {
        assert!(inside.join(file).metadata().is_ok_and(|file| file.len() > 100), "{file}");
    }
    dist.with_extension(".cdx.json");

    let copy = folder.path().join("dist");
    must(Command::new("cp").arg("-r").arg(dist.folder()).arg(&copy));
    must(Command::new(root().join("release/sums.sh")).arg(&copy));
    let check = |folder: &Path| {
        let mut command = Command::new("sha256sum");
        command.args(["--check", "--strict", "SHA256SUMS"]).current_dir(folder).output().unwrap()
    };
    let sums = check(&copy);
    assert!(sums.status.success(), "{}", printed(&sums));
    assert_eq!(printed(&sums).matches(": OK").count(), 3, "{}", printed(&sums));
    std::fs::write(copy.join(archive.file_name().unwrap()), "another").unwrap();
    assert!(!check(&copy).status.success(), "a changed file is seen");
}
