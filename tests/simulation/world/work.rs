//! Belief, and the leader-only work that depends on it.

use bellwether::election::clock::BootTime;
use bellwether::election::elector::Event;
use bellwether::election::lease::Term;

use super::{Happening, Mail, Work, World};
use crate::invariants::{A_LEADER_EXISTS, NO_OLD_WORK, ONE_BELIEVER, Violation};

impl World {
    pub(super) fn check_belief(&self) -> Result<(), Violation> {
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
        let own = self.nodes[believer].process.as_ref();
        let own = own.and_then(|process| process.view.leading(self.local(believer)));
        let me = (believer, self.nodes[believer].life, own.map(|own| own.term));
        let mine = |work: &Work| (work.node, work.life, Some(work.term)) == me;
        match self.works.iter().find(|work| !mine(work)) {
            None => Ok(()),
            Some(Work { node, term, .. }) => {
                let what = format!("n{believer} leads while n{node}'s work of term {term} goes on");
                Err(Violation::new(NO_OLD_WORK, what))
            }
        }
    }

    pub(super) fn schedule_work(&mut self) {
        let delay = self.rng.u64(0..self.plan.lease() / self.nodes.len() as u64);
        let node = self.rng.usize(0..self.nodes.len());
        self.after(delay, Happening::WorkBegins { node });
    }

    pub(super) fn begin_work(&mut self, node: usize) -> Result<(), Violation> {
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
        let (asked_to_end, hangs, unseen) = (false, false, false);
        self.works.push(Work { id: work, node, life, term, kills_at, asked_to_end, hangs, unseen });
        let lasts = self.rng.u64(0..self.plan.lease() * 3);
        self.after(lasts, Happening::WorkEnds { work });
        self.schedule(self.host(node).clock.when_reads(kills_at), Happening::WorkIsKilled { work });
        self.deliver(node, Mail::Tell(Event::Work { under_way: true }))
    }

    /// Work goes on for as long as its term is led, and is asked to end when it is not. It is killed
    /// when the lease that allows it says so, which is kept up while the work ends.
    pub(super) fn follow_lease(
        &mut self,
        node: usize,
        believes: Option<Term>,
        allows: Option<(Term, BootTime)>,
    ) {
        let life = self.nodes[node].life;
        let Some(work) = self.works.iter_mut().find(|w| (w.node, w.life) == (node, life)) else {
            return;
        };
        if let Some((_, kills_at)) = allows.filter(|(term, _)| *term == work.term) {
            work.kills_at = kills_at;
        }
        if believes != Some(work.term) && !work.asked_to_end {
            work.asked_to_end = true;
            work.hangs = self.rng.u8(0..4) == 0;
            let (hangs, work) = (work.hangs, work.id);
            let lasts = self.rng.u64(0..self.plan.lease() * 2);
            let end = Happening::WorkEnds { work };
            self.after(lasts, if hangs { Happening::WorkIsOverdue { work } } else { end });
        }
    }

    pub(super) fn kill_work(&mut self, work: u64) -> Result<(), Violation> {
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

    pub(super) fn work_ends(&mut self, work: u64) -> Result<(), Violation> {
        let hangs = self.works.iter().any(|w| w.id == work && w.hangs);
        if hangs { Ok(()) } else { self.end_work(work) }
    }

    pub(super) fn work_is_overdue(&mut self, work: u64) -> Result<(), Violation> {
        let unseen = self.rng.bool();
        let Some(work) = self.works.iter_mut().find(|w| w.id == work) else {
            return Ok(());
        };
        work.unseen = unseen;
        let (node, life) = (work.node, work.life);
        self.tally.count("works overdue");
        trace!(self, "n{node}'s work is overdue");
        if unseen {
            // Whoever waits to see it end does so for a lease more.
            let lease = self.host(node).timing.lease_duration();
            let given_up = self.host(node).clock.when_reads(self.local(node) + lease);
            self.schedule(given_up, Happening::WorkIsGivenUp { node, life });
        }
        match self.process(node, life) {
            Some(_) => self.deliver(node, Mail::Tell(Event::Overdue)),
            None => Ok(()),
        }
    }

    pub(super) fn end_work(&mut self, work: u64) -> Result<(), Violation> {
        let Some(index) = self.works.iter().position(|w| w.id == work) else { return Ok(()) };
        let work = self.works.swap_remove(index);
        let Work { node, life, unseen, .. } = work;
        trace!(self, "n{node}'s work has ended");
        if unseen {
            self.unseen.push(work);
            return Ok(());
        }
        self.tell_of_the_end(node, life)
    }

    pub(super) fn work_is_given_up(&mut self, node: usize, life: u32) -> Result<(), Violation> {
        self.tally.count("works not seen to end");
        self.tell_of_the_end(node, life)
    }

    fn tell_of_the_end(&mut self, node: usize, life: u32) -> Result<(), Violation> {
        if self.process(node, life).is_none() {
            return Ok(());
        }
        self.deliver(node, Mail::Tell(Event::Work { under_way: false }))
    }
}
