//! Calls to the store and hints from it: sent, delayed, lost, refused, repeated, applied late.

use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::history::History;
use bellwether::election::lease::LeaseRecord;
use bellwether::store::Hint;
use tokio::sync::oneshot;

use super::process::Open;
use super::{Happening, World};
use crate::simulation::host::{Answer, Of, Request, Verb};
use crate::simulation::invariants::{
    BOUNDED_CALLS, BOUNDED_WAITS, VACATED_LAST, Violation, applied,
};
use crate::simulation::plan::{Broken, Fault};
use crate::simulation::time::{MS, TrueTime};

impl World {
    /// A driver makes a call.
    pub(super) fn asks(
        &mut self,
        node: usize,
        request: Request,
        answer: oneshot::Sender<Answer>,
    ) -> Result<(), Violation> {
        trace!(self, "n{node} calls: {}", describe(&request));
        if request.of == Of::History {
            return self.asks_for_history(node, request, answer);
        }
        let local = self.local(node);
        let timing = self.host(node).timing;
        let swap = matches!(request.verb, Verb::Swap { .. });
        if let Verb::Swap { record, .. } = &request.verb {
            self.check_swap(node, record)?;
            if let Some(process) = &mut self.nodes[node].process {
                process.won.0 = record.term;
            }
        }
        self.ids += 1;
        let call = self.ids;
        let hints = self.hints();
        let led = self.led;
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let waits = |open: &Open| open.answer.as_ref().is_some_and(|answer| !answer.is_closed());
        if process.call.as_ref().is_some_and(waits) {
            return Violation::found(BOUNDED_WAITS, format!("n{node} makes two calls at a time"));
        }
        if let Some(timed_out) = process.gave_up() {
            self.tally.count(timed_out);
        }
        process.calls.called(local, timing.retry_period(), hints)?;
        process.call = Some(Open { id: call, swap, sent: local, answer: Some(answer) });
        if led && swap {
            process.swaps_since_led += 1;
            let writes = process.swaps_since_led;
            let since = self.now - self.plan.led_at;
            let retry = self.host(node).clock.span(timing.retry_period());
            if u64::from(writes) > since / retry + 2 {
                let what = format!("n{node} writes {writes} times in peace");
                return Violation::found(BOUNDED_CALLS, what);
            }
        }
        self.dispatch(node, call, request);
        Ok(())
    }

    /// An instance of `once` makes a call: one at a time, and the driver's goes on beside it.
    fn asks_for_history(
        &mut self,
        node: usize,
        request: Request,
        answer: oneshot::Sender<Answer>,
    ) -> Result<(), Violation> {
        self.ids += 1;
        let (id, sent) = (self.ids, self.local(node));
        let swap = matches!(request.verb, Verb::Swap { .. });
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let waits = |open: &Open| open.answer.as_ref().is_some_and(|answer| !answer.is_closed());
        if process.history_call.as_ref().is_some_and(waits) {
            let what = format!("n{node} makes two calls about the history at a time");
            return Violation::found(BOUNDED_WAITS, what);
        }
        process.history_call = Some(Open { id, swap, sent, answer: Some(answer) });
        self.dispatch(node, id, request);
        Ok(())
    }

    /// The history, as the store has it.
    pub(super) fn history_now(&self) -> History {
        let payload = self.history.record().and_then(|record| record.payload.as_deref());
        payload.map(|payload| History::decode(payload).unwrap()).unwrap_or_default()
    }

    /// Whether hints can come at all.
    fn hints(&self) -> bool {
        let floods = |(_, fault): &(TrueTime, Fault)| matches!(fault, Fault::HintFlood { .. });
        self.plan.hints_in_peace
            || self.plan.network.hint > 0
            || self.plan.faults.iter().any(floods)
    }

    /// A request leaves the host.
    pub(super) fn send(&mut self, node: usize, call: u64, request: Request) {
        let life = self.nodes[node].life;
        let network = self.plan.network;
        let swap = matches!(request.verb, Verb::Swap { .. });
        let mut answer_lost = self.rolls(network.lose_answer);
        let answer = match (self.nodes[node].cut.map(|(how, _)| how), swap) {
            (Some(Broken::Hangs), _) | (Some(Broken::ReadOnly), true) => {
                return self.tally.count("requests lost");
            }
            (Some(Broken::Refuses), _) => {
                self.tally.count("calls refused");
                Some(Answer::Failed)
            }
            (Some(Broken::Contrary), true) => {
                self.tally.count("swaps refused for no reason");
                if let Some(process) = &mut self.nodes[node].process {
                    process.troubled = true;
                }
                let store = if request.of == Of::Lease { &self.store } else { &self.history };
                Some(Answer::Swapped(Swapped::Lost(store.observe(self.now))))
            }
            (Some(Broken::Deaf), _) => {
                answer_lost = true;
                None
            }
            (Some(Broken::ReadOnly | Broken::Contrary), false) | (None, _) => None,
        };
        if let Some(answer) = answer {
            return self.after(MS / 10, Happening::Arrives { node, life, call, answer });
        }
        if self.rolls(network.lose_request) {
            return self.tally.count("requests lost");
        }
        if self.rolls(network.twice) {
            // Every other time only the second answer arrives: it contradicts the first.
            self.tally.count("requests repeated");
            let (delay, request) = (self.delay(node), request.clone());
            self.after(delay, Happening::Serve { node, life, call, request, answer_lost });
            answer_lost |= self.rng.bool();
        }
        let delay = self.delay(node);
        self.after(delay, Happening::Serve { node, life, call, request, answer_lost });
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
    ) -> Result<(), Violation> {
        if request.of == Of::History {
            return self.serve_history((node, life), call, request.verb, answer_lost);
        }
        let waits = self.process(node, life).and_then(|process| process.call.as_ref());
        let waits = waits.is_some_and(|open| open.id == call && open.answer.is_some());
        let answer = match request.verb {
            Verb::Observe => Answer::Observed(self.store.observe(self.now)),
            Verb::Swap { expected, record } => {
                let (swapped, before) =
                    self.store.swap(self.now, expected.as_ref(), record.clone());
                let won = matches!(swapped, Swapped::Won(_));
                self.tally.count(match (won, waits && !answer_lost) {
                    (true, true) => "swaps applied",
                    (true, false) if !waits => "swaps applied after the caller gave up",
                    (true, false) => "swaps applied unheard",
                    (false, _) => "swaps refused",
                });
                if let Swapped::Won(version) = &swapped {
                    trace!(self, "store: n{node}'s write is applied");
                    applied(before.as_ref(), &record)?;
                    self.check_vacated(&record)?;
                    self.notify(&record, version.clone());
                }
                Answer::Swapped(swapped)
            }
        };
        if answer_lost {
            self.tally.count("answers lost");
            return Ok(());
        }
        let delay = self.delay(node);
        self.after(delay, Happening::Arrives { node, life, call, answer });
        Ok(())
    }

    fn serve_history(
        &mut self,
        (node, life): (usize, u32),
        call: u64,
        verb: Verb,
        answer_lost: bool,
    ) -> Result<(), Violation> {
        let answer = match verb {
            Verb::Observe => Answer::Observed(self.history.observe(self.now)),
            Verb::Swap { expected, record } => {
                let before = self.history_now();
                let (swapped, _) = self.history.swap(self.now, expected.as_ref(), record);
                if let Swapped::Won(_) = &swapped {
                    let after = self.history_now();
                    trace!(self, "store: n{node} writes the history: {after:?}");
                    self.tally.count("histories written");
                    self.commands.applied(&before, &after)?;
                    self.hint_all(Of::History, &Hint::Changed);
                }
                Answer::Swapped(swapped)
            }
        };
        if !answer_lost {
            let delay = self.delay(node);
            self.after(delay, Happening::Arrives { node, life, call, answer });
        }
        Ok(())
    }

    /// [`VACATED_LAST`], as the store sees it.
    fn check_vacated(&mut self, record: &LeaseRecord) -> Result<(), Violation> {
        if record.holder.is_some() {
            return Ok(());
        }
        self.tally.count("vacated");
        match self.works.iter().find(|work| work.has_begun() && work.term == record.term) {
            Some(work) => {
                let (term, node) = (record.term, work.of.0);
                let what = format!("term {term} is vacated while n{node}'s work of it goes on");
                Violation::found(VACATED_LAST, what)
            }
            None => Ok(()),
        }
    }

    /// An answer reaches its host: the process finds it when it runs.
    pub(super) fn arrives(&mut self, node: usize, life: u32, call: u64, answer: Answer) {
        let Some(process) = self.process(node, life) else { return };
        let calls = [&mut process.call, &mut process.history_call];
        if let Some(open) = calls.into_iter().flatten().find(|open| open.id == call)
            && let Some(waiting) = open.answer.take()
        {
            let failed = matches!(answer, Answer::Failed);
            process.troubled |= failed;
            drop(waiting.send(answer));
        }
    }

    fn notify(&mut self, record: &LeaseRecord, version: bellwether::election::lease::Version) {
        let hint = match record.is_free() {
            true => Hint::Vacated { term: record.term, version },
            false => Hint::Changed,
        };
        self.hint_all(Of::Lease, &hint);
    }

    fn hint_all(&mut self, of: Of, hint: &Hint) {
        for node in 0..self.nodes.len() {
            // Every now and then one comes twice, and long after what it tells of.
            for _ in 0..if self.rng.u8(..) < 16 { 2 } else { 1 } {
                if self.rng.u64(0..1_000) < self.plan.network.hint {
                    let delay = self.rng.u64(0..=self.plan.network.hint_delay);
                    self.hint(node, delay, of, hint.clone());
                }
            }
        }
    }

    /// Hints that come faster than any candidate can read: a leader has to renew nevertheless.
    pub(super) fn hints_in_peace(&mut self) {
        for node in 0..self.nodes.len() {
            self.hint(node, 0, Of::Lease, Hint::Changed);
        }
        self.after(3 * MS, Happening::HintsInPeace);
    }

    pub(super) fn hint(&mut self, node: usize, delay: TrueTime, of: Of, hint: Hint) {
        if let Hint::Vacated { .. } = hint {
            self.tally.count("hints that a lease was vacated");
        }
        let life = self.nodes[node].life;
        self.after(delay, Happening::Hinted { node, life, of, hint });
    }

    /// How late a process may react to a timer.
    pub(super) fn slack(&self, node: usize) -> Duration {
        Duration::from_nanos(self.host(node).lateness * 4 + MS)
    }
}

fn describe(request: &Request) -> String {
    match &request.verb {
        Verb::Observe => format!("observe {:?}", request.of),
        Verb::Swap { expected, record } => {
            let version = expected.as_ref().map_or("nothing", |version| version.as_str());
            match (&record.holder, request.of) {
                (_, Of::History) => format!("write the history over {version}"),
                (Some(_), _) => format!("swap {version} for itself, term {}", record.term),
                (None, _) => format!("swap {version} for nobody, term {}", record.term),
            }
        }
    }
}
