//! Whether a vacated lease is claimed in order, where nothing else disturbs it.

use std::time::Duration;

use bellwether::election::lease::LeaseRecord;
use bellwether::election::term::Term;

use super::World;
use crate::simulation::invariants::{FOR_SUCCESSOR, IN_TURN, LONGEST, SLACK, Standing, Violation};
use crate::simulation::time::{MS, TrueTime};

/// The holder that vacated the lease last.
#[derive(Debug)]
pub(super) struct Left {
    term: Term,
    standing: Standing,
    successor: Option<String>,
}

/// What one process knows of a vacated lease.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The term that it knows to be over, and since when.
    knows: Option<(Term, TrueTime)>,
    /// Since when nothing keeps it from standing.
    free_since: Option<TrueTime>,
    /// The last term after which it claimed the lease.
    claimed_after: Term,
}

impl World {
    fn standing(&self, node: usize) -> Option<Standing> {
        let rank = self.nodes[node].process.as_ref()?.rank?;
        let uptime = self.local(node).since(rank.since);
        let preference = self.host(node).seat.and_then(|seat| seat.preference);
        Some(Standing { order: rank.order, uptime, preference })
    }

    /// The record of the election. Work that is done once has no turns.
    fn lease(&self) -> Option<&LeaseRecord> {
        self.contests.first()?.lease_record.record()
    }

    /// A write that vacates the lease was applied.
    pub(super) fn leaves(&mut self, node: usize, record: &LeaseRecord) {
        let successor = record.handover.as_ref().and_then(|left| left.successor());
        let (term, successor) = (record.term, successor.map(str::to_owned));
        self.left = self.standing(node).map(|standing| Left { term, standing, successor });
    }

    /// A driver was polled.
    pub(super) fn note_turn(&mut self, node: usize) {
        let (local, now) = (self.local(node), self.now);
        let vacated = self.lease().filter(|record| record.holder.is_none());
        let vacated = vacated.map(|record| record.term);
        let Some(process) = &mut self.nodes[node].process else { return };
        let view = process.view.borrow();
        let free = view.standing_down(local).is_none() && view.draining(local).is_none();
        let sees_none = view.holder(local).is_none() && view.term() == vacated;
        drop(view);
        let turn = &mut process.turn;
        turn.free_since = free.then(|| turn.free_since.unwrap_or(now));
        if let Some(term) = vacated.filter(|_| sees_none)
            && turn.knows.is_none_or(|(known, _)| known != term)
        {
            turn.knows = Some((term, now));
        }
    }

    /// A driver is about to claim the lease.
    pub(super) fn check_turn(
        &mut self,
        node: usize,
        record: &LeaseRecord,
    ) -> Result<(), Violation> {
        let Some(before) = self.lease().filter(|_| self.plan.undisturbed) else {
            return Ok(());
        };
        let (term, held) = (before.term, before.holder.is_some());
        let is_own = before.holder == record.holder;
        if record.term != term.after(1) || is_own {
            return Ok(());
        }
        if held { self.check_after_crash(node) } else { self.check_after_vacating(node, term) }
    }

    /// It was free all the time, and its clock does not differ from the true one.
    fn waited(&self, node: usize, since: TrueTime) -> Option<Duration> {
        let turn = &self.nodes[node].process.as_ref()?.turn;
        let since = since.max(turn.free_since?);
        Some(Duration::from_nanos(self.now.saturating_sub(since)))
    }

    fn check_after_crash(&mut self, node: usize) -> Result<(), Violation> {
        let Some(process) = &self.nodes[node].process else { return Ok(()) };
        let over_at = self.nodes[node].time.when_reads(process.seen.over_at());
        let waited = self.waited(node, over_at).unwrap_or_default();
        self.tally.count("claims after a crash without delay");
        // The random pause is longer where nothing says how many wait.
        let retry = self.host(node).timing.retry_period();
        if waited > SLACK + retry / 64 {
            let what = format!("n{node} claims a lease that ran out {waited:?} late");
            return Violation::found(IN_TURN, what);
        }
        Ok(())
    }

    fn check_after_vacating(&mut self, node: usize, term: Term) -> Result<(), Violation> {
        let Some(left) = self.left.take_if(|left| left.term == term) else { return Ok(()) };
        let checked = self.check_turn_after(node, &left);
        self.left = Some(left);
        if let Some(process) = &mut self.nodes[node].process {
            process.turn.claimed_after = term;
        }
        checked
    }

    fn check_turn_after(&mut self, node: usize, left: &Left) -> Result<(), Violation> {
        let (Some(own), Some(since)) = (self.standing(node), self.knows(node, left.term)) else {
            return Ok(());
        };
        let named = left.successor.as_deref() == Some(&*format!("n{node}"));
        let waits = left.successor.is_some() && !named;
        let alone = match waits {
            true => FOR_SUCCESSOR + self.host(node).timing.retry_period(),
            false => Duration::ZERO,
        };
        let first = named || own.is_first(&left.standing);
        let longest = alone + SLACK + if first { Duration::ZERO } else { LONGEST };
        let waited = self.waited(node, since).unwrap_or_default();
        if waited < alone || waited > longest {
            let what = format!("n{node} claims {waited:?} after it saw what {left:?} left");
            return Violation::found(IN_TURN, what);
        }
        let mut behind = false;
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let (Some(standing), Some(other_since)) =
                (self.standing(other), self.knows(other, left.term))
            else {
                continue;
            };
            let claimed = self.nodes[other].process.as_ref().map(|other| other.turn.claimed_after);
            let is_before = !named && standing.is_before(&own, &left.standing);
            if is_before && claimed != Some(left.term) && other_since <= since + MS {
                let what = format!("n{node}, {own:?}, claims before n{other}, {standing:?}");
                return Violation::found(IN_TURN, what);
            }
            behind |= own.is_before(&standing, &left.standing);
        }
        self.tally.count(match (named, waits) {
            (true, _) => "claims of a successor",
            (false, true) => "claims after a successor did not",
            (false, false) if behind => "claims before others",
            (false, false) => "claims of a vacated lease",
        });
        Ok(())
    }

    /// Since when a process knows that this term is over, if nothing kept it from claiming since.
    fn knows(&self, node: usize, term: Term) -> Option<TrueTime> {
        let turn = &self.nodes[node].process.as_ref()?.turn;
        let (_, since) = turn.knows.filter(|(known, _)| *known == term)?;
        (turn.free_since? <= since).then_some(since)
    }
}
