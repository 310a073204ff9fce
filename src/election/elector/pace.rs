//! When the next call to the store is due: renewals and looks in their period, pauses after
//! failures, and what hints of the store may hasten.

use std::time::Duration;

use super::crowd::Crowd;
use super::rhythm::Rhythm;
use super::turn::Turn;
use crate::election::handover::Rank;
use crate::election::lease::{Listeners, Observed, Version};
use crate::election::projection::Projection;
use crate::election::time::BootTime;
use crate::election::timing::{HINT_GAP, Timing, backoff};
use crate::election::watch::{Pushes, Watch};

/// In retry periods, how much sooner the first renewal of a term comes, at most: renewals of many elections are
/// nearly even then, and none follows the claim at once.
const FIRST_RENEWAL_EARLY: f64 = 0.9;

/// The pace of one candidate's calls.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    retry_period: Duration,
    /// Between two looks while renewals are pushed.
    check_period: Duration,
    jitter: fastrand::Rng,
    /// None: without announcements it looks at an even pace.
    rhythm: Option<Rhythm>,
    /// The first renewal of a term comes early by a random time, and so do all after it.
    pub(super) spreads_renewals: bool,
    /// When it claims a vacated lease.
    pub(super) turn: Turn,
    /// The store hinted at a change since the last look was sent.
    hinted: Option<Hinted>,
    /// The last look was sent after such a hint.
    looks_for_hint: bool,
    crowd: Crowd,
    /// Calls that failed in a row; looks that only clear up after a failed swap do not end it.
    failures: u32,
    /// When the next look or renewal is due.
    due_at: BootTime,
    /// No call before: the backoff after a failure.
    not_before: BootTime,
    last_call: BootTime,
    /// When the last renewal was announced.
    last_push: BootTime,
    /// The share of a period by which the next look comes early.
    look_early_by: f64,
    /// The next look was scheduled as without pushes.
    polls: bool,
    /// A look showed what pushes should have announced: they spare no look.
    pub(super) doubts_pushes: bool,
}

/// A change that no look has shown yet.
#[derive(Clone, Debug)]
struct Hinted {
    /// When to look.
    at: BootTime,
    /// The version since, if one push said it, and there was no other.
    version: Option<Version>,
}

/// How long a look that is due anyway waits for the turn of a hint.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deferred {
    /// Until then: another candidate may have claimed the lease, and the look will see the winner.
    ToTurn,
    /// The same, if the turn begins before this moment, at which the lease may be over.
    Until(BootTime),
}

impl Deferred {
    /// A first look, before which nothing is known of the lease, is not put off.
    pub(super) fn until(over_at: Option<BootTime>) -> Self {
        Self::Until(over_at.unwrap_or(BootTime::ZERO))
    }

    fn allows(self, turn: BootTime) -> bool {
        match self {
            Self::ToTurn => true,
            Self::Until(over_at) => turn <= over_at,
        }
    }
}

impl Pace {
    /// A look is due at once. `seed` makes the jitter replayable.
    pub(super) fn new(timing: &Timing, incarnation: &str, seed: u64) -> Self {
        Self {
            retry_period: timing.retry_period(),
            check_period: timing.renew_deadline(),
            jitter: fastrand::Rng::with_seed(seed),
            rhythm: None,
            spreads_renewals: false,
            turn: Turn::default(),
            hinted: None,
            looks_for_hint: false,
            crowd: Crowd::new(timing, incarnation),
            failures: 0,
            due_at: BootTime::ZERO,
            not_before: BootTime::ZERO,
            last_call: BootTime::ZERO,
            last_push: BootTime::ZERO,
            look_early_by: 0.0,
            polls: true,
            doubts_pushes: false,
        }
    }

    /// Claims a vacated lease in this turn.
    pub(super) fn ranked(self, rank: Option<Rank>) -> Self {
        Self { turn: Turn { rank }, ..self }
    }

    /// Without announcements, it looks soon after each renewal.
    pub(super) fn follow_renewals(&mut self) {
        self.rhythm = Some(Rhythm::new(self.retry_period));
    }

    /// Its turns are not those of the process.
    pub(super) fn in_turns_of_its_own(&mut self) {
        self.crowd.place = self.jitter.f64();
    }

    // --- Taking in what happened ----------------------------------------------------------------

    /// For a process whose state may have been copied, and the jitter's with it.
    pub(super) fn reseed(&mut self, seed: u64) {
        self.jitter = fastrand::Rng::with_seed(seed);
    }

    /// The record may have changed: looks at once.
    pub(super) fn hint(&mut self) {
        self.hinted = Some(Hinted { at: BootTime::ZERO, version: None });
    }

    /// The same for all but the one that holds the lease. One of many looks in its turn. Another hint before that look
    /// changes nothing, so hints that continue defer it no further.
    pub(super) fn hint_to_all(&mut self, now: BootTime, deferred: Deferred) {
        match &mut self.hinted {
            Some(hinted) => hinted.version = None,
            None => {
                let at = self.crowd.after_change(now);
                self.hinted = Some(Hinted { at, version: None });
                if deferred.allows(at) {
                    self.due_at = self.due_at.max(at);
                }
            }
        }
    }

    /// A push shows that the record has this version now. The call under way may show it as well.
    pub(super) fn changed_to(&mut self, now: BootTime, version: Version, deferred: Deferred) {
        let is_only = self.hinted.is_none();
        self.hint_to_all(now, deferred);
        if let Some(hinted) = self.hinted.as_mut().filter(|_| is_only) {
            hinted.version = Some(version);
        }
    }

    /// A look, or a lost swap, shows the version that a push spoke of.
    pub(super) fn shows(&mut self, version: &Version) {
        let hinted = self.hinted.as_ref().and_then(|hinted| hinted.version.as_ref());
        if hinted == Some(version) {
            (self.hinted, self.looks_for_hint) = (None, true);
        }
    }

    /// A call is sent now.
    pub(super) fn sent(&mut self, now: BootTime) {
        self.last_call = now;
        self.looks_for_hint = false;
    }

    /// The call that was sent is a look: it shows what was hinted at.
    pub(super) fn looks(&mut self) {
        self.looks_for_hint = self.hinted.take().is_some();
        self.look_early_by = 0.0;
    }

    /// A look, or a lost swap, shows this, before that is taken in.
    pub(super) fn looked(
        &mut self,
        last: &Watch,
        shown: Option<&Observed>,
        sent: BootTime,
        now: BootTime,
    ) {
        if let Some(rhythm) = &mut self.rhythm {
            rhythm.looked(last.observed(), shown, sent, now);
        }
    }

    /// A renewal was announced, and counted.
    pub(super) fn pushed(&mut self, now: BootTime, listeners: Listeners) {
        self.last_push = now;
        self.counted(listeners);
    }

    /// How many candidates wait.
    pub(super) fn counted(&mut self, listeners: Listeners) {
        self.crowd.counted(listeners);
    }

    /// Those that listened to the last holder may not reach this one.
    pub(super) fn follows_another(&mut self) {
        self.crowd.follows_another();
    }

    /// A change of leader was pushed, and seen.
    pub(super) fn change_pushed(&mut self, now: BootTime) {
        self.last_push = now;
    }

    /// A push shows the record, as a look would.
    pub(super) fn pushed_look(&mut self, now: BootTime) {
        self.last_call = now;
        (self.hinted, self.looks_for_hint) = (None, true);
    }

    /// Whether the last look was for a push, and those are not in doubt.
    pub(super) fn looked_for_push(&self) -> bool {
        self.looks_for_hint && !self.doubts_pushes
    }

    /// The store answered.
    pub(super) fn answered(&mut self) {
        self.failures = 0;
    }

    /// A call failed.
    pub(super) fn failed(&mut self, now: BootTime) {
        let backoff = backoff(self.retry_period, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + self.jittered(backoff);
    }

    // --- Planning the next call -----------------------------------------------------------------

    /// The next look or renewal is due now.
    pub(super) fn due_now(&mut self, now: BootTime) {
        self.due_at = now;
    }

    /// The next renewal, after a write that was sent then.
    pub(super) fn schedule_renewal(&mut self, sent_at: BootTime) {
        self.due_at = sent_at + self.retry_period;
    }

    /// The first renewal of a term, after a retry period or a random part of one: elections that began
    /// together would renew together for as long as they last.
    pub(super) fn schedule_first_renewal(&mut self, sent_at: BootTime) {
        let early =
            if self.spreads_renewals { FIRST_RENEWAL_EARLY * self.jitter.f64() } else { 0.0 };
        self.due_at = sent_at + self.retry_period.mul_f64(1.0 - early);
    }

    /// A standby looks again a retry period after its last look, so that a lease that is vacated is
    /// taken within one, or after the next renewal, if it follows them; or when the lease may be over, if
    /// it waits for that.
    ///
    /// While renewals are pushed, it looks once in a renew deadline only, to check the pushes; and once when
    /// a push is overdue, because it may be lost. The leader renews a retry period after the last push.
    /// So among a few that look comes within a retry period after the renewal, as without pushes.
    ///
    /// After a hand-over, candidates of other ranks try at other times, which are closer together if
    /// the retry period is short.
    pub(super) fn schedule_look(
        &mut self,
        now: BootTime,
        over_at: Option<BootTime>,
        watch: &Watch,
    ) {
        let relies_on_pushes = watch.pushes() == Pushes::Proven && !self.doubts_pushes;
        if relies_on_pushes && std::mem::take(&mut self.polls) {
            self.spread_checks(now);
        }
        let share = 1.0 - self.look_early_by;
        let early = |period: Duration| period.mul_f64(share);
        self.due_at = match relies_on_pushes {
            true => {
                let check_at = self.crowd.checks_at(self.last_call);
                let check_at = check_at.unwrap_or(self.last_call + early(self.check_period));
                let overdue = self.crowd.overdue(self.last_push);
                // The last look may have been for that, and the next one may be in time.
                if self.last_call >= overdue.start || overdue.contains(&check_at) {
                    check_at
                } else {
                    check_at.min(self.crowd.looks_for_overdue(overdue, &mut self.jitter))
                }
            }
            false => {
                self.polls = true;
                let after_renewal = self.rhythm.as_ref().and_then(Rhythm::next_look);
                after_renewal.unwrap_or(self.last_call + early(self.retry_period))
            }
        };
        if let Some(over_at) = over_at {
            let over_at = over_at.max(now);
            let has_preference = self.turn.has_preference();
            let claims_at = match watch.handover() {
                Some(_) => self.crowd.claims_at(over_at, has_preference, &mut self.jitter),
                None => self.crowd.takes_over_at(over_at, &mut self.jitter),
            };
            self.due_at = self.due_at.min(claims_at);
        }
    }

    /// Makes the next look, and thereby all after it, come earlier by a random part of a period. What candidates
    /// look at in turn is spread.
    pub(super) fn spread_looks(&mut self) {
        self.look_early_by = if self.crowd.takes_turns() { 0.0 } else { self.jitter.f64() };
    }

    /// The same for the checks of pushes that have just been proven: all candidates have looked within the last
    /// retry period, and would check within one from then on.
    fn spread_checks(&mut self, now: BootTime) {
        let since = now.since(self.last_call).div_duration_f64(self.check_period);
        self.look_early_by = self.jitter.f64() * (1.0 - since).max(0.0);
    }

    /// Up to a fifth longer, so that candidates that failed together do not call together.
    fn jittered(&mut self, duration: Duration) -> Duration {
        duration.mul_f64(1.0 + 0.2 * self.jitter.f64())
    }

    // --- Telling what is due --------------------------------------------------------------------

    /// Whether the pause after a failure is not over.
    pub(super) fn pauses(&self, now: BootTime) -> bool {
        now < self.not_before
    }

    /// Whether the last call failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether the next look or renewal is due.
    pub(super) fn is_due(&self, now: BootTime) -> bool {
        now >= self.due_at
    }

    /// Whether a hint calls for a look.
    pub(super) fn is_hint_due(&self, now: BootTime) -> bool {
        self.looks_for_hint_at().is_some_and(|at| now >= at)
    }

    /// When the next call is due; an urgent one as soon as it may be sent.
    pub(super) fn next(&self, urgent: bool) -> BootTime {
        let due = if urgent {
            self.not_before
        } else {
            self.looks_for_hint_at().map_or(self.due_at, |at| self.due_at.min(at))
        };
        due.max(self.not_before)
    }

    fn looks_for_hint_at(&self) -> Option<BootTime> {
        Some(self.hinted.as_ref()?.at.max(self.last_call + HINT_GAP))
    }

    pub(super) fn project(&self, now: BootTime, onto: &mut dyn Projection) {
        let Self {
            retry_period,
            check_period,
            jitter: _,
            turn: _,
            // The candidates of the model look at an even pace.
            rhythm: _,
            looks_for_hint: _,
            spreads_renewals,
            hinted,
            crowd,
            failures,
            due_at,
            not_before,
            last_call,
            last_push,
            look_early_by,
            polls,
            doubts_pushes,
        } = self;
        onto.flag(*spreads_renewals);
        let (at, version) = hinted.as_ref().map(|hinted| (hinted.at, &hinted.version)).unzip();
        onto.flag(at.is_some());
        onto.flag(version.is_some_and(Option::is_some));
        onto.duration(at.unwrap_or_default().since(now));
        crowd.project(now, onto);
        // More failures than those that make the pause longest change nothing.
        onto.duration(backoff(*retry_period, *failures));
        onto.duration(due_at.since(now));
        onto.duration(not_before.since(now));
        // Hints and looks come no later than this after it.
        let pushed = *last_push > BootTime::ZERO;
        let longest = if pushed { *check_period } else { *retry_period };
        onto.duration(now.since(*last_call).min(longest.max(HINT_GAP)));
        onto.flag(pushed);
        onto.duration(if pushed { now.since(*last_push).min(longest) } else { Duration::ZERO });
        onto.duration(check_period.mul_f64(*look_early_by));
        onto.flag(*polls);
        onto.flag(*doubts_pushes);
    }
}
