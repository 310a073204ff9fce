//! The elector: the state machine of one candidate in one election.
//!
//! It gets a time and an event, and returns what to do next. It does no I/O, reads no clock, spawns
//! nothing, waits for nothing and logs nothing.
//!
//! It keeps rule `one-write-decides`, rule `one-stretch`, rule `resolve-ambiguity`, rule
//! `stop-before-vacate`, and by [`mod@copied`] rule `own-name`. [`Leadership`] and [`Watch`] keep
//! the rules about time. See [`crate::election`], and ALGORITHM.md for the whole argument.
//!
//! At most one call to the store is under way at a time, and every call has a deadline.

use std::time::Duration;

use super::handover::Rank;
use super::holder_url::HolderUrl;
pub use super::leadership::LossReason;
use super::leadership::{Gated, Leadership, StandingDown};
use super::lease::{Candidate, LeaseRecord, Observed, Origin};
use super::projection::Projection;
use super::succession::Before;
use super::term::Term;
use super::time::{BootTime, Now};
use super::timing::Timing;
use super::watch::Watch;
pub use calls::{CallFailed, Swapped};
use calls::{Calls, Due, InFlight, Sent, Why};
use copied::Name;
pub use copied::Sign;
pub use events::{Action, Call, Event, Step};
use held::{Held, Lease};
pub use news::{News, Renewal};
use pace::Pace;
use shown::Shown;
use standing::Standing;

mod announced;
mod calls;
mod copied;
mod crowd;
mod events;
mod held;
mod looks;
mod news;
mod pace;
mod rhythm;
mod shown;
mod standing;
mod turn;

/// One candidate in one election.
#[derive(Clone, Debug)]
pub struct Elector {
    name: Name,
    timing: Timing,
    watch: Watch,
    /// What this candidate has of the lease.
    lease: Lease,
    calls: Calls,
    pace: Pace,
    standing: Standing,
    work_under_way: bool,
    shown: Shown,
}

impl Elector {
    /// A candidate that has not looked yet. `seed` makes its jitter replayable.
    pub fn new(me: Candidate, timing: Timing, seed: u64) -> Self {
        let pace = Pace::new(&timing, &me.incarnation, seed);
        Self {
            name: Name::new(me),
            timing,
            watch: Watch::default(),
            lease: Lease::None,
            calls: Calls::default(),
            pace,
            standing: Standing::new(),
            work_under_way: false,
            shown: Shown::default(),
        }
    }

    /// Writes to the record where this candidate runs, and where it can be reached while it leads.
    #[must_use]
    pub fn running_in(mut self, origin: Option<Origin>, url: Option<HolderUrl>) -> Self {
        (self.shown.origin, self.shown.url) = (origin, url);
        self
    }

    /// Renews out of step with other elections that begin at the same time, such as those of one
    /// process.
    #[must_use]
    pub fn spreading_renewals(mut self) -> Self {
        self.pace.spreads_renewals = true;
        self
    }

    /// Claims a vacated lease in its turn. See [`crate::election::handover`].
    #[must_use]
    pub fn ranked(self, rank: Option<Rank>) -> Self {
        Self { pace: self.pace.ranked(rank), ..self }
    }

    /// Does not stand until the gate opens.
    #[must_use]
    pub fn behind_gate(mut self, gated: Gated) -> Self {
        self.standing.behind(gated);
        self
    }

    /// Takes in what happened by `now` and says what to do next.
    pub fn step(&mut self, now: Now, event: Event) -> Step {
        self.lapse(now.boot);
        let may_claim = self.take_in(now.boot, event);
        self.lapse(now.boot);
        self.step_down_if_requested(now.boot);
        self.shown.pause(self.watch.paused_at(now.boot));
        let action = self.next_action(now, may_claim);
        if self.shown.first_decided.is_none() && self.leadership().decided(now.boot).is_ok() {
            self.shown.first_decided = Some(now.boot);
        }
        Step { action, news: self.shown.take_news() }
    }

    /// Whether it has to wait for [`Event::Reborn`].
    pub fn needs_incarnation(&self) -> bool {
        self.name.is_given_up()
    }

    /// What readers may know, for publication after every step.
    pub fn leadership(&self) -> Leadership {
        let tenure = |held| shown::tenure(held, self.me(), &self.watch, &self.timing);
        let (own, draining) = match self.lease {
            Lease::Leading(held) => (tenure(held), None),
            Lease::Draining(held) => (None, tenure(held)),
            Lease::None | Lease::RunningOut { .. } => (None, None),
        };
        Leadership {
            candidate: self.me().clone(),
            timing: self.timing,
            own,
            draining,
            rival: shown::rival(&self.name, &self.watch),
            term: self.watch.highest_term(),
            store_answered: self.shown.store_answered,
            store_fails: self.shown.store_fails,
            last_change: self.shown.succession.last(),
            claimable_at: self.watch.over_at(self.me()),
            awaits_work: self.work_under_way && !self.lease.is_held(),
            first_decided: self.shown.first_decided,
            standing_down: self.standing.down(None),
            paused: self.watch.pause().cloned(),
            successor: shown::successor(&self.lease, &self.standing, &self.watch),
            last_loss: self.shown.last_loss,
        }
    }

    /// Replaces the source of the jitter.
    pub fn reseed(&mut self, seed: u64) {
        self.pace.reseed(seed);
    }

    /// Takes down what it will do, as seen from `now`, for the model checker.
    pub fn project(&self, now: BootTime, onto: &mut dyn Projection) {
        let Self { name, timing: _, watch, lease, calls, pace, standing, work_under_way, shown } =
            self;
        name.project(onto);
        watch.project(now, onto);
        lease.project(now, onto);
        calls.project(now, onto);
        pace.project(now, onto);
        standing.project(now, onto);
        onto.flag(*work_under_way);
        shown.project(onto);
    }

    fn me(&self) -> &Candidate {
        self.name.candidate()
    }

    // --- Taking in events -----------------------------------------------------------------------

    /// Forgets a lease whose renew deadline has passed: rule `outage-demotes`.
    fn lapse(&mut self, now: BootTime) {
        let until = self.lease.held().map(|held| self.timing.leads_until(held.sent_at));
        if let Some(until) = until.filter(|until| now >= *until) {
            self.lose(LossReason::RenewDeadline, until);
            // Rejoin at once when the store answers: the record may still be the own one.
            self.pace.due_now(now);
        }
    }

    /// Returns whether the event shows that the lease is over, and may be claimed from there.
    fn take_in(&mut self, now: BootTime, event: Event) -> bool {
        match event {
            Event::Wake => {}
            Event::Changed => self.take_in_change(now, self.deferred(now)),
            Event::PushesMissed => self.take_in_change(now, self.deferred_by_doubt()),
            Event::MayBeVacated => self.pace.hint(),
            Event::Vacated(news) => return self.take_in_vacated(now, news),
            Event::Renewed(news) => self.take_in_announced(now, &news),
            Event::Counted(listeners) => self.pace.counted(listeners),
            Event::Acquired(shown) => self.take_in_acquired(now, shown),
            Event::Gate { open } => {
                if self.standing.set_gate(open) {
                    self.pace.due_now(now);
                }
            }
            Event::Resign { cooldown, successor } => {
                self.standing.resign(now, cooldown, successor);
                // Here, because a cooldown of zero is over before the end of this step.
                self.stop_believing(LossReason::Resigned, now);
            }
            Event::Work { under_way } => self.take_in_work(now, under_way),
            Event::Overdue => self.let_run_out(now),
            Event::Shutdown { give_up_at } => self.standing.shut_down(give_up_at),
            Event::ServiceTime(time) => {
                if let Some(sign) = self.name.compare_clocks(&time, &self.timing) {
                    self.give_up_name(now, sign);
                }
            }
            Event::Copied(sign) => self.give_up_name(now, sign),
            Event::Reborn { incarnation, seed } => self.take_name(now, incarnation, seed),
            Event::Observed(answer) => return self.take_in_look(now, answer),
            Event::Swapped(answer) => self.take_in_swap(now, answer),
        }
        false
    }

    fn take_in_work(&mut self, now: BootTime, under_way: bool) {
        self.work_under_way = under_way;
        if !under_way {
            if !self.lease.is_held() {
                // A candidate that waited for old work to end before standing again looks now.
                self.pace.hint();
            }
            self.lease.work_ended(now);
        }
    }

    fn take_in_look(
        &mut self,
        now: BootTime,
        answer: Result<Option<Observed>, CallFailed>,
    ) -> bool {
        let Some(sent) = self.calls.take_look() else { return false };
        let (Ok(observed), false) = (answer, sent.void) else {
            self.call_failed(now, sent);
            return false;
        };
        let before = Before::of(&self.leadership(), &self.watch, now);
        if !self.calls.unsure {
            self.pace.answered();
        }
        self.call_answered(sent.at);
        self.learn(now, sent.at, observed);
        self.shown.succession.follow(&before, &self.watch, self.lease.is_leading(), now);
        self.is_over(now)
    }

    fn is_over(&self, now: BootTime) -> bool {
        self.claims_at().is_some_and(|claims_at| claims_at <= now)
    }

    fn claims_at(&self) -> Option<BootTime> {
        self.pace.turn.claims_at(&self.watch, self.me(), self.timing.retry_period())
    }

    fn take_in_swap(&mut self, now: BootTime, answer: Result<Swapped, CallFailed>) {
        let Some((why, record, sent)) = self.calls.take_swap() else { return };
        let (sent_at, answer) = (sent.at, if sent.void { Err(CallFailed) } else { answer });
        if why == Why::Renew {
            // Before the answer is taken in: while it is known when the last renewal was sent.
            let late = |held: Held| self.timing.renews_late(held.sent_at, sent_at);
            let late = self.lease.held().is_none_or(late);
            self.shown.report(News::Renewal(Renewal::of(&answer, late)));
        }
        let Ok(swapped) = answer else {
            self.calls.unsure = true;
            self.name.swap_failed();
            return self.call_failed(now, sent);
        };
        let before = Before::of(&self.leadership(), &self.watch, now);
        self.pace.answered();
        self.call_answered(sent_at);
        match swapped {
            Swapped::Lost(observed) => {
                self.name.swap_refused(observed.as_ref(), &record);
                self.learn(now, sent_at, observed);
            }
            Swapped::Won(version) => {
                self.name.swap_applied();
                let observed = Observed { record, version, remaining: None, outlived: false };
                self.watch.saw(Some(observed), sent_at, now);
                self.won(now, why, sent_at);
            }
        }
        self.shown.succession.follow(&before, &self.watch, self.lease.is_leading(), now);
    }

    fn call_answered(&mut self, sent_at: BootTime) {
        self.calls.unsure = false;
        self.shown.store_answered = Some(sent_at);
        self.shown.store_fails = None;
    }

    fn call_failed(&mut self, now: BootTime, sent: Sent) {
        self.pace.failed(now);
        if !sent.void {
            self.shown.store_fails.get_or_insert(sent.at);
        }
    }

    /// A look, or a lost swap, showed the record.
    fn learn(&mut self, now: BootTime, sent_at: BootTime, observed: Option<Observed>) {
        if let Some(sign) = self.name.look_for_a_double(observed.as_ref(), &self.watch) {
            self.give_up_name(now, sign);
        }
        let may_have_freed = self.calls.may_have_freed;
        let has_freed = may_have_freed && self.lease.is_freed_by(observed.as_ref());
        if let Some(held) = self.lease.held() {
            let still_held = |o: &Observed| held.is_shown(o, self.me(), may_have_freed);
            match &observed {
                None => self.lose(LossReason::RecordGone, now),
                Some(o) if !still_held(o) => self.lose(LossReason::Superseded, now),
                // A write was applied whose answer was lost. Belief still counts from the last
                // write that is known, so the next one is sent at once, from this version.
                Some(o) if Some(&o.version) != self.watch.version() => self.pace.due_now(now),
                Some(_) => {}
            }
        }
        self.judge_announcements(observed.as_ref());
        if let Some(shown) = &observed {
            self.pace.shows(&shown.version);
        }
        self.pace.looked(&self.watch, observed.as_ref(), sent_at, now);
        let term = observed.as_ref().map_or(Term::ZERO, |o| o.record.term);
        let last = self.watch.observed().map(|o| o.record.term);
        let seen = self.watch.saw(observed, sent_at, now);
        self.shown.went_backwards(last, seen, term);
        self.shown.compare_origins(self.watch.observed());
        if has_freed {
            self.freed(now);
        }
        if self.shown.follow(&self.watch, &self.name) {
            self.follows_change(now);
        }
        if !self.lease.is_held() {
            self.schedule_look(now);
        }
    }

    /// A swap was applied; the record is known to be as written.
    fn won(&mut self, now: BootTime, why: Why, sent_at: BootTime) {
        self.pace.schedule_renewal(sent_at);
        match why {
            // Too late to lead by it. The record names this candidate: it frees or claims it again.
            Why::Acquire if now >= self.timing.leads_until(sent_at) => self.pace.due_now(now),
            Why::Acquire => self.acquired(now, sent_at),
            Why::Renew => match self.lease.held_mut() {
                Some(held) => held.sent_at = sent_at,
                // The lease lapsed before the answer came: the term is over.
                None => self.pace.due_now(now),
            },
            Why::Vacate => {
                self.lease = Lease::None;
                self.freed(now);
                self.schedule_look(now);
            }
        }
    }

    fn acquired(&mut self, now: BootTime, sent_at: BootTime) {
        self.shown.follows_none();
        self.pace.schedule_first_renewal(sent_at);
        let term = self.watch.highest_term().unwrap_or_default();
        let held = Held { term, sent_at };
        // A candidate that had to step down in the meantime never begins to believe.
        if self.down_at(now).is_some() {
            self.lease = Lease::Draining(held);
        } else {
            self.lease = Lease::Leading(held);
            self.shown.report(News::Elected { term });
        }
    }

    /// Its vacate was applied, as an answer or a look shows.
    fn freed(&mut self, now: BootTime) {
        self.shown.vacated(&self.watch);
        self.standing.vacated(now);
    }

    /// Forgets the lease, believed in or not.
    fn lose(&mut self, reason: LossReason, at: BootTime) {
        if let Some(term) = self.lease.give_up() {
            self.shown.lost(term, reason, at);
        }
    }

    /// The answer is "no" from here on. The record stays: it may be another process's.
    fn give_up_name(&mut self, now: BootTime, sign: Sign) {
        if !self.name.give_up(sign, now) {
            return;
        }
        self.shown.report(News::Copied(sign));
        self.lose(LossReason::Copied, now);
        self.shown.copied(self.work_under_way);
        self.calls.make_void();
        self.standing.stop_vacating();
    }

    fn take_name(&mut self, now: BootTime, incarnation: String, seed: u64) {
        if self.name.take(incarnation) {
            self.pace.reseed(seed);
            self.shown.follow(&self.watch, &self.name);
            self.pace.due_now(now);
        }
    }

    // --- Standing down --------------------------------------------------------------------------

    /// The first half of rule `stop-before-vacate`: the answer turns to "no" in the step that takes
    /// in the reason.
    fn step_down_if_requested(&mut self, now: BootTime) {
        if !self.lease.is_draining() {
            self.standing.end_cooldown(now);
        }
        if let Some(reason) = self.down_at(now).map(StandingDown::ends_belief) {
            self.stop_believing(reason, now);
        }
    }

    fn stop_believing(&mut self, reason: LossReason, now: BootTime) {
        if let Some(term) = self.lease.drain() {
            self.shown.lost(term, reason, now);
        }
    }

    /// The record stays: it is vacated only if the work ends before the lease does.
    fn let_run_out(&mut self, now: BootTime) {
        let (term, over_at) = match self.lease {
            // This candidate leads: no work had to end.
            Lease::Leading(_) => return,
            Lease::Draining(held) => (Some(held.term), held.sent_at + self.timing.lease_duration()),
            // It lapsed before, and may be over by now.
            Lease::None | Lease::RunningOut { .. } => (self.watch.term_of(self.me()), now),
        };
        if let Some(term) = term {
            self.lease = Lease::RunningOut { term, over_at };
        }
    }

    // --- Deciding what to do next ---------------------------------------------------------------

    fn next_action(&mut self, now: Now, may_claim: bool) -> Action {
        if self.has_left(now.boot) {
            return Action::Finished;
        }
        match self.due(now.boot, may_claim) {
            Some(due) => self.call(now, due),
            None => Action::Wait { until: self.next_wake(now.boot) },
        }
    }

    /// Whether a candidate that shuts down has nothing left to free, or no time left to free it.
    fn has_left(&self, now: BootTime) -> bool {
        let Some(give_up_at) = self.standing.gives_up_at() else { return false };
        let freed = !self.calls.is_swapping() && !self.calls.unsure && !self.has_record_to_free();
        let tried = self.tries_until().is_some_and(|until| now >= until);
        now >= give_up_at || (!self.work_under_way && (freed || tried))
    }

    /// Until when a shutdown tries to vacate.
    fn tries_until(&self) -> Option<BootTime> {
        let since = self.standing.vacating_since()?;
        Some(since + self.timing.call_timeout())
    }

    /// For a candidate that has left: the term whose lease it did not free, and the reason.
    pub fn left_to_run_out(&self) -> Option<(Term, &'static str)> {
        let why = if self.work_under_way {
            "leader-only work did not end"
        } else if self.has_record_to_free() {
            "the store did not apply the write that frees it"
        } else {
            "leader-only work ended too late"
        };
        self.owned_term().map(|term| (term, why))
    }

    /// Work of a term that lapsed is still ending, and a new term must not run beside it.
    fn may_stand(&self, now: BootTime) -> bool {
        !self.work_under_way && self.down_at(now).is_none()
    }

    fn down_at(&self, now: BootTime) -> Option<StandingDown> {
        self.standing.down_at(self.watch.pause(), now)
    }

    /// The term of the record, if that is the own one.
    fn owned_term(&self) -> Option<Term> {
        // An own record that a fail-over brought back may hide the lost record of a successor.
        let proves = |o: &Observed| !o.outlived || self.lease.is_held();
        let own = |o: &&Observed| o.record.is_held_by(self.me()) && proves(o);
        self.watch.observed().filter(own).map(|o| o.record.term)
    }

    /// The second half of rule `stop-before-vacate`: the record is vacated when belief and work have
    /// ended.
    fn wants_to_vacate(&self, now: BootTime) -> bool {
        let stepping_down = match self.lease {
            Lease::Leading(_) => false,
            Lease::Draining(_) => true,
            Lease::None | Lease::RunningOut { .. } => self.down_at(now).is_some(),
        };
        stepping_down && !self.work_under_way && (self.has_record_to_free() || self.calls.unsure)
    }

    fn has_record_to_free(&self) -> bool {
        self.owned_term().is_some_and(|term| !self.lease.runs_out(term))
    }

    /// The call that is due, if any.
    fn due(&self, now: BootTime, may_claim: bool) -> Option<Due> {
        if self.calls.is_under_way() || self.pace.pauses(now) || self.name.is_given_up() {
            None
        } else if self.calls.unsure {
            Some(Due::Look)
        } else if self.wants_to_vacate(now) {
            Some(Due::Swap(Why::Vacate))
        } else if may_claim && !self.lease.is_held() && self.may_stand(now) {
            Some(Due::Swap(Why::Acquire))
        } else if self.pace.is_due(now) {
            // Before the hints: a flood of them must not keep a leader from renewing.
            Some(if self.lease.is_held() { Due::Swap(Why::Renew) } else { Due::Look })
        } else {
            self.pace.is_hint_due(now).then_some(Due::Look)
        }
    }

    /// When something is due next, or ends by the passing of time.
    fn next_wake(&self, now: BootTime) -> BootTime {
        let urgent = self.calls.unsure || self.wants_to_vacate(now);
        let due = (!self.calls.is_under_way()).then(|| self.pace.next(urgent));
        let lapse = self.lease.held().map(|held| self.timing.leads_until(held.sent_at));
        let idle = now + self.timing.retry_period();
        let wakes = [due, lapse, self.tries_until(), self.standing.gives_up_at()];
        // Never now: what is due now was done in this step, and a driver must not spin.
        wakes.into_iter().flatten().fold(idle, BootTime::min).max(now + Duration::from_millis(1))
    }

    fn call(&mut self, now: Now, due: Due) -> Action {
        let sent_at = now.boot;
        let timeout = sent_at + self.timing.call_timeout();
        let deadline = self.standing.gives_up_at().map_or(timeout, |at| at.min(timeout));
        self.pace.sent(sent_at);
        if self.wants_to_vacate(sent_at) {
            self.standing.vacates(sent_at);
        }
        let swap = match due {
            Due::Look => None,
            Due::Swap(why) => self.record_for(why, now).map(|record| (why, record)),
        };
        let (in_flight, call) = match swap {
            Some((why, record)) => {
                let expected = self.watch.version().cloned();
                let call = Call::Swap { deadline, expected, record: record.clone() };
                (InFlight::Swap { why, record }, call)
            }
            None => {
                self.pace.looks();
                (InFlight::Look, Call::Observe { deadline })
            }
        };
        self.calls.send(in_flight, sent_at);
        Action::Call(call)
    }

    fn record_for(&self, why: Why, now: Now) -> Option<LeaseRecord> {
        // A pause that is over is removed. Only an operator removes one that is in force.
        let pause = self.watch.paused_at(now.boot).cloned();
        let own = || self.watch.observed().map(|o| LeaseRecord { pause, ..o.record.clone() });
        let successor = self.standing.successor();
        match why {
            Why::Acquire => Some(LeaseRecord {
                holder: Some(self.me().clone()),
                term: self.watch.next_term(),
                lease_duration: self.timing.lease_duration(),
                ..self.shown.record(now.wall)
            }),
            Why::Renew => own().map(|own| LeaseRecord { renew_time: now.wall, ..own }),
            Why::Vacate => own().map(|own| self.pace.turn.vacated(own, now, successor)),
        }
    }
}

#[cfg(test)]
mod tests;
