//! One run: hosts with candidates on them, a store, and everything between them that can fail.
//!
//! A discrete-event simulation in true time. Each candidate is the real [`Elector`], driven as the
//! program's driver does it, and handed the time of its own host's clock.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use bellwether::election::clock::{BootTime, Now, WallTime};
use bellwether::election::elector::{
    Action, Call, CallFailed, Elector, Event, News, Step, Swapped,
};
use bellwether::election::leadership::Leadership;
use bellwether::election::lease::{Candidate, LeaseRecord, Version};
use fastrand::Rng;

use crate::invariants::{
    A_LEADER_EXISTS, BOUNDED_CALLS, BOUNDED_WAITS, Calls, NO_OLD_WORK, ONE_BELIEVER, Seen, Terms,
    VACATED_LAST, Violation,
};
use crate::plan::{Broken, Fault, Host, Plan};
use crate::store::SimStore;
use crate::tally::Tally;
use crate::time::{MS, TrueTime};

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
    terms: Terms,
    calm: bool,
    led: bool,
    last_leader: Option<(usize, u32)>,
    tally: Tally,
    fingerprint: u64,
}

macro_rules! trace {
    ($world:expr, $($what:tt)*) => {
        if $world.trace {
            println!("{:>14.6} s  {}", $world.now as f64 / 1e9, format_args!($($what)*));
        }
    };
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
            Happening::WorkEnds { work } => return self.end_work(work),
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

    // --- Processes ------------------------------------------------------------------------------

    fn start(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].process.is_some() {
            return Ok(());
        }
        let seed = self.rng.u64(..);
        let timing = self.host(node).timing;
        let home = &mut self.nodes[node];
        home.life += 1;
        trace!(self, "n{node} starts for the {}. time", home.life);
        let me = Candidate { identity: format!("n{node}"), incarnation: home.life.to_string() };
        home.process = Some(Process {
            view: Leadership::unknown(me.clone(), timing),
            elector: Elector::new(me, timing, seed),
            stopped: false,
            mail: Vec::new(),
            call: None,
            timer: 0,
            gate_open: true,
            shutting_down: false,
            back_after: None,
            seen: Seen::default(),
            calls: Calls::default(),
            swaps_since_led: 0,
        });
        self.step(node, Event::Wake)
    }

    /// Its work stays until it is killed: the worst case.
    fn dies(&mut self, node: usize, back_after: Option<TrueTime>) {
        self.nodes[node].process = None;
        if let Some(delay) = back_after {
            self.after(delay, Happening::Start { node });
        }
    }

    fn deliver(&mut self, node: usize, mail: Mail) -> Result<(), Violation> {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        if process.stopped {
            process.mail.push(mail);
            return Ok(());
        }
        let now = self.plan.hosts[node].clock.read(self.now);
        let event = match mail {
            Mail::Tell(event) => event,
            // A driver waits for one answer, until its deadline; the rest is dropped.
            Mail::Answer { call, event } if process.call.is_some_and(|(id, _)| id == call) => {
                process.call = None;
                match &event {
                    Event::Observed(Ok(o)) | Event::Swapped(Ok(Swapped::Lost(o))) => {
                        process.seen.saw(o.as_ref(), now);
                    }
                    _ => {}
                }
                event
            }
            Mail::Deadline { call } if process.call.is_some_and(|(id, _)| id == call) => {
                let swap = process.call.take().is_some_and(|(_, swap)| swap);
                self.tally.count(if swap { "swaps timed out" } else { "looks timed out" });
                trace!(self, "n{node} gives up on its call");
                failed(swap)
            }
            Mail::Answer { .. } | Mail::Deadline { .. } => return Ok(()),
        };
        self.step(node, event)
    }

    /// What came meanwhile is found all at once: the answer and its timeout in any order, before or
    /// after the rest.
    fn resume(&mut self, node: usize) -> Result<(), Violation> {
        trace!(self, "n{node} goes on");
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        process.stopped = false;
        let told = |mail: &Mail| matches!(mail, Mail::Tell(_));
        let (mut first, mut then): (Vec<_>, Vec<_>) =
            std::mem::take(&mut process.mail).into_iter().partition(|mail| !told(mail));
        self.rng.shuffle(&mut first);
        then.push(Mail::Tell(Event::Wake));
        if self.rng.bool() {
            std::mem::swap(&mut first, &mut then);
        }
        first.into_iter().chain(then).try_for_each(|mail| self.deliver(node, mail))
    }

    /// One step of the elector: what readers see changes first, then it is done what it says.
    fn step(&mut self, node: usize, event: Event) -> Result<(), Violation> {
        let host = &self.plan.hosts[node];
        let boot = host.clock.read(self.now);
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let now = Now { boot, wall: WallTime::from_unix(Duration::from_nanos(self.now)) };
        let own_write = matches!(event, Event::Swapped(Ok(Swapped::Won(_))));
        let Step { action, news } = process.elector.step(now, event);
        let believed = process.view.leading(boot).map(|own| own.term);
        process.view = process.elector.leadership();
        if own_write {
            // What it wrote names itself: nobody else can be named.
            process.seen = Seen::default();
        }
        let believes = process.view.leading(boot).map(|own| (own.term, own.kills_at));
        let named = process.seen.check(&process.view, boot);
        self.check_belief()?;
        named?;
        if let Some((term, _)) = believes
            && believed != Some(term)
        {
            self.terms.begins(term)?;
        }
        self.tell(node, &news);
        self.follow_belief(node, believes);
        self.act(node, action)
    }

    fn tell(&mut self, node: usize, news: &[News]) {
        for news in news {
            trace!(self, "n{node} {news:?}");
            match news {
                News::Elected { .. } => {
                    self.tally.count("elected");
                    let me = Some((node, self.nodes[node].life));
                    if self.last_leader.is_some() && self.last_leader != me {
                        self.tally.count("elected after another");
                    }
                    self.last_leader = me;
                }
                News::Lost { reason, .. } => self.tally.count(match reason.as_str() {
                    "renew_deadline" => "lost by the renew deadline",
                    "superseded" => "lost: superseded",
                    "record_gone" => "lost: record gone",
                    "resigned" => "lost: resigned",
                    "gate_closed" => "lost: gate closed",
                    _ => "lost: shutting down",
                }),
                News::Vacated { .. } => self.tally.count("vacated"),
                News::Following { .. } => {}
                News::TermWentBackwards { .. } => self.tally.count("seen going backwards"),
            }
        }
    }

    fn act(&mut self, node: usize, action: Action) -> Result<(), Violation> {
        let (clock, lateness) = (self.host(node).clock, self.host(node).lateness);
        let local = self.local(node);
        let life = self.nodes[node].life;
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        process.timer += 1;
        match action {
            Action::Wait { until } => {
                if until <= local {
                    let what = format!("n{node} waits until {until:?} at {local:?}");
                    return Err(Violation::new(BOUNDED_WAITS, what));
                }
                let timer = process.timer;
                let late = self.rng.u64(0..=lateness);
                self.schedule(
                    clock.when_reads(until) + late,
                    Happening::Timer { node, life, timer },
                );
            }
            Action::Call(call) => self.call(node, call)?,
            Action::Finished => {
                if !process.shutting_down {
                    let what = format!("n{node} left without being asked to");
                    return Err(Violation::new(A_LEADER_EXISTS, what));
                }
                trace!(self, "n{node} has left");
                self.tally.count("left");
                let back_after = process.back_after;
                self.dies(node, back_after);
            }
        }
        Ok(())
    }

    // --- Calls ----------------------------------------------------------------------------------

    fn call(&mut self, node: usize, call: Call) -> Result<(), Violation> {
        let local = self.local(node);
        let timing = self.host(node).timing;
        let (deadline, request) = match call {
            Call::Observe { deadline } => (deadline, Request::Observe),
            Call::Swap { deadline, expected, record } => {
                (deadline, Request::Swap { expected, record })
            }
        };
        let swap = matches!(request, Request::Swap { .. });
        trace!(self, "n{node} calls: {}", describe(&request));

        let life = self.nodes[node].life;
        if let Request::Swap { record: LeaseRecord { holder: None, .. }, .. } = &request {
            let works = self.works.iter().any(|work| (work.node, work.life) == (node, life));
            let process = self.nodes[node].process.as_ref();
            let believes = process.is_some_and(|process| process.view.is_leading(local));
            if works || believes {
                let how = if works { "under work" } else { "while it believes" };
                return Err(Violation::new(VACATED_LAST, format!("n{node} vacates {how}")));
            }
        }
        self.ids += 1;
        let call = self.ids;
        let hints = self.hints();
        let led = self.led;
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        if process.call.is_some() || deadline <= local {
            let what = format!("n{node} calls with a deadline of {deadline:?} at {local:?}");
            return Err(Violation::new(BOUNDED_WAITS, what));
        }
        if deadline > local + timing.call_timeout() {
            let what = format!("n{node} waits for an answer for {:?}", deadline.since(local));
            return Err(Violation::new(BOUNDED_WAITS, what));
        }
        process.calls.called(local, timing.retry_period(), hints)?;
        if led && swap {
            process.swaps_since_led += 1;
            let host = &self.plan.hosts[node];
            let since = self.now - self.plan.led_at;
            let writes = since / host.clock.span(timing.retry_period()) + 1;
            if u64::from(process.swaps_since_led) > writes + 1 {
                let what = format!("n{node} writes {} times in peace", process.swaps_since_led);
                return Err(Violation::new(BOUNDED_CALLS, what));
            }
        }
        process.call = Some((call, swap));
        self.send(node, call, swap, request, deadline);
        if self.plan.wakes_after_call {
            return self.step(node, Event::Wake);
        }
        Ok(())
    }

    /// Whether hints can come at all.
    fn hints(&self) -> bool {
        let floods = |(_, fault): &(TrueTime, Fault)| matches!(fault, Fault::HintFlood { .. });
        self.plan.network.hint > 0 || self.plan.faults.iter().any(floods)
    }

    fn send(&mut self, node: usize, call: u64, swap: bool, request: Request, deadline: BootTime) {
        let life = self.nodes[node].life;
        let network = self.plan.network;
        let clock = self.host(node).clock;
        let late = self.rng.u64(0..=self.host(node).lateness);
        let mail = Mail::Deadline { call };
        self.schedule(clock.when_reads(deadline) + late, Happening::Arrives { node, life, mail });

        let mut answer_lost = self.rolls(network.lose_answer);
        match self.nodes[node].cut.map(|(how, _)| how) {
            Some(Broken::Hangs) => return self.tally.count("requests lost"),
            Some(Broken::ReadOnly) if swap => return self.tally.count("requests lost"),
            Some(Broken::Refuses) => {
                self.tally.count("calls refused");
                let mail = Mail::Answer { call, event: failed(swap) };
                return self.after(MS / 10, Happening::Arrives { node, life, mail });
            }
            Some(Broken::Deaf) => answer_lost = true,
            Some(Broken::ReadOnly) | None => {}
        }
        if self.rolls(network.lose_request) {
            return self.tally.count("requests lost");
        }
        let delay = self.delay(node);
        self.after(delay, Happening::Request { node, life, call, request, answer_lost });
    }

    /// How long a way to or from the store takes.
    fn delay(&mut self, node: usize) -> TrueTime {
        let network = self.plan.network;
        let timing = self.host(node).timing;
        let longest = if self.rolls(network.late) {
            self.plan.lease() * 3 / 2
        } else if self.rolls(network.slow) {
            self.host(node).clock.span(timing.call_timeout()) * 3 / 2
        } else {
            // Never so slow as to be a fault of its own.
            network.delay.min(self.host(node).clock.span(timing.call_timeout()) / 4)
        };
        let delay = self.rng.u64(MS / 100..=longest.max(MS / 10));
        // No fault outlasts the calm; once it is calm, there are only ordinary delays.
        if self.calm { delay } else { delay.min((self.plan.calm_at - self.now).max(MS / 100)) }
    }

    /// A request reaches the store, perhaps long after whoever sent it has given up or died.
    fn serve(&mut self, node: usize, life: u32, call: u64, request: Request, answer_lost: bool) {
        let waiting = self
            .process(node, life)
            .is_some_and(|process| process.call.is_some_and(|(id, _)| id == call));
        let event = match request {
            Request::Observe => Event::Observed(Ok(self.store.observe(self.now))),
            Request::Swap { expected, record } => {
                let swapped = self.store.swap(self.now, expected.as_ref(), record);
                let won = matches!(swapped, Swapped::Won(_));
                self.tally.count(match (won, waiting && !answer_lost) {
                    (true, true) => "swaps applied",
                    (true, false) if !waiting => "swaps applied after the caller gave up",
                    (true, false) => "swaps applied unheard",
                    (false, _) => "swaps refused",
                });
                if won {
                    trace!(self, "store: n{node}'s write is applied");
                    self.ring();
                }
                Event::Swapped(Ok(swapped))
            }
        };
        if answer_lost {
            return self.tally.count("answers lost");
        }
        let delay = self.delay(node);
        self.after(delay, Happening::Arrives { node, life, mail: Mail::Answer { call, event } });
    }

    fn ring(&mut self) {
        for node in 0..self.nodes.len() {
            if self.rng.u64(0..1_000) < self.plan.network.hint {
                let delay = self.rng.u64(0..=self.plan.network.hint_delay);
                self.hint(node, delay);
            }
        }
    }

    fn hint(&mut self, node: usize, delay: TrueTime) {
        let life = self.nodes[node].life;
        let mail = Mail::Tell(Event::Changed);
        self.after(delay, Happening::Arrives { node, life, mail });
    }

    // --- Belief and work ------------------------------------------------------------------------

    fn check_belief(&self) -> Result<(), Violation> {
        let mut believer = None;
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(process) = &node.process else { continue };
            if !process.view.is_leading(self.local(index)) {
                continue;
            }
            if let Some(other) = believer {
                let what = format!("n{other} and n{index} both believe to lead");
                return Err(Violation::new(ONE_BELIEVER, what));
            }
            believer = Some(index);
        }
        let Some(believer) = believer else {
            if self.led {
                let what = "nobody leads long after the last fault".to_owned();
                return Err(Violation::new(A_LEADER_EXISTS, what));
            }
            return Ok(());
        };
        let me = (believer, self.nodes[believer].life);
        match self.works.iter().find(|work| (work.node, work.life) != me) {
            None => Ok(()),
            Some(Work { node, term, .. }) => {
                let what = format!("n{believer} leads while n{node}'s work of term {term} goes on");
                Err(Violation::new(NO_OLD_WORK, what))
            }
        }
    }

    fn schedule_work(&mut self) {
        let delay = self.rng.u64(0..self.plan.lease() / self.nodes.len() as u64);
        let node = self.rng.usize(0..self.nodes.len());
        self.after(delay, Happening::WorkBegins { node });
    }

    fn begin_work(&mut self, node: usize) -> Result<(), Violation> {
        let (local, life) = (self.local(node), self.nodes[node].life);
        let busy = self.works.iter().any(|work| (work.node, work.life) == (node, life));
        let process = self.nodes[node].process.as_ref().filter(|process| !process.stopped);
        let Some(own) = process.and_then(|process| process.view.leading(local)) else {
            return Ok(());
        };
        if busy {
            return Ok(());
        }
        let (term, kills_at) = (own.term, own.kills_at);
        trace!(self, "n{node} begins work under term {term}");
        self.tally.count("works");
        self.ids += 1;
        let work = self.ids;
        self.works.push(Work { id: work, node, life, term, kills_at, asked_to_end: false });
        let lasts = self.rng.u64(0..self.plan.lease() * 3);
        self.after(lasts, Happening::WorkEnds { work });
        self.schedule(self.host(node).clock.when_reads(kills_at), Happening::WorkIsKilled { work });
        self.deliver(node, Mail::Tell(Event::Work { under_way: true }))
    }

    /// Work goes on for as long as its term is led, and is asked to end when it is not.
    fn follow_belief(&mut self, node: usize, believes: Option<(u64, BootTime)>) {
        let life = self.nodes[node].life;
        let Some(work) = self.works.iter_mut().find(|w| (w.node, w.life) == (node, life)) else {
            return;
        };
        match believes {
            Some((term, kills_at)) if term == work.term => work.kills_at = kills_at,
            _ if !work.asked_to_end => {
                work.asked_to_end = true;
                let work = work.id;
                let lasts = self.rng.u64(0..self.plan.lease() / 3);
                self.after(lasts, Happening::WorkEnds { work });
            }
            _ => {}
        }
    }

    fn kill_work(&mut self, work: u64) -> Result<(), Violation> {
        let Some(Work { node, kills_at, .. }) = self.works.iter().find(|w| w.id == work) else {
            return Ok(());
        };
        let (clock, kills_at) = (self.host(*node).clock, *kills_at);
        if clock.read(self.now) < kills_at {
            self.schedule(clock.when_reads(kills_at), Happening::WorkIsKilled { work });
            return Ok(());
        }
        self.tally.count("works killed");
        self.end_work(work)
    }

    fn end_work(&mut self, work: u64) -> Result<(), Violation> {
        let Some(index) = self.works.iter().position(|w| w.id == work) else { return Ok(()) };
        let Work { node, life, .. } = self.works.swap_remove(index);
        trace!(self, "n{node}'s work has ended");
        if self.process(node, life).is_none() {
            return Ok(());
        }
        self.deliver(node, Mail::Tell(Event::Work { under_way: false }))
    }

    // --- Faults ---------------------------------------------------------------------------------

    /// Most faults strike the leader: that is where it hurts.
    fn victim(&mut self) -> usize {
        let leads = |node: &usize| {
            let process = self.nodes[*node].process.as_ref();
            process.is_some_and(|process| process.view.is_leading(self.local(*node)))
        };
        let leader = (0..self.nodes.len()).find(leads);
        let any = self.rng.usize(0..self.nodes.len());
        leader.filter(|_| self.rng.u8(0..10) < 6).unwrap_or(any)
    }

    fn strike(&mut self, index: usize) -> Result<(), Violation> {
        let node = self.victim();
        let life = self.nodes[node].life;
        let fault = self.plan.faults[index].1;
        let until_calm = self.plan.calm_at - self.now - 1;
        match fault {
            Fault::Cut { how, lasts } => {
                trace!(self, "n{node} loses the store: {how:?}");
                return self.cut(node, how, lasts);
            }
            Fault::Outage { how, lasts } => {
                trace!(self, "the store is lost: {how:?}");
                self.tally.count("outages");
                return (0..self.nodes.len()).try_for_each(|node| self.cut(node, how, lasts));
            }
            Fault::StepClock { by } => {
                trace!(self, "the store's clock steps by {} s", by as f64 / 1e9);
                self.tally.count("store clock stepped");
                self.store.step_clock(by);
                return Ok(());
            }
            Fault::LoseWrites => {
                self.lose_writes();
                return Ok(());
            }
            _ => {}
        }
        let stands = |node: &&Node| node.process.as_ref().is_some_and(|p| !p.shutting_down);
        let standing = self.nodes.iter().filter(stands).count();
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        trace!(self, "n{node} {fault:?}");
        match fault {
            Fault::Stall { lasts } if !process.stopped => {
                self.tally.count("stalls");
                process.stopped = true;
                self.after(lasts.min(until_calm), Happening::Resume { node, life });
            }
            // Somebody has to be left.
            Fault::Crash { down_for: None } | Fault::Shutdown { down_for: None, .. }
                if standing <= 1 => {}
            Fault::Crash { down_for } => {
                self.tally.count("crashes");
                self.dies(node, down_for.map(|lasts| lasts.min(until_calm)));
            }
            Fault::Shutdown { grace, down_for } => {
                self.tally.count("shutdowns");
                process.shutting_down = true;
                process.back_after = down_for;
                let give_up_at = self.local(node) + grace;
                return self.deliver(node, Mail::Tell(Event::Shutdown { give_up_at }));
            }
            Fault::Resign { cooldown } => {
                self.tally.count("resignations");
                return self.deliver(node, Mail::Tell(Event::Resign { cooldown }));
            }
            Fault::CloseGate { lasts } if process.gate_open => {
                self.tally.count("gates closed");
                process.gate_open = false;
                self.after(lasts.min(until_calm), Happening::GateOpens { node, life });
                return self.deliver(node, Mail::Tell(Event::Gate { open: false }));
            }
            Fault::HintFlood { hints } => {
                self.tally.count("hint floods");
                for _ in 0..hints {
                    let delay = self.rng.u64(0..100 * MS);
                    self.hint(node, delay);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn cut(&mut self, node: usize, how: Broken, lasts: TrueTime) -> Result<(), Violation> {
        self.tally.count("cuts");
        self.ids += 1;
        let cut = self.ids;
        self.nodes[node].cut = Some((how, cut));
        let lasts = lasts.min(self.plan.calm_at - self.now);
        self.after(lasts, Happening::Mend { node, cut });
        Ok(())
    }

    /// Only if everybody knows the current term: see [`crate::plan::Theme::LostWrites`].
    fn lose_writes(&mut self) {
        let term = self.store.term();
        let all_know = self.nodes.iter().all(|node| match &node.process {
            Some(process) => process.view.term().is_some_and(|known| known >= term),
            // A process that did not start yet knows nothing; a dead one does no harm.
            None => node.life > 0,
        });
        if !all_know || self.store.history() == 0 {
            return;
        }
        let back = self.rng.usize(1..=self.store.history().min(20));
        let restored = self.store.restore(self.store.history() - back);
        trace!(self, "the store loses writes: from term {term} to {restored}");
        self.tally.count("writes lost by the store");
    }

    /// The faults are over, and somebody can stand.
    fn calm_down(&mut self) -> Result<(), Violation> {
        trace!(self, "calm");
        self.calm = true;
        for node in 0..self.nodes.len() {
            self.nodes[node].cut = None;
            let life = self.nodes[node].life;
            if self.process(node, life).is_some_and(|process| process.stopped) {
                self.resume(node)?;
            }
        }
        let stands = |node: &Node| node.process.as_ref().is_some_and(|p| !p.shutting_down);
        if !self.nodes.iter().any(stands) {
            let node = self.rng.usize(0..self.nodes.len());
            self.dies(node, None);
            self.start(node)?;
        }
        Ok(())
    }
}

fn failed(swap: bool) -> Event {
    if swap { Event::Swapped(Err(CallFailed)) } else { Event::Observed(Err(CallFailed)) }
}

fn describe(request: &Request) -> String {
    match request {
        Request::Observe => "observe".to_owned(),
        Request::Swap { expected, record } => {
            let version = expected.as_ref().map_or("nothing", |version| version.as_str());
            match &record.holder {
                Some(_) => format!("swap {version} for itself, term {}", record.term),
                None => format!("swap {version} for nobody, term {}", record.term),
            }
        }
    }
}
