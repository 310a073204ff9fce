//! A terminal of one's own: a real pseudoterminal, with the program as the leader of its session.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};

use super::eventually;

/// Starts `sys.argv[2:]` on a new terminal with standard error in the file `sys.argv[1]`, types its
/// input, shows nothing, and closes the terminal when the input ends. Exits as the program did.
const SCRIPT: &str = r#"
import os, pty, select, sys
child, terminal = pty.fork()
if child == 0:
    os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 2)
    os.execvp(sys.argv[2], sys.argv[2:])
while True:
    ready, _, _ = select.select([0, terminal], [], [])
    try:
        if terminal in ready and not os.read(terminal, 1024): break
        if 0 in ready:
            typed = os.read(0, 1024)
            if not typed: break
            os.write(terminal, typed)
    except OSError: break  # its last user is gone
os.close(terminal)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
os._exit(code if code >= 0 else 128 - code)
"#;

/// Runs `sys.argv[1:]` on a new terminal, prints what the terminal shows, and exits as the program did.
const SHOW: &str = r#"
import os, pty, sys
child, terminal = pty.fork()
if child == 0: os.execvp(sys.argv[1], sys.argv[1:])
while True:
    try: shown = os.read(terminal, 65536)
    except OSError: break  # its last user is gone
    if not shown: break
    os.write(1, shown)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
os._exit(code if code >= 0 else 128 - code)
"#;

/// What a program shows on a terminal, with its own arguments and environment, until it ends on its own.
pub fn shown(program: &Command) -> Output {
    on_terminal(SHOW, &[], program).output().expect("python3 is installed")
}

pub(crate) fn on_terminal(script: &str, args: &[&Path], program: &Command) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", script]).args(args).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(program.get_current_dir().unwrap_or(Path::new(".")));
    command
}

/// A program on a terminal.
pub struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
}

impl Terminal {
    /// Starts a program, with its own arguments and environment. What it logs is in a file.
    pub fn start(program: &Command, log: &Path) -> Self {
        let mut command = on_terminal(SCRIPT, &[log], program);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("python3 is installed");
        let keys = child.stdin.take();
        Self { child, keys }
    }

    /// Types.
    pub fn types(&mut self, keys: &str) {
        self.keys.as_mut().expect("it is open").write_all(keys.as_bytes()).expect("it takes keys");
    }

    /// Closes the window, as a person does, or a connection that breaks.
    pub fn close(&mut self) {
        self.keys = None;
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the program on the terminal ends", || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.close();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
