//! Everything that was seen, with the times of the host's boot clock.

pub mod resource;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bellwether::election::time::BootTime;
use serde::{Deserialize, Serialize};
use support::process;

use self::resource::{Resource, Row};

/// The history of one run, and the folder in which workers write theirs.
pub struct History {
    folder: PathBuf,
    answers: Mutex<Answers>,
    reads: Mutex<Vec<Read>>,
    /// When whole instances were frozen, with the processes of their commands.
    frozen: Mutex<Frozen>,
}

/// When each was frozen first.
pub type Frozen = BTreeMap<Process, BootTime>;

/// A process. In an hour, another one may get its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: u32,
    /// By the kernel.
    pub started: u64,
}

/// What `/leader` answered.
#[derive(Default)]
struct Answers {
    all: u64,
    yes: Vec<Yes>,
}

/// An answer that says "yes".
#[derive(Clone, Debug)]
pub struct Yes {
    pub by: String,
    pub term: u64,
    pub sent: BootTime,
    pub answered: BootTime,
}

/// A read of the resource.
#[derive(Clone, Debug)]
pub struct Read {
    pub call: BootTime,
    pub end: BootTime,
    pub row: Row,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Accepted,
    Refused,
    Unknown,
}

/// A line of a worker: a write began, or ended with an outcome.
#[derive(Debug)]
pub struct Write {
    pub value: u64,
    pub at: BootTime,
    pub outcome: Option<Outcome>,
}

/// What one command did: its lines up to where it was ended.
#[derive(Debug)]
pub struct Work {
    pub process: Process,
    pub term: u64,
    pub owner: String,
    pub writes: Vec<Write>,
}

/// What happened in numbers.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub answers: u64,
    pub terms: usize,
    pub commands: usize,
    pub writes: usize,
    pub refused: usize,
    /// The longest time between two answers that say "yes", in seconds.
    pub longest_without: f64,
}

impl History {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder").keep();
        fs::create_dir(folder.join("work")).unwrap();
        Resource::create(&folder);
        Self {
            folder,
            answers: Mutex::default(),
            reads: Mutex::default(),
            frozen: Mutex::default(),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the folder, with the logs of the candidates.
    pub fn forget(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }

    pub fn answered(&self, yes: Option<Yes>) {
        let mut answers = self.answers.lock().unwrap();
        answers.all += 1;
        answers.yes.extend(yes);
    }

    pub fn read(&self, read: Read) {
        self.reads.lock().unwrap().push(read);
    }

    /// From here on what this command does proves nothing but the fence.
    pub fn freezes(&self, pid: u32, at: BootTime) {
        let Some(process) = Process::with(pid) else { return };
        self.frozen.lock().unwrap().entry(process).or_insert(at);
    }

    pub fn frozen(&self) -> Frozen {
        self.frozen.lock().unwrap().clone()
    }

    /// The answers that say "yes", in the order in which they arrived.
    pub fn yes(&self) -> Vec<Yes> {
        let mut yes = self.answers.lock().unwrap().yes.clone();
        yes.sort_by_key(|yes| yes.answered);
        yes
    }

    pub fn reads(&self) -> Vec<Read> {
        self.reads.lock().unwrap().clone()
    }

    pub fn works(&self) -> Vec<Work> {
        let files = fs::read_dir(self.folder().join("work")).unwrap();
        let mut works: Vec<_> = files
            .map(|file| Work::read(&file.unwrap().path()))
            .filter(|w| !w.writes.is_empty())
            .collect();
        works.sort_by_key(|work| (work.term, work.process));
        works
    }

    pub fn seen(&self) -> Seen {
        let (works, yes) = (self.works(), self.yes());
        let mut terms: Vec<_> = yes.iter().map(|yes| yes.term).collect();
        terms.sort_unstable();
        terms.dedup();
        let outcomes = works.iter().flat_map(|work| &work.writes).filter_map(|write| write.outcome);
        let (accepted, others): (Vec<_>, Vec<_>) =
            outcomes.partition(|outcome| *outcome == Outcome::Accepted);
        let gaps =
            yes.windows(2).map(|pair| pair[1].answered.since(pair[0].answered).as_secs_f64());
        Seen {
            answers: self.answers.lock().unwrap().all,
            terms: terms.len(),
            commands: works.len(),
            writes: accepted.len(),
            refused: others.iter().filter(|outcome| **outcome == Outcome::Refused).count(),
            longest_without: gaps.fold(0.0, f64::max),
        }
    }
}

impl Process {
    /// The one that has this id now.
    fn with(pid: u32) -> Option<Self> {
        Some(Self { pid, started: process::started(pid)? })
    }
}

impl Work {
    /// The file's name is `TERM OWNER PID STARTED`, and each line `VALUE NANOSECONDS OUTCOME`. The last line may be cut
    /// off.
    fn read(path: &Path) -> Self {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut words = name.split(' ');
        let mut next = || words.next().expect("four words");
        let (term, owner) = (next().parse().unwrap(), next().to_owned());
        let process = Process { pid: next().parse().unwrap(), started: next().parse().unwrap() };
        let text = fs::read_to_string(path).unwrap();
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        Self { process, term, owner, writes: lines.map(line).collect() }
    }
}

fn line(text: &str) -> Write {
    let mut words = text.split(' ');
    let mut number = || words.next().and_then(|word| word.parse().ok()).expect("two numbers");
    let (value, nanoseconds) = (number(), number());
    let outcome = match words.next() {
        None => None,
        Some("accepted") => Some(Outcome::Accepted),
        Some("refused") => Some(Outcome::Refused),
        Some(_) => Some(Outcome::Unknown),
    };
    Write { value, at: BootTime::ZERO + std::time::Duration::from_nanos(nanoseconds), outcome }
}

/// The time in nanoseconds since the host's boot.
pub fn nanoseconds(at: BootTime) -> u64 {
    u64::try_from(at.since(BootTime::ZERO).as_nanos()).expect("five centuries are enough")
}

/// Writes the lines of one command.
pub struct Recorder(File);

impl Recorder {
    pub fn new(folder: &Path, term: u64, owner: &str) -> Self {
        let Process { pid, started } = Process::with(std::process::id()).expect("it is this one");
        let name = folder.join("work").join(format!("{term} {owner} {pid} {started}"));
        Self(File::options().create_new(true).append(true).open(name).expect("a file of its own"))
    }

    pub fn record(&mut self, write: &Write) {
        let outcome = match write.outcome {
            None => "",
            Some(Outcome::Accepted) => " accepted",
            Some(Outcome::Refused) => " refused",
            Some(Outcome::Unknown) => " unknown",
        };
        let line = format!("{} {}{outcome}\n", write.value, nanoseconds(write.at));
        // In one write: a command that is killed leaves whole lines.
        self.0.write_all(line.as_bytes()).expect("the disk has room");
    }
}
