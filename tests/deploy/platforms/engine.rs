//! Images for a real engine, without a registry: the names that the files of deploy/ give them, and in
//! them the static program and a static shell.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::platforms::podman::Podman;
use crate::platforms::tools::{must, root, tool};
use support::now;
use support::static_binary::static_binary;

/// An engine that has the images of bellwether and of busybox, and answers to Docker Compose.
pub struct Engine {
    pub podman: Podman,
    address: String,
    folder: tempfile::TempDir,
}

impl Engine {
    pub fn new() -> Self {
        let mut podman = Podman::new();
        let address = podman.serve();
        let engine = Self { podman, address, folder: tempfile::tempdir().unwrap() };
        let context = |name: &str| {
            let context = engine.folder.path().join(name);
            fs::create_dir(&context).unwrap();
            context
        };
        let (shell, program) = (context("busybox"), context("bellwether"));
        fs::copy(root().join("target/tools/machine/bin/busybox"), shell.join("busybox")).unwrap();
        let text = "FROM scratch\nCOPY busybox /bin/busybox\n\
                    RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
                    RUN [\"/bin/busybox\", \"mkdir\", \"-m\", \"1777\", \"/tmp\"]\n";
        fs::write(shell.join("Dockerfile"), text).unwrap();
        engine.build("busybox:1.37", &shell, &[]);
        fs::copy(static_binary(), engine.program()).unwrap();
        // As the last stage of the Dockerfile has it, which tests/image builds.
        let text = "FROM scratch\nCOPY --chmod=755 bellwether /bellwether\nENV container=oci\n\
                    USER 65532:65532\nENTRYPOINT [\"/bellwether\"]\nCMD [\"serve\"]\n";
        fs::write(program.join("Dockerfile"), text).unwrap();
        engine.build("bellwether:0.1.0", &program, &[]);
        engine
    }

    /// The program that is in the image.
    pub fn program(&self) -> PathBuf {
        self.folder.path().join("bellwether/bellwether")
    }

    /// `docker build`, with the name as an engine completes it.
    pub fn build(&self, name: &str, context: &Path, args: &[&str]) {
        let mut build = self.podman.command();
        build.args(["build", "--quiet", "--isolation", "chroot", "--pull=never"]);
        build.args(["--tag", &format!("docker.io/library/{name}")]);
        for arg in args {
            build.args(["--build-arg", arg]);
        }
        must(build.arg(context));
    }

    /// A project of Compose, as Compose itself writes it in full: the engine does not know the short
    /// way of writing a volume.
    ///
    /// No two projects have one name: the engines share the networks of this host, and Compose names a
    /// network after its project, so the end of one would remove the network of the other.
    pub fn project(&self, file: &Path, env: &[(&str, &str)]) -> Project<'_> {
        static PROJECTS: AtomicU32 = AtomicU32::new(0);
        let number = PROJECTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{}-{number}", std::process::id());
        let mut config = self.compose();
        config.args(["--project-name", &name]).arg("-f").arg(file);
        config.arg("config").envs(env.iter().copied());
        let whole = self.folder.path().join(format!("{name}.yaml"));
        fs::write(&whole, must(&mut config)).unwrap();
        Project { engine: self, file: whole.display().to_string() }
    }

    fn check_healths(&self) {
        let starting = ["ps", "--quiet", "--filter", "health=starting"];
        for container in must(self.podman.command().args(starting)).lines() {
            // It may have ended since.
            let _ = self.podman.command().args(["healthcheck", "run", container]).output();
        }
    }

    fn compose(&self) -> Command {
        let mut compose = tool("docker-compose");
        compose.env("DOCKER_HOST", &self.address);
        compose
    }
}

/// A machine that builds other things meanwhile takes a minute for what takes seconds.
const UP: Duration = Duration::from_secs(240);

pub struct Project<'a> {
    engine: &'a Engine,
    file: String,
}

impl Project<'_> {
    /// `docker compose WORDS`.
    pub fn compose(&self, words: &[&str]) -> Command {
        let mut compose = self.engine.compose();
        compose.args(["-f", &self.file]).args(words);
        compose
    }

    /// `docker compose up --detach WORDS`. The engine leaves the health checks to timers of systemd,
    /// which are not here.
    pub fn up(&self, words: &[&str]) {
        let mut up = self.compose(&[&["up", "--detach"], words].concat());
        let log = self.engine.folder.path().join("up.log");
        up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let mut up = up.spawn().unwrap();
        let give_up = now() + UP;
        let status = loop {
            if let Some(status) = up.try_wait().unwrap() {
                break status;
            }
            if now() > give_up {
                let _ = up.kill();
                panic!("not up within {UP:?}: {}", fs::read_to_string(log).unwrap());
            }
            self.engine.check_healths();
            std::thread::sleep(Duration::from_millis(200));
        };
        assert!(status.success(), "{}", fs::read_to_string(log).unwrap());
    }

    /// What all containers of a service have printed.
    pub fn logs(&self, service: &str) -> String {
        must(&mut self.compose(&["logs", "--no-color", "--no-log-prefix", service]))
    }

    /// The name and the exit code of each container of the project.
    pub fn exit_codes(&self) -> Vec<(String, i64)> {
        let mut ps = self.engine.podman.command();
        ps.args(["ps", "--all", "--format", "{{.Names}} {{.ExitCode}}"]);
        let text = must(&mut ps);
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        lines.map(|(name, code)| (name.to_owned(), code.parse().unwrap())).collect()
    }
}

impl Drop for Project<'_> {
    /// A test that passes has ended it. The network outlives the engine.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.engine.podman.print_logs();
            let _ = self.compose(&["down", "--volumes", "--timeout", "0"]).output();
        }
    }
}
