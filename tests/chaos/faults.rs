//! The schedule: what is harmed next, and what is healed.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use bellwether::election::time::BootTime;
use fastrand::Rng;
use support::{LIMIT, get, now};

use crate::CANDIDATES;
use crate::arena::{Arena, Mend};
use crate::candidate::Candidate;
use crate::history::History;

/// How often each harm was done, by its name in the plural.
pub type Counts = BTreeMap<&'static str, usize>;

pub struct Faults {
    arena: Arena,
    candidates: Vec<Candidate>,
    rng: Rng,
    counts: Counts,
    /// What harms the store now, and until when.
    harmed: Option<(BootTime, Mend)>,
    /// Commands of `only` that may still run.
    holds: Vec<Child>,
}

/// What can happen to a candidate, and how often beside the others.
const TO_CANDIDATES: [(&str, usize); 8] = [
    ("crashes", 4),
    ("lost hosts", 2),
    ("stops in order", 4),
    ("frozen sidecars", 4),
    ("frozen instances", 3),
    ("jumps of a wall clock", 4),
    ("resignations", 2),
    ("commands of only", 12),
];

impl Faults {
    pub fn new(arena: Arena, history: Arc<History>, seed: u64) -> Self {
        let candidates = (0..CANDIDATES).map(|number| Candidate::new(number, &history)).collect();
        let rng = Rng::with_seed(seed);
        let mut faults =
            Self { arena, candidates, rng, counts: Counts::new(), harmed: None, holds: Vec::new() };
        faults.start_all();
        faults
    }

    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Waits a moment, heals what is due, and does the next harm.
    pub fn next(&mut self) {
        std::thread::sleep(Duration::from_millis(self.rng.u64(50..800)));
        self.mend();
        // The store is harmed for a third of the time.
        if self.harmed.is_none() && self.rng.usize(..12) == 0 {
            self.harm_store();
        } else {
            self.harm_candidate();
        }
    }

    fn mend(&mut self) {
        let now = now();
        if self.harmed.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.harmed.take().expect("it is there").1();
        }
        for candidate in &mut self.candidates {
            if candidate.continues_at.is_some_and(|at| at <= now) {
                candidate.thaw();
            }
            if candidate.has_ended() {
                candidate.comes_back = now + Duration::from_millis(self.rng.u64(0..3000));
            }
            if !candidate.is_up() && candidate.comes_back <= now {
                candidate.start(&self.arena);
            }
        }
        self.holds.retain_mut(|hold| hold.try_wait().unwrap().is_none());
    }

    fn harm_store(&mut self) {
        let harm = &self.arena.harms[self.rng.usize(..self.arena.harms.len())];
        *self.counts.entry(harm.name).or_default() += 1;
        let mend = (harm.begin)(&mut self.rng);
        let until = now() + Duration::from_millis(self.rng.u64(100..9000));
        self.harmed = Some((until, mend));
    }

    fn harm_candidate(&mut self) {
        let all: usize = TO_CANDIDATES.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.rng.usize(..all);
        let (name, _) = TO_CANDIDATES
            .iter()
            .find(|(_, weight)| {
                let found = drawn < *weight;
                drawn = drawn.wrapping_sub(*weight);
                found
            })
            .expect("less than all");
        let Some(place) = self.chosen(*name == "commands of only") else { return };
        *self.counts.entry(name).or_default() += 1;
        let (now, rng) = (now(), &mut self.rng);
        let later = |rng: &mut Rng, most: u64| now + Duration::from_millis(rng.u64(100..most));
        let candidate = &mut self.candidates[place];
        candidate.comes_back = later(rng, 5000);
        match *name {
            "crashes" => candidate.crash(),
            "lost hosts" => candidate.lose_host(),
            "stops in order" => candidate.signal("TERM"),
            "frozen sidecars" => {
                candidate.signal("STOP");
                candidate.continues_at = Some(later(rng, 10_000));
            }
            "frozen instances" => candidate.freeze(later(rng, 10_000)),
            "jumps of a wall clock" => candidate.shift_clock(rng.i64(-200_000..200_000)),
            "resignations" => resign(&candidate.url()),
            _ => self.holds.push(candidate.only().spawn().expect("bellwether starts")),
        }
    }

    /// One that is up and not frozen: every other time the leader.
    fn chosen(&mut self, without_command: bool) -> Option<usize> {
        let fits = |c: &Candidate| {
            c.is_up() && c.continues_at.is_none() && !(without_command && c.runs_command())
        };
        let places: Vec<_> =
            (0..self.candidates.len()).filter(|place| fits(&self.candidates[*place])).collect();
        let leader = || places.iter().copied().find(|place| leads(&self.candidates[*place]));
        let leader = if self.rng.bool() { leader() } else { None };
        leader.or_else(|| self.rng.choice(&places).copied())
    }

    fn start_all(&mut self) {
        for candidate in self.candidates.iter_mut().filter(|candidate| !candidate.is_up()) {
            candidate.start(&self.arena);
        }
    }

    /// Mends everything, and waits until one leads and the others know.
    pub fn settle(&mut self) -> Result<(), String> {
        if let Some((_, mend)) = self.harmed.take() {
            mend();
        }
        for candidate in &mut self.candidates {
            candidate.thaw();
            // A certificate is not valid at each time.
            candidate.shift_clock(0);
        }
        let give_up = now() + LIMIT * 3;
        while now() < give_up {
            // What got SIGTERM ends only now.
            for candidate in &mut self.candidates {
                candidate.has_ended();
            }
            self.start_all();
            if self.is_settled() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Err("no candidate leads with the others following, long after the faults".to_owned())
    }

    fn is_settled(&self) -> bool {
        let answers: Vec<_> = self
            .candidates
            .iter()
            .filter_map(|candidate| get(&format!("{}/leader", candidate.url())))
            .collect();
        let leaders: Vec<_> = answers.iter().filter(|answer| answer.leads()).collect();
        let [leader] = leaders[..] else { return false };
        answers.len() == self.candidates.len()
            && answers.iter().all(|a| a.term() == leader.term() && a.holder() == leader.holder())
    }

    /// Ends all processes.
    pub fn end(mut self) -> Counts {
        for hold in &mut self.holds {
            let _ = hold.kill();
            let _ = hold.wait();
        }
        self.candidates.clear();
        self.counts
    }
}

fn leads(candidate: &Candidate) -> bool {
    crate::witness::ask(&candidate.url()).is_some_and(|(status, _)| status == 200)
}

fn resign(url: &str) {
    let agent = crate::witness::agent();
    // It may be gone.
    let _ = agent.post(format!("{url}/resign")).send(r#"{"cooldown":"2s"}"#);
}
