//! Calls to the store and hints from it: sent, delayed, lost, refused, repeated, applied late.

use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::lease::{
    ElectionName, LeaseRecord, Listeners, Observed, Renewed, Vacated, Version,
};
use bellwether::election::term::Term;
use bellwether::store::Hint;
use tokio::sync::oneshot;

use super::process::{Open, What};
use super::{Happening, World};
use crate::simulation::host::{Answer, Of, Request, Task, Verb};
use crate::simulation::invariants::{
    BOUNDED_CALLS, BOUNDED_WAITS, VACATED_LAST, Violation, applied,
};
use crate::simulation::plan::{Broken, Fault, Point, Work};
use crate::simulation::time::{MS, TrueTime};

impl World {
    /// A driver makes a call.
    pub(super) fn sends(
        &mut self,
        node: usize,
        request: Request,
        answer: oneshot::Sender<Answer>,
    ) -> Result<(), Violation> {
        trace!(self, "n{node} calls: {}", describe(&request));
        if request.of() == Of::History {
            return self.reads_history(node, request, answer);
        }
        let local = self.local(node);
        let timing = self.host(node).timing;
        let swap = matches!(request.verb, Verb::Swap { .. });
        let is_misled = is_misled(&request);
        if let Verb::Swap { record, .. } = &request.verb {
            self.check_swap(node, record)?;
            if let Some(process) = &mut self.nodes[node].process {
                process.seen.writes(record);
                process.won.0 = record.term;
                if record.holder.is_some() {
                    process.claimed_at = local;
                }
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
        if led && swap && !is_misled {
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

    /// An instance of `once` makes a call: one at a time, and the driver's continues beside it.
    fn reads_history(
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

    /// Where its process crashes, if this is the write of the plan at which one does.
    pub(super) fn crash_at(&mut self, node: usize, request: &Request) -> Option<Point> {
        let Verb::Swap { record, .. } = &request.verb else { return None };
        let known = self.nodes[node].process.as_ref().map(|process| process.won.1);
        let renews = request.of() == Of::Lease
            && record.holder.is_some()
            && known.is_some_and(|known| record.term <= known);
        if self.plan.work != Work::Once || renews || self.calm {
            return None;
        }
        let write = self.writes;
        self.writes += 1;
        self.plan.crash.filter(|crash| crash.write == write).map(|crash| crash.point)
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
                let contest = &self.contests[self.contest_of(&request.record)];
                let record = match request.of() {
                    Of::Lease => &contest.lease_record,
                    Of::History => &contest.history_record,
                };
                Some(Answer::Swapped(Swapped::Lost(record.observe(self.now))))
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

    /// A request reaches the store, perhaps long after its sender has given up or died.
    pub(super) fn serve(
        &mut self,
        node: usize,
        life: u32,
        call: u64,
        request: Request,
        answer_lost: bool,
    ) -> Result<(), Violation> {
        let contest = self.contest_of(&request.record);
        if self.fatal == Some(call) {
            self.fatal = None;
            self.schedule(self.now, Happening::CrashesAtWrite { node, life });
        }
        if request.of() == Of::History {
            return self.serve_history(contest, (node, life), call, request.verb, answer_lost);
        }
        let waits = self.process(node, life).and_then(|process| process.call.as_ref());
        let waits = waits.is_some_and(|open| open.id == call && open.answer.is_some());
        let answer = match request.verb {
            Verb::Observe => {
                Answer::Observed(self.contests[contest].lease_record.observe(self.now))
            }
            Verb::Swap { expected, record } => {
                let (now, lease) = (self.now, &mut self.contests[contest].lease_record);
                let (swapped, before) = lease.swap(now, expected.as_ref(), record.clone());
                let won = matches!(swapped, Swapped::Won(_));
                self.tally.count(match (won, waits && !answer_lost) {
                    (true, true) => "swaps applied",
                    (true, false) if !waits => "swaps applied after the caller gave up",
                    (true, false) => "swaps applied whose answer is lost",
                    (false, _) => "swaps refused",
                });
                if let Swapped::Won(version) = &swapped {
                    trace!(self, "store: n{node}'s write is applied");
                    applied(before.as_ref(), &record)?;
                    self.check_pause(node, before.as_ref(), &record)?;
                    self.check_vacated(contest, &record)?;
                    if record.holder.is_none() {
                        self.leaves(node, &record);
                        if answer_lost || !waits {
                            self.may_lose_vacate(node);
                        }
                    }
                    self.notify(&request.record, &record, version.clone());
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
        contest: usize,
        (node, life): (usize, u32),
        call: u64,
        verb: Verb,
        answer_lost: bool,
    ) -> Result<(), Violation> {
        let answer = match verb {
            Verb::Observe => {
                Answer::Observed(self.contests[contest].history_record.observe(self.now))
            }
            Verb::Swap { expected, record } => {
                let (now, contest) = (self.now, &mut self.contests[contest]);
                let (before, writer) = (contest.history_now(), record.term);
                let (swapped, _) = contest.history_record.swap(now, expected.as_ref(), record);
                if let Swapped::Won(_) = &swapped {
                    let (after, name) = (contest.history_now(), contest.history.clone());
                    contest.commands.applied(&before, &after, writer)?;
                    trace!(self, "store: n{node} writes the history: {after:?}");
                    self.tally.count("histories written");
                    self.hint_all(&name, &Hint::Changed);
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
    pub(super) fn check_vacated(
        &mut self,
        contest: usize,
        record: &LeaseRecord,
    ) -> Result<(), Violation> {
        if record.holder.is_some() {
            return Ok(());
        }
        self.tally.count("vacated");
        let of_term = |work: &&super::work::Work| {
            work.has_begun() && (work.contest, work.term) == (contest, record.term)
        };
        match self.works.iter().find(of_term) {
            Some(work) => {
                let (term, node) = (record.term, work.of.0);
                let what = format!("term {term} is vacated while n{node}'s work of it continues");
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

    pub(super) fn notify(&mut self, name: &ElectionName, record: &LeaseRecord, version: Version) {
        if record.is_renewal() && !self.plan.network.announces {
            self.count_candidates(name, record.term, &version);
        }
        // Not every store can say what happened.
        let plain = record.handover.is_some() && record.term.get().is_multiple_of(2);
        let (term, handover) = (record.term, record.handover.clone());
        let hint = if record.is_free() && !plain {
            Hint::Vacated(Vacated { term, version, handover })
        } else if record.is_renewal() && self.plan.network.announces {
            self.tally.count("renewals announced");
            Hint::Renewed(Renewed { term, version, listeners: self.plan.network.listeners })
        } else if record.holder.is_some() && self.plan.network.shows {
            self.tally.count("records shown by a hint");
            let record = record.clone();
            Hint::Acquired(Box::new(Observed { record, version, remaining: None, outlived: false }))
        } else {
            Hint::Changed
        };
        self.hint_all(name, &hint);
    }

    /// The leader says to those that listen to it how many they are.
    fn count_candidates(&mut self, name: &ElectionName, term: Term, version: &Version) {
        let listeners = self.plan.network.listeners;
        for node in 0..self.nodes.len() {
            let listens = Of::named(name) == Of::Lease && self.lease_of(node) == *name;
            let process = self.nodes[node].process.as_mut().filter(|_| listens);
            if let (Some(process), Listeners::Candidates(_)) = (process, listeners) {
                let (election, version) = (process.handle.clone(), version.clone());
                let renewed = Renewed { term, version, listeners };
                let counted = async move { election.announce(renewed).await };
                process.begins(Task::new(What::Counted, counted));
            }
        }
    }

    fn hint_all(&mut self, record: &ElectionName, hint: &Hint) {
        for node in 0..self.nodes.len() {
            // Every now and then one comes twice, and long after what it reports.
            for _ in 0..if self.rng.u8(..) < 16 { 2 } else { 1 } {
                if self.rng.u64(0..1_000) < self.plan.network.hint {
                    let delay = self.rng.u64(0..=self.plan.network.hint_delay);
                    self.hint(node, delay, record.clone(), hint.clone());
                }
            }
        }
    }

    /// Hints that come faster than any candidate can read: a leader has to renew nevertheless.
    pub(super) fn hints_in_peace(&mut self) {
        for node in 0..self.nodes.len() {
            let lease = self.lease_of(node);
            let changed = self.plan.network.listeners != Listeners::Unknown && self.rng.bool();
            let push = if changed { None } else { self.false_push(node) };
            let hint = push.unwrap_or(Hint::Changed);
            self.hint(node, 0, lease, hint);
        }
        self.after(3 * MS, Happening::HintsInPeace);
    }

    /// Announces a renewal that no candidate made, or the last one again.
    fn false_push(&mut self, node: usize) -> Option<Hint> {
        let contest = self.nodes[node].process.as_ref().map_or(0, |process| process.contest);
        let lease = &self.contests[contest].lease_record;
        let (term, last) = (lease.term(), lease.version());
        self.ids += 1;
        // Mostly the last, so that most looks show what was announced just before.
        let again = self.rng.u32(0..4) > 0;
        let none = || Version::new(format!("none-{}", self.ids));
        if self.rng.u32(0..4) == 0 {
            self.tally.count("leases vacated that were not");
            return Some(Hint::Vacated(Vacated { term, version: none(), handover: None }));
        }
        let version = last.filter(|_| again).unwrap_or_else(none);
        self.plan.network.announces.then(|| {
            self.tally.count("renewals announced that were none");
            Hint::Renewed(Renewed { term, version, listeners: self.plan.network.listeners })
        })
    }

    /// The name of the lease that the process of a host stands for.
    pub(super) fn lease_of(&self, node: usize) -> ElectionName {
        let contest = self.nodes[node].process.as_ref().map_or(0, |process| process.contest);
        self.contests[contest].lease.clone()
    }

    pub(super) fn hint(&mut self, node: usize, delay: TrueTime, record: ElectionName, hint: Hint) {
        if let Hint::Vacated(_) = hint {
            self.tally.count("hints that a lease was vacated");
        }
        let life = self.nodes[node].life;
        self.after(delay, Happening::Hinted { node, life, record, hint });
    }

    /// How late a process may react to a timer.
    pub(super) fn slack(&self, node: usize) -> Duration {
        Duration::from_nanos(self.host(node).lateness * 4 + MS)
    }
}

/// Whether it was caused by false news of a vacated lease. There may be one such write for each state of the record.
fn is_misled(request: &Request) -> bool {
    matches!(&request.verb, Verb::Swap { expected: Some(version), .. }
        if version.as_str().starts_with("none-"))
}

fn describe(request: &Request) -> String {
    match &request.verb {
        Verb::Observe => format!("observe {}", request.record),
        Verb::Swap { expected, record } => {
            let version = expected.as_ref().map_or("nothing", |version| version.as_str());
            match (&record.holder, request.of()) {
                (_, Of::History) => format!("write the history over {version}"),
                (Some(_), _) => format!("swap {version} for itself, term {}", record.term),
                (None, _) => format!("swap {version} for no holder, term {}", record.term),
            }
        }
    }
}
