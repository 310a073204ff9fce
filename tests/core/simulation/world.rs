//! One run: hosts with candidates on them, a store, and everything between them that can fail.
//!
//! A discrete-event simulation in true time. Each candidate is the program's own driver with its
//! own handle, holds and gate, polled by hand: after a wake-up a task is polled at once, or later,
//! or after a pause of the whole process, which can fall between any two polls.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use bellwether::election::lease::{ElectionName, LeaseRecord, Version};
use bellwether::election::pause::Pause;
use bellwether::election::term::Term;
use bellwether::election::time::BootTime;
use bellwether::store::Hint;
use fastrand::Rng;

use crate::simulation::host::{Answer, Of, Request, Ring};
use crate::simulation::invariants::Violation;
use crate::simulation::plan::{Broken, Host as HostPlan, Plan, Theme};
use crate::simulation::tally::Tally;
use crate::simulation::time::{HostTime, TrueTime};
use contest::Contest;
use operator::Operator;
use process::Process;
use work::Work;

/// Prints a line of a replay.
macro_rules! trace {
    ($world:expr, $($what:tt)*) => {
        if $world.trace {
            println!("{:>14.6} s  {}", $world.now as f64 / 1e9, format_args!($($what)*));
        }
    };
}

mod contest;
mod faults;
mod gate;
mod network;
mod operator;
mod process;
mod turns;
mod views;
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
    Poll { node: usize, life: u32 },
    Rings(Arc<Ring>),
    Serve { node: usize, life: u32, call: u64, request: Request, answer_lost: bool },
    Arrives { node: usize, life: u32, call: u64, answer: Answer },
    Hinted { node: usize, life: u32, record: ElectionName, hint: Hint },
    Resume { node: usize, life: u32 },
    Mend { node: usize, cut: u64 },
    Check { node: usize, life: u32 },
    Recovers { node: usize, life: u32 },
    WorkBegins { node: usize },
    WorkStops { work: u64 },
    WorkEnds { work: u64 },
    WorkIsKilled { work: u64 },
    WorkWrites { work: u64 },
    Fenced { contest: usize, node: usize, life: u32, term: Term },
    CrashesAtWrite { node: usize, life: u32 },
    Operates(Operator),
    OperatorWrites { operator: Operator, expected: Option<Version>, record: Box<LeaseRecord> },
    LosesVacate,
    HintsInPeace,
    Calm,
    Led,
    End,
}

#[derive(Debug)]
struct Scheduled {
    at: TrueTime,
    order: u64,
    /// Boxed: the queue moves it often.
    what: Box<Happening>,
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
struct Node {
    time: HostTime,
    /// How many processes there were.
    life: u32,
    process: Option<Process>,
    /// The way to the store is broken: how, and which break it is.
    cut: Option<(Broken, u64)>,
}

pub struct World {
    plan: Plan,
    rng: Rng,
    trace: bool,
    now: TrueTime,
    /// The same for the clocks.
    true_now: Arc<AtomicU64>,
    queue: BinaryHeap<Scheduled>,
    ids: u64,
    contests: Vec<Contest>,
    nodes: Vec<Node>,
    works: Vec<Work>,
    /// How many writes to the records of works there were, renewals apart.
    writes: u64,
    /// The call at which a process crashes when it is applied.
    fatal: Option<u64>,
    calm: bool,
    led: bool,
    /// The holder that vacated the lease last.
    left: Option<turns::Left>,
    /// The last pause that an operator wrote, if it was not resumed, and when that was.
    paused: Option<(Pause, TrueTime)>,
    tally: Tally,
    fingerprint: u64,
}

impl World {
    pub fn new(plan: Plan, seed: u64, trace: bool) -> Self {
        let true_now = Arc::new(AtomicU64::new(0));
        let node = |host: &HostPlan| Node {
            time: HostTime::new(&true_now, host.clock),
            life: 0,
            process: None,
            cut: None,
        };
        let mut world = Self {
            rng: Rng::with_seed(!seed),
            trace,
            now: 0,
            queue: BinaryHeap::new(),
            ids: 0,
            contests: Contest::all(&plan),
            nodes: plan.hosts.iter().map(node).collect(),
            true_now,
            works: Vec::new(),
            writes: 0,
            fatal: None,
            calm: false,
            led: false,
            left: None,
            paused: None,
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
        if world.plan.work == crate::simulation::plan::Work::Holds {
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
            self.true_now.store(at, Atomic::Relaxed);
            self.fingerprint =
                (self.fingerprint ^ at ^ order).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(7);
            if matches!(*what, Happening::End) {
                break;
            }
            let happened = self.happens(*what).and_then(|()| self.check_belief());
            self.rouse();
            if let Err(broken) = happened {
                trace!(self, "{}: {}", broken.invariant, broken.what);
                violation = Some(broken);
                break;
            }
        }
        Outcome { tally: self.tally, violation, fingerprint: self.fingerprint }
    }

    fn schedule(&mut self, at: TrueTime, what: Happening) {
        self.ids += 1;
        self.queue.push(Scheduled { at: at.max(self.now), order: self.ids, what: Box::new(what) });
    }

    fn after(&mut self, delay: TrueTime, what: Happening) {
        self.schedule(self.now + delay, what);
    }

    fn happens(&mut self, what: Happening) -> Result<(), Violation> {
        match what {
            Happening::Start { node } => self.start(node),
            Happening::Fault(index) => self.strike(index),
            Happening::Poll { node, life } => return self.poll(node, life),
            Happening::Rings(ring) => drop(ring.rings()),
            Happening::Serve { node, life, call, request, answer_lost } => {
                return self.serve(node, life, call, request, answer_lost);
            }
            Happening::Arrives { node, life, call, answer } => {
                self.arrives(node, life, call, answer);
            }
            Happening::Hinted { node, life, record, hint } => {
                let loses = matches!(self.plan.theme, Theme::LostWrites | Theme::Outlived);
                let now = self.local(node);
                if let Some(process) = self.process(node, life) {
                    let of = Of::named(&record);
                    if of == Of::Lease && matches!(hint, Hint::Vacated(_)) {
                        process.seen.may_be_resumed(now);
                        if loses {
                            process.seen.may_forget();
                        }
                    }
                    if of == Of::Lease && matches!(hint, Hint::Renewed(_)) {
                        process.seen.is_announced();
                    }
                    if let (Of::Lease, Hint::Acquired(shown)) = (of, &hint) {
                        process.seen.may_be_shown(&shown.record, now);
                        process.highest = process.highest.max(shown.record.term);
                    }
                    process.host.hint(&record, hint);
                }
            }
            Happening::Resume { node, life } => {
                if self.process(node, life).is_some_and(|process| process.is_paused()) {
                    return self.resume(node);
                }
            }
            Happening::Mend { node, cut } => {
                if self.nodes[node].cut.is_some_and(|(_, current)| current == cut) {
                    trace!(self, "n{node} reaches the store again");
                    self.nodes[node].cut = None;
                }
            }
            Happening::Check { node, life } => self.check_health(node, life),
            Happening::Recovers { node, life } => {
                if let Some(process) = self.process(node, life) {
                    process.healthy = true;
                }
            }
            Happening::WorkBegins { node } => {
                self.schedule_work();
                return self.begin_hold(node);
            }
            Happening::WorkStops { work } => self.work_stops(work),
            Happening::WorkEnds { work } => self.work_ends(work),
            Happening::WorkIsKilled { work } => self.work_is_killed(work),
            Happening::WorkWrites { work } => self.work_writes(work),
            Happening::Fenced { contest, node, life, term } => {
                return self.fenced(contest, (node, life), term);
            }
            Happening::CrashesAtWrite { node, life } => self.crashes_at_write(node, life),
            Happening::Operates(operator) => return self.operator_looks(operator),
            Happening::OperatorWrites { operator, expected, record } => {
                return self.operator_writes(operator, expected, *record);
            }
            // And the writes after it.
            Happening::LosesVacate => self.lose_writes(faults::FEW_WRITES),
            Happening::HintsInPeace => self.hints_in_peace(),
            Happening::Calm => return self.calm_down(),
            Happening::Led => return self.is_led(),
            Happening::End => {}
        }
        Ok(())
    }

    fn process(&mut self, node: usize, life: u32) -> Option<&mut Process> {
        let node = &mut self.nodes[node];
        node.process.as_mut().filter(|_| node.life == life)
    }

    fn host(&self, node: usize) -> &HostPlan {
        &self.plan.hosts[node]
    }

    fn local(&self, node: usize) -> BootTime {
        self.nodes[node].time.read()
    }

    fn rolls(&mut self, in_a_thousand: u64) -> bool {
        !self.calm && self.rng.u64(0..1_000) < in_a_thousand
    }
}
