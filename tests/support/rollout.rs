//! Rolling updates of real processes, as a Deployment with `maxSurge: 1` makes them: a new instance
//! starts, and when it is ready one of the old ones is stopped, until all are new.

use std::collections::VecDeque;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::{Flock, Sidecar, eventually};

/// How many instances there are.
const INSTANCES: usize = 5;

/// How long the application of an instance takes to be ready after the sidecar.
const STARTS: Duration = Duration::from_millis(700);

/// Instances of an application, updated again and again.
pub struct Rollouts<'a> {
    store: &'a str,
    program: fn() -> Command,
    /// More arguments for the instances of a release.
    more: fn(release: u64) -> Vec<String>,
    release: u64,
    running: VecDeque<Sidecar>,
    random: fastrand::Rng,
}

impl<'a> Rollouts<'a> {
    /// Starts the first release.
    pub fn begin(
        store: &'a str,
        program: fn() -> Command,
        more: fn(release: u64) -> Vec<String>,
        seed: u64,
    ) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let mut all = Self { store, program, more, release: 1, running: VecDeque::new(), random };
        for _ in 0..INSTANCES {
            all.start_one();
        }
        all
    }

    /// Updates every instance. Returns how many hand-overs that took.
    pub fn roll(&mut self) -> u64 {
        let before = self.term();
        self.release += 1;
        // In any order: a Deployment does not know who leads.
        self.random.shuffle(self.running.make_contiguous());
        for _ in 0..INSTANCES {
            self.start_one();
            let mut old = self.running.pop_front().expect("an old one");
            old.signal("TERM");
            assert!(old.wait().success(), "{}", old.log().text());
        }
        self.term() - before
    }

    fn start_one(&mut self) {
        let name = format!("release-{}-{}", self.release, self.random.u32(..));
        let more = (self.more)(self.release);
        let more: Vec<_> = more.iter().map(String::as_str).collect();
        let more = [&["--store", self.store, "--identity", &name], &more[..]].concat();
        let new = Sidecar::start_lasting(&name, &[], &more, (self.program)());
        eventually("the new one is ready", || (new.status("/ready") == 200).then_some(()));
        // On Postgres it tests the push of the server for some tenths of a second. An application
        // takes longer to start.
        thread::sleep(STARTS);
        self.running.push_back(new);
    }

    /// The term, when all know it.
    fn term(&mut self) -> u64 {
        let flock = Flock { members: std::mem::take(&mut self.running).into() };
        let leader = flock.settled();
        let term = flock.members[leader].leader().term();
        self.running = flock.members.into();
        term
    }
}
