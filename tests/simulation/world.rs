//! One run: hosts with candidates on them, a store, and everything between them that can fail.
//!
//! A discrete-event simulation in true time. Each candidate is the real [`Elector`], driven as the
//! program's driver does it, and handed the time of its own host's clock.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bellwether::election::clock::BootTime;
use bellwether::election::elector::{Elector, Event};
use bellwether::election::leadership::Leadership;
use bellwether::election::lease::{LeaseRecord, Version};
use fastrand::Rng;

use crate::invariants::{Calls, Seen, Terms, Violation};
use crate::plan::{Broken, Host, Plan};
use crate::store::SimStore;
use crate::tally::Tally;
use crate::time::TrueTime;

/// Prints a line of a replay.
macro_rules! trace {
    ($world:expr, $($what:tt)*) => {
        if $world.trace {
            println!("{:>14.6} s  {}", $world.now as f64 / 1e9, format_args!($($what)*));
        }
    };
}

mod faults;
mod network;
mod process;
mod work;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub tally: Tally,
    pub violation: Option<Violation>,
    /// Changes if anything in the run does.
    pub fingerprint: u64,
}

/// Something that will happen, unless what it is about is gone by then.
#[derive(Debug)]
enum Happening {
    Start { node: usize },
    Fault(usize),
    Timer { node: usize, life: u32, timer: u64 },
    Request { node: usize, life: u32, call: u64, request: Request, answer_lost: bool },
    Arrives { node: usize, life: u32, mail: Mail },
    Resume { node: usize, life: u32 },
    Mend { node: usize, cut: u64 },
    GateOpens { node: usize, life: u32 },
    WorkBegins { node: usize },
    WorkEnds { work: u64 },
    WorkIsOverdue { work: u64 },
    WorkIsGivenUp { node: usize, life: u32 },
    WorkIsKilled { work: u64 },
    Calm,
    Led,
    End,
}

#[derive(Debug)]
enum Request {
    Observe,
    Swap { expected: Option<Version>, record: LeaseRecord },
}

/// What waits for a process that is stopped.
#[derive(Debug)]
enum Mail {
    Tell(Event),
    Answer { call: u64, event: Event },
    Deadline { call: u64 },
}

#[derive(Debug)]
struct Scheduled {
    at: TrueTime,
    order: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// The soonest is the greatest, as a heap gives back the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// A host, and the process on it if one is alive.
#[derive(Debug, Default)]
struct Node {
    /// How many processes there were.
    life: u32,
    process: Option<Process>,
    /// The way to the store is broken: how, and which break it is.
    cut: Option<(Broken, u64)>,
}

#[derive(Debug)]
struct Process {
    elector: Elector,
    /// What readers see. They ask whether or not the process is stopped.
    view: Leadership,
    stopped: bool,
    mail: Vec<Mail>,
    /// The call under way and whether it is a swap.
    call: Option<(u64, bool)>,
    timer: u64,
    gate_open: bool,
    /// What the elector has heard of the gate.
    told_open: bool,
    shutting_down: bool,
    /// How long after it left the next process starts.
    back_after: Option<TrueTime>,
    seen: Seen,
    calls: Calls,
    swaps_since_led: u32,
}

/// Leader-only work, which outlives a process that is stopped or crashes.
#[derive(Debug)]
struct Work {
    id: u64,
    node: usize,
    life: u32,
    term: u64,
    kills_at: BootTime,
    asked_to_end: bool,
    /// It does not end by itself any more: it is killed when the lease is no longer kept for it.
    hangs: bool,
    /// Its process does not see it end.
    unseen: bool,
}

pub struct World {
    plan: Plan,
    rng: Rng,
    trace: bool,
    now: TrueTime,
    queue: BinaryHeap<Scheduled>,
    ids: u64,
    store: SimStore,
    nodes: Vec<Node>,
    works: Vec<Work>,
    /// Work that ended, and was not seen to.
    unseen: Vec<Work>,
    terms: Terms,
    calm: bool,
    led: bool,
    last_leader: Option<(usize, u32)>,
    tally: Tally,
    fingerprint: u64,
}

impl World {
    pub fn new(plan: Plan, seed: u64, trace: bool) -> Self {
        let mut world = Self {
            rng: Rng::with_seed(!seed),
            trace,
            now: 0,
            queue: BinaryHeap::new(),
            ids: 0,
            store: SimStore::new(plan.store_clock),
            nodes: plan.hosts.iter().map(|_| Node::default()).collect(),
            works: Vec::new(),
            unseen: Vec::new(),
            terms: Terms::default(),
            calm: false,
            led: false,
            last_leader: None,
            tally: Tally::default(),
            fingerprint: 0,
            plan,
        };
        for node in 0..world.nodes.len() {
            world.schedule(world.plan.hosts[node].starts_at, Happening::Start { node });
        }
        for index in 0..world.plan.faults.len() {
            world.schedule(world.plan.faults[index].0, Happening::Fault(index));
        }
        if world.plan.work {
            world.schedule_work();
        }
        world.schedule(world.plan.calm_at, Happening::Calm);
        world.schedule(world.plan.led_at, Happening::Led);
        world.schedule(world.plan.ends_at, Happening::End);
        world
    }

    pub fn run(mut self) -> Outcome {
        trace!(self, "{:#?}", self.plan);
        let mut violation = None;
        while let Some(Scheduled { at, order, what }) = self.queue.pop() {
            self.now = at;
            self.fingerprint =
                (self.fingerprint ^ at ^ order).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(7);
            if matches!(what, Happening::End) {
                break;
            }
            if let Err(broken) = self.happens(what).and_then(|()| self.check_belief()) {
                trace!(self, "{}: {}", broken.invariant, broken.what);
                violation = Some(broken);
                break;
            }
        }
        Outcome { tally: self.tally, violation, fingerprint: self.fingerprint }
    }

    fn schedule(&mut self, at: TrueTime, what: Happening) {
        self.ids += 1;
        self.queue.push(Scheduled { at: at.max(self.now), order: self.ids, what });
    }

    fn after(&mut self, delay: TrueTime, what: Happening) {
        self.schedule(self.now + delay, what);
    }

    fn happens(&mut self, what: Happening) -> Result<(), Violation> {
        match what {
            Happening::Start { node } => return self.start(node),
            Happening::Fault(index) => return self.strike(index),
            Happening::Timer { node, life, timer } => {
                if let Some(process) = self.process(node, life)
                    && process.timer == timer
                    && !process.stopped
                {
                    return self.step(node, Event::Wake);
                }
            }
            Happening::Request { node, life, call, request, answer_lost } => {
                self.serve(node, life, call, request, answer_lost);
            }
            Happening::Arrives { node, life, mail } => {
                if self.process(node, life).is_some() {
                    return self.deliver(node, mail);
                }
            }
            Happening::Resume { node, life } => {
                if self.process(node, life).is_some_and(|process| process.stopped) {
                    return self.resume(node);
                }
            }
            Happening::Mend { node, cut } => {
                if self.nodes[node].cut.is_some_and(|(_, current)| current == cut) {
                    trace!(self, "n{node} reaches the store again");
                    self.nodes[node].cut = None;
                }
            }
            Happening::GateOpens { node, life } => {
                if let Some(process) = self.process(node, life) {
                    process.gate_open = true;
                    return self.deliver(node, Mail::Tell(Event::Gate { open: true }));
                }
            }
            Happening::WorkBegins { node } => {
                self.schedule_work();
                return self.begin_work(node);
            }
            Happening::WorkEnds { work } => return self.work_ends(work),
            Happening::WorkIsOverdue { work } => return self.work_is_overdue(work),
            Happening::WorkIsGivenUp { node, life } => return self.work_is_given_up(node, life),
            Happening::WorkIsKilled { work } => return self.kill_work(work),
            Happening::Calm => return self.calm_down(),
            Happening::Led => self.led = true,
            Happening::End => {}
        }
        Ok(())
    }

    fn process(&mut self, node: usize, life: u32) -> Option<&mut Process> {
        let node = &mut self.nodes[node];
        node.process.as_mut().filter(|_| node.life == life)
    }

    fn host(&self, node: usize) -> &Host {
        &self.plan.hosts[node]
    }

    fn local(&self, node: usize) -> BootTime {
        self.host(node).clock.read(self.now)
    }

    fn rolls(&mut self, in_a_thousand: u64) -> bool {
        !self.calm && self.rng.u64(0..1_000) < in_a_thousand
    }
}
