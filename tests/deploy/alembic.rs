//! What docs/once.md says of Alembic, with Alembic itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use support::bellwether;

/// The command and the check that the page names.
fn documented() -> (String, String) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/once.md");
    let page = fs::read_to_string(page).unwrap();
    let row = page.lines().find(|line| line.starts_with("| Alembic | ")).unwrap().to_owned();
    let mut quoted = row.split('`').skip(1).step_by(2).map(str::to_owned);
    (quoted.next().unwrap(), quoted.next().unwrap())
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/alembic/bin")
}

fn in_folder(mut command: Command, folder: &Path) -> Command {
    let path = format!("{}:{}", tools().display(), std::env::var("PATH").unwrap());
    command.current_dir(folder).env("PATH", path).stdin(Stdio::null());
    command
}

/// `alembic ARGS`, with success or without.
fn alembic(folder: &Path, args: &str) -> Output {
    let mut command = in_folder(Command::new(tools().join("alembic")), folder);
    command.args(args.split(' ')).output().expect("alembic is installed (make setup)")
}

/// A project with one migration, and an empty database.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert!(alembic(folder.path(), "init migrations").status.success());
    let file = folder.path().join("alembic.ini");
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| match line.starts_with("sqlalchemy.url") {
        true => "sqlalchemy.url = sqlite:///app.db",
        false => line,
    });
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    assert!(alembic(folder.path(), "revision -m one").status.success());
    folder
}

#[test]
fn three_at_once_upgrade_once_and_a_restored_database_is_upgraded_again() {
    let ((upgrade, check), folder) = (documented(), project());
    let store = format!("sqlite://{}/leases.db", folder.path().display());
    let once = |args: &[&str], words: &str| -> Child {
        let mut command = in_folder(bellwether(), folder.path());
        command.args(["once", "--store", &store]).args(args).arg("--").args(words.split(' '));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let ended = |child: Child| {
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let printed = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{printed}");
        printed.matches("Running upgrade").count()
    };
    let key = ["--key", "release", "--check", &check];
    let all = || [(); 3].map(|()| once(&key, &upgrade)).map(ended).iter().sum::<usize>();
    assert_eq!(all(), 1);
    assert_eq!(all(), 0, "it is done");
    fs::remove_file(folder.path().join("app.db")).unwrap();
    assert_eq!(all(), 1, "it was done to another database");
    ended(once(&["--revert", "release"], "alembic downgrade base"));
    assert!(!alembic(folder.path(), "current --check-heads").status.success());
    assert_eq!(all(), 1, "it was taken back");
}
