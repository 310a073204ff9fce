//! A name that moves: a hosts file of the test's own, which replaces the machine's in a mount
//! namespace.

use std::fs;
use std::path::Path;
use std::process::Command;

use support::bellwether;

/// The file; what is in it can be changed while processes run.
pub struct Hosts {
    file: tempfile::NamedTempFile,
}

impl Hosts {
    /// A file in which `name` has these addresses.
    pub fn with(name: &str, addresses: &[&str]) -> Self {
        let hosts = Self { file: tempfile::NamedTempFile::new().unwrap() };
        hosts.set(name, addresses);
        hosts
    }

    /// Gives the name other addresses.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        let lines: String = addresses.iter().map(|a| format!("{a} {name}\n")).collect();
        // Written in place: the file is mounted.
        fs::write(self.file.path(), format!("127.0.0.1 localhost\n{lines}")).unwrap();
    }

    /// A `bellwether` that resolves names by this file. Needs root, as mounting does.
    pub fn bellwether(&self) -> Command {
        let script = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
        let plain = bellwether();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(self.file.path());
        command.arg(Path::new(plain.get_program())).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}
