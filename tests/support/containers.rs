//! Containers of one pod, task or host as processes, started and stopped in the order in which
//! their platform does it.
//!
//! Each is the first process of a PID namespace, as in a container: there a signal without a
//! handler does nothing, and whatever is left of the container dies with it. All of them share the
//! host's boot clock, as the containers of a host do.

use std::ffi::OsString;
use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bellwether::election::time::BootTime;

use super::{LIMIT, Log, eventually, handles_sigterm, kill, now};

/// How one container is run.
#[derive(Clone, Debug)]
pub struct Container {
    pub name: String,
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    /// What it depends on: it is started after that, and stopped before it.
    pub after: Vec<(String, When)>,
    /// Exits with 0 if it is healthy.
    pub health: Option<Vec<String>>,
    /// How long it may take to end after SIGTERM, before it is killed.
    pub stop_timeout: Duration,
}

/// What is awaited of another container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Started,
    Healthy,
    /// It has ended with exit code 0.
    Succeeded,
}

/// How a container ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// When it was sent SIGTERM.
    pub signalled: BootTime,
    pub ended: BootTime,
    /// Its own, unless it was killed.
    pub status: ExitStatus,
    /// Whether it took too long.
    pub killed: bool,
}

/// Containers that belong together, killed when dropped.
pub struct Pod {
    running: Vec<Running>,
    waiting: Vec<Container>,
}

/// A container that was started.
pub struct Running {
    container: Container,
    started: BootTime,
    /// `unshare`, which ends as its child does.
    child: Child,
    log: Log,
    output: Log,
}

impl Pod {
    /// Starts each container as soon as what it depends on is as it has to be. Returns when all
    /// are started.
    ///
    /// # Errors
    ///
    /// The name of a container that was to succeed and has failed: then those that depend on it
    /// are never started.
    pub fn start(containers: Vec<Container>) -> Result<Self, Box<(String, Self)>> {
        let mut pod = Self { running: Vec::new(), waiting: containers };
        let give_up = now() + LIMIT;
        while !pod.waiting.is_empty() {
            assert!(now() < give_up, "not started within {LIMIT:?}: {:?}", pod.waiting);
            let ready = (0..pod.waiting.len()).find(|at| pod.is_ready(*at));
            if let Some(at) = ready {
                let container = pod.waiting.remove(at);
                pod.running.push(Running::start(container));
            } else if let Some(failed) = pod.failed() {
                return Err(Box::new((failed, pod)));
            } else {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(pod)
    }

    fn is_ready(&mut self, at: usize) -> bool {
        let after = self.waiting[at].after.clone();
        after.iter().all(|(name, when)| {
            let other = self.running.iter_mut().find(|other| other.container.name == *name);
            other.is_some_and(|other| match when {
                When::Started => true,
                When::Healthy => other.is_healthy(),
                When::Succeeded => other.ended().is_some_and(|status| status.success()),
            })
        })
    }

    /// A container that another one waits for in vain.
    fn failed(&mut self) -> Option<String> {
        let awaited = self.waiting.iter().flat_map(|container| &container.after);
        let awaited: Vec<_> =
            awaited.filter(|(_, when)| *when == When::Succeeded).map(|(n, _)| n.clone()).collect();
        let mut running = self.running.iter_mut().filter(|c| awaited.contains(&c.container.name));
        running.find_map(|running| {
            let status = running.ended()?;
            (!status.success()).then(|| running.container.name.clone())
        })
    }

    #[track_caller]
    pub fn container(&mut self, name: &str) -> &mut Running {
        let found = self.running.iter_mut().find(|running| running.container.name == name);
        found.unwrap_or_else(|| panic!("no container '{name}' was started"))
    }

    /// The first process of a container, as this host numbers it.
    #[track_caller]
    pub fn pid(&self, name: &str) -> u32 {
        let found = self.running.iter().find(|running| running.container.name == name);
        let first = found.and_then(Running::first);
        first.unwrap_or_else(|| panic!("the container '{name}' does not run"))
    }

    /// Stops every container before those it depends on: SIGTERM, and SIGKILL if it has not ended
    /// in time.
    pub fn stop(mut self) -> Vec<(String, End)> {
        let mut ends = Vec::new();
        self.running.retain_mut(|running| running.ended().is_none());
        while !self.running.is_empty() {
            let needed: Vec<_> =
                self.running.iter().flat_map(|r| r.container.after.iter().cloned()).collect();
            let is_needed = |r: &Running| needed.iter().any(|(name, _)| *name == r.container.name);
            let (stay, mut leave): (Vec<_>, Vec<_>) = self.running.drain(..).partition(is_needed);
            self.running = stay;
            assert!(!leave.is_empty(), "they depend on each other in a circle");
            leave.iter().for_each(Running::has_begun);
            let signalled = now();
            leave.iter().for_each(|running| running.signal("TERM"));
            for running in &mut leave {
                let end = running.end_by(signalled);
                ends.push((running.container.name.clone(), end));
            }
        }
        ends
    }

    /// The host is gone, with everything on it.
    pub fn kill(mut self) {
        self.running.iter_mut().for_each(Running::kill);
    }
}

impl Running {
    fn start(container: Container) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]);
        command.args(&container.command).env_clear().env("PATH", path());
        command.envs(container.env.clone()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("unshare runs: these tests run as root");
        let log = Log::of(child.stderr.take().expect("stderr is piped"));
        let output = Log::of(child.stdout.take().expect("stdout is piped"));
        Self { container, started: now(), child, log, output }
    }

    /// Its standard output.
    pub fn output(&self) -> &Log {
        &self.output
    }

    /// Its standard error.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Whether its health check succeeds now.
    pub fn is_healthy(&mut self) -> bool {
        let Some(health) = &self.container.health else {
            panic!("{} has no health check", self.container.name)
        };
        let mut check = Command::new(&health[0]);
        check.args(&health[1..]).env_clear().envs(self.container.env.clone());
        let output = check.stdin(Stdio::null()).output().expect("the health check runs");
        output.status.success()
    }

    /// Waits until the first process handles SIGTERM. Before that, the kernel drops the signal, and
    /// the container would run until it is killed. A program that never handles it had its time.
    fn has_begun(&self) {
        let patience = self.started + TIME_TO_BEGIN;
        while !self.first().is_some_and(handles_sigterm) && now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal to the container's first process.
    pub fn signal(&self, name: &str) {
        // None, if it has just ended.
        if let Some(first) = self.first() {
            kill(name, first);
        }
    }

    fn first(&self) -> Option<u32> {
        let unshare = self.child.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        let children = children.unwrap_or_default();
        children.split_whitespace().next().map(|first| first.parse().expect("a process id"))
    }

    fn end_by(&mut self, signalled: BootTime) -> End {
        let patience = signalled + self.container.stop_timeout;
        let mut ended = self.ended();
        while ended.is_none() && now() < patience {
            std::thread::sleep(Duration::from_millis(5));
            ended = self.ended();
        }
        let killed = ended.is_none();
        let status = ended.unwrap_or_else(|| {
            self.signal("KILL");
            eventually("it is gone", || self.ended())
        });
        let ended = now();
        self.log.catch_up();
        self.output.catch_up();
        End { signalled, ended, status, killed }
    }

    fn kill(&mut self) {
        let first = self.first();
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The kernel kills what it held a moment later. Its ports are free only then.
        // No command line: it is gone, or waits for its parent without any file.
        let gone =
            |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty();
        let patience = now() + LIMIT;
        while !first.as_ref().is_none_or(gone) && now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Far longer than a shell needs to its first line, also on a busy machine.
const TIME_TO_BEGIN: Duration = Duration::from_secs(5);

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.container.name, self.log.text());
        }
    }
}

fn path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// An address of the host's own for one pod, in whose network namespace it would be 127.0.0.1.
pub fn loopback() -> String {
    static GIVEN: AtomicU8 = AtomicU8::new(1);
    let pod = GIVEN.fetch_add(1, Ordering::Relaxed);
    assert!(pod < u8::MAX, "no address is left");
    // Test programs may run beside each other: the process makes the difference.
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{low}.{pod}", high | 0x80)
}
