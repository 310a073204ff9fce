//! The world: candidates, a store, a resource that is fenced by the term, and what may happen next.
//!
//! What a candidate does on its own it does at once: steps of two candidates at one instant change
//! nothing that the other sees, so their order does not matter, and only one is searched. What reaches the store is
//! searched in every order.

use std::hash::{Hash, Hasher};

use bellwether::election::elector::{Call, Event};
use bellwether::election::term::Term;

use crate::key::{Key, key};
use crate::node::{Doing, Node, Paused, Tenure, carry_out, failure, write};
use crate::setup::{Fault, Rate, Setup};
use crate::store::Store;

#[derive(Clone, Debug)]
pub struct World {
    /// True time, in nanoseconds.
    pub now: u64,
    pub nodes: Vec<Node>,
    pub store: Store,
    /// How many faults are left.
    pub faults: u8,
    /// The highest term that any candidate believed in.
    pub believed: Term,
    /// How often belief began.
    begun: u64,
    /// What the resource accepted last. Each leader writes to it whenever it believes.
    pub resource: Option<Tenure>,
    pub broken: Broken,
    key: Key,
}

/// What must not happen, and did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Broken {
    /// Belief began under a term that was believed in before.
    pub term_did_not_grow: bool,
    /// The resource refused a candidate that leads.
    pub leader_refused: bool,
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for World {}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Nothing more happens now: time jumps to what is due next.
    TimePasses,
    /// A candidate takes in what is due.
    Takes(usize),
    /// The store carries out a call, and its answer is received.
    Answered(usize),
    /// A slow request reaches the store.
    Arrives(usize),
    /// A swap that was given up is applied.
    AppliedLate(usize),
    Resumes(usize),
    Suffers(usize, Fault),
}

impl World {
    pub fn new(setup: &Setup) -> Self {
        // Long after the boot, so that no time before it is needed.
        let now = 3_600_000_000_000;
        let nodes = (0..setup.clocks.len()).map(|index| Node::new(setup, index, 0, now));
        let mut world = Self {
            now,
            nodes: nodes.collect(),
            store: Store::new(setup.store_clock),
            faults: setup.faults,
            believed: Term::ZERO,
            begun: 0,
            resource: None,
            broken: Broken::default(),
            key: Key::default(),
        };
        world.finish(setup);
        world
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn leaders(&self) -> usize {
        self.nodes.iter().filter(|node| node.leads(self.now).is_some()).count()
    }

    // --- What may happen ------------------------------------------------------------------------

    pub fn acts(&self, setup: &Setup, acts: &mut Vec<Act>) {
        let may = |fault: Fault| self.faults > 0 && setup.kinds.contains(&fault);
        if let Some(index) = self.ready() {
            acts.push(Act::Takes(index));
            if may(Fault::Pause) {
                acts.push(Act::Suffers(index, Fault::Pause));
            }
            return;
        }
        let mut idle = true;
        for (index, node) in self.nodes.iter().enumerate() {
            if node.late.is_some() {
                acts.push(Act::AppliedLate(index));
            }
            match &node.doing {
                Doing::Travels { arrives, .. } if *arrives <= self.now => {
                    idle = false;
                    acts.push(Act::Arrives(index));
                }
                Doing::Calls(call) if node.paused.is_none() => {
                    idle = false;
                    acts.push(Act::Answered(index));
                    let faults = outcomes(node, call).filter(|fault| may(*fault));
                    acts.extend(faults.map(|fault| Act::Suffers(index, fault)));
                }
                Doing::Waits { .. } if node.paused.is_none() && may(Fault::Resign) => {
                    acts.push(Act::Suffers(index, Fault::Resign));
                }
                _ => {}
            }
            if let Some(Paused { since, until }) = node.paused {
                idle &= self.now < until;
                if since < self.now {
                    acts.push(Act::Resumes(index));
                }
            } else if may(Fault::Restart) {
                acts.push(Act::Suffers(index, Fault::Restart));
            }
        }
        if may(Fault::ClockStep)
            && self.store.ends.is_some_and(|ends| ends > self.now)
            && self.nodes.iter().all(Node::saw_a_change)
        {
            acts.push(Act::Suffers(0, Fault::ClockStep));
        }
        if idle {
            acts.push(Act::TimePasses);
        }
    }

    /// What happens next if nothing more goes wrong.
    pub fn calm(&self, applies_late: bool) -> Act {
        let late = |node: &Node| node.late.is_some() && applies_late;
        let calls = |node: &Node| matches!(node.doing, Doing::Calls(_));
        let arrives = |node: &Node| matches!(node.doing, Doing::Travels { arrives, .. } if arrives <= self.now);
        let find = |wanted: &dyn Fn(&Node) -> bool| self.nodes.iter().position(wanted);
        if let Some(index) = find(&|node| node.paused.is_some()) {
            Act::Resumes(index)
        } else if let Some(index) = self.ready() {
            Act::Takes(index)
        } else if let Some(index) = find(&late) {
            Act::AppliedLate(index)
        } else if let Some(index) = find(&arrives) {
            Act::Arrives(index)
        } else if let Some(index) = find(&calls) {
            Act::Answered(index)
        } else {
            Act::TimePasses
        }
    }

    /// The first candidate that has something to take in now.
    fn ready(&self) -> Option<usize> {
        let ready =
            |node: &Node| node.paused.is_none() && node.due().is_some_and(|due| due <= self.now);
        self.nodes.iter().position(ready)
    }

    // --- What happens ---------------------------------------------------------------------------

    pub fn after(&self, setup: &Setup, act: Act) -> Self {
        let mut world = self.clone();
        world.happens(setup, act);
        world.finish(setup);
        world
    }

    /// As [`World::after`], without what distinguishes the result from others.
    pub fn happens(&mut self, setup: &Setup, act: Act) {
        let now = self.now;
        match act {
            Act::TimePasses => self.now = self.next_time(),
            Act::Takes(index) => self.nodes[index].take_due(setup, now),
            Act::Resumes(index) => self.nodes[index].paused = None,
            Act::Answered(index) => {
                if let Doing::Calls(call) = self.nodes[index].doing.clone() {
                    let event = self.carry_out(setup, index, &call);
                    self.nodes[index].doing = Doing::Receives { event, at: now };
                    self.nodes[index].take_due(setup, now);
                }
            }
            Act::Arrives(index) => {
                if let Doing::Travels { call, .. } = self.nodes[index].doing.clone() {
                    let event = self.carry_out(setup, index, &call);
                    self.nodes[index].doing = Doing::Receives { event, at: now };
                }
            }
            Act::AppliedLate(index) => {
                if let Some(write) = self.nodes[index].late.take() {
                    self.store.swap(now, &write);
                    self.hint(setup, index);
                }
            }
            Act::Suffers(index, fault) => {
                self.faults -= 1;
                self.suffer(setup, index, fault);
            }
        }
        self.look();
    }

    fn next_time(&self) -> u64 {
        let next = |node: &Node| match (&node.doing, node.paused) {
            (Doing::Travels { arrives, .. }, None) => Some(*arrives),
            (Doing::Travels { arrives, .. }, Some(Paused { until, .. })) => {
                Some(until.min(*arrives))
            }
            (_, Some(Paused { until, .. })) => Some(until),
            (_, None) => node.due(),
        };
        self.nodes.iter().filter_map(next).min().unwrap()
    }

    fn suffer(&mut self, setup: &Setup, index: usize, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Pause => {
                // Longer than belief, and than any candidate waits for the lease.
                let lease = super::node::nanos((setup.timing)().lease_duration());
                let until = now + Rate::SLOWEST.when(lease) + 1_000_000_000;
                self.nodes[index].paused = Some(Paused { since: now, until });
            }
            Fault::Restart => {
                let (old, tenure) = (self.nodes[index].clone(), self.nodes[index].tenure);
                let sent = match &old.doing {
                    Doing::Calls(call) | Doing::Travels { call, .. } => write(call),
                    Doing::Waits { .. } | Doing::Receives { .. } => None,
                };
                let fresh = Node::new(setup, index, old.incarnation + 1, now);
                let late = old.late.or(sent);
                self.nodes[index] = Node { late, tenure, ..fresh };
            }
            Fault::Resign => {
                let cooldown = (setup.timing)().retry_period();
                self.nodes[index].take_in(setup, now, Event::Resign { cooldown, successor: None });
            }
            Fault::ClockStep => self.store.step_clock(now),
            Fault::Refused
            | Fault::Lost
            | Fault::Unheard
            | Fault::Late
            | Fault::SlowAnswer
            | Fault::SlowRequest => self.fail_call(setup, index, fault),
        }
    }

    fn fail_call(&mut self, setup: &Setup, index: usize, fault: Fault) {
        let Doing::Calls(call) = self.nodes[index].doing.clone() else { return };
        let deadline = self.nodes[index].deadline(&call).max(self.now);
        let (event, at) = match fault {
            Fault::Refused => (failure(&call), self.now),
            Fault::Unheard => {
                self.carry_out(setup, index, &call);
                (failure(&call), deadline)
            }
            Fault::Late => {
                self.nodes[index].late = write(&call);
                (failure(&call), deadline)
            }
            Fault::SlowAnswer => (self.carry_out(setup, index, &call), deadline),
            Fault::SlowRequest => {
                self.nodes[index].doing = Doing::Travels { call, arrives: deadline };
                return;
            }
            _ => (failure(&call), deadline),
        };
        self.nodes[index].doing = Doing::Receives { event, at };
    }

    fn carry_out(&mut self, setup: &Setup, index: usize, call: &Call) -> Event {
        let (event, written) = carry_out(call, &mut self.store, self.now);
        if written {
            self.hint(setup, index);
        }
        event
    }

    /// The others learn that the record changed.
    fn hint(&mut self, setup: &Setup, writer: usize) {
        let now = self.now;
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if setup.hints && index != writer && node.paused.is_none() {
                node.take_in(setup, now, Event::Changed);
            }
        }
    }

    // --- What is seen ---------------------------------------------------------------------------

    /// Checks for each candidate whether it leads, and has it write to the resource.
    fn look(&mut self) {
        for node in &mut self.nodes {
            let leads = node.leads(self.now);
            if let Some(term) = leads {
                if node.believes != Some(term) {
                    self.broken.term_did_not_grow |= term <= self.believed;
                    self.believed = self.believed.max(term);
                    self.begun += 1;
                    node.tenure = Some(Tenure { term, begun: self.begun });
                }
                if self.resource.is_some_and(|accepted| term < accepted.term) {
                    self.broken.leader_refused = true;
                } else {
                    self.resource = node.tenure;
                }
            }
            node.believes = leads;
        }
    }

    /// Forgets what can make no difference, and notes what distinguishes this state from others.
    fn finish(&mut self, setup: &Setup) {
        for node in &mut self.nodes {
            node.late.take_if(|write| !self.store.accepts(write));
        }
        let places: Vec<_> = (0..self.nodes.len()).collect();
        let alike = setup.clocks.windows(2).all(|pair| pair[0] == pair[1]);
        let orders = if alike { orders(&places) } else { vec![places] };
        let keys = orders.iter().map(|order| key(self, order));
        self.key = keys.min().unwrap();
    }
}

/// The outcomes of a call other than an answer at once.
fn outcomes(node: &Node, call: &Call) -> impl Iterator<Item = Fault> {
    let swap = write(call).is_some();
    let (unheard, late) = (swap, swap && node.late.is_none());
    let all = [
        (Fault::Refused, true),
        (Fault::Lost, true),
        (Fault::Unheard, unheard),
        (Fault::Late, late),
        (Fault::SlowAnswer, true),
        (Fault::SlowRequest, true),
        (Fault::Pause, true),
    ];
    all.into_iter().filter(|(_, possible)| *possible).map(|(fault, _)| fault)
}

/// Every order of these.
fn orders(places: &[usize]) -> Vec<Vec<usize>> {
    let [.., last] = places else { return vec![Vec::new()] };
    let shorter = orders(&places[..places.len() - 1]);
    let insert = |order: &Vec<usize>, at: usize| {
        let mut order = order.clone();
        order.insert(at, *last);
        order
    };
    shorter.iter().flat_map(|order| (0..places.len()).map(move |at| insert(order, at))).collect()
}
