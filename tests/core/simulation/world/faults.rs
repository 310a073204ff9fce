//! Everything that goes wrong on purpose, and its end.

use std::sync::Arc;

use bellwether::driver::Leaving;
use bellwether::election::maintenance::Change;
use bellwether::store::Hint;
use tokio::sync::oneshot;

use super::process::What;
use super::{Happening, Node, World};
use crate::simulation::host::Task;
use crate::simulation::invariants::Violation;
use crate::simulation::plan::{Broken, Fault, Theme};
use crate::simulation::time::{MS, TrueTime};

impl World {
    /// Most faults strike the leader: that is where it hurts.
    fn victim(&mut self) -> usize {
        let leads = |node: &usize| {
            let process = self.nodes[*node].process.as_ref();
            process.is_some_and(|process| process.view.borrow().is_leading(self.local(*node)))
        };
        let leader = (0..self.nodes.len()).find(leads);
        let any = self.rng.usize(0..self.nodes.len());
        leader.filter(|_| self.rng.u8(0..10) < 6).unwrap_or(any)
    }

    pub(super) fn strike(&mut self, index: usize) {
        let node = self.victim();
        let life = self.nodes[node].life;
        let fault = self.plan.faults[index].1;
        let until_calm = self.plan.calm_at.saturating_sub(self.now + 1);
        match fault {
            Fault::Cut { how, lasts } => {
                trace!(self, "n{node} loses the store: {how:?}");
                return self.cut(node, how, lasts);
            }
            Fault::Outage { how, lasts } => {
                trace!(self, "the store is lost: {how:?}");
                self.tally.count("outages");
                return (0..self.nodes.len()).for_each(|node| self.cut(node, how, lasts));
            }
            Fault::StepClock { by } => return self.step_store_clock(by),
            Fault::LoseWrites => return self.lose_writes(MANY_WRITES),
            Fault::Hide { clock, losses } => {
                self.tally.count("store can report more or less");
                let contests = self.contests.iter_mut();
                return contests.for_each(|contest| contest.lease_record.hide(clock, losses));
            }
            Fault::Pause { lasts, skew, delay, resumed } => {
                return self.pause_election(lasts, skew, delay, resumed);
            }
            _ => {}
        }
        let standing = self.nodes.iter().filter(|node| stands(node)).count();
        let local = self.local(node);
        let can_stand_still = self.can_stand_still(node);
        let Some(process) = &mut self.nodes[node].process else { return };
        trace!(self, "n{node} {fault:?}");
        match fault {
            Fault::Stall { lasts } if !process.is_paused() => {
                let leads = process.view.borrow().is_leading(local);
                self.tally.count(if leads { "stalls of a leader" } else { "stalls of a standby" });
                self.pause(node, lasts, false);
            }
            Fault::StandStill { lasts } if can_stand_still => {
                self.tally.count("clocks that stood still");
                self.pause(node, lasts, true);
            }
            // One candidate has to be left.
            Fault::Crash { down_for: None } | Fault::Shutdown { down_for: None, .. }
                if standing <= 1 => {}
            Fault::Crash { down_for } => {
                self.tally.count("crashes");
                self.dies(node, down_for.map(|lasts| lasts.min(until_calm)));
            }
            Fault::Shutdown { grace, delay, down_for } => {
                self.tally.count("shutdowns");
                process.back_after = down_for;
                let (election, beside) =
                    (process.handle.clone(), Arc::clone(&process.beside_until));
                let (leaves, left) = oneshot::channel();
                let leaving = async move {
                    // Its supervisor is not notified that the application beside it has ended.
                    let _ = beside.set(election.now() + delay.mul_f64(0.999));
                    let leaving = Leaving::begin(&[(election, grace)], delay).await;
                    drop(leaves.send(leaving));
                };
                process.begins(Task::new(What::Shutdown { grace }, leaving));
                let timer = process.host.timer();
                let kept = async move {
                    if let Ok(leaving) = left.await {
                        leaving.finish(std::future::pending(), timer).await;
                    }
                };
                process.begins(Task::new(What::Beside, kept));
            }
            Fault::Resign { cooldown, successor } => {
                self.tally.count("resignations");
                let election = process.handle.clone();
                let successor = successor.map(|node| format!("n{node}").into());
                let resigning = async move {
                    let _ = election.resign(cooldown, successor).await;
                };
                process.begins(Task::new(What::Resign { cooldown }, resigning));
            }
            Fault::CloseGate { lasts } if process.healthy => {
                process.healthy = false;
                self.after(lasts.min(until_calm), Happening::Recovers { node, life });
            }
            Fault::HintFlood { hints } => {
                self.tally.count("hint floods");
                let lease = self.lease_of(node);
                for _ in 0..hints {
                    let delay = self.rng.u64(0..100 * MS);
                    self.hint(node, delay, lease.clone(), Hint::Changed);
                }
            }
            _ => {}
        }
    }

    /// No candidate can detect that a clock stood still. So it stands still only where that makes
    /// no candidate wait too short or believe too long.
    fn can_stand_still(&self, node: usize) -> bool {
        let home = &self.nodes[node];
        let (now, me) = (self.local(node), (node, home.life));
        let works = self.works.iter().any(|work| work.of.0 == me.0);
        !works
            && home.process.as_ref().is_some_and(|process| {
                let view = process.view.borrow();
                let swaps = process.call.as_ref().is_some_and(|call| call.swap);
                let holds = view.is_leading(now) || view.draining(now).is_some();
                !swaps && !holds && !process.is_paused()
            })
    }

    fn cut(&mut self, node: usize, how: Broken, lasts: TrueTime) {
        self.tally.count("cuts");
        self.ids += 1;
        let cut = self.ids;
        self.nodes[node].cut = Some((how, cut));
        let lasts = lasts.min(self.plan.calm_at - self.now);
        self.after(lasts, Happening::Mend { node, cut });
    }

    /// Only if all candidates saw the record change: see [`crate::simulation::plan::Theme::SteppedClock`].
    fn step_store_clock(&mut self, by: i64) {
        let all_saw = self.nodes.iter().all(|node| match &node.process {
            Some(process) => process.seen.states >= 2,
            None => node.life > 0,
        });
        if all_saw {
            trace!(self, "the store's clock steps by {} s", by as f64 / 1e9);
            self.tally.count("store clock stepped");
            self.contests[0].lease_record.step_clock(by);
        }
    }

    /// A lease was vacated, and its holder does not know. The store may lose that write soon: by chance it would
    /// seldom do so before the holder looks, which is after one call timeout.
    pub(super) fn may_lose_vacate(&mut self, node: usize) {
        if self.plan.theme == Theme::Outlived && !self.calm && self.rng.bool() {
            let timeout = self.host(node).clock.span(self.host(node).timing.call_timeout());
            let soon = self.rng.u64(0..timeout).min(self.plan.calm_at.saturating_sub(self.now + 1));
            self.after(soon, Happening::LosesVacate);
        }
    }

    /// Goes back by up to `most` writes. Only if every candidate knows the current term, or will learn it: see
    /// [`crate::simulation::plan::Theme`].
    pub(super) fn lose_writes(&mut self, most: usize) {
        let term = self.contests[0].lease_record.term();
        let all_know = self.nodes.iter().all(|node| match &node.process {
            Some(process) => process.view.borrow().term().is_some_and(|known| known >= term),
            // A process that did not start yet knows nothing; a dead one does no harm.
            None => node.life > 0,
        });
        let outlived = self.plan.theme == Theme::Outlived;
        // An empty store cannot report that it lost anything.
        let lease = &mut self.contests[0].lease_record;
        let history = if outlived { lease.records() } else { lease.history() };
        if history == 0 || !(all_know || outlived) {
            return;
        }
        let back = self.rng.usize(1..=history.min(most));
        let knows = outlived || self.rng.bool();
        let restored = lease.restore(lease.history() - back, knows);
        trace!(self, "the store loses writes: from term {term} to {restored}");
        self.tally.count(match outlived && !all_know {
            true => "writes lost by the store, which says so",
            false => "writes lost by the store",
        });
    }

    /// The store was not always what it was first.
    pub(super) fn store_is_odd(&self) -> bool {
        self.plan.theme != Theme::Faults || self.plan.network.late + self.plan.network.slow > 0
    }

    /// The faults are over, and a candidate can stand.
    pub(super) fn calm_down(&mut self) -> Result<(), Violation> {
        trace!(self, "calm");
        self.calm = true;
        if self.plan.hints_in_peace && self.plan.network.announces {
            self.tally.count("floods of hints in peace");
            self.hints_in_peace();
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].cut = None;
            let life = self.nodes[node].life;
            if let Some(process) = self.process(node, life) {
                process.healthy = true;
            }
            self.resume(node)?;
        }
        // Others end in time without an operator.
        if self.is_paused_until_resumed() {
            self.operates(Change::Resume, 0)?;
        }
        if !self.nodes.iter().any(stands) {
            let node = self.rng.usize(0..self.nodes.len());
            self.nodes[node].process = None;
            self.start(node);
        }
        Ok(())
    }

    /// From now on there is a leader.
    pub(super) fn is_led(&mut self) -> Result<(), Violation> {
        self.led = true;
        if self.plan.hints_in_peace && !self.plan.network.announces {
            self.tally.count("floods of hints in peace");
            self.hints_in_peace();
        }
        Ok(())
    }
}

/// From within a term to one or more terms before.
const MANY_WRITES: usize = 20;
/// A vacate, the claim after it and one of its renewals are three.
pub(super) const FEW_WRITES: usize = 4;

fn stands(node: &Node) -> bool {
    node.process.as_ref().is_some_and(|process| !process.is_leaving())
}
