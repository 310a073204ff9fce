//! Processes: started, polled, paused, gone.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bellwether::api::hold::HoldLine;
use bellwether::driver::{DriverConfig, Handle, Health, obey, stand_by};
use bellwether::election::handover::{Preference, Rank};
use bellwether::election::leadership::{Gated, Leadership};
use bellwether::election::lease::Candidate;
use bellwether::election::term::Term;
use bellwether::election::time::BootTime;
use bellwether::gate::{Gate, GateState};
use bellwether::metrics::Metrics;
use tokio::sync::{mpsc, oneshot, watch};

use super::contest::Contest;
use super::turns::Turn;
use super::{Happening, World};
use crate::simulation::host::{AT_ONCE, Answer, Deed, DrawnOrder, Host, Request, Task};
use crate::simulation::instance::{self, Aim};
use crate::simulation::invariants::{
    BOUNDED_WAITS, Calls, LEFT_CLEAN, Promises, Seen, Violation, is,
};
use crate::simulation::plan::{Point, Work};
use crate::simulation::time::{MS, TrueTime};

pub(super) struct Process {
    /// The contest in which it stands.
    pub(super) contest: usize,
    pub(super) host: Host,
    pub(super) handle: Handle,
    /// What readers see. They ask whether or not the process is paused.
    pub(super) view: watch::Receiver<Leadership>,
    tasks: Vec<Task<What>>,
    /// A poll is to come.
    polling: bool,
    /// When it was polled last, and how often in this instant.
    polled: (TrueTime, u32),
    paused: Option<Paused>,
    /// Sent by the process, and still on its host.
    unsent: Vec<(u64, Request)>,
    pub(super) call: Option<Open>,
    /// The same about the history of a work.
    pub(super) history_call: Option<Open>,
    /// The term that readers saw it lead in last.
    pub(super) believed: Option<Term>,
    pub(super) gate: Option<(GateState, Gate)>,
    /// When the gate opened or closed last.
    pub(super) gate_turned: BootTime,
    pub(super) healthy: bool,
    /// When its application was seen well last, and how often it was not since.
    pub(super) well: (BootTime, u32),
    /// It learned that the gate is closed, and had nothing left to do since.
    pub(super) known_closed: bool,
    pub(super) promises: Promises,
    /// How long after it left the next process starts.
    pub(super) back_after: Option<TrueTime>,
    /// A call of it failed, or work of it was not seen to end.
    pub(super) troubled: bool,
    /// Terms whose work has ended, and was not seen to.
    pub(super) unseen: Vec<Term>,
    kept_open: Vec<mpsc::Receiver<HoldLine>>,
    /// Until when the application beside it may act after its request to end.
    pub(super) beside_until: Arc<OnceLock<BootTime>>,
    /// The terms of its last write, and of the last that it knows to be applied.
    pub(super) won: (Term, Term),
    /// When it sent the last write of itself into the record.
    pub(super) claimed_at: BootTime,
    /// The highest term that it was shown.
    pub(super) highest: Term,
    pub(super) seen: Seen,
    pub(super) calls: Calls,
    pub(super) swaps_since_led: u32,
    pub(super) rank: Option<Rank>,
    pub(super) turn: Turn,
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: u64,
    pub(super) swap: bool,
    pub(super) sent: BootTime,
    pub(super) answer: Option<oneshot::Sender<Answer>>,
}

#[derive(Clone, Copy, Debug)]
struct Paused {
    since: BootTime,
    /// Its clock stands still as well.
    clock: bool,
}

/// A task of a process.
#[derive(Debug)]
pub(super) enum What {
    Driver,
    Gate,
    /// The instance of `once` beside the driver.
    Once,
    Hold {
        work: u64,
    },
    Resign {
        cooldown: Duration,
    },
    Shutdown {
        grace: Duration,
    },
    Beside,
    /// The leader says how many candidates listen to it.
    Counted,
}

impl Process {
    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    pub(super) fn begins(&mut self, task: Task<What>) {
        self.tasks.push(task);
    }

    fn is_due(&self) -> bool {
        !self.polling && !self.is_paused() && self.tasks.iter().any(Task::is_woken)
    }
}

impl World {
    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        let (timing, grace) = (self.host(node).timing, self.host(node).grace);
        let order = DrawnOrder(self.rng.fork());
        let home = &mut self.nodes[node];
        home.life += 1;
        let life = home.life;
        trace!(self, "n{node} starts for the {life}. time");
        let host = Host::new(self.nodes[node].time.clone());
        let now = host.time.read();
        let once = self.plan.work == Work::Once;
        let contest = self.rng.usize(0..self.contests.len());
        let Contest { lease, work, .. } = &self.contests[contest];
        let (election, work) = (lease.clone(), work.clone());
        let rank = self.host(node).seat.map(|seat| {
            let age = if life == 1 { seat.age } else { Duration::ZERO };
            let since = BootTime::from_duration(now.as_duration().saturating_sub(age));
            let preference = seat.preference.and_then(Preference::new);
            Rank { order: seat.order, since, preference }
        });
        let standing = DriverConfig {
            election,
            candidate: Candidate { identity: format!("n{node}"), incarnation: life.to_string() },
            origin: None,
            holder_url: None,
            timing,
            rank,
            gated: match once {
                true => Some(Gated::ByWork),
                false => self.plan.gate.map(|_| Gated::ByHealth),
            },
            store: Arc::new(host.clone()),
            clock: Arc::new(host.time.clone()),
            health: Health::default(),
            metrics: Metrics::new("simulation", &timing, now).unwrap(),
            url: None,
        };
        let mut births = 0;
        let reborn = move || {
            births += 1;
            format!("{life}.{births}")
        };
        let (handle, driver) = stand_by(standing, host.timer(), order);
        let mut tasks = vec![Task::new(What::Driver, driver.with_incarnations(reborn).run())];
        let gate = self.plan.gate.map(|rules| GateState::new(rules, now));
        if let Some((_, gate)) = &gate {
            tasks.push(Task::new(What::Gate, obey(gate.clone(), handle.clone(), host.timer())));
            self.tally.count("starts behind a closed gate");
            self.after(0, Happening::Check { node, life });
        }
        if once {
            self.ids += 1_000_000;
            let aim = Aim::draw(&mut self.rng);
            trace!(self, "n{node} is for {aim:?} of {work}");
            let aim = (work, aim);
            let instance = instance::run(handle.clone(), host.clone(), grace, aim, self.ids);
            tasks.push(Task::new(What::Once, instance));
        }
        self.nodes[node].process = Some(Process {
            contest,
            view: handle.watch(),
            host,
            handle,
            tasks,
            polling: false,
            polled: (0, 0),
            paused: None,
            unsent: Vec::new(),
            call: None,
            history_call: None,
            believed: None,
            gate,
            gate_turned: now,
            healthy: true,
            well: (now, 0),
            known_closed: false,
            promises: Promises::default(),
            back_after: None,
            troubled: false,
            unseen: Vec::new(),
            kept_open: Vec::new(),
            beside_until: Arc::default(),
            won: (Term::new(0), Term::new(0)),
            claimed_at: BootTime::ZERO,
            highest: Term::new(0),
            seen: Seen::default(),
            calls: Calls::default(),
            swaps_since_led: 0,
            rank,
            turn: Turn::default(),
        });
    }

    /// Its work stays until it is killed: the worst case.
    pub(super) fn dies(&mut self, node: usize, back_after: Option<TrueTime>) {
        self.nodes[node].process = None;
        let me = (node, self.nodes[node].life);
        self.works.retain(|work| work.of != me || work.has_begun());
        if self.works.iter().any(|work| work.of == me) {
            self.tally.count("works that outlived their process");
        }
        if let Some(delay) = back_after {
            self.after(delay, Happening::Start { node });
        }
    }

    pub(super) fn crashes_at_write(&mut self, node: usize, life: u32) {
        if self.process(node, life).is_none() {
            return;
        }
        trace!(self, "n{node} crashes at its write");
        self.tally.count("crashes at a write");
        let until_calm = self.plan.calm_at.saturating_sub(self.now + 1);
        let down_for = self.rng.u64(0..self.plan.lease());
        self.dies(node, Some(down_for.min(until_calm)));
    }

    /// Ensures that every task that was woken is polled.
    pub(super) fn rouse(&mut self) {
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].life;
            if !self.process(node, life).is_some_and(|process| process.is_due()) {
                continue;
            }
            let throttled = self.rolls(self.plan.throttled);
            let lateness = self.host(node).lateness;
            let late = if throttled { self.rng.u64(0..=lateness) } else { 0 };
            self.after(late, Happening::Poll { node, life });
            if let Some(process) = self.process(node, life) {
                process.polling = true;
            }
        }
    }

    /// Polls one of the tasks that were woken, unless the process is paused just then.
    pub(super) fn poll(&mut self, node: usize, life: u32) -> Result<(), Violation> {
        let pauses = !self.calm && self.rng.u64(0..10_000) < self.plan.pauses;
        let draw = self.rng.usize(..);
        let (now, lease) = (self.now, self.plan.lease());
        let Some(process) = self.process(node, life) else { return Ok(()) };
        process.polling = false;
        let woken = || process.tasks.iter().enumerate().filter(|(_, task)| task.is_woken());
        let count = woken().count();
        if count == 0 || process.is_paused() {
            return Ok(());
        }
        if pauses {
            self.tally.count("pauses between two polls");
            let lasts = self.rng.u64(MS..lease * 3 / 2);
            self.pause(node, lasts, false);
            return Ok(());
        }
        let index = woken().nth(draw % count).map_or(0, |(index, _)| index);
        let at_once = if process.polled.0 == now { process.polled.1 + 1 } else { 0 };
        process.polled = (now, at_once);
        if at_once > AT_ONCE {
            return Violation::found(BOUNDED_WAITS, format!("n{node} spins"));
        }
        let task = &mut process.tasks[index];
        let done = task.poll();
        let driver = matches!(task.what, What::Driver);
        if driver {
            self.look_at(node)?;
        }
        self.carry_out_deeds(node, life)?;
        self.read_lines(node, life, index);
        if done {
            self.is_done(node, life, index)?;
        }
        self.settled(node, life)
    }

    fn carry_out_deeds(&mut self, node: usize, life: u32) -> Result<(), Violation> {
        let Some(process) = self.process(node, life) else { return Ok(()) };
        let contest = process.contest;
        for deed in process.host.deeds() {
            match deed {
                Deed::Sends { request, answer } => self.sends(node, request, answer)?,
                Deed::Takes(answer) => self.takes(node, &answer),
                Deed::Sets { at, ring } => {
                    let late = self.rng.u64(0..=self.host(node).lateness);
                    let at = self.nodes[node].time.when_reads(at);
                    self.schedule(at.saturating_add(late), Happening::Rings(ring));
                }
                Deed::Starts { id, run, deadlines, end } => {
                    let contest = &mut self.contests[contest];
                    let history = contest.history_now();
                    contest.commands.starts(&run, &history)?;
                    self.start_command(node, id, run.term, deadlines, end);
                }
                Deed::Spins => {
                    let what = format!("n{node} waits for what has passed");
                    return Violation::found(BOUNDED_WAITS, what);
                }
                Deed::Extends { id, deadlines } => self.extend_work(id, deadlines),
                Deed::Stops { id, kill_at } => self.stop_work(id, kill_at),
                Deed::Finishes { term } => {
                    trace!(self, "n{node} sees how its command of term {term} ended");
                    self.tally.count("attempts that ended");
                    self.contests[contest].commands.seen((node, life), term);
                }
                Deed::Settles { key, goal, order, settled } => {
                    let commands = &self.contests[contest].commands;
                    commands.settles((&key, goal, order), &settled)?;
                }
            }
        }
        Ok(())
    }

    /// A task has ended.
    fn is_done(&mut self, node: usize, life: u32, index: usize) -> Result<(), Violation> {
        let now = self.local(node);
        let Some(process) = self.process(node, life) else { return Ok(()) };
        let task = process.tasks.swap_remove(index);
        match task.what {
            What::Driver => return self.has_left(node),
            What::Gate | What::Beside | What::Counted => {}
            What::Once => self.is_through(node, life),
            What::Hold { .. } => self.tally.count("holds that ended"),
            What::Resign { cooldown } => {
                let view = process.view.borrow().clone();
                process.promises.resigns(&view, now, cooldown);
                trace!(self, "n{node} accepts to resign");
            }
            What::Shutdown { grace } => {
                process.promises.shuts_down(now + grace);
                trace!(self, "n{node} accepts to shut down");
            }
        }
        Ok(())
    }

    /// An instance of `once` has nothing left to do: its process leaves, and comes back for something
    /// else as long as there are faults.
    fn is_through(&mut self, node: usize, life: u32) {
        trace!(self, "n{node} is through");
        self.tally.count("works settled");
        let (grace, lease) = (self.host(node).grace, self.plan.lease());
        let back_after = (!self.calm).then(|| self.rng.u64(0..lease));
        let Some(process) = self.process(node, life) else { return };
        if process.is_leaving() {
            return;
        }
        process.back_after = back_after;
        let election = process.handle.clone();
        let leaving = async move { election.shut_down(grace).await };
        process.begins(Task::new(What::Shutdown { grace }, leaving));
    }

    /// A driver has ended, and its process with it.
    fn has_left(&mut self, node: usize) -> Result<(), Violation> {
        let (now, life) = (self.local(node), self.nodes[node].life);
        let works = self.works.iter().any(|work| work.of == (node, life));
        let odd = self.store_is_odd();
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        if !process.is_leaving() {
            let what = format!("n{node} left without a request");
            return Violation::found(crate::simulation::invariants::A_LEADER_EXISTS, what);
        }
        let early = process.promises.gives_up_at().is_some_and(|at| now < at);
        let waits = process.call.as_ref().is_some_and(|open| open.answer.is_some());
        let in_peace = early && !waits && !process.troubled && !works && !odd;
        let lease = &self.contests[process.contest].lease_record;
        let holder = lease.record().and_then(|record| record.holder.as_ref());
        if in_peace && holder.is_some_and(|holder| is(holder, (node, life))) {
            let what = format!("n{node} left, and the record is still its own");
            return Violation::found(LEFT_CLEAN, what);
        }
        trace!(self, "n{node} has left");
        self.tally.count(if in_peace { "left in peace" } else { "left" });
        let back_after = process.back_after;
        self.dies(node, back_after);
        Ok(())
    }

    /// The process does nothing until it is resumed; what it just did is not on its way yet.
    pub(super) fn pause(&mut self, node: usize, lasts: TrueTime, clock: bool) {
        let (life, since) = (self.nodes[node].life, self.local(node));
        let Some(process) = self.process(node, life) else { return };
        process.paused = Some(Paused { since, clock });
        trace!(self, "n{node} is paused");
        let until_calm = self.plan.calm_at.saturating_sub(self.now + 1);
        self.after(lasts.min(until_calm), Happening::Resume { node, life });
    }

    pub(super) fn resume(&mut self, node: usize) -> Result<(), Violation> {
        let time = self.nodes[node].time.clone();
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let Some(paused) = process.paused.take() else { return Ok(()) };
        if paused.clock {
            time.stood_since(paused.since);
        }
        let unsent = std::mem::take(&mut process.unsent);
        trace!(self, "n{node} continues");
        for (call, request) in unsent {
            self.send(node, call, request);
        }
        Ok(())
    }

    /// Puts a request on its way, or keeps it if the process is paused between writing and sending.
    pub(super) fn dispatch(&mut self, node: usize, call: u64, request: Request) {
        let life = self.nodes[node].life;
        match self.crash_at(node, &request) {
            Some(Point::Applied) => self.fatal = Some(call),
            Some(point) => {
                self.schedule(self.now, Happening::CrashesAtWrite { node, life });
                if point == Point::Unsent {
                    return;
                }
            }
            None => {}
        }
        let pauses = !self.calm && self.rng.u64(0..10_000) < self.plan.pauses * 10;
        if !pauses {
            return self.send(node, call, request);
        }
        self.tally.count("pauses before a request is sent");
        let lasts = self.rng.u64(MS..self.plan.lease() * 3 / 2);
        self.pause(node, lasts, false);
        if let Some(process) = &mut self.nodes[node].process {
            process.unsent.push((call, request));
        }
    }
}

impl Process {
    /// Whether it got the request to shut down, even if it has not seen it yet.
    pub(super) fn is_leaving(&self) -> bool {
        let leaving = self.tasks.iter().any(|task| matches!(task.what, What::Shutdown { .. }));
        leaving || self.promises.is_shutting_down()
    }

    /// The connection of a hold whose work has ended stays.
    pub(super) fn keeps_open(&mut self, term: Term, lines: mpsc::Receiver<HoldLine>) {
        self.troubled = true;
        self.unseen.push(term);
        self.kept_open.push(lines);
    }

    /// Forgets a call that its driver gave up on, and returns its name.
    pub(super) fn gave_up(&mut self) -> Option<&'static str> {
        let gave_up = |open: &mut Open| open.answer.as_ref().is_some_and(|a| a.is_closed());
        let open = self.call.take_if(gave_up)?;
        self.troubled = true;
        Some(if open.swap { "swaps timed out" } else { "looks timed out" })
    }

    /// Whether it waits for nothing but time and the world.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_paused() && !self.polling && !self.tasks.iter().any(Task::is_woken)
    }

    /// The work of the hold that is this task.
    pub(super) fn held_by(&self, index: usize) -> Option<u64> {
        match self.tasks.get(index)?.what {
            What::Hold { work } => Some(work),
            _ => None,
        }
    }
}
