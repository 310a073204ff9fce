//! A small file system of a test's own, to be filled up or made read-only without harm to others; and what is
//! mounted at a second place.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, mounted until dropped.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one of this size over a folder.
    pub fn over(folder: &Path, size: &str) -> Self {
        let disk = Self(folder.to_owned());
        disk.mount(&format!("size={size}"));
        disk
    }

    /// Mounts another one over it, with these options.
    pub fn mount(&self, options: &str) {
        self.run(&["-t", "tmpfs", "-o", options, "bellwether-test"]);
    }

    /// Makes room.
    pub fn enlarge(&self, size: &str) {
        self.run(&["-o", &format!("remount,size={size}")]);
    }

    /// Makes it read-only for every user.
    pub fn make_read_only(&self) {
        self.run(&["-o", "remount,ro"]);
    }

    fn run(&self, options: &[&str]) {
        let mut mount = Command::new("mount");
        let done = mount.args(options).arg(&self.0).status().expect("mount runs").success();
        assert!(done, "{mount:?}: these tests run as root");
    }

    /// Takes the last one away again.
    pub fn unmount(&self) {
        assert!(Command::new("umount").arg(&self.0).status().expect("umount runs").success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A file or folder that is mounted at another place too, as in a container, until dropped.
pub struct Bind(PathBuf);

impl Bind {
    /// Mounts `source` at `place`, which exists.
    pub fn of(source: &Path, place: &Path) -> Self {
        let mut mount = Command::new("mount");
        let mount = mount.arg("--bind").args([source, place]);
        assert!(mount.status().expect("mount runs").success(), "these tests run as root");
        Self(place.to_owned())
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
