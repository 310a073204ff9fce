//! One test's folder, commands and processes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use bellwether::command::group::{Ended, Group};
use bellwether::command::plan::Deadlines;
use bellwether::command::spec::CommandSpec;
use bellwether::election::time::{BootTime, Clock};
use bellwether::time::clock::HostClock;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::command::driver::process;

/// Far more than anything here takes on a busy machine: reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// The variable by which a scene's processes are found.
pub const SCENE: &str = "BW_TEST_SCENE";

/// A shell function that witnesses the life of its process in `$DIR/beats`.
const PRELUDE: &str = r#"
beat() { while :; do read up idle < /proc/uptime; echo "$1 $up" >> "$DIR/beats"; sleep 0.02; done; }
"#;

/// Ignores everything it can, forks, nests, and leaves its group and session.
const STUBBORN_SCRIPT: &str = r#"
    trap '' TERM INT HUP
    beat grandchild &
    ( ( beat nested & ) )
    setsid sh -c ". $DIR/prelude; beat daemon" &
    beat command
"#;

/// The names under which a stubborn command gives signs of life.
pub const STUBBORN: [&str; 4] = ["grandchild", "nested", "daemon", "command"];

pub struct Scene {
    folder: TempDir,
}

pub fn now() -> BootTime {
    HostClock.now().boot
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Deadlines that no test reaches.
pub fn far() -> Deadlines {
    Deadlines { stop_at: now() + ms(3_600_000), kill_at: now() + ms(3_600_000) }
}

impl Scene {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("prelude"), PRELUDE).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What was written to a file, or nothing.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn program(&self, program: impl AsRef<OsStr>, args: &[&str]) -> CommandSpec {
        CommandSpec::new(program.as_ref(), args)
            .env("DIR", self.folder.path())
            .env(SCENE, self.folder.path())
            .guarded_by(env!("CARGO_BIN_EXE_bellwether"))
    }

    pub fn script(&self, script: &str) -> CommandSpec {
        self.program("sh", &["-c", &format!("{PRELUDE}{script}")])
    }

    pub fn start(&self, script: &str, deadlines: Deadlines) -> Group {
        Group::start(&self.script(script), deadlines).unwrap()
    }

    /// A command that does all it can to outlive its deadlines. All parts of it run.
    pub fn start_stubborn(&self, deadlines: Deadlines) -> Group {
        let group = self.start(STUBBORN_SCRIPT, deadlines);
        self.await_beats(&STUBBORN);
        group
    }

    /// The same under another main.
    pub fn stubborn_main(&self, stop_ms: u64, kill_ms: u64) -> Child {
        let main = self.main_process(STUBBORN_SCRIPT, stop_ms, kill_ms).spawn().unwrap();
        self.await_beats(&STUBBORN);
        main
    }

    /// Another process that is main to the script, in the scene, too.
    pub fn main_process(&self, script: &str, stop_ms: u64, kill_ms: u64) -> Command {
        let mut main = process("driver::main_process");
        main.env("BW_TEST_SCRIPT", format!("{PRELUDE}{script}"))
            .env("BW_TEST_DEADLINES", format!("{stop_ms} {kill_ms}"))
            .env("DIR", self.folder.path())
            .env(SCENE, self.folder.path());
        main
    }

    /// Living processes of the scene, the guards and other mains included.
    pub fn living(&self) -> Vec<Pid> {
        let mut entry = OsString::from(format!("{SCENE}="));
        entry.push(self.folder.path());
        let marked = |pid: &Pid| {
            let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_pid()));
            let environment = environment.unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|found| found == entry.as_encoded_bytes())
        };
        all_processes().into_iter().filter(marked).collect()
    }

    /// Living processes of the command.
    pub fn workers(&self) -> Vec<Pid> {
        let mains = ["bw-guard", env!("CARGO_CRATE_NAME")];
        let is_main = |pid: &Pid| mains.iter().any(|main| comm(*pid).starts_with(main));
        self.living().into_iter().filter(|pid| !is_main(pid)).collect()
    }

    /// The one guard, once it has its name.
    pub fn guard(&self) -> Pid {
        eventually("a guard", || self.living().into_iter().find(|pid| comm(*pid) == "bw-guard"))
    }

    /// Waits for all these to have given a sign of life.
    pub fn await_beats(&self, names: &[&str]) {
        for name in names {
            eventually(name, || self.last_beat(name));
        }
    }

    pub fn last_beat(&self, name: &str) -> Option<BootTime> {
        let beats = self.read("beats");
        // The last line may be half written.
        let lines = beats.rsplit_once('\n')?.0.lines();
        let mut times = lines.filter_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        times.next_back().map(|seconds| BootTime::from_duration(Duration::from_secs_f64(seconds)))
    }
}

impl Drop for Scene {
    /// A failed test leaves nothing running either.
    fn drop(&mut self) {
        kill_all(self.living(), Signal::KILL);
    }
}

/// Waits until the guard has reported that all is gone.
pub async fn end_of(group: &mut Group) -> Ended {
    tokio::time::timeout(PATIENCE, group.ended()).await.expect("waited in vain for the end")
}

pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < until, "waited in vain for {what}");
        std::thread::sleep(ms(5));
    }
}

pub fn eventually_true(what: &str, mut look: impl FnMut() -> bool) {
    eventually(what, || look().then_some(()));
}

pub fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap()).unwrap()
}

pub fn kill(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap();
}

/// Signals what is there; some may have ended since they were listed.
pub fn kill_all(pids: Vec<Pid>, signal: Signal) {
    for pid in pids {
        let _ = kill_process(pid, signal);
    }
}

pub fn comm(pid: Pid) -> String {
    let comm = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_pid())).unwrap_or_default();
    comm.trim_end().to_owned()
}

/// State and parent, as in `/proc/PID/stat`.
pub fn state(pid: Pid) -> Option<(String, i32)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

pub fn zombies_of(parent: Pid) -> usize {
    let zombie = Some(("Z".to_owned(), parent.as_raw_pid()));
    all_processes().into_iter().filter(|pid| state(*pid) == zombie).count()
}

fn all_processes() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}
