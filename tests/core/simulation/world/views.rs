//! What readers see of each process, and what must be true of it.

use bellwether::election::leadership::{Leadership, StandingDown};
use bellwether::election::lease::LeaseRecord;
use bellwether::election::term::Term;

use super::{World, work::Work};
use crate::simulation::host::Answer;
use crate::simulation::invariants::{
    A_LEADER_EXISTS, BOUNDED_WAITS, GATE_KEPT, NO_OLD_WORK, ONE_BELIEVER, PAUSE_KEPT, VACATED_LAST,
    Violation,
};
use bellwether::election::elector::Swapped;

impl World {
    pub(super) fn check_belief(&self) -> Result<(), Violation> {
        (0..self.contests.len()).try_for_each(|contest| self.check_belief_in(contest))
    }

    fn check_belief_in(&self, contest: usize) -> Result<(), Violation> {
        let mut believer = None;
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(process) = node.process.as_ref().filter(|process| process.contest == contest)
            else {
                continue;
            };
            if !process.view.borrow().is_leading(self.local(index)) {
                continue;
            }
            if let Some(other) = believer {
                let what = format!("n{other} and n{index} both believe to lead");
                return Violation::found(ONE_BELIEVER, what);
            }
            believer = Some(index);
        }
        let Some(believer) = believer else {
            if self.led && !self.work_is_done(contest) {
                let what = "no candidate leads long after the last fault".to_owned();
                return Violation::found(A_LEADER_EXISTS, what);
            }
            return Ok(());
        };
        let own = self.nodes[believer].process.as_ref();
        let own = own.and_then(|process| {
            process.view.borrow().leading(self.local(believer)).map(|own| own.term())
        });
        let me = ((believer, self.nodes[believer].life), own);
        let old = |work: &&Work| {
            work.contest == contest && work.has_begun() && (work.of, Some(work.term)) != me
        };
        match self.works.iter().find(old) {
            None => Ok(()),
            Some(Work { of: (node, _), term, .. }) => {
                let what =
                    format!("n{believer} leads while n{node}'s work of term {term} continues");
                Violation::found(NO_OLD_WORK, what)
            }
        }
    }

    /// Every instance of `once` has found that it has nothing left to do: no candidate has to lead.
    fn work_is_done(&self, contest: usize) -> bool {
        let through =
            |process: &super::process::Process| process.contest != contest || process.is_leaving();
        self.plan.work == crate::simulation::plan::Work::Once
            && self.nodes.iter().filter_map(|node| node.process.as_ref()).all(through)
    }

    /// A driver was polled, and may have published something.
    pub(super) fn look_at(&mut self, node: usize) -> Result<(), Violation> {
        self.check_belief()?;
        let now = self.local(node);
        let me = (node, self.nodes[node].life);
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        process.seen.polled(now);
        let view = process.view.borrow().clone();
        let believes = view.leading(now).map(|own| own.term());
        let believed = std::mem::replace(&mut process.believed, believes);
        let closed = is_closed(view.standing_down(now));
        // It learned of a gate that opens while a call was under way, and may stand after that.
        process.known_closed &= closed;
        if closed && believes.is_some() {
            let what = format!("n{node} leads although it received that its gate is closed");
            return Violation::found(GATE_KEPT, what);
        }
        if let Some(term) = believed.filter(|_| believed != believes) {
            trace!(self, "n{node} leads no more in term {term}");
            let reason = view.loss_of(term, now).map_or("", |reason| reason.as_str());
            self.tally.count(match reason {
                "renew_deadline" => "lost by the renew deadline",
                "superseded" => "lost: superseded",
                "record_gone" => "lost: record gone",
                "resigned" => "lost: resigned",
                "gate_closed" => "lost: gate closed",
                "nothing_to_do" => "lost: nothing to do",
                "paused" => "lost: paused",
                "paused_or_copied" => "lost: took itself for a copy",
                _ => "lost: shutting down",
            });
        }
        if let Some(term) = believes.filter(|_| believed != believes) {
            trace!(self, "n{node} leads in term {term}");
            self.tally.count("elected");
            let contest = &mut self.contests[process.contest];
            if contest.last_leader.is_some_and(|last| last != me) {
                self.tally.count("elected after another");
            }
            contest.last_leader = Some(me);
            contest.terms.begins(term)?;
        }
        self.note_turn(node);
        Ok(())
    }

    /// A driver took an answer of the store.
    pub(super) fn takes(&mut self, node: usize, answer: &Answer) {
        let now = self.local(node);
        let timeout = self.host(node).timing.call_timeout();
        let Some(process) = &mut self.nodes[node].process else { return };
        let sent = process.call.as_ref().map_or(now, |call| call.sent);
        match answer {
            Answer::Observed(seen) | Answer::Swapped(Swapped::Lost(seen)) => {
                // The driver takes a refusal that shows no change for a failure.
                let refused = matches!(answer, Answer::Swapped(_));
                let fails = refused && process.seen.is_unchanged(seen.as_ref());
                if now >= sent + timeout {
                    process.seen.may_be_resumed(now);
                } else if !fails {
                    process.seen.saw_in_time(seen.as_ref(), sent, now);
                }
                process.seen.saw(seen.as_ref(), now);
                let term = seen.as_ref().map_or(Term::ZERO, |seen| seen.record.term);
                if seen.is_some() && process.highest < term {
                    process.highest = term;
                } else if seen.is_some() && term < process.highest {
                    self.tally.count("seen going backwards");
                }
            }
            Answer::Swapped(Swapped::Won(_)) => {
                process.won.1 = process.won.0;
                process.seen.wrote();
            }
            Answer::Failed => {}
        }
    }

    /// A process has nothing to do for now: all that it accepted has to be in effect.
    pub(super) fn settled(&mut self, node: usize, life: u32) -> Result<(), Violation> {
        let (now, slack) = (self.local(node), self.slack(node));
        let timing = self.host(node).timing;
        let timeout = timing.call_timeout();
        let Some(process) = self.process(node, life).filter(|p| p.is_settled()) else {
            return Ok(());
        };
        let view: Leadership = process.view.borrow().clone();
        process.seen.check(&view, now)?;
        if process.seen.is_paused(now) && view.is_leading(now) {
            let what = format!("n{node} leads although it saw that the election is paused");
            return Violation::found(PAUSE_KEPT, what);
        }
        process.seen.settled();
        process.promises.check(&view, now, slack)?;
        process.promises.are_known();
        process.known_closed = is_closed(view.standing_down(now));
        if let Some(open) = &process.call
            && let Some(answer) = &open.answer
        {
            let gave_up = answer.is_closed();
            if !gave_up && now > open.sent + timeout + slack {
                let what = format!("n{node} waits for an answer since {:?}", open.sent);
                return Violation::found(BOUNDED_WAITS, what);
            }
        }
        if let Some(timed_out) = process.gave_up() {
            self.tally.count(timed_out);
        }
        self.check_gate(node, &view)
    }

    fn check_gate(&self, node: usize, view: &Leadership) -> Result<(), Violation> {
        let (now, slack) = (self.local(node), self.slack(node));
        let process = self.nodes[node].process.as_ref();
        let Some((process, (_, gate))) = process.and_then(|p| Some((p, p.gate.as_ref()?))) else {
            return Ok(());
        };
        let bad = |what: &str| Violation::found(GATE_KEPT, format!("n{node} {what}"));
        if let Some(rules) = self.plan.gate.filter(|_| view.is_leading(now)) {
            let (well_at, failures) = process.well;
            if failures >= rules.failures || now > well_at + rules.open_for() + slack {
                return bad("leads although its application is not well");
            }
        }
        let turned = match gate.open_until() {
            Some(until) if now >= until => until,
            _ => process.gate_turned,
        };
        if now <= turned + slack {
            return Ok(());
        }
        let stays_down = view.standing_down(now) == Some(StandingDown::GateClosed);
        match gate.is_open(now) {
            true if stays_down => bad("has not received that its gate is open"),
            false if view.is_leading(now) => bad("leads behind a closed gate"),
            _ => Ok(()),
        }
    }

    /// A driver is about to write.
    pub(super) fn check_swap(
        &mut self,
        node: usize,
        record: &LeaseRecord,
    ) -> Result<(), Violation> {
        let now = self.local(node);
        let me = (node, self.nodes[node].life);
        let Some(process) = &self.nodes[node].process else { return Ok(()) };
        let begins = record.holder.is_some() && record.term > process.won.1;
        if record.holder.is_none() && process.view.borrow().draining(now).is_some() {
            self.contests[process.contest].commands.vacates(me, record.term)?;
        }
        if record.holder.is_none() {
            let works = self.works.iter().any(|work| work.of == me);
            // After a higher term, lost writes have brought an old record back: its lease was over.
            let highest = process.highest.max(process.won.1);
            let hidden = process.unseen.contains(&record.term) && highest <= record.term;
            if process.beside_until.get().is_some_and(|until| now < *until) {
                let what = format!("n{node} vacates while the application beside it may act");
                return Violation::found(VACATED_LAST, what);
            }
            if works || hidden || process.view.borrow().is_leading(now) {
                let how = if works || hidden { "under work" } else { "while it believes" };
                return Violation::found(VACATED_LAST, format!("n{node} vacates {how}"));
            }
            return Ok(());
        }
        // Renewing is not standing: it may be for work that ends.
        if !begins {
            return Ok(());
        }
        if process.known_closed {
            let what = format!("n{node} stands although it received that its gate is closed");
            return Violation::found(GATE_KEPT, what);
        }
        if process.seen.is_paused(now) {
            let what = format!("n{node} stands although it saw that the election is paused");
            return Violation::found(PAUSE_KEPT, what);
        }
        process.promises.stands(now)?;
        self.check_turn(node, record)
    }
}

/// Whether a gate of either kind is closed.
fn is_closed(why: Option<StandingDown>) -> bool {
    matches!(why, Some(StandingDown::GateClosed | StandingDown::NothingToDo))
}
