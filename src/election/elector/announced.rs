//! Announced renewals, and what they spare a standby: rule `announced-renewal`.
//!
//! An announcement is trusted for one thing: it puts off the next look, to a renew deadline after the
//! last one at most. It never shows that a lease is over. One that is false, or that a store lost
//! again, makes the wait longer: until that look, and then by a lease at most. If that look shows the
//! same as the one before, nothing was written between the two, and the lease counts from the earlier.
//! From then on none is believed, until a look shows a renewal that was announced. So false ones that
//! continue, or true ones that are repeated, make the wait no longer.

use super::Elector;
use super::pace::Deferred;
use crate::election::lease::{Observed, Renewed};
use crate::election::time::BootTime;

impl Elector {
    /// A standby that is spared the look which would show the renewal schedules the next one.
    pub(super) fn take_in_announced(&mut self, now: BootTime, news: &Renewed) {
        if !self.lease.is_held() && self.is_spared(now, news) {
            self.schedule_look(now);
        }
    }

    fn is_spared(&mut self, now: BootTime, news: &Renewed) -> bool {
        if self.watch.highest_term().is_some_and(|seen| news.term > seen) {
            // No hint of the change of leader came.
            self.pace.hint_to_all(now, Deferred::ToTurn);
            return false;
        }
        let seen = self.watch.observed().map(|o| &o.record);
        if seen.is_some_and(|record| record.is_held_by(self.me())) {
            return false;
        }
        if seen.is_some_and(|record| record.pause.is_some()) {
            // It may be the write that ends the pause.
            self.pace.hint_to_all(now, self.deferred(now));
            return false;
        }
        if !self.watch.announced(news) || self.calls.unsure || self.pace.doubts_pushes {
            return false;
        }
        if self.calls.is_under_way() {
            // What the call shows may be older.
            self.pace.hint_to_all(now, self.deferred(now));
            return false;
        }
        self.watch.sights_announced(now);
        self.pace.pushed(now, news.listeners);
        !self.pace.is_failing()
    }

    /// A look, or a lost swap, shows the record, before that is taken in. If it was renewed and no
    /// announcement came, or the reverse, none is believed until a look shows a renewal that was
    /// announced.
    pub(super) fn judge_announcements(&mut self, shown: Option<&Observed>) {
        if let Some(announced) = shown.and_then(|shown| self.watch.was_announced(shown)) {
            self.pace.doubts_pushes = !announced;
        }
    }
}
