//! One instance of `once`: the program's own protocol, with commands that the simulation plays.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bellwether::driver::Handle;
use bellwether::election::history::{
    Goal, Instance, Key, Moment, Piece, RetryAfter, Rules, Superseded, WorkName,
};
use bellwether::election::leadership::Tenure;
use bellwether::election::time::Clock;
use bellwether::election::work::{Deadlines, Directive, SupervisedWork};
use bellwether::once::{Ended, Once, Runner, Subject, Task};
use tokio::sync::oneshot;

use crate::simulation::host::{Deed, End, Host, Run};

/// Keys of each work. Each has its number as its order.
const KEYS: u64 = 3;

/// What an instance is for.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    key: u64,
    goal: Goal,
    superseded: Superseded,
}

impl Aim {
    pub fn draw(rng: &mut fastrand::Rng) -> Self {
        let goal = if rng.u8(0..6) == 0 { Goal::TakeBack } else { Goal::Do };
        let superseded = [Superseded::Skip, Superseded::Fail, Superseded::Wait][rng.usize(0..3)];
        Self { key: rng.u64(1..=KEYS), goal, superseded }
    }

    fn piece(self) -> Piece {
        let key = format!("k{}", self.key).parse().unwrap();
        Piece { key, order: Some(self.key), tick: None }
    }
}

/// Runs until nothing is left to do.
pub async fn run(
    election: Handle,
    host: Host,
    grace: Duration,
    (work, aim): (WorkName, Aim),
    ids: u64,
) {
    let timing = election.leadership().timing;
    let rules = Rules {
        superseded: aim.superseded,
        max_attempts: 3,
        retry_delay: timing.retry_period(),
        // A restarted instance tries again.
        retry_after: RetryAfter::Time(Duration::ZERO),
    };
    let clock = Arc::new(host.time.clone());
    let instance = Instance { started: Moment::of(clock.now().wall), jitter: 0.5 };
    // Else it may wait forever.
    let give_up_at = (aim.superseded == Superseded::Wait)
        .then(|| clock.now().boot + timing.lease_duration() / 2);
    let task = Task {
        subject: Subject::Key(aim.piece()),
        goal: aim.goal,
        rules,
        instance,
        keep: None,
        checks: false,
        give_up_at,
    };
    let runner =
        SimRunner { election: election.clone(), host: host.clone(), grace, goal: aim.goal, ids };
    let store = (Arc::new(host.clone()) as _, &work);
    let timers = [host.timer(), host.timer()];
    let (once, _stages) = Once::new(election, store, clock, timers, task, runner);
    let settled = once.settle().await.unwrap();
    let Aim { key: order, goal, .. } = aim;
    host.note(Deed::Settles { key: aim.piece().key, goal, order, settled });
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
                Ended::Exited { code: u8::from(!succeeded), stderr: None }
            }
            End::Stopped => Ended::Stopped,
        })
    }

    async fn check(&mut self, _key: &Key, _attempt: Option<Tenure>) -> io::Result<Ended> {
        Ok(Ended::Exited { code: 0, stderr: None })
    }
}
