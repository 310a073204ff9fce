//! A store that hangs.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::Pasture;

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
