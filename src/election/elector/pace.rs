//! When the next call to the store is due: renewals and looks in their period, pauses after
//! failures, and what hints of the store may hasten.

use std::ops::Range;
use std::time::Duration;

use super::rhythm::Rhythm;
use super::turn::Turn;
use crate::election::handover::Rank;
use crate::election::lease::Observed;
use crate::election::projection::Projection;
use crate::election::time::BootTime;
use crate::election::timing::{HINT_GAP, Timing, backoff};
use crate::election::watch::{Pushes, Watch};

/// Candidates that wait for the end of a lease look at a random moment within this time after it,
/// and then swap. So most of a few see the winner, and do not swap against it: a commit takes a few
/// milliseconds. Longer, and it would be the most of what a take-over takes.
const TAKEOVER_SPREAD: Duration = Duration::from_millis(8);

/// The same where nothing says how many wait, as a part of the retry period: 31 ms at the default durations, a
/// five hundredth of the lease. If there are many, a third as many swap in vain.
const TAKEOVER_SPREAD_BLIND: u32 = 64;

/// The same among many, for each listener: one commit and its notification take about as long, so a few of
/// them look before they learn of the winner, however many there are.
const TAKEOVER_SPREAD_EACH: Duration = Duration::from_millis(4);

/// Of the renew deadline, the longest of these: 156 ms at the default durations.
const TAKEOVER_SPREAD_SHARE: u32 = 64;

/// Of the retry period, for candidates that claim in turn: the distance of two preferences.
const SPREAD_SHARE: u32 = 100;

/// All listeners learn of a change in the same moment. This is how far their looks are apart: a few
/// candidates see it at once, and many cause 25 looks a second.
const HINT_SPREAD_EACH: Duration = Duration::from_millis(40);

/// In retry periods, how long after the last push the next one is overdue: no sooner, because a
/// renewal may take a while, and no later than it takes to see a renewal without pushes. At random
/// in between, because all candidates got the last push at the same time.
const OVERDUE: Range<f64> = 1.25..2.0;

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
    /// The store hinted at a change since the last look was sent: when to look.
    hinted: Option<BootTime>,
    /// The last look was sent after such a hint.
    looks_for_hint: bool,
    /// About how many wait for the same hints; 0 if that is not known.
    listeners: u32,
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
    /// A look showed what pushes should have announced: they spare no look.
    pub(super) doubts_pushes: bool,
}

impl Pace {
    /// A look is due at once. `seed` makes the jitter replayable.
    pub(super) fn new(timing: &Timing, seed: u64) -> Self {
        Self {
            retry_period: timing.retry_period(),
            check_period: timing.renew_deadline(),
            jitter: fastrand::Rng::with_seed(seed),
            rhythm: None,
            spreads_renewals: false,
            turn: Turn::default(),
            hinted: None,
            looks_for_hint: false,
            listeners: 0,
            failures: 0,
            due_at: BootTime::ZERO,
            not_before: BootTime::ZERO,
            last_call: BootTime::ZERO,
            last_push: BootTime::ZERO,
            look_early_by: 0.0,
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

    // --- Taking in what happened ----------------------------------------------------------------

    /// For a process whose state may have been copied, and the jitter's with it.
    pub(super) fn reseed(&mut self, seed: u64) {
        self.jitter = fastrand::Rng::with_seed(seed);
    }

    /// The record may have changed: looks at once.
    pub(super) fn hint(&mut self) {
        self.hinted = Some(BootTime::ZERO);
    }

    /// The same for all candidates. One that holds the lease looks at once.
    pub(super) fn changed(&mut self, now: BootTime, holds: bool) {
        if holds { self.hint() } else { self.hint_to_all(now) }
    }

    /// The same for all but the one that holds the lease. One of many looks at a random moment, and not before,
    /// also if the lease may be over: then it will see the winner. Another hint before that look changes nothing,
    /// so hints that continue defer it no further.
    pub(super) fn hint_to_all(&mut self, now: BootTime) {
        if self.hinted.is_none() {
            let spread = self.hint_spread();
            let share = if spread.is_zero() { 0.0 } else { self.jitter.f64() };
            let at = now + spread.mul_f64(share);
            self.hinted = Some(at);
            self.due_at = self.due_at.max(at);
        }
    }

    /// A call is sent now.
    pub(super) fn sent(&mut self, now: BootTime) {
        self.last_call = now;
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
            rhythm.looked(last.observed(), shown, sent, now, self.looks_for_hint);
        }
    }

    /// A renewal was announced, and counted.
    pub(super) fn pushed(&mut self, now: BootTime, listeners: u32) {
        (self.last_push, self.listeners) = (now, listeners);
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

    /// The first renewal of a term, after a retry period or a random time between half of one and
    /// a whole one: elections that began together would renew together for as long as they last.
    pub(super) fn schedule_first_renewal(&mut self, sent_at: BootTime) {
        let early = if self.spreads_renewals { 0.5 * self.jitter.f64() } else { 0.0 };
        self.due_at = sent_at + self.retry_period.mul_f64(1.0 - early);
    }

    /// A standby looks again a retry period after its last look, so that a lease that is vacated is
    /// taken within one, or after the next renewal, if it follows them; or when the lease may be over, if
    /// it waits for that.
    ///
    /// While renewals are pushed, it looks once in a renew deadline only, to check the pushes; and when
    /// a push is overdue, because it may be lost. The leader renews a retry period after the last push,
    /// so that look comes within a retry period after the renewal, as without pushes.
    ///
    /// After a hand-over, candidates of other ranks try at other times, which are closer together if
    /// the retry period is short.
    pub(super) fn schedule_look(
        &mut self,
        now: BootTime,
        over_at: Option<BootTime>,
        watch: &Watch,
    ) {
        let share = 1.0 - self.look_early_by;
        let early = |period: Duration| period.mul_f64(share);
        self.due_at = match watch.pushes() {
            Pushes::Proven if !self.doubts_pushes => {
                self.when_overdue().min(self.last_call + early(self.check_period))
            }
            Pushes::Proven | Pushes::NotProven => {
                let after_renewal = self.rhythm.as_ref().and_then(Rhythm::next_look);
                after_renewal.unwrap_or(self.last_call + early(self.retry_period))
            }
        };
        if let Some(over_at) = over_at {
            let share = self.retry_period / SPREAD_SHARE;
            let longest = if watch.handover().is_some() {
                TAKEOVER_SPREAD.min(share)
            } else if self.listeners == 0 {
                TAKEOVER_SPREAD.max(self.retry_period / TAKEOVER_SPREAD_BLIND)
            } else {
                let all = TAKEOVER_SPREAD_EACH * self.listeners;
                all.min(self.check_period / TAKEOVER_SPREAD_SHARE).max(TAKEOVER_SPREAD)
            };
            let spread = longest.mul_f64(self.jitter.f64());
            self.due_at = self.due_at.min(over_at.max(now) + spread);
        }
    }

    /// When to look because a push is overdue: at the pace of polling if the last look was for that. Many look
    /// less often, so that together they send no more than before.
    fn when_overdue(&mut self) -> BootTime {
        let overdue_at = self.last_push + self.retry_period.mul_f64(OVERDUE.start);
        let window = self.retry_period.mul_f64(OVERDUE.end - OVERDUE.start);
        let among_many = self.hint_spread() * 2;
        if self.last_call < overdue_at {
            overdue_at + window.max(among_many).mul_f64(self.jitter.f64())
        } else {
            self.last_call + self.retry_period.max(among_many)
        }
    }

    /// Within this time all listeners look, after a hint.
    fn hint_spread(&self) -> Duration {
        (HINT_SPREAD_EACH * self.listeners).min(self.check_period / 2)
    }

    /// Makes the next look, and thereby all after it, come earlier by a random part of a period.
    pub(super) fn spread_looks(&mut self) {
        self.look_early_by = self.jitter.f64();
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
        Some(self.hinted?.max(self.last_call + HINT_GAP))
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
            listeners,
            failures,
            due_at,
            not_before,
            last_call,
            last_push,
            look_early_by,
            doubts_pushes,
        } = self;
        onto.flag(*spreads_renewals);
        onto.flag(hinted.is_some());
        onto.duration(hinted.unwrap_or_default().since(now));
        onto.duration(HINT_SPREAD_EACH * *listeners);
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
        onto.flag(*doubts_pushes);
    }
}
