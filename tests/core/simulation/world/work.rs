//! Leader-only work, which outlives a process that is paused or crashes. Its guard ends it by the
//! last deadlines that it received.

use bellwether::api::hold::HoldLine;
use bellwether::driver::Hold;
use bellwether::election::grace::Grace;
use bellwether::election::term::Term;
use bellwether::election::time::BootTime;
use bellwether::election::work::{Deadlines, Directive};
use tokio::sync::{mpsc, oneshot};

use super::process::What;
use super::{Happening, World};
use crate::simulation::host::{End, Task};
use crate::simulation::invariants::Violation;

/// Commands that hold at one sidecar at once.
const HOLDS: usize = 2;

#[derive(Debug)]
pub(super) struct Work {
    id: u64,
    pub(super) contest: usize,
    pub(super) of: (usize, u32),
    pub(super) term: Term,
    deadlines: Deadlines,
    end_requested: bool,
    /// Its process does not see it end.
    unseen: bool,
    report: Report,
}

/// How its process learns of its end.
#[derive(Debug)]
enum Report {
    /// By the end of the connection.
    Hold(mpsc::Receiver<HoldLine>),
    Command(oneshot::Sender<End>),
}

impl Work {
    /// Whether the command runs: a hold must first receive the permission.
    pub(super) fn has_begun(&self) -> bool {
        self.deadlines.kill_at > BootTime::ZERO
    }
}

impl World {
    pub(super) fn schedule_work(&mut self) {
        let delay = self.rng.u64(0..self.plan.lease() / self.nodes.len() as u64);
        let node = self.rng.usize(0..self.nodes.len());
        self.after(delay, Happening::WorkBegins { node });
    }

    /// A command requests a hold from the sidecar beside it.
    pub(super) fn begin_hold(&mut self, node: usize) -> Result<(), Violation> {
        let (now, me) = (self.local(node), (node, self.nodes[node].life));
        let held = self.works.iter().filter(|work| work.of == me).count();
        let grace = Grace::new(self.host(node).grace);
        let id = self.ids + 1;
        let Some(process) = self.nodes[node].process.as_mut().filter(|p| !p.is_paused()) else {
            return Ok(());
        };
        if held >= HOLDS || !process.view.borrow().is_leading(now) {
            return Ok(());
        }
        let (election, timer) = (process.handle.clone(), process.host.timer());
        let Ok((hold, lines)) = Hold::begin(election, grace, "clock".to_owned(), timer) else {
            return Ok(());
        };
        let term = hold.term();
        process.begins(Task::new(What::Hold { work: id }, hold.run()));
        trace!(self, "n{node} is held under term {term}");
        // Nothing runs before the first line has come.
        let never = Deadlines { stop_at: BootTime::ZERO, kill_at: BootTime::ZERO };
        self.begin_work(id, me, term, never, Report::Hold(lines));
        Ok(())
    }

    /// The lines of a hold, if the task at `index` is one: read at once, or later.
    pub(super) fn read_lines(&mut self, node: usize, life: u32, index: usize) {
        let now = self.local(node);
        let held = self.process(node, life).and_then(|process| process.held_by(index));
        let Some(work) = held.and_then(|id| self.works.iter_mut().find(|work| work.id == id))
        else {
            return;
        };
        let begun = work.has_begun();
        if begun && self.rng.u8(0..16) == 0 {
            return;
        }
        let Report::Hold(lines) = &mut work.report else { return };
        let (id, mut last) = (work.id, None);
        while let Ok(line) = lines.try_recv() {
            last = Some(line.directive());
        }
        match last {
            None => {}
            Some(Directive::Continue(deadlines)) if !begun && now >= deadlines.stop_at => {
                self.end_work(id, End::Stopped);
            }
            Some(Directive::Continue(deadlines)) => self.extend_work(id, deadlines),
            Some(Directive::End { .. }) if !begun => self.end_work(id, End::Stopped),
            Some(Directive::End { kill_at }) => self.stop_work(id, kill_at),
        }
    }

    pub(super) fn start_command(
        &mut self,
        node: usize,
        id: u64,
        term: Term,
        deadlines: Deadlines,
        end: oneshot::Sender<End>,
    ) {
        trace!(self, "n{node} begins attempt {id} under term {term}");
        let me = (node, self.nodes[node].life);
        self.begin_work(id, me, term, deadlines, Report::Command(end));
    }

    fn begin_work(
        &mut self,
        id: u64,
        of: (usize, u32),
        term: Term,
        deadlines: Deadlines,
        report: Report,
    ) {
        self.tally.count("works");
        self.ids = self.ids.max(id);
        let (end_requested, unseen) = (false, false);
        let contest = self.nodes[of.0].process.as_ref().map_or(0, |process| process.contest);
        self.works.push(Work { id, contest, of, term, deadlines, end_requested, unseen, report });
        if self.work(id).is_some_and(|work| work.has_begun()) {
            self.is_begun(id);
        }
    }

    /// It runs, and its guard has deadlines.
    fn is_begun(&mut self, work: u64) {
        let lasts = self.rng.u64(0..self.plan.lease() * 3);
        self.after(lasts, Happening::WorkEnds { work });
        let first = self.rng.u64(0..self.plan.lease());
        self.after(first, Happening::WorkWrites { work });
        self.work_stops(work);
        self.work_is_killed(work);
    }

    fn work(&mut self, id: u64) -> Option<&mut Work> {
        self.works.iter_mut().find(|work| work.id == id)
    }

    pub(super) fn extend_work(&mut self, id: u64, to: Deadlines) {
        let Some(work) = self.work(id).filter(|work| !work.end_requested) else { return };
        let begins = !work.has_begun();
        work.deadlines.stop_at = work.deadlines.stop_at.max(to.stop_at);
        work.deadlines.kill_at = work.deadlines.kill_at.max(to.kill_at);
        if begins {
            self.is_begun(id);
        }
    }

    pub(super) fn stop_work(&mut self, id: u64, kill_at: BootTime) {
        let Some(work) = self.work(id) else { return };
        work.deadlines.kill_at = kill_at;
        let is_attempt = matches!(work.report, Report::Command(_)) && !work.end_requested;
        if is_attempt && self.rng.u8(0..4) == 0 {
            // It ended in that moment, and its process has not looked yet.
            self.tally.count("attempts that ended as they had to");
            return self.work_ends(id);
        }
        self.request_end(id);
        self.work_is_killed(id);
    }

    /// Its guard checks whether it has to end.
    pub(super) fn work_stops(&mut self, id: u64) {
        let Some(work) = self.work(id).filter(|work| !work.end_requested) else { return };
        let (node, stop_at) = (work.of.0, work.deadlines.stop_at);
        if self.local(node) >= stop_at {
            return self.request_end(id);
        }
        let at = self.nodes[node].time.when_reads(stop_at);
        self.schedule(at, Happening::WorkStops { work: id });
    }

    fn request_end(&mut self, id: u64) {
        let (hangs, unseen) = (self.rng.u8(0..4) == 0, self.rng.u8(0..6) == 0);
        let lasts = self.rng.u64(0..self.plan.lease() * 2);
        let Some(work) = self.work(id).filter(|work| !work.end_requested) else { return };
        work.end_requested = true;
        work.unseen = unseen && matches!(work.report, Report::Hold(_));
        if !hangs {
            self.after(lasts, Happening::WorkEnds { work: id });
        }
    }

    /// Its guard checks whether it has to be killed.
    pub(super) fn work_is_killed(&mut self, id: u64) {
        let Some(work) = self.work(id) else { return };
        let (node, kill_at) = (work.of.0, work.deadlines.kill_at);
        if self.local(node) < kill_at {
            let at = self.nodes[node].time.when_reads(kill_at);
            return self.schedule(at, Happening::WorkIsKilled { work: id });
        }
        self.tally.count("works killed");
        self.end_work(id, End::Stopped);
    }

    pub(super) fn work_ends(&mut self, id: u64) {
        let succeeded = self.rng.u8(0..2) == 0;
        let calm = self.calm;
        let Some(work) = self.work(id) else { return };
        if calm && !work.end_requested && matches!(work.report, Report::Command(_)) {
            // In the calm the last attempt continues, so that its leader stays.
            return;
        }
        let own = End::Own { succeeded };
        let end = if work.end_requested { End::Stopped } else { own };
        self.end_work(id, end);
    }

    fn end_work(&mut self, id: u64, end: End) {
        let Some(index) = self.works.iter().position(|work| work.id == id) else { return };
        let Work { contest, of: (node, life), term, unseen, report, .. } =
            self.works.swap_remove(index);
        trace!(self, "n{node}'s work of term {term} has ended: {end:?}");
        self.contests[contest].commands.ended(term, end);
        match report {
            Report::Command(reported) => drop(reported.send(end)),
            Report::Hold(lines) if unseen => {
                self.tally.count("works not seen to end");
                if let Some(process) = self.process(node, life) {
                    process.keeps_open(term, lines);
                }
            }
            Report::Hold(lines) => drop(lines),
        }
    }

    /// It writes to a resource that is fenced by its term.
    pub(super) fn work_writes(&mut self, id: u64) {
        let Some(work) = self.work(id) else { return };
        let (contest, (node, life), term) = (work.contest, work.of, work.term);
        let lease = self.plan.lease();
        let longest = if self.rng.u8(0..4) == 0 { lease * 2 } else { lease / 20 };
        let delay = self.rng.u64(0..longest);
        self.after(delay, Happening::Fenced { contest, node, life, term });
        let next = self.rng.u64(lease / 4..lease);
        self.after(next, Happening::WorkWrites { work: id });
    }

    pub(super) fn fenced(
        &mut self,
        contest: usize,
        (node, life): (usize, u32),
        term: Term,
    ) -> Result<(), Violation> {
        let local = self.local(node);
        let process = self.process(node, life);
        let believes =
            process.and_then(|process| process.view.borrow().leading(local).map(|own| own.term()));
        let taken = self.contests[contest].fence.takes((node, life), term, believes)?;
        self.tally.count(if taken { "fenced writes taken" } else { "fenced writes refused" });
        Ok(())
    }
}
