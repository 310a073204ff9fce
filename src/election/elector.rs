//! The elector: the state machine of one candidate in one election.
//!
//! It is handed a time and an event and gives back what to do next. It does no I/O, reads no
//! clock, spawns nothing, waits for nothing and logs nothing.
//!
//! # What it keeps true
//!
//! - **One write decides.** It believes to lead only after a swap that is known to have been
//!   applied. Looking at the record can take belief away, never give it.
//! - **Belief counts from before the write was sent**, and ends at the renew deadline without
//!   anybody's help: see [`Leadership`].
//! - **One term is believed in one stretch.** Whoever stopped believing, for whatever reason,
//!   leads again only under a new term.
//! - **An unknown outcome is looked up.** After a call that failed, the next call is a look. If it
//!   shows the own incarnation, the next swap goes on from there.
//! - **Belief ends before the record is vacated**, and leader-only work ends in between.
//! - **A process that may not be the only one of its name has none**: see [`mod@copied`].
//!
//! At most one call to the store is under way at a time, and every call has a deadline.

use std::time::Duration;

use super::continuity::{Continuity, ServiceTime};
pub use super::leadership::LossReason;
use super::leadership::{Leadership, Loss, StandingDown, Tenure};
use super::lease::{Candidate, LeaseRecord, Observed, Origin, Version};
use super::outcome::Outcome;
use super::term::Term;
use super::time::{BootTime, Now, WallTime};
use super::timing::Timing;
use super::watch::Watch;
pub use copied::Sign;

mod copied;

/// Candidates that wait for the same lease to end try within this long of its end, at random, and
/// look before they write: most of them then see the winner instead of swapping against it.
/// A commit takes a few milliseconds, and nobody notices twenty more after a crash.
const TAKEOVER_SPREAD: Duration = Duration::from_millis(20);

/// Push hints cause at most one look in this time, however many arrive.
const HINT_GAP: Duration = Duration::from_millis(5);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time passed. May come late, early, or for no reason.
    Wake,
    /// The store answered [`Call::Observe`].
    Observed(Result<Option<Observed>, CallFailed>),
    /// The store answered [`Call::Swap`].
    Swapped(Result<Swapped, CallFailed>),
    /// The store hints that the record changed.
    Changed,
    /// The store hints that the holder of a term vacated the lease, and left no outcome.
    Vacated {
        /// The term.
        term: Term,
        /// The version of the record since.
        version: Version,
    },
    /// The gate opened or closed.
    Gate {
        /// Whether the candidate may stand.
        open: bool,
    },
    /// Step down, and do not stand for this long.
    Resign {
        /// Counted from the vacating of the record.
        cooldown: Duration,
    },
    /// Leader-only work began, or the last of it ended. The record is not vacated under it.
    Work {
        /// Whether any is under way.
        under_way: bool,
    },
    /// The work that this election is about has ended: step down, and leave its outcome in the
    /// record with the write that vacates it. Its term and attempts are filled in.
    Finish {
        /// How it ended.
        outcome: Box<Outcome>,
    },
    /// Work that had to end has not shown that it did: the lease is not renewed for it any longer,
    /// and runs out instead of being vacated.
    Overdue,
    /// Step down for good.
    Shutdown {
        /// When to stop waiting for work and for the store.
        give_up_at: BootTime,
    },
    /// A store sent its time with an answer. Comes before the answer itself.
    ServiceTime(ServiceTime),
    /// This process may have been copied, or did not run for longer than its clock says.
    Copied(Sign),
    /// The incarnation that [`Elector::needs_incarnation`] asked for.
    Reborn {
        /// From the random source of the system, drawn after the request.
        incarnation: String,
        /// For the jitter, whose state was copied as well.
        seed: u64,
    },
}

/// The store did not answer in time, or answered with an error: a write may or may not have been
/// applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFailed;

/// The outcome of a swap that is known.
#[derive(Clone, Debug)]
pub enum Swapped {
    /// The record was as expected and is now as written, with this version.
    Won(Version),
    /// The record was not as expected and is untouched; this is what it is, if there is one.
    Lost(Option<Observed>),
}

/// A call to the store. Its answer comes back as an event; without one by the deadline it failed.
#[derive(Clone, Debug)]
pub enum Call {
    /// Look at the record.
    Observe {
        /// When to stop waiting for the answer.
        deadline: BootTime,
    },
    /// Replace the record if its version is still `expected` (none: if there is no record).
    Swap {
        /// When to stop waiting for the answer.
        deadline: BootTime,
        /// The version to replace.
        expected: Option<Version>,
        /// The new record.
        record: LeaseRecord,
    },
}

/// What to do next.
#[derive(Clone, Debug)]
pub enum Action {
    /// Call the store.
    Call(Call),
    /// Wait for an event, until this time at most.
    Wait {
        /// When to send [`Event::Wake`].
        until: BootTime,
    },
    /// The candidate has left the election. Nothing more will come.
    Finished,
}

/// Something that a person, a log or a counter wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This candidate leads.
    Elected {
        /// Its term.
        term: Term,
    },
    /// This candidate no longer leads.
    Lost {
        /// The term it had.
        term: Term,
        /// Why.
        reason: LossReason,
    },
    /// This candidate freed the lease.
    Vacated {
        /// The term it had.
        term: Term,
    },
    /// Another candidate was seen to hold the lease.
    Following {
        /// Who.
        holder: String,
        /// Its term.
        term: Term,
    },
    /// The record's term is lower than one seen before: the store lost writes.
    TermWentBackwards {
        /// What was seen before.
        seen: Term,
        /// What the record says now.
        record: Term,
    },
    /// The record was written by a candidate on another platform, in another cluster or namespace:
    /// do two environments share a store by mistake? Reported once.
    Stranger {
        /// Where that one runs.
        origin: Origin,
        /// Where this one runs.
        own: Origin,
    },
    /// This process may have been copied, or did not run for longer than its clock says.
    Copied(Sign),
    /// A renewal of the own lease came to an end.
    Renewal(Renewal),
}

/// What came of one renewal. Each ends as exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It was applied.
    OnTime,
    /// It was applied, but late: see [`Timing::renews_late`]; or its answer came when the lease was
    /// no longer kept.
    Late,
    /// The record was not as it had been left.
    Refused,
    /// Whether it was applied is not known: the store failed, or did not answer in time.
    Failed,
}

impl Renewal {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OnTime, Self::Late, Self::Refused, Self::Failed];

    /// For metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnTime => "on_time",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What [`Elector::step`] gives back.
#[derive(Clone, Debug)]
pub struct Step {
    /// What to do next.
    pub action: Action,
    /// What happened, in order.
    pub news: Vec<News>,
}

/// The lease as this candidate holds it; the rest is in the record that [`Watch`] keeps.
#[derive(Clone, Copy, Debug)]
struct Held {
    term: Term,
    /// When the last write that is known to have been applied was sent.
    sent_at: BootTime,
    /// It no longer believes: it only waits for its work to end, to vacate.
    draining: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Look,
    Acquire,
    Renew,
    Vacate,
}

#[derive(Clone, Debug)]
struct InFlight {
    purpose: Purpose,
    sent_at: BootTime,
    /// What a swap writes.
    record: Option<LeaseRecord>,
    /// Sent under a name that was given up since: the outcome is unknown, whatever the answer is.
    void: bool,
}

/// The last lease whose work was not seen to end in time.
#[derive(Clone, Copy, Debug)]
struct RunningOut {
    term: Term,
    /// Not later than for anybody else.
    over_at: BootTime,
}

#[derive(Clone, Copy, Debug)]
struct Resignation {
    cooldown: Duration,
    until: BootTime,
}

/// One candidate in one election.
#[derive(Clone, Debug)]
pub struct Elector {
    me: Candidate,
    timing: Timing,
    jitter: fastrand::Rng,
    /// The first renewal of a term comes early by a random time, and so do all after it.
    spreads_renewals: bool,

    watch: Watch,
    held: Option<Held>,
    running_out: Option<RunningOut>,
    in_flight: Option<InFlight>,

    /// A swap failed: what the record says now is not known until the next look.
    unsure: bool,
    /// A look just showed that the lease is over.
    may_claim: bool,
    /// The store hinted at a change since the last look was sent.
    hinted: bool,
    /// Calls that failed in a row; looks that only clear up after a failed swap do not end it.
    failures: u32,
    /// When the next look or renewal is due.
    due_at: BootTime,
    /// No call before: the backoff after a failure.
    not_before: BootTime,
    last_call: BootTime,
    /// How much less than a retry period is between this look and the next.
    look_early_by: Duration,

    /// The election is about work that is done once, in at most so many attempts.
    max_attempts: Option<u32>,
    /// Where this candidate runs, if that is known.
    origin: Option<Origin>,
    /// A record of another origin has been reported.
    met_stranger: bool,
    /// The outcome that is still to be written.
    finish: Option<Box<Outcome>>,
    gate_open: bool,
    resigned: Option<Resignation>,
    work_under_way: bool,
    /// Set by a shutdown: when to give up.
    give_up_at: Option<BootTime>,
    /// When the lease of the last write that was certainly applied ends.
    lease_ends_at: BootTime,
    /// When vacating began in a shutdown: it is given one call's time.
    vacating_since: Option<BootTime>,

    following: Option<(Candidate, Term)>,
    last_loss: Option<Loss>,
    store_answered: Option<BootTime>,
    first_decided: Option<BootTime>,

    continuity: Continuity,
    /// The next version of the record may be the result of an own swap whose outcome is unknown.
    unresolved: bool,
    /// The own incarnation may also be another process's, and there is no new one yet.
    nameless: bool,

    news: Vec<News>,
}

impl Elector {
    /// A candidate that has not looked yet. `seed` makes its jitter replayable.
    pub fn new(me: Candidate, timing: Timing, seed: u64) -> Self {
        Self {
            me,
            timing,
            jitter: fastrand::Rng::with_seed(seed),
            spreads_renewals: false,
            watch: Watch::default(),
            held: None,
            running_out: None,
            in_flight: None,
            unsure: false,
            may_claim: false,
            hinted: false,
            failures: 0,
            due_at: BootTime::ZERO,
            not_before: BootTime::ZERO,
            last_call: BootTime::ZERO,
            look_early_by: Duration::ZERO,
            max_attempts: None,
            origin: None,
            met_stranger: false,
            finish: None,
            gate_open: true,
            resigned: None,
            work_under_way: false,
            give_up_at: None,
            lease_ends_at: BootTime::ZERO,
            vacating_since: None,
            following: None,
            last_loss: None,
            store_answered: None,
            first_decided: None,
            continuity: Continuity::default(),
            unresolved: false,
            nameless: false,
            news: Vec::new(),
        }
    }

    /// Writes to the record where this candidate runs.
    #[must_use]
    pub fn running_in(self, origin: Option<Origin>) -> Self {
        Self { origin, ..self }
    }

    /// Stands only as long as the record's outcome leaves something to do: for work that is done
    /// once, in at most `max_attempts` attempts that fail.
    #[must_use]
    pub fn once(mut self, max_attempts: u32) -> Self {
        self.max_attempts = Some(max_attempts);
        self
    }

    /// Renews out of step with other elections that begin at the same time, such as those of one
    /// process.
    #[must_use]
    pub fn spreading_renewals(mut self) -> Self {
        self.spreads_renewals = true;
        self
    }

    /// Does not stand until the gate opens.
    #[must_use]
    pub fn behind_gate(mut self) -> Self {
        self.gate_open = false;
        self
    }

    /// Takes in what happened by `now` and says what to do next.
    pub fn step(&mut self, now: Now, event: Event) -> Step {
        self.lapse(now.boot);
        self.take_in(now.boot, event);
        self.lapse(now.boot);
        self.step_down_if_requested(now.boot);
        let action = self.next_action(now);
        if self.first_decided.is_none() && self.leadership().decided(now.boot).is_ok() {
            self.first_decided = Some(now.boot);
        }
        Step { action, news: std::mem::take(&mut self.news) }
    }

    /// What readers may know, for publication after every step.
    pub fn leadership(&self) -> Leadership {
        let draining = self.held.is_some_and(|held| held.draining);
        let (own, draining) =
            if draining { (None, self.own_tenure()) } else { (self.own_tenure(), None) };
        Leadership {
            candidate: self.me.clone(),
            timing: self.timing,
            own,
            draining,
            rival: self.rival_tenure(),
            term: self.watch.highest_term(),
            store_answered: self.store_answered,
            first_decided: self.first_decided,
            outcome: self.watch.observed().and_then(|o| o.record.outcome.clone()),
            standing_down: self.standing_down(),
            last_loss: self.last_loss,
        }
    }

    // --- Taking in events -----------------------------------------------------------------------

    /// Forgets a lease whose renew deadline has passed.
    fn lapse(&mut self, now: BootTime) {
        let timing = self.timing;
        if let Some(held) = self.held.take_if(|held| now >= timing.leads_until(held.sent_at)) {
            if !held.draining {
                self.lost(held.term, LossReason::RenewDeadline);
            }
            // Rejoin at once when the store answers: the record may still be the own one.
            self.due_at = now;
        }
    }

    fn take_in(&mut self, now: BootTime, event: Event) {
        self.may_claim = false;
        match event {
            Event::Wake => {}
            Event::Changed => self.hinted = true,
            Event::Vacated { term, version } => self.take_in_vacated(now, term, version),
            Event::Gate { open } => {
                if open && !self.gate_open {
                    self.due_at = now;
                }
                self.gate_open = open;
            }
            Event::Resign { cooldown } => {
                self.resigned = Some(Resignation { cooldown, until: now + cooldown });
                // Here, because a cooldown of zero is over before the end of this step.
                self.stop_believing(LossReason::Resigned);
            }
            Event::Work { under_way } => {
                // Whoever waited for old work to end before standing again looks now.
                self.hinted |= !under_way && self.held.is_none();
                self.work_under_way = under_way;
                if !under_way {
                    // It ended while the lease was still there, and so may free it.
                    self.running_out.take_if(|lease| now < lease.over_at);
                }
            }
            Event::Finish { outcome } => {
                self.finish = Some(outcome);
                self.stop_believing(LossReason::Finished);
            }
            Event::Overdue => self.let_run_out(now),
            Event::Shutdown { give_up_at } => {
                let earlier = self.give_up_at.map_or(give_up_at, |at| at.min(give_up_at));
                self.give_up_at = Some(earlier);
            }
            Event::ServiceTime(time) => self.compare_clocks(&time),
            Event::Copied(sign) => self.give_up_name(sign),
            Event::Reborn { incarnation, seed } => self.take_name(now, incarnation, seed),
            Event::Observed(answer) => {
                let look = |call: &mut InFlight| call.purpose == Purpose::Look;
                if let Some(call) = self.in_flight.take_if(look) {
                    let answer = if call.void { Err(CallFailed) } else { answer };
                    self.take_in_look(now, call.sent_at, answer);
                }
            }
            Event::Swapped(answer) => {
                let swap = |call: &mut InFlight| call.record.is_some();
                if let Some(InFlight { purpose, sent_at, record: Some(record), void }) =
                    self.in_flight.take_if(swap)
                {
                    let answer = if void { Err(CallFailed) } else { answer };
                    if purpose == Purpose::Renew {
                        self.report_renewal(sent_at, &answer);
                    }
                    self.take_in_swap(now, purpose, sent_at, record, answer);
                }
            }
        }
    }

    fn take_in_look(
        &mut self,
        now: BootTime,
        sent_at: BootTime,
        answer: Result<Option<Observed>, CallFailed>,
    ) {
        let Ok(observed) = answer else { return self.call_failed(now) };
        if !self.unsure {
            self.failures = 0;
        }
        self.call_answered(sent_at);
        self.learn(now, sent_at, observed);
        self.claim_if_over(now);
    }

    /// Spares the look that a hint asks for otherwise: the lease can be claimed from there.
    fn take_in_vacated(&mut self, now: BootTime, term: Term, version: Version) {
        let idle = self.held.is_none() && self.in_flight.is_none() && !self.unsure;
        if !idle || !self.watch.vacated(term, version, now) {
            self.hinted = true;
            return;
        }
        self.report_following();
        self.schedule_look(now);
        self.claim_if_over(now);
    }

    fn claim_if_over(&mut self, now: BootTime) {
        self.may_claim = self.watch.over_at(&self.me).is_some_and(|over_at| over_at <= now);
    }

    fn take_in_swap(
        &mut self,
        now: BootTime,
        purpose: Purpose,
        sent_at: BootTime,
        record: LeaseRecord,
        answer: Result<Swapped, CallFailed>,
    ) {
        let Ok(swapped) = answer else {
            self.unsure = true;
            self.unresolved = true;
            return self.call_failed(now);
        };
        self.failures = 0;
        self.call_answered(sent_at);
        match swapped {
            Swapped::Lost(observed) => {
                self.unresolved |= copied::is_echo(observed.as_ref(), &record);
                self.learn(now, sent_at, observed);
            }
            Swapped::Won(version) => {
                self.unresolved = false;
                let observed = Observed { record, version, remaining: None, outlived: false };
                self.watch.saw(Some(observed), sent_at, now);
                self.won(now, purpose, sent_at);
            }
        }
    }

    fn call_answered(&mut self, sent_at: BootTime) {
        self.unsure = false;
        self.store_answered = Some(sent_at);
    }

    /// Retries soon, then ever more slowly, up to the retry period.
    fn call_failed(&mut self, now: BootTime) {
        let backoff = (self.timing.retry_period() / 4) * (1 << self.failures.min(2));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + self.jittered(backoff);
    }

    /// A look, or a lost swap, showed the record.
    fn learn(&mut self, now: BootTime, sent_at: BootTime, observed: Option<Observed>) {
        self.look_for_a_double(observed.as_ref());
        if let Some(held) = self.held {
            let still_held =
                |o: &Observed| o.record.is_held_by(&self.me) && o.record.term == held.term;
            if !observed.as_ref().is_some_and(still_held) {
                self.held = None;
                if !held.draining {
                    self.lost(
                        held.term,
                        match observed {
                            Some(_) => LossReason::Superseded,
                            None => LossReason::RecordGone,
                        },
                    );
                }
            } else if observed.as_ref().map(|o| &o.version) != self.version() {
                // A write was applied whose answer was lost. Belief still counts from the last
                // write that is known, so the next one is sent at once, from this version.
                self.due_at = now;
            }
        }
        let term = observed.as_ref().map_or(Term::ZERO, |o| o.record.term);
        if let Some(seen) = self.watch.saw(observed, sent_at, now) {
            self.news.push(News::TermWentBackwards { seen, record: term });
        }
        self.report_stranger();
        if !self.owns_record() {
            // Somebody else has the record, and with it the word on how the work ended.
            self.finish = None;
        }
        if self.report_following() {
            // A change of leadership makes everybody look at once. What follows is spread again.
            self.spread_looks();
        }
        if self.held.is_none() {
            self.schedule_look(now);
        }
    }

    /// A swap was applied; the record is known to be as written.
    fn won(&mut self, now: BootTime, purpose: Purpose, sent_at: BootTime) {
        let term = self.watch.highest_term().unwrap_or_default();
        self.due_at = sent_at + self.timing.retry_period();
        self.lease_ends_at = sent_at + self.timing.lease_duration();
        match purpose {
            Purpose::Look => {}
            Purpose::Acquire if now >= self.timing.leads_until(sent_at) => {
                // Too late to mean anything. The record is then the own one: freed, or claimed.
                self.due_at = now;
            }
            Purpose::Acquire => {
                self.following = None;
                // A candidate that had to step down in the meantime never begins to believe. Nor
                // does one that has learned of the end of the work that the term would be about.
                let draining = self.standing_down_at(now).is_some() || self.finish.is_some();
                self.held = Some(Held { term, sent_at, draining });
                // Elections that began together would renew together for as long as they last.
                self.due_at = sent_at + self.until_first_renewal();
                if !draining {
                    self.news.push(News::Elected { term });
                }
            }
            Purpose::Renew => match &mut self.held {
                Some(held) => held.sent_at = sent_at,
                // The lease lapsed before the answer came: the term is over.
                None => self.due_at = now,
            },
            Purpose::Vacate => {
                self.held = None;
                self.vacating_since = None;
                self.finish = None;
                self.news.push(News::Vacated { term });
                if let Some(resigned) = &mut self.resigned {
                    resigned.until = now + resigned.cooldown;
                }
                self.schedule_look(now);
            }
        }
    }

    fn lost(&mut self, term: Term, reason: LossReason) {
        self.last_loss = Some(Loss { term, reason });
        self.news.push(News::Lost { term, reason });
    }

    /// Called before the answer is taken in: while it is known when the last renewal was sent.
    fn report_renewal(&mut self, sent_at: BootTime, answer: &Result<Swapped, CallFailed>) {
        let late = |held: Held| self.timing.renews_late(held.sent_at, sent_at);
        self.news.push(News::Renewal(match answer {
            Err(CallFailed) => Renewal::Failed,
            Ok(Swapped::Lost(_)) => Renewal::Refused,
            Ok(Swapped::Won(_)) if self.held.is_none_or(late) => Renewal::Late,
            Ok(Swapped::Won(_)) => Renewal::OnTime,
        }));
    }

    /// Whether another candidate, or another term of it, is seen to hold the lease than before.
    fn report_following(&mut self) -> bool {
        let rival = self.watch.observed().and_then(|o| {
            let holder = o.record.holder.clone().filter(|holder| *holder != self.me)?;
            Some((holder, o.record.term))
        });
        let changed = rival != self.following;
        if changed {
            if let Some((holder, term)) = &rival {
                let holder = holder.identity.clone();
                self.news.push(News::Following { holder, term: *term });
            }
            self.following = rival;
        }
        changed
    }

    fn report_stranger(&mut self) {
        let theirs = self.watch.observed().and_then(|o| o.record.origin.as_ref());
        if let (false, Some(own), Some(origin)) = (self.met_stranger, &self.origin, theirs)
            && own != origin
        {
            self.news.push(News::Stranger { origin: origin.clone(), own: own.clone() });
            self.met_stranger = true;
        }
    }

    // --- Standing down --------------------------------------------------------------------------

    fn standing_down(&self) -> Option<StandingDown> {
        if self.give_up_at.is_some() {
            Some(StandingDown::ShuttingDown)
        } else if !self.gate_open {
            Some(StandingDown::GateClosed)
        } else {
            self.resigned.map(|resigned| StandingDown::Resigned { until: resigned.until })
        }
    }

    fn standing_down_at(&self, now: BootTime) -> Option<StandingDown> {
        self.standing_down().filter(|reason| match reason {
            StandingDown::Resigned { until } => now < *until,
            StandingDown::ShuttingDown | StandingDown::GateClosed => true,
        })
    }

    /// Safety rule 7, first half: the answer turns to "no" in the very step that hears of it.
    fn step_down_if_requested(&mut self, now: BootTime) {
        let draining = self.held.is_some_and(|held| held.draining);
        if !draining && self.resigned.is_some_and(|resigned| now >= resigned.until) {
            self.resigned = None;
        }
        let Some(reason) = self.standing_down_at(now) else { return };
        self.stop_believing(match reason {
            StandingDown::ShuttingDown => LossReason::ShuttingDown,
            StandingDown::GateClosed => LossReason::GateClosed,
            StandingDown::Resigned { .. } => LossReason::Resigned,
        });
    }

    fn stop_believing(&mut self, reason: LossReason) {
        let Some(held) = self.held.as_mut().filter(|held| !held.draining) else { return };
        held.draining = true;
        let term = held.term;
        self.lost(term, reason);
    }

    /// The record stays: it is vacated only if the work ends before the lease does.
    fn let_run_out(&mut self, now: BootTime) {
        let over_at = match self.held {
            // Nothing had to end.
            Some(held) if !held.draining => return,
            Some(held) => held.sent_at + self.timing.lease_duration(),
            // It lapsed before, and may be over by now.
            None => now,
        };
        if let Some(term) = self.owned_term() {
            self.running_out = Some(RunningOut { term, over_at });
        }
        self.held = None;
    }

    // --- Deciding what to do next ---------------------------------------------------------------

    fn next_action(&mut self, now: Now) -> Action {
        if self.has_left(now.boot) {
            return Action::Finished;
        }
        match self.due(now.boot) {
            Some(purpose) => self.call(now, purpose),
            None => Action::Wait { until: self.next_wake(now.boot) },
        }
    }

    /// Whether a candidate that shuts down has nothing left to free, or no time left to free it.
    fn has_left(&self, now: BootTime) -> bool {
        let Some(give_up_at) = self.gives_up_at() else { return false };
        let swapping = self.in_flight.as_ref().is_some_and(|call| call.record.is_some());
        let freed = !swapping && !self.unsure && !self.has_record_to_free();
        let tried = self.tries_until().is_some_and(|until| now >= until);
        now >= give_up_at || (!self.work_under_way && (freed || tried))
    }

    fn gives_up_at(&self) -> Option<BootTime> {
        self.give_up_at.map(|at| self.or_end_of_lease(at))
    }

    /// Until when a shutdown tries to vacate.
    fn tries_until(&self) -> Option<BootTime> {
        self.vacating_since.map(|since| self.or_end_of_lease(since + self.timing.call_timeout()))
    }

    /// A lost outcome means that the work is done again: it is worth the whole lease to record it.
    fn or_end_of_lease(&self, at: BootTime) -> BootTime {
        if self.finish.is_some() { at.max(self.lease_ends_at) } else { at }
    }

    /// For a candidate that has left: the term whose lease it did not free, and the reason.
    pub fn left_to_run_out(&self) -> Option<(Term, &'static str)> {
        let why = if self.work_under_way {
            "leader-only work was not seen to end"
        } else if self.has_record_to_free() {
            "the store did not take the write that frees it"
        } else {
            "leader-only work ended too late"
        };
        self.owned_term().map(|term| (term, why))
    }

    fn may_stand(&self, now: BootTime) -> bool {
        let outcome = self.watch.observed().and_then(|o| o.record.outcome.as_ref());
        let is_done = match (self.max_attempts, outcome) {
            (Some(max_attempts), Some(outcome)) => outcome.is_final(max_attempts),
            _ => false,
        };
        // Work of a term that lapsed is still ending, and a new term must not run beside it. Nor
        // must a new term begin work that has ended, as long as its outcome is still to be written.
        !is_done
            && self.finish.is_none()
            && !self.work_under_way
            && self.standing_down_at(now).is_none()
    }

    fn owns_record(&self) -> bool {
        // An old record of the own, back after a fail-over, may hide a successor's lost one.
        let proves = |o: &Observed| !o.outlived || self.held.is_some();
        self.watch.observed().is_some_and(|o| o.record.is_held_by(&self.me) && proves(o))
    }

    fn owned_term(&self) -> Option<Term> {
        self.watch.observed().filter(|_| self.owns_record()).map(|o| o.record.term)
    }

    /// Safety rule 7, second half: the record is vacated when belief and work have ended.
    fn wants_to_vacate(&self, now: BootTime) -> bool {
        let stepping_down = match &self.held {
            Some(held) => held.draining,
            None => self.finish.is_some() || self.standing_down_at(now).is_some(),
        };
        stepping_down && !self.work_under_way && (self.has_record_to_free() || self.unsure)
    }

    /// An outcome is left in the record as long as that is the own one, be the lease over or not.
    fn has_record_to_free(&self) -> bool {
        let runs_out = |term| self.running_out.is_some_and(|lease| lease.term == term);
        self.owned_term().is_some_and(|term| self.finish.is_some() || !runs_out(term))
    }

    /// The call that is due, if any.
    fn due(&self, now: BootTime) -> Option<Purpose> {
        if self.in_flight.is_some() || now < self.not_before || self.nameless {
            None
        } else if self.unsure {
            Some(Purpose::Look)
        } else if self.wants_to_vacate(now) {
            Some(Purpose::Vacate)
        } else if self.may_claim && self.held.is_none() && self.may_stand(now) {
            Some(Purpose::Acquire)
        } else if now >= self.due_at {
            // Before the hints: a flood of them must not keep a leader from renewing.
            Some(if self.held.is_some() { Purpose::Renew } else { Purpose::Look })
        } else {
            (self.hinted && now >= self.last_call + HINT_GAP).then_some(Purpose::Look)
        }
    }

    /// When something is due next, or ends by itself.
    fn next_wake(&self, now: BootTime) -> BootTime {
        let mut due = self.due_at;
        if self.unsure || self.wants_to_vacate(now) {
            due = self.not_before;
        } else if self.hinted {
            due = due.min(self.last_call + HINT_GAP);
        }
        let due = self.in_flight.is_none().then_some(due.max(self.not_before));
        let lapse = self.held.map(|held| self.timing.leads_until(held.sent_at));
        let idle = now + self.timing.retry_period();
        let wakes = [due, lapse, self.tries_until(), self.gives_up_at()];
        // Never now: whatever is due now was done in this step, and a driver must not spin.
        wakes.into_iter().flatten().fold(idle, BootTime::min).max(now + Duration::from_millis(1))
    }

    fn call(&mut self, now: Now, purpose: Purpose) -> Action {
        let sent_at = now.boot;
        let timeout = sent_at + self.timing.call_timeout();
        let deadline = self.gives_up_at().map_or(timeout, |at| at.min(timeout));
        self.last_call = sent_at;
        if self.give_up_at.is_some() && self.wants_to_vacate(sent_at) {
            self.vacating_since.get_or_insert(sent_at);
        }
        let record = self.record_for(purpose, now.wall);
        let purpose = if record.is_some() { purpose } else { Purpose::Look };
        self.in_flight = Some(InFlight { purpose, sent_at, record: record.clone(), void: false });
        Action::Call(match record {
            Some(record) => Call::Swap { deadline, expected: self.version().cloned(), record },
            None => {
                self.hinted = false;
                Call::Observe { deadline }
            }
        })
    }

    fn version(&self) -> Option<&Version> {
        self.watch.observed().map(|o| &o.version)
    }

    fn record_for(&self, purpose: Purpose, wall: WallTime) -> Option<LeaseRecord> {
        let own = || self.watch.observed().map(|o| o.record.clone());
        match purpose {
            Purpose::Look => None,
            Purpose::Acquire => Some(LeaseRecord {
                holder: Some(self.me.clone()),
                term: self.watch.next_term(),
                lease_duration: self.timing.lease_duration(),
                acquire_time: wall,
                renew_time: wall,
                outcome: self.watch.observed().and_then(|o| o.record.outcome.clone()),
                origin: self.origin.clone(),
            }),
            Purpose::Renew => own().map(|own| LeaseRecord { renew_time: wall, ..own }),
            Purpose::Vacate => own().map(|own| {
                let outcome = self.finished(&own).or(own.outcome);
                LeaseRecord { holder: None, renew_time: wall, outcome, ..own }
            }),
        }
    }

    /// The outcome to write, if there is one, counted after the attempts before it.
    fn finished(&self, own: &LeaseRecord) -> Option<Box<Outcome>> {
        let before = own.outcome.as_ref().map_or(0, |outcome| outcome.attempts);
        let mut outcome = self.finish.clone()?;
        outcome.term = own.term;
        outcome.attempts = before.saturating_add(1);
        Some(outcome)
    }

    /// A standby looks again a retry period after its last look, never later, so that a lease that
    /// is vacated is taken within one; or when the lease may be over.
    fn schedule_look(&mut self, now: BootTime) {
        let early = std::mem::take(&mut self.look_early_by);
        self.due_at = self.last_call + self.timing.retry_period().saturating_sub(early);
        let over_at = match self.standing_down_at(now) {
            None if self.may_stand(now) => self.watch.over_at(&self.me),
            None => None,
            Some(StandingDown::Resigned { until }) => Some(until),
            Some(StandingDown::GateClosed | StandingDown::ShuttingDown) => None,
        };
        if let Some(over_at) = over_at {
            let spread = TAKEOVER_SPREAD.mul_f64(self.jitter.f64());
            self.due_at = self.due_at.min(over_at.max(now) + spread);
        }
    }

    /// Makes the next look, and thereby all after it, come earlier by a random part of a period.
    fn spread_looks(&mut self) {
        self.look_early_by = self.timing.retry_period().mul_f64(self.jitter.f64());
    }

    /// A retry period, or a random time between half of one and a whole one.
    fn until_first_renewal(&mut self) -> Duration {
        let early = if self.spreads_renewals { 0.5 * self.jitter.f64() } else { 0.0 };
        self.timing.retry_period().mul_f64(1.0 - early)
    }

    /// Up to a fifth longer, so that candidates that failed together do not call together.
    fn jittered(&mut self, duration: Duration) -> Duration {
        duration.mul_f64(1.0 + 0.2 * self.jitter.f64())
    }

    // --- Showing --------------------------------------------------------------------------------

    fn own_tenure(&self) -> Option<Tenure> {
        let held = self.held?;
        let until = self.timing.leads_until(held.sent_at);
        let kills_at = self.timing.kills_at(held.sent_at);
        self.tenure(self.me.identity.clone(), until, kills_at)
    }

    fn rival_tenure(&self) -> Option<Tenure> {
        let record = &self.watch.observed()?.record;
        let holder = record.holder.as_ref().filter(|holder| **holder != self.me)?;
        let until = self.watch.live_until(&self.me)?;
        self.tenure(holder.identity.clone(), until, until)
    }

    fn tenure(&self, identity: String, until: BootTime, kills_at: BootTime) -> Option<Tenure> {
        let record = &self.watch.observed()?.record;
        Some(Tenure {
            identity,
            term: record.term,
            lease_duration: record.lease_duration,
            acquire_time: record.acquire_time,
            renew_time: record.renew_time,
            until,
            kills_at,
        })
    }
}

#[cfg(test)]
mod tests;
