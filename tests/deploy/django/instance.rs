//! One of the instances that are started together.

use std::process::{Child, Command, Stdio};

use support::{Log, eventually};

/// A process whose output is kept. Killed when dropped.
pub struct Instance {
    name: &'static str,
    child: Child,
    /// Standard output: Django's.
    pub output: Log,
    /// Standard error: bellwether's log, or Django's complaints.
    pub log: Log,
}

impl Instance {
    pub fn start(name: &'static str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = Log::of(child.stdout.take().unwrap());
        let log = Log::of(child.stderr.take().unwrap());
        Self { name, child, output, log }
    }

    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        let what = format!("{} exits", self.name);
        let code = eventually(&what, || self.child.try_wait().unwrap()).code();
        for log in [&self.output, &self.log] {
            eventually("all that it printed is read", || log.has_ended().then_some(()));
        }
        code
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}\n{}", self.name, self.output.text(), self.log.text());
        }
    }
}
