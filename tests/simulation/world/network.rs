//! Calls to the store and hints from it: sent, delayed, lost, refused, applied late.

use bellwether::election::clock::BootTime;
use bellwether::election::elector::{Call, CallFailed, Event, Swapped};
use bellwether::election::lease::LeaseRecord;

use super::{Happening, Mail, Process, Request, Work, World};
use crate::invariants::{BOUNDED_CALLS, BOUNDED_WAITS, GATE_KEPT, VACATED_LAST, Violation};
use crate::plan::{Broken, Fault};
use crate::time::{MS, TrueTime};

impl World {
    pub(super) fn call(&mut self, node: usize, call: Call) -> Result<(), Violation> {
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
        if let Request::Swap { record: LeaseRecord { holder: None, term, .. }, .. } = &request {
            let mine = |work: &Work| (work.node, work.life) == (node, life);
            let of_term = |work: &Work| mine(work) && work.term == *term;
            let works = self.works.iter().any(mine) || self.unseen.iter().any(of_term);
            let process = self.nodes[node].process.as_ref();
            let believes = process.is_some_and(|process| process.view.is_leading(local));
            if works || believes {
                let how = if works { "under work" } else { "while it believes" };
                return Err(Violation::new(VACATED_LAST, format!("n{node} vacates {how}")));
            }
        }
        if let Request::Swap { record: LeaseRecord { holder: Some(_), .. }, .. } = &request {
            // Keeping the lease for work that ends is not standing.
            let stands =
                |process: &Process| !process.told_open && process.view.draining(local).is_none();
            if self.nodes[node].process.as_ref().is_some_and(stands) {
                let what = format!("n{node} stands although it heard that its gate is closed");
                return Err(Violation::new(GATE_KEPT, what));
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
    pub(super) fn serve(
        &mut self,
        node: usize,
        life: u32,
        call: u64,
        request: Request,
        answer_lost: bool,
    ) {
        let waiting = self
            .process(node, life)
            .is_some_and(|process| process.call.is_some_and(|(id, _)| id == call));
        let event = match request {
            Request::Observe => Event::Observed(Ok(self.store.observe(self.now))),
            Request::Swap { expected, record } => {
                let vacates = record.holder.is_none() && record.outcome.is_none();
                let term = record.term;
                let swapped = self.store.swap(self.now, expected.as_ref(), record);
                let won = matches!(swapped, Swapped::Won(_));
                self.tally.count(match (won, waiting && !answer_lost) {
                    (true, true) => "swaps applied",
                    (true, false) if !waiting => "swaps applied after the caller gave up",
                    (true, false) => "swaps applied unheard",
                    (false, _) => "swaps refused",
                });
                if let Swapped::Won(version) = &swapped {
                    trace!(self, "store: n{node}'s write is applied");
                    let version = version.clone();
                    self.ring(&match vacates {
                        true => Event::Vacated { term, version },
                        false => Event::Changed,
                    });
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

    fn ring(&mut self, hint: &Event) {
        for node in 0..self.nodes.len() {
            // Every now and then one comes twice, and long after what it tells of.
            for _ in 0..if self.rng.u8(..) < 16 { 2 } else { 1 } {
                if self.rng.u64(0..1_000) < self.plan.network.hint {
                    let delay = self.rng.u64(0..=self.plan.network.hint_delay);
                    self.hint(node, delay, hint.clone());
                }
            }
        }
    }

    pub(super) fn hint(&mut self, node: usize, delay: TrueTime, hint: Event) {
        if let Event::Vacated { .. } = hint {
            self.tally.count("hints that a lease was vacated");
        }
        let life = self.nodes[node].life;
        let mail = Mail::Tell(hint);
        self.after(delay, Happening::Arrives { node, life, mail });
    }
}

pub(super) fn failed(swap: bool) -> Event {
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
