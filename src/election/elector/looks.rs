//! The looks of a standby.

use super::Elector;
use super::pace::Deferred;
use crate::election::lease::{Observed, Vacated};
use crate::election::succession::Before;
use crate::election::time::BootTime;

/// All candidates get a renewal from a push within this part of a retry period, so one may count the end of a lease so
/// much earlier than another.
const COUNTED_EARLIER: u32 = 8;

impl Elector {
    /// As a standby to which no renewals are announced, looks soon after each one, so that it learns early of
    /// the last renewal before a crash.
    #[must_use]
    pub fn following_renewals(mut self) -> Self {
        self.pace.follow_renewals();
        self
    }

    /// Looks in other turns than the other elections of its process: the store would not send their looks together,
    /// and all of them would come at one moment.
    #[must_use]
    pub fn in_turns_of_its_own(mut self) -> Self {
        self.pace.in_turns_of_its_own();
        self
    }

    /// The record may have changed. The candidate that holds the lease looks at once, and all others in turn.
    pub(super) fn take_in_change(&mut self, now: BootTime, deferred: Deferred) {
        if self.lease.is_held() { self.pace.hint() } else { self.pace.hint_to_all(now, deferred) }
    }

    /// How long a look may wait for its turn. A take-over waits only if another candidate can have claimed the lease.
    pub(super) fn deferred(&self, now: BootTime) -> Deferred {
        let counted_earlier = self.timing.retry_period() / COUNTED_EARLIER;
        match self.over_at() {
            Some(over_at) if over_at <= now + counted_earlier => Deferred::ToTurn,
            over_at => Deferred::until(over_at),
        }
    }

    /// The same, if nothing says that another candidate has claimed the lease.
    pub(super) fn deferred_by_doubt(&self) -> Deferred {
        Deferred::until(self.over_at())
    }

    fn over_at(&self) -> Option<BootTime> {
        self.watch.over_at(self.me())
    }

    /// The store itself sent the record, as another candidate wrote it: rule `pushed-record`. If it is newer than
    /// all that was seen, it is as good as a look. Otherwise it may be an old one, and what a call under way shows
    /// may be older. If it shows the same, no look is needed.
    pub(super) fn take_in_acquired(&mut self, now: BootTime, shown: Observed) {
        if self.watch.version() == Some(&shown.version) {
            return self.follows_pushed_change(now);
        }
        let is_newer = self.watch.highest_term().is_some_and(|seen| shown.record.term > seen);
        let is_busy = self.lease.is_held() || self.calls.is_under_way() || self.calls.unsure;
        let looked_at = self.watch.looked_at().filter(|_| is_newer && !is_busy);
        let Some(looked_at) = looked_at.filter(|_| !self.name.is_given_up()) else {
            return match self.lease.is_held() {
                true => self.pace.hint(),
                false => {
                    let deferred = if is_newer { Deferred::ToTurn } else { self.deferred(now) };
                    self.pace.changed_to(now, shown.version, deferred);
                }
            };
        };
        let before = Before::of(&self.leadership(), &self.watch, now);
        self.pace.pushed_look(now);
        self.learn(now, looked_at, Some(shown));
        self.shown.succession.follow(&before, &self.watch, self.lease.is_leading(), now);
    }

    /// A push shows that the lease is free. Returns whether it claims the lease at once: after another hint it
    /// looks first.
    pub(super) fn take_in_vacated(&mut self, now: BootTime, news: Vacated) -> bool {
        let before = Before::of(&self.leadership(), &self.watch, now);
        let idle = !self.lease.is_held() && !self.calls.is_under_way() && !self.calls.unsure;
        if !idle || !self.watch.vacated(news, now) {
            self.pace.hint();
            return false;
        }
        self.shown.succession.follow(&before, &self.watch, self.lease.is_leading(), now);
        self.shown.follow(&self.watch, &self.name);
        self.schedule_look(now);
        self.is_over(now)
    }

    /// A look shows a change of leadership. All candidates may have seen it at once, so what follows is spread
    /// again. A push that caused the look works, and the next ones are relied on.
    pub(super) fn follows_change(&mut self, now: BootTime) {
        self.pace.spread_looks();
        if self.pace.looked_for_push() && self.watch.relies_on_pushes() {
            self.pace.change_pushed(now);
        }
        if self.watch.observed().is_some_and(|seen| seen.record.holder.is_some()) {
            self.pace.follows_another();
        }
    }

    /// A push shows what was seen before it came: it works as well.
    fn follows_pushed_change(&mut self, now: BootTime) {
        if self.lease.is_held() || !self.watch.relies_on_pushes() {
            return;
        }
        self.pace.change_pushed(now);
        self.schedule_look(now);
    }

    /// The next look, for a standby.
    pub(super) fn schedule_look(&mut self, now: BootTime) {
        let over_at = match self.down_at(now) {
            None => self.claims_at().filter(|_| self.may_stand(now)),
            Some(reason) => reason.ends_at(),
        };
        self.pace.schedule_look(now, over_at, &self.watch);
    }
}
