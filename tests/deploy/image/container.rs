//! A container, as far as it matters here: the image's files and nothing else, read-only, as the
//! image's user, with what every engine puts in place.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;

use support::image::Image;
use support::{Answer, Log, eventually, get, kill};

/// The image's user.
const USER: u32 = 65532;

/// Where the image has a folder for a volume.
pub const STATE: &str = "/var/lib/bellwether";

/// What failed before the program was started.
const NOT_ENTERED: i32 = 99;

/// Enters a folder in which nothing can be written but the state, as a mount of its own.
const ENTER: &str = r#"
root=$1 state=$2; shift 2
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root" || exit 99
mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" || exit 99
[ -z "$state" ] || mount --bind "$state" "$root/var/lib/bellwether" || exit 99
exec chroot --userspec=65532:65532 "$root" /bellwether "$@"
"#;

/// The file system of one container, and its settings.
pub struct Files {
    root: tempfile::TempDir,
    volume: Option<PathBuf>,
    env: Vec<(String, String)>,
}

impl Files {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let image = Image::shared();
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(image.files().join(".")).arg(root.path());
        assert!(copy.status().unwrap().success());
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["proc", "dev", "etc"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let settings = image.settings();
        let pair = |entry: &Value| {
            let (name, value) = entry.as_str().unwrap().split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        let env = settings["config"]["Env"].as_array().unwrap().iter().map(pair).collect();
        let files = Self { root, volume: None, env };
        files.write("etc/hosts", "127.0.0.1 localhost\n");
        files
    }

    /// Puts a file in place, as an engine does with a mount.
    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.root.path().join(path), text).unwrap();
    }

    /// Mounts a folder as a volume where the state is.
    pub fn with_volume(mut self, folder: &Path) -> Self {
        chown(folder, Some(USER), Some(USER)).unwrap();
        self.volume = Some(folder.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", ENTER, "sh"]).arg(self.root.path());
        command.arg(self.volume.as_deref().unwrap_or(Path::new(""))).args(words);
        // The home of a user without a name, as engines have it.
        command.env_clear().env("HOME", "/").envs(self.env.iter().cloned());
        // For what is run before the program.
        command.env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        assert_ne!(output.status.code(), Some(NOT_ENTERED), "are you root? {output:?}");
        output
    }

    /// Starts the image's own command with more words.
    pub fn serve(&self, words: &[&str]) -> Container {
        let own = ["serve", "--log-format", "json", "--listen", "127.0.0.1:0"];
        let mut command = self.command(&own);
        let mut child = command.args(words).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let url = eventually("the container says where it answers", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the container exited with {status}: {}", log.text());
            }
            log.address()
        });
        Container { child, log, url }
    }
}

/// A running container.
pub struct Container {
    child: Child,
    log: Log,
    pub url: String,
}

impl Container {
    pub fn leader(&self) -> Answer {
        get(&format!("{}/leader", self.url)).expect("the container answers")
    }

    pub fn leads(&self) {
        eventually("it leads", || self.leader().leads().then_some(()));
    }

    /// Its resident memory, at most so far, in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Ends it as an engine does.
    pub fn stop(mut self) -> ExitStatus {
        kill("TERM", self.child.id());
        self.log.exit_status(&mut self.child)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the container:\n{}", self.log.text());
        }
    }
}
