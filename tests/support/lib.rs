//! What several test programs need: real processes, real servers, and the tools of others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::new_without_default,
    reason = "tests fail by panicking, and what is new here is a server or a folder"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use bellwether::election::time::{BootTime, Clock};
use bellwether::time::clock::HostClock;
use serde_json::Value;

pub mod beats;
pub mod chart;
pub mod containers;
pub mod crowd;
pub mod dynamodb;
pub mod eight;
pub mod faketime;
pub mod http_proxy;
pub mod image;
pub mod jam;
pub mod kubernetes;
pub mod lock;
pub mod network;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod releases;
pub mod rollout;
pub mod static_binary;
pub mod terminal;
pub mod tmpfs;
pub mod tools;
pub mod watchdog;
pub mod window;

/// No test waits for longer: a limit for a machine that is slow, not a claim about speed.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Between two looks of [`eventually`].
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

pub fn now() -> BootTime {
    HostClock.now().boot
}

/// Waits until `condition` gives something.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let give_up = now() + LIMIT;
    // A look often asks a server, which computes beside what is waited for.
    let mut pause = Duration::from_millis(5);
    while now() < give_up {
        if let Some(found) = condition() {
            return found;
        }
        thread::sleep(pause);
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);
    }
    panic!("not within {LIMIT:?}: {what}");
}

/// A `bellwether serve` of its own, killed when dropped.
pub struct Sidecar {
    pub name: String,
    pub url: String,
    child: Child,
    log: Log,
}

/// What a process wrote to standard error, line by line.
#[derive(Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Log {
    pub fn of(source: impl std::io::Read + Send + 'static) -> Self {
        let log = Self::default();
        let sink = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                sink.lines.lock().unwrap().push(line);
            }
            sink.ended.store(true, Ordering::Release);
        });
        log
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Whether all writers have closed it, so that nothing more will come.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits until it has all that its process wrote before it ended. A process that is left may keep
    /// it open: then it has what came within two seconds.
    pub fn catch_up(&self) {
        let patience = now() + Duration::from_secs(2);
        while !self.has_ended() && now() < patience {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the process that writes it exits, and until it has all that it wrote.
    #[track_caller]
    pub fn exit_status(&self, child: &mut Child) -> ExitStatus {
        let status = eventually("it exits", || child.try_wait().unwrap());
        self.catch_up();
        status
    }

    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Where a sidecar says that it answers, once it does.
    pub fn address(&self) -> Option<String> {
        let line = self.lines().into_iter().find(|line| line.contains("\"event\":\"standing\""))?;
        let line: Value = serde_json::from_str(&line).ok()?;
        Some(line["url"].as_str()?.trim_end_matches("/leader").to_owned())
    }

    /// Messages of this kind, by the name that docs/operations.md has for it.
    pub fn events(&self, event: &str) -> usize {
        let (json, text) = (format!("\"event\":\"{event}\""), format!("event=\"{event}\""));
        self.lines().iter().filter(|line| line.contains(&json) || line.contains(&text)).count()
    }

    /// Waits until there are so many messages of this kind: a line arrives later than its effect.
    #[track_caller]
    pub fn await_events(&self, event: &str, times: usize) {
        let logged = || (self.events(event) == times).then_some(());
        eventually(&format!("{event} is logged {times} times"), logged);
    }

    /// Waits until there are so many lines that contain `part`.
    #[track_caller]
    pub fn await_lines(&self, part: &str, times: usize) {
        let logged = || (self.count(part) == times).then_some(());
        eventually(&format!("{part:?} is in {times} lines of the log"), logged);
    }

    /// Lines that contain `part`.
    pub fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }
}

/// A response of `/leader`, when its request was sent, and when it had arrived.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub sent: BootTime,
    pub answered: BootTime,
}

impl Answer {
    pub fn leads(&self) -> bool {
        assert_eq!(self.status == 200, self.body["leader"] == true, "{self:?}");
        self.status == 200
    }

    pub fn holder(&self) -> Option<&str> {
        self.body["holderIdentity"].as_str()
    }

    pub fn term(&self) -> u64 {
        self.body["term"].as_u64().unwrap_or(0)
    }
}

/// Where the program under test lies: Cargo builds it before the tests, in the folder above theirs.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let own = std::env::current_exe().expect("the path of this program");
        own.ancestors().nth(2).expect("target/PROFILE/deps/TEST").join("bellwether")
    })
}

/// The folder of all that is built.
pub fn target() -> &'static Path {
    program().ancestors().nth(2).expect("target/PROFILE/bellwether")
}

/// The program under test, without the settings of the user who runs the tests, and without the
/// variables of the platform that they run on.
pub fn bellwether() -> Command {
    let mut command = Command::new(program());
    without_settings(&mut command);
    command.args(["--log-format", "json"]);
    command
}

/// Hides the settings of the user who runs the tests.
pub fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let settings = ["BELLWETHER_", "AWS_", "ECS_", "KUBERNETES_", "POD_"];
        if settings.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name.as_ref());
        }
    }
}

/// The program with credentials that an emulator of DynamoDB takes.
pub fn with_credentials() -> Command {
    let mut command = bellwether();
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// Durations that fail over within seconds, and bear a machine that is busy.
pub const QUICK: [&str; 6] =
    ["--lease-duration", "3s", "--renew-deadline", "2s", "--retry-period", "300ms"];
pub const QUICK_LEASE: Duration = Duration::from_secs(3);
pub const QUICK_RENEW_DEADLINE: Duration = Duration::from_secs(2);

impl Sidecar {
    pub fn start(name: &str, store: &str) -> Self {
        Self::start_with(name, store, &[])
    }

    pub fn start_with(name: &str, store: &str, more: &[&str]) -> Self {
        Self::start_as(name, store, more, bellwether())
    }

    /// Starts with an environment of its own.
    pub fn start_as(name: &str, store: &str, more: &[&str], command: Command) -> Self {
        let more = [&["--identity", name], more].concat();
        Self::start_nameless(name, store, &more, command)
    }

    /// Starts without telling the process how it is called.
    pub fn start_nameless(name: &str, store: &str, more: &[&str], command: Command) -> Self {
        Self::start_serving(name, &[&["--store", store], more].concat(), command)
    }

    /// Starts with these arguments, and sets the address and the durations.
    pub fn start_serving(name: &str, more: &[&str], command: Command) -> Self {
        Self::start_lasting(name, &QUICK, more, command)
    }

    /// Starts with these durations and these arguments, and sets the address.
    pub fn start_lasting(
        name: &str,
        durations: &[&str],
        more: &[&str],
        mut command: Command,
    ) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.args(durations).args(more).stderr(Stdio::piped());
        let mut child = command.spawn().expect("bellwether starts");
        let log = Log::of(child.stderr.take().expect("stderr is piped"));
        let url = eventually(&format!("{name} says where it answers"), || {
            if let Some(status) = child.try_wait().expect("a child") {
                panic!("{name} exited with {status}: {}", log.text());
            }
            log.address()
        });
        Self { name: name.to_owned(), url, child, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Sends a signal by its name, as `kill` does.
    pub fn signal(&self, name: &str) {
        kill(name, self.id());
    }

    pub fn kill(&mut self) {
        self.signal("KILL");
        self.child.wait().expect("the process is a child");
    }

    /// Waits until it has exited and all that it wrote is in its log.
    pub fn wait(&mut self) -> ExitStatus {
        let name = self.name.clone();
        let status =
            eventually(&format!("{name} exits"), || self.child.try_wait().expect("a child"));
        eventually(&format!("the log of {name} ends"), || self.log.has_ended().then_some(()));
        status
    }

    /// The response to a GET; none if there is none.
    pub fn get(&self, path: &str) -> Option<Answer> {
        get(&format!("{}{path}", self.url))
    }

    pub fn leader(&self) -> Answer {
        self.get("/leader").unwrap_or_else(|| panic!("{} does not answer", self.name))
    }

    pub fn status(&self, path: &str) -> u16 {
        self.get(path).map_or(0, |answer| answer.status)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.name, self.log.text());
        }
    }
}

/// A process that is killed when dropped.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a process runs that has a handler for SIGTERM: until then the signal ends it at once, or does
/// nothing if it is the first process of a container.
pub fn handles_sigterm(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 15 is bit 14.
    caught.is_some_and(|mask| mask & (1 << 14) != 0)
}

pub fn kill(signal: &str, pid: u32) {
    let killed = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
    assert!(killed.expect("kill runs").success(), "kill -{signal} {pid}");
}

pub fn get(url: &str) -> Option<Answer> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(LIMIT))
        .build()
        .new_agent();
    let sent = now();
    let mut response = agent.get(url).call().ok()?;
    let answered = now();
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().ok()?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Some(Answer { status, body, sent, answered })
}

/// Several sidecars, and the promise that never two of them lead.
pub struct Flock {
    pub members: Vec<Sidecar>,
}

impl Flock {
    pub fn start(names: &[&str], store: &str) -> Self {
        Self::start_with(names, store, &[])
    }

    pub fn start_with(names: &[&str], store: &str, more: &[&str]) -> Self {
        Self { members: names.iter().map(|name| Sidecar::start_with(name, store, more)).collect() }
    }

    /// Waits until one leads, all know it, and only one leads. Returns its place.
    #[track_caller]
    pub fn settled(&self) -> usize {
        eventually("one leads and the others know", || {
            let answers: Vec<_> = self.members.iter().map(Sidecar::leader).collect();
            let leaders: Vec<_> =
                (0..answers.len()).filter(|at| answers[*at].status == 200).collect();
            let [leader] = leaders[..] else { return None };
            let name = Some(self.members[leader].name.as_str());
            let term = answers[leader].term();
            let known = answers.iter().all(|a| a.holder() == name && a.term() == term);
            known.then_some(leader)
        })
    }

    /// Waits until one of `places` leads.
    #[track_caller]
    pub fn led_by_one_of(&self, places: &[usize]) -> usize {
        eventually("one of them leads", || {
            places.iter().copied().find(|at| self.members[*at].leader().leads())
        })
    }
}

/// Queries several sidecars all the time, and checks every answer against all others.
pub struct Witness {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Vec<(String, Answer)>>>,
}

impl Witness {
    pub fn of(flock: &Flock) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (answered, first_answers) = std::sync::mpsc::channel();
        let threads = flock.members.iter().map(|sidecar| {
            let (name, url) = (sidecar.name.clone(), format!("{}/leader", sidecar.url));
            let (stop, answered) = (Arc::clone(&stop), answered.clone());
            thread::spawn(move || {
                let mut answers = Vec::new();
                answers.extend(get(&url).map(|answer| (name.clone(), answer)));
                let _ = answered.send(());
                while !stop.load(Ordering::Relaxed) {
                    answers.extend(get(&url).map(|answer| (name.clone(), answer)));
                    thread::sleep(Duration::from_millis(10));
                }
                answers
            })
        });
        let threads: Vec<_> = threads.collect();
        // On a busy machine what is to be witnessed would be over before the first question.
        threads.iter().for_each(|_| first_answers.recv_timeout(LIMIT).expect("a response"));
        Self { stop, threads }
    }

    /// Checks that a term had one leader, and that no "yes" under an older term was requested
    /// after a "yes" under a newer one had arrived.
    #[track_caller]
    pub fn saw_never_two(self) {
        self.stop.store(true, Ordering::Relaxed);
        let answers = self.threads.into_iter().flat_map(|thread| thread.join().unwrap());
        let mut yes: Vec<_> = answers.filter(|(_, answer)| answer.leads()).collect();
        assert!(!yes.is_empty(), "the witness saw no leader");
        yes.sort_by_key(|(_, answer)| answer.answered);
        let mut leader_of = std::collections::HashMap::new();
        for (name, answer) in &yes {
            let leader = leader_of.entry(answer.term()).or_insert(name);
            assert_eq!(*leader, name, "two leaders of term {}", answer.term());
            let newer = yes
                .iter()
                .find(|(_, other)| other.answered < answer.sent && other.term() > answer.term());
            assert!(newer.is_none(), "{name} led after it was replaced: {answer:?}, {newer:?}");
        }
    }
}

/// Breaks the store, waits until no instance leads, repairs it and waits until one leads again.
pub fn no_instance_leads_while<T>(
    flock: &Flock,
    breaking: impl FnOnce() -> T,
    repair: impl FnOnce(T),
) {
    flock.settled();
    let witness = Witness::of(flock);
    let broken = breaking();
    eventually("no instance leads", || {
        flock.members.iter().all(|sidecar| !sidecar.leader().leads()).then_some(())
    });
    for sidecar in &flock.members {
        assert_eq!(sidecar.status("/started"), 200, "an outage must not get the app killed");
        assert_eq!(sidecar.status("/livez"), 200, "an outage must not get the app killed");
    }
    eventually("no instance claims to know", || {
        flock.members.iter().all(|sidecar| sidecar.status("/ready") == 503).then_some(())
    });
    repair(broken);
    flock.settled();
    witness.saw_never_two();
}

/// A folder with a place for a database, gone when dropped.
pub struct Pasture {
    folder: tempfile::TempDir,
}

impl Pasture {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("leases.db")
    }

    pub fn store(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }
}
