//! Instances of `bellwether once`, and what their commands leave behind.

use std::fs;
use std::process::{Child, Command, Stdio};

use support::{Log, Pasture, QUICK, bellwether, eventually, kill};

/// A `bellwether once` of its own, killed when dropped.
pub struct Once {
    child: Child,
    pub log: Log,
}

/// `bellwether once ARGS` on a file of its own; `script` runs in the folder of the database.
pub fn command(pasture: &Pasture, name: &str, args: &[&str], script: &str) -> Command {
    let mut command = bellwether();
    command.args(["once", "--store", &pasture.store(), "--identity", name]).args(QUICK).args(args);
    command.args(["--", "sh", "-c", script]).current_dir(pasture.folder()).stdin(Stdio::null());
    command
}

/// Starts one instance.
pub fn once(pasture: &Pasture, name: &str, args: &[&str], script: &str) -> Once {
    Once::start(command(pasture, name, args, script))
}

impl Once {
    pub fn start(mut command: Command) -> Self {
        Self::of(command.stderr(Stdio::piped()).spawn().unwrap())
    }

    /// One that was started with a pipe.
    pub fn of(mut child: Child) -> Self {
        let log = Log::of(child.stderr.take().unwrap());
        Self { child, log }
    }

    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        self.log.exit_status(&mut self.child).code()
    }

    pub fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    pub fn kill(&mut self) {
        self.signal("KILL");
        self.child.wait().unwrap();
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log:\n{}", self.log.text());
        }
    }
}

/// The lines that the commands wrote to a file.
pub fn lines(pasture: &Pasture, file: &str) -> Vec<String> {
    let text = fs::read_to_string(pasture.folder().join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Starts an instance whose command runs until it is stopped, and waits until it runs.
pub fn runner(pasture: &Pasture, args: &[&str]) -> Once {
    let runner = once(pasture, "a", args, "echo run >> runs; sleep 60");
    eventually("it runs", || (!lines(pasture, "runs").is_empty()).then_some(()));
    runner
}
