//! A user who may have no more threads: commands that need none work, and the others end with what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use crate::drill::run::under;
use support::{Pasture, bellwether};

/// A user that no other process has, so that the limit counts only this one.
fn alone(args: &[&str]) -> Output {
    let user = format!("{}", 1_000_000_000 + std::process::id());
    let limit = ["prlimit", "--nproc=1"];
    let user = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"];
    let mut command = bellwether();
    command.args(args).current_dir("/");
    under(&[&limit[..], &user[..]].concat(), &command).output().unwrap()
}

#[test]
fn without_a_thread_a_command_says_what_to_do_and_a_question_is_answered() {
    assert!(rustix::process::geteuid().is_root(), "this test becomes another user");
    let pasture = Pasture::new();
    fs::set_permissions(pasture.folder(), fs::Permissions::from_mode(0o777)).unwrap();
    let store = pasture.store();
    for args in [
        &["serve", "--listen", "127.0.0.1:0", "--store", &store][..],
        &["run", "--store", &store, "--", "true"],
        &["once", "--store", &store, "--key", "k", "--", "true"],
        &["status", "--store", &store],
    ] {
        let output = alone(args);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{args:?}: {printed}");
        assert!(printed.contains("cannot start a thread"), "{printed}");
        assert!(printed.contains("TasksMax"), "{printed}");
        assert!(!pasture.path().exists(), "nothing was opened");
    }
    let nowhere = ["--sidecar", "http://127.0.0.1:1"];
    for (command, code) in [("is-leader", 75), ("healthcheck", 1)] {
        let output = alone(&[&[command], &nowhere[..]].concat());
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{command}: {printed}");
        assert!(printed.contains("no sidecar responds"), "{printed}");
    }
}
