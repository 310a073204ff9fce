//! Everything that goes wrong on purpose, and its end.

use bellwether::election::elector::Event;

use super::{Happening, Mail, Node, World};
use crate::invariants::Violation;
use crate::plan::{Broken, Fault};
use crate::time::{MS, TrueTime};

impl World {
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

    pub(super) fn strike(&mut self, index: usize) -> Result<(), Violation> {
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
                self.step_store_clock(by);
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
        let local = self.local(node);
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        trace!(self, "n{node} {fault:?}");
        match fault {
            Fault::Stall { lasts } if !process.stopped => {
                let leads = process.view.is_leading(local);
                self.tally.count(if leads { "stalls of a leader" } else { "stalls of a standby" });
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
                let give_up_at = local + grace;
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
                    self.hint(node, delay, Event::Changed);
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

    /// Only if everybody saw the record change: see [`crate::plan::Theme::SteppedClock`].
    fn step_store_clock(&mut self, by: i64) {
        let all_saw = self.nodes.iter().all(|node| match &node.process {
            Some(process) => process.seen.states >= 2,
            None => node.life > 0,
        });
        if all_saw {
            trace!(self, "the store's clock steps by {} s", by as f64 / 1e9);
            self.tally.count("store clock stepped");
            self.store.step_clock(by);
        }
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
    pub(super) fn calm_down(&mut self) -> Result<(), Violation> {
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
