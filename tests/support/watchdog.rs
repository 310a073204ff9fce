//! What has to be done also if this process ends early: by Ctrl-C, or by `kill -9`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A shell that runs a script when this is dropped, or when this process ends: it reads from a pipe that then closes.
pub struct Watchdog(Child);

impl Watchdog {
    /// The script has these arguments.
    pub fn new(script: &str, arguments: &[&str]) -> Self {
        // Ctrl-C, and the end of a terminal, reach this shell too.
        let script = format!("trap '' HUP INT QUIT TERM; read _; {script}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("sh starts"))
    }

    /// Kills every process that has this variable in its environment, also one that is stopped. The environment says
    /// whose process it is; a process id may belong to another process by then.
    pub fn kills_all_with(variable: &str, value: &Path) -> Self {
        // Three times: one of them may just have started another.
        let script = "for _ in 1 2 3; do grep -lsxzF \"$1\" /proc/[0-9]*/environ | cut -d/ -f3 | xargs -r kill -KILL; \
                      sleep 0.1; done";
        Self::new(script, &[&format!("{variable}={}", value.display())])
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
