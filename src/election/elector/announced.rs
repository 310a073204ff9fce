//! Announced renewals, and what they spare a standby: rule `announced-renewal`.
//!
//! An announcement is trusted for one thing: it puts off the next look, to a renew deadline after the
//! last one at most. It never shows that a lease is over. One that is false, or that a store lost
//! again, makes the wait longer: until that look, and then by a lease at most. If that look shows the
//! same as the one before, nothing was written between the two, and the lease counts from the earlier.
//! From then on none is believed, until a look shows a renewal that was announced. So false ones that
//! continue, or true ones that are repeated, make the wait no longer.

use super::calls::Calls;
use super::pace::Pace;
use crate::election::lease::{Candidate, Observed, Renewed};
use crate::election::time::BootTime;
use crate::election::watch::Watch;

/// Takes in an announcement. Returns whether it spares the standby `me` the look that would show the
/// renewal: the next one is to be scheduled.
pub(super) fn take_in(
    news: &Renewed,
    now: BootTime,
    me: &Candidate,
    calls: &Calls,
    (watch, pace): (&mut Watch, &mut Pace),
) -> bool {
    if watch.highest_term().is_some_and(|seen| news.term > seen) {
        // No hint of the change of leader came.
        pace.hint_to_all(now);
        return false;
    }
    if watch.observed().is_some_and(|o| o.record.is_held_by(me)) {
        return false;
    }
    if watch.observed().is_some_and(|o| o.record.pause.is_some()) {
        // It may be the write that ends the pause.
        pace.hint_to_all(now);
        return false;
    }
    if !watch.announced(news) || calls.unsure || pace.doubts_pushes {
        return false;
    }
    if calls.is_under_way() {
        // What the call shows may be older.
        pace.hint_to_all(now);
        return false;
    }
    watch.sights_announced(now);
    pace.pushed(now, news.listeners);
    !pace.is_failing()
}

/// A look, or a lost swap, shows the record, before that is taken in. If it was renewed and no
/// announcement came, or the reverse, none is believed until a look shows a renewal that was announced.
pub(super) fn judge(shown: Option<&Observed>, (watch, pace): (&mut Watch, &mut Pace)) {
    if let Some(announced) = shown.and_then(|shown| watch.was_announced(shown)) {
        pace.doubts_pushes = !announced;
    }
}
