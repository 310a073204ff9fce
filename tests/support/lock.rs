//! A store that hangs.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{Pasture, eventually};

/// Stops a process until it receives CONT, by sending it signals. One that is stopped within a write keeps a file
/// locked, and no other could lead: then it continues for a moment.
#[track_caller]
pub fn stop_between_writes(store: &str, signal: impl Fn(&str)) {
    let Some(file) = store.strip_prefix("sqlite://") else { return signal("STOP") };
    eventually("it is stopped between two writes", || {
        signal("STOP");
        // The writes of others are short.
        let mut command = Command::new("sqlite3");
        command.args(["-cmd", ".timeout 2000", file, "BEGIN EXCLUSIVE"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if status.expect("sqlite3 is installed (make setup)").success() {
            return Some(());
        }
        signal("CONT");
        None
    });
}

/// Another process that keeps the database locked, until dropped.
pub struct Lock {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Lock {
    pub fn take(pasture: &Pasture) -> Self {
        let mut command = Command::new("sqlite3");
        command.arg(pasture.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("sqlite3 is installed (make setup)");
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        // A writer may be at work: try until the lock is there.
        let mut answer = String::new();
        while answer.trim() != "locked" {
            answer.clear();
            writeln!(stdin, ".timeout 5000\nBEGIN EXCLUSIVE;\nSELECT 'locked';").unwrap();
            stdout.read_line(&mut answer).unwrap();
        }
        Self { child, stdin: Some(stdin) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}
