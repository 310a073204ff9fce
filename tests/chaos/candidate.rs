//! One candidate: a sidecar with its command, which comes back after each end.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bellwether::election::time::BootTime;
use support::ports::free_port;
use support::{kill, now};

use crate::arena::Arena;
use crate::history::History;
use crate::worker;

/// A busy machine is late by a second at times: there are two between the renew deadline and the
/// end of the lease.
const TIMING: [&str; 6] =
    ["--lease-duration", "6s", "--renew-deadline", "4s", "--retry-period", "500ms"];

pub struct Candidate {
    pub name: String,
    port: u16,
    runs_command: bool,
    /// Read by libfaketime: by how much the wall clock of this candidate is off.
    clock: PathBuf,
    history: Arc<History>,
    child: Option<Child>,
    pub comes_back: BootTime,
    pub continues_at: Option<BootTime>,
}

impl Candidate {
    pub fn new(number: usize, history: &Arc<History>) -> Self {
        let name = format!("c{number}");
        let clock = history.folder().join(format!("clock-{name}"));
        std::fs::write(&clock, "+0\n").unwrap();
        Self {
            name,
            port: free_port(),
            // Half of them run a command; `only` queries the others.
            runs_command: number.is_multiple_of(2),
            clock,
            history: Arc::clone(history),
            child: None,
            comes_back: BootTime::ZERO,
            continues_at: None,
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn runs_command(&self) -> bool {
        self.runs_command
    }

    pub fn is_up(&self) -> bool {
        self.child.is_some()
    }

    pub fn start(&mut self, arena: &Arena) {
        let mut command = (arena.program)();
        let kind = if self.runs_command { "run" } else { "serve" };
        command.args([kind, "--store", &arena.store, "--election", "chaos"]);
        command.args(["--identity", &self.name, "--listen", &format!("127.0.0.1:{}", self.port)]);
        command.args(TIMING).args(arena.more);
        support::faketime::shift(&mut command, &self.clock);
        command.env(worker::FOLDER, self.history.folder());
        if self.runs_command {
            command.arg("--").args(work());
        }
        let log = self.history.folder().join(format!("log-{}", self.name));
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("bellwether starts"));
    }

    /// `only` beside it, with a command that makes a few writes.
    pub fn only(&self) -> Command {
        let mut command = support::bellwether();
        command.args(["only", "--sidecar", &self.url(), "--request-timeout", "5s", "--"]);
        command.args(work()).env(worker::FOLDER, self.history.folder()).env(worker::WRITES, "20");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            kill(name, child.id());
        }
    }

    /// Ends the sidecar, as the kernel does when memory is short; the guard ends the command.
    pub fn crash(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.continues_at = None;
    }

    /// Ends everything, as a host that fails does.
    pub fn lose_host(&mut self) {
        for pid in self.processes() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        self.crash();
    }

    /// Stops everything until a time, as the hibernation of a host does.
    pub fn freeze(&mut self, until: BootTime) {
        let (at, processes) = (now(), self.processes());
        for pid in &processes {
            self.history.freezes(*pid, at);
        }
        self.signal_all(&processes, "-STOP");
        self.continues_at = Some(until);
    }

    /// Lets a stopped process continue.
    pub fn thaw(&mut self) {
        self.continues_at = None;
        self.signal_all(&self.processes(), "-CONT");
    }

    fn signal_all(&self, processes: &[u32], signal: &str) {
        for pid in processes {
            // It may be gone by now.
            let _ = Command::new("kill")
                .args([signal, &pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
    }

    pub fn shift_clock(&self, seconds: i64) {
        std::fs::write(&self.clock, format!("{seconds:+}\n")).unwrap();
    }

    /// Notes an end of its own, after SIGTERM. Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
        if ended {
            self.child = None;
            self.continues_at = None;
        }
        ended
    }

    /// The sidecar, and all that descends from it.
    fn processes(&self) -> Vec<u32> {
        let Some(child) = &self.child else { return Vec::new() };
        let mut found = vec![child.id()];
        let mut next = 0;
        while let Some(pid) = found.get(next) {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let children = children.unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            next += 1;
        }
        found
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        self.thaw();
        self.lose_host();
    }
}

/// The command. libfaketime is not for it: its times have to be true.
fn work() -> [String; 5] {
    let own = std::env::current_exe().expect("the path of this program");
    let own = own.to_str().expect("a path in UTF-8").to_owned();
    ["env", "-u", "LD_PRELOAD", &own, worker::ARGUMENT].map(str::to_owned)
}
