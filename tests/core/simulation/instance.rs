//! One instance of `once`: the program's own protocol, with commands that the simulation plays.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bellwether::driver::Handle;
use bellwether::election::history::{
    Goal, Instance, Key, Moment, Piece, RetryAfter, Rules, Superseded,
};
use bellwether::election::leadership::Tenure;
use bellwether::election::time::Clock;
use bellwether::election::work::{Deadlines, Directive, SupervisedWork};
use bellwether::once::{Ended, Once, Runner, Subject, Task};
use tokio::sync::oneshot;

use crate::simulation::host::{Deed, End, Host, Run};

/// Keys of the one work. Each has its number as its order.
const KEYS: u64 = 3;

/// What an instance is for.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    pub key: u64,
    pub goal: Goal,
    pub fails_if_superseded: bool,
}

impl Aim {
    pub fn draw(rng: &mut fastrand::Rng) -> Self {
        let goal = if rng.u8(0..6) == 0 { Goal::TakeBack } else { Goal::Do };
        Self { key: rng.u64(1..=KEYS), goal, fails_if_superseded: rng.bool() }
    }

    fn piece(self) -> Piece {
        let key = format!("k{}", self.key).parse().unwrap();
        Piece { key, order: Some(self.key), tick: None }
    }
}

/// Runs until nothing is left to do.
pub async fn run(election: Handle, host: Host, grace: Duration, aim: Aim, ids: u64) {
    let superseded = if aim.fails_if_superseded { Superseded::Fail } else { Superseded::Skip };
    let timing = election.leadership().timing;
    let rules = Rules {
        superseded,
        max_attempts: 3,
        retry_delay: timing.retry_period(),
        // Whoever starts again tries again.
        retry_after: RetryAfter::Time(Duration::ZERO),
    };
    let clock = Arc::new(host.time.clone());
    let instance = Instance { started: Moment::of(clock.now().wall), jitter: 0.5 };
    let task = Task {
        subject: Subject::Key(aim.piece()),
        goal: aim.goal,
        rules,
        instance,
        keep: None,
        checks: false,
        give_up_at: None,
    };
    let runner =
        SimRunner { election: election.clone(), host: host.clone(), grace, goal: aim.goal, ids };
    let store = (Arc::new(host.clone()) as _, &"work".parse().unwrap());
    let timers = [host.timer(), host.timer()];
    let (once, _stages) = Once::new(election, store, clock, timers, task, runner);
    once.settle().await.unwrap();
}

struct SimRunner {
    election: Handle,
    host: Host,
    grace: Duration,
    goal: Goal,
    ids: u64,
}

impl Runner for SimRunner {
    async fn run(&mut self, key: &Key, tenure: Tenure) -> io::Result<Ended> {
        self.ids += 1;
        let (id, mut view) = (self.ids, self.election.watch());
        let (term, deadlines) = (tenure.term(), Deadlines::of(&tenure));
        let (end, mut ended) = oneshot::channel();
        let run = Run { key: key.clone(), goal: self.goal, term };
        self.host.note(Deed::Starts { id, run, deadlines, end });
        let mut supervised = SupervisedWork::new(tenure, self.grace);
        let end = loop {
            tokio::select! {
                biased;
                end = &mut ended => break end.unwrap_or(End::Stopped),
                changed = view.changed() => {
                    if changed.is_err() {
                        break (&mut ended).await.unwrap_or(End::Stopped);
                    }
                    let seen = view.borrow_and_update().clone();
                    self.host.note(match supervised.directive(&seen, self.election.now()) {
                        Directive::Continue(deadlines) => Deed::Extends { id, deadlines },
                        Directive::End { kill_at } => Deed::Stops { id, kill_at },
                    });
                }
            }
        };
        Ok(match end {
            End::Own { succeeded } => {
                self.host.note(Deed::Finishes { term });
                Ended::ByItself { code: u8::from(!succeeded), stderr: None }
            }
            End::Stopped => Ended::Stopped,
        })
    }

    async fn check(&mut self, _key: &Key) -> io::Result<Ended> {
        Ok(Ended::ByItself { code: 0, stderr: None })
    }
}
