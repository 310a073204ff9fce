//! Processes: started, handed what happened, stopped, gone.

use std::time::Duration;

use bellwether::election::clock::{Now, WallTime};
use bellwether::election::elector::{Action, Elector, Event, News, Renewal, Step, Swapped};
use bellwether::election::leadership::Leadership;
use bellwether::election::lease::Candidate;

use super::network::failed;
use super::{Happening, Mail, Process, World};
use crate::invariants::{A_LEADER_EXISTS, BOUNDED_WAITS, Calls, GATE_KEPT, Seen, Violation};
use crate::time::TrueTime;

impl World {
    pub(super) fn start(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].process.is_some() {
            return Ok(());
        }
        let seed = self.rng.u64(..);
        let timing = self.host(node).timing;
        let gate_opens = (self.plan.gated && !self.calm).then(|| {
            let until_calm = self.plan.calm_at.saturating_sub(self.now + 1);
            self.rng.u64(0..self.plan.lease()).min(until_calm)
        });
        let home = &mut self.nodes[node];
        home.life += 1;
        let life = home.life;
        trace!(self, "n{node} starts for the {}. time", home.life);
        let me = Candidate { identity: format!("n{node}"), incarnation: home.life.to_string() };
        let elector = Elector::new(me.clone(), timing, seed);
        home.process = Some(Process {
            view: Leadership::unknown(me, timing),
            elector: if gate_opens.is_some() { elector.behind_gate() } else { elector },
            stopped: false,
            mail: Vec::new(),
            call: None,
            timer: 0,
            gate_open: gate_opens.is_none(),
            told_open: gate_opens.is_none(),
            shutting_down: false,
            back_after: None,
            seen: Seen::default(),
            calls: Calls::default(),
            swaps_since_led: 0,
        });
        if let Some(delay) = gate_opens {
            self.tally.count("starts behind a closed gate");
            self.after(delay, Happening::GateOpens { node, life });
        }
        self.step(node, Event::Wake)
    }

    /// Its work stays until it is killed: the worst case.
    pub(super) fn dies(&mut self, node: usize, back_after: Option<TrueTime>) {
        self.nodes[node].process = None;
        let me = (node, self.nodes[node].life);
        if self.works.iter().any(|work| (work.node, work.life) == me) {
            self.tally.count("works that outlived their process");
        }
        if let Some(delay) = back_after {
            self.after(delay, Happening::Start { node });
        }
    }

    pub(super) fn deliver(&mut self, node: usize, mail: Mail) -> Result<(), Violation> {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        if process.stopped {
            process.mail.push(mail);
            return Ok(());
        }
        let now = self.plan.hosts[node].clock.read(self.now);
        let event = match mail {
            Mail::Tell(event) => event,
            // A driver waits for one answer, until its deadline; the rest is dropped.
            Mail::Answer { call, event } if process.call.is_some_and(|(id, _)| id == call) => {
                process.call = None;
                match &event {
                    Event::Observed(Ok(o)) | Event::Swapped(Ok(Swapped::Lost(o))) => {
                        process.seen.saw(o.as_ref(), now);
                    }
                    _ => {}
                }
                event
            }
            Mail::Deadline { call } if process.call.is_some_and(|(id, _)| id == call) => {
                let swap = process.call.take().is_some_and(|(_, swap)| swap);
                self.tally.count(if swap { "swaps timed out" } else { "looks timed out" });
                trace!(self, "n{node} gives up on its call");
                failed(swap)
            }
            Mail::Answer { .. } | Mail::Deadline { .. } => return Ok(()),
        };
        self.step(node, event)
    }

    /// What came meanwhile is found all at once: the answer and its timeout in any order, before or
    /// after the rest.
    pub(super) fn resume(&mut self, node: usize) -> Result<(), Violation> {
        trace!(self, "n{node} goes on");
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        process.stopped = false;
        let told = |mail: &Mail| matches!(mail, Mail::Tell(_));
        let (mut first, mut then): (Vec<_>, Vec<_>) =
            std::mem::take(&mut process.mail).into_iter().partition(|mail| !told(mail));
        self.rng.shuffle(&mut first);
        then.push(Mail::Tell(Event::Wake));
        if self.rng.bool() {
            std::mem::swap(&mut first, &mut then);
        }
        first.into_iter().chain(then).try_for_each(|mail| self.deliver(node, mail))
    }

    /// One step of the elector: what readers see changes first, then it is done what it says.
    pub(super) fn step(&mut self, node: usize, event: Event) -> Result<(), Violation> {
        let host = &self.plan.hosts[node];
        let boot = host.clock.read(self.now);
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let now = Now { boot, wall: WallTime::from_unix(Duration::from_nanos(self.now)) };
        if let Event::Gate { open } = event {
            process.told_open = open;
        }
        let own_write = matches!(event, Event::Swapped(Ok(Swapped::Won(_))));
        let Step { mut action, mut news } = process.elector.step(now, event);
        if process.elector.needs_incarnation() {
            // Out of caution: nothing copies a process here, but a store may bring old records back.
            let incarnation = format!("reborn at {}", self.now);
            let seed = self.rng.u64(..);
            let reborn = process.elector.step(now, Event::Reborn { incarnation, seed });
            (action, news) = (reborn.action, [news, reborn.news].concat());
        }
        let believed = process.view.leading(boot).map(|own| own.term);
        process.view = process.elector.leadership();
        if own_write {
            process.seen.wrote();
        }
        let believes = process.view.leading(boot).map(|own| own.term);
        let holds = process.view.leading(boot).or_else(|| process.view.draining(boot));
        let allows = holds.map(|lease| (lease.term, lease.kills_at));
        let named = process.seen.check(&process.view, boot);
        let gate_kept = process.told_open || believes.is_none();
        self.check_belief()?;
        named?;
        if !gate_kept {
            let what = format!("n{node} leads although it heard that its gate is closed");
            return Err(Violation::new(GATE_KEPT, what));
        }
        if let Some(term) = believes
            && believed != Some(term)
        {
            self.terms.begins(term)?;
        }
        self.tell(node, &news);
        self.follow_lease(node, believes, allows);
        self.act(node, action)
    }

    fn tell(&mut self, node: usize, news: &[News]) {
        for news in news {
            trace!(self, "n{node} {news:?}");
            match news {
                News::Elected { .. } => {
                    self.tally.count("elected");
                    let me = Some((node, self.nodes[node].life));
                    if self.last_leader.is_some() && self.last_leader != me {
                        self.tally.count("elected after another");
                    }
                    self.last_leader = me;
                }
                News::Lost { reason, .. } => self.tally.count(match reason.as_str() {
                    "renew_deadline" => "lost by the renew deadline",
                    "superseded" => "lost: superseded",
                    "record_gone" => "lost: record gone",
                    "resigned" => "lost: resigned",
                    "gate_closed" => "lost: gate closed",
                    "paused_or_copied" => "lost: took itself for a copy",
                    _ => "lost: shutting down",
                }),
                News::Vacated { .. } => self.tally.count("vacated"),
                News::Following { .. } | News::Stranger { .. } => {}
                News::Copied(_) => self.tally.count("took itself for a copy"),
                News::TermWentBackwards { .. } => self.tally.count("seen going backwards"),
                News::Renewal(Renewal::Late) => self.tally.count("renewed late"),
                News::Renewal(_) => {}
            }
        }
    }

    fn act(&mut self, node: usize, action: Action) -> Result<(), Violation> {
        let (clock, lateness) = (self.host(node).clock, self.host(node).lateness);
        let local = self.local(node);
        let life = self.nodes[node].life;
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        process.timer += 1;
        match action {
            Action::Wait { until } => {
                if until <= local {
                    let what = format!("n{node} waits until {until:?} at {local:?}");
                    return Err(Violation::new(BOUNDED_WAITS, what));
                }
                let timer = process.timer;
                let late = self.rng.u64(0..=lateness);
                self.schedule(
                    clock.when_reads(until) + late,
                    Happening::Timer { node, life, timer },
                );
            }
            Action::Call(call) => self.call(node, call)?,
            Action::Finished => {
                if !process.shutting_down {
                    let what = format!("n{node} left without being asked to");
                    return Err(Violation::new(A_LEADER_EXISTS, what));
                }
                trace!(self, "n{node} has left");
                self.tally.count("left");
                let back_after = process.back_after;
                self.dies(node, back_after);
            }
        }
        Ok(())
    }
}
