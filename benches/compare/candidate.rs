//! A candidate of any kind: its processes, and what it believes.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

use bellwether::election::time::BootTime;
use rustix::process::{Pid, Signal, kill_process};
use support::{Log, now};

/// Why something could not be measured.
pub type Failure = String;

/// How a candidate reports that it leads.
pub enum Voice {
    /// It, or the command that it runs, prints lines as `report.go` does.
    Lines,
    /// It prints a line when it leads, and exits when it no longer does.
    Exit,
    /// An application queries it over HTTP.
    Http { works: bool },
}

#[derive(Default)]
struct Beliefs {
    first: Option<BootTime>,
    /// The last time at which it acted as the leader.
    last: Option<BootTime>,
    ended: bool,
}

pub struct Candidate {
    child: Child,
    pub log: Log,
    beliefs: Arc<Mutex<Beliefs>>,
    leads_while_alive: bool,
    pub started: BootTime,
    /// With every process that it started, once it was killed.
    family: Vec<u32>,
}

impl Candidate {
    pub fn start(mut command: Command, voice: &Voice) -> Result<Self, Failure> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = now();
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let log = Log::of(child.stderr.take().expect("stderr is piped"));
        let stdout = child.stdout.take().expect("stdout is piped");
        let beliefs = Arc::<Mutex<Beliefs>>::default();
        match *voice {
            Voice::Http { works } => ask(log.clone(), works, Arc::clone(&beliefs)),
            _ => listen(stdout, Arc::clone(&beliefs)),
        }
        let leads_while_alive = matches!(voice, Voice::Exit);
        Ok(Self { child, log, beliefs, leads_while_alive, started, family: Vec::new() })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// When it first led.
    pub fn leads_within(&self, limit: Duration) -> Result<BootTime, Failure> {
        let give_up = now() + limit;
        while now() < give_up {
            let beliefs = self.beliefs.lock().unwrap();
            if let Some(first) = beliefs.first {
                return Ok(first);
            }
            if beliefs.ended {
                return Err(format!("it ended: {}", self.last_words()));
            }
            drop(beliefs);
            thread::sleep(Duration::from_millis(2));
        }
        Err(format!("no leader within {} s: {}", limit.as_secs(), self.last_words()))
    }

    /// The last line of its log, without the fields of our own.
    pub fn last_words(&self) -> String {
        let last = self.log.lines().last().cloned().unwrap_or_default();
        let fields = serde_json::from_str::<serde_json::Value>(&last);
        let message = fields.ok().and_then(|fields| Some(fields["message"].as_str()?.to_owned()));
        message.unwrap_or(last)
    }

    /// The last time at which it acted as the leader.
    pub fn last_claim(&self) -> BootTime {
        let beliefs = self.beliefs.lock().unwrap();
        if self.leads_while_alive && beliefs.first.is_some() && !beliefs.ended {
            return now();
        }
        beliefs.last.unwrap_or(BootTime::ZERO)
    }

    /// For how long after `since` it claims to lead, and whether it had stopped when `patience` was over.
    pub fn claims_after(&self, since: BootTime, patience: Duration) -> Claims {
        // A machine that is busy may silence it for as long as this.
        const SILENCE: Duration = Duration::from_secs(1);
        loop {
            thread::sleep(Duration::from_millis(50));
            let (last, now) = (self.last_claim(), now());
            let stopped = now.since(last) > SILENCE && now.since(since) > SILENCE;
            if stopped || now.since(since) > patience {
                return Claims { last, time: last.since(since), stopped };
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        send(signal, &[self.id()]);
    }

    /// The same to every process of it, as to a whole host.
    pub fn signal_all(&self, signal: Signal) {
        send(signal, &family(self.id()));
    }

    /// Kills its own process only: what it started may live on.
    pub fn kill(&mut self) {
        self.family = family(self.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it exits within the limit.
    pub fn exits_within(&mut self, limit: Duration) -> bool {
        let give_up = now() + limit;
        while now() < give_up {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if self.family.is_empty() {
            self.kill();
        }
        send(Signal::KILL, &self.family);
    }
}

/// Until when a candidate claimed to lead.
pub struct Claims {
    pub last: BootTime,
    pub time: Duration,
    pub stopped: bool,
}

/// Without a program such as `kill`, whose start would be in each time that is measured from here.
fn send(signal: Signal, processes: &[u32]) {
    let id = |process: &u32| Pid::from_raw(i32::try_from(*process).ok()?);
    for process in processes.iter().filter_map(id) {
        // It may have ended.
        let _ = kill_process(process, signal);
    }
}

/// A process and all that it started.
pub fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let parents: Vec<_> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut at = 0;
    while at < found.len() {
        let of = found[at];
        found.extend(parents.iter().filter(|(_, up)| *up == of).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Reads what it prints.
fn listen(stdout: ChildStdout, beliefs: Arc<Mutex<Beliefs>>) {
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Java cannot read the clock: its lines have no time.
            let (at, what) = timed(&line).unwrap_or((now(), &line));
            if what != "stop" {
                claimed(&mut beliefs.lock().unwrap(), at);
            }
        }
        beliefs.lock().unwrap().ended = true;
    });
}

fn timed(line: &str) -> Option<(BootTime, &str)> {
    let (time, what) = line.split_once(' ')?;
    Some((BootTime::from_duration(Duration::from_nanos(time.parse().ok()?)), what))
}

fn claimed(beliefs: &mut Beliefs, at: BootTime) {
    beliefs.first.get_or_insert(at);
    beliefs.last = Some(at);
}

/// Queries it as an application does: until it leads, and with work also every five milliseconds from then on.
fn ask(log: Log, works: bool, beliefs: Arc<Mutex<Beliefs>>) {
    thread::spawn(move || {
        let url = loop {
            match log.address() {
                Some(url) => break url,
                None if log.has_ended() => break String::new(),
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut query = "?wait=60s";
        while let Ok(response) = agent.get(format!("{url}/leader{query}")).call() {
            if response.status() == 200 {
                claimed(&mut beliefs.lock().unwrap(), now());
                query = "";
            }
            // The connection is used again only once its body was read.
            let _ = response.into_body().read_to_string();
            match (query, works) {
                ("", true) => thread::sleep(Duration::from_millis(5)),
                ("", false) => return,
                _ => {}
            }
        }
        beliefs.lock().unwrap().ended = true;
    });
}
