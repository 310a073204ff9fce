//! How much of a history is kept. DynamoDB bills by the kilobyte, and Kubernetes takes 256 of them.

use std::time::Duration;

use super::entry::{Entry, Moment, State};
use super::transitions::History;

/// The most keys: a release every working day of most of a year.
pub const MAX_KEYS: usize = 200;

/// The most runs of periods: enough to see how the last ones went.
const MAX_TICKS: usize = 5;

/// The most bytes, as encoded: eight units of a DynamoDB read.
pub const MAX_BYTES: usize = 32 * 1024;

impl History {
    /// Within its bounds, and without what is older than `keep` says at that moment. The newest entry
    /// always stays, and so does every order.
    pub(super) fn bounded(mut self, keep: Option<(Duration, Moment)>) -> Self {
        if let Some((keep, now)) = keep
            && let Some(now) = self.confirmed(now)
        {
            self.drop_where(|entry, newest| !newest && now.since(entry.changed()) > keep);
        }
        let ticks = self.entries.iter().filter(|entry| entry.tick.is_some()).count();
        let mut surplus = ticks.saturating_sub(MAX_TICKS);
        self.drop_where(|entry, _| {
            let drops = entry.tick.is_some() && surplus > 0;
            surplus = surplus.saturating_sub(usize::from(drops));
            drops
        });
        let mut surplus = self.entries.len().saturating_sub(MAX_KEYS);
        self.drop_where(|_, newest| {
            let drops = !newest && surplus > 0;
            surplus = surplus.saturating_sub(usize::from(drops));
            drops
        });
        self.fit()
    }

    /// A moment, as far as the newest entry but one confirms that it has come: one host whose clock is a
    /// year ahead must not make the others forget what they have done, because it would run again.
    fn confirmed(&self, moment: Moment) -> Option<Moment> {
        let second = self.entries.iter().rev().nth(1)?;
        Some(moment.min(second.changed()))
    }

    /// Drops the texts of the oldest failures first, then the oldest keys.
    fn fit(mut self) -> Self {
        let mut surplus = self.size().saturating_sub(MAX_BYTES);
        let last = self.entries.len().saturating_sub(1);
        for entry in self.entries.iter_mut().take(last) {
            if surplus == 0 {
                return self;
            }
            let before = entry.size();
            if let State::Failed { stderr, .. } = &mut entry.state {
                *stderr = None;
            }
            surplus = surplus.saturating_sub(before - entry.size());
        }
        self.drop_where(|entry, newest| {
            let drops = !newest && surplus > 0;
            surplus = surplus.saturating_sub(if drops { entry.size() } else { 0 });
            drops
        });
        self
    }

    /// The orders of what was done stay: an older one must not begin because a newer one is
    /// forgotten.
    fn drop_where(&mut self, mut drops: impl FnMut(&Entry, bool) -> bool) {
        let last = self.entries.len().saturating_sub(1);
        let (mut index, mut floor) = (0, self.floor);
        self.entries.retain(|entry| {
            let dropped = drops(entry, index == last);
            index += 1;
            if dropped && matches!(entry.state, State::Done { .. }) {
                floor = floor.max(entry.order);
            }
            !dropped
        });
        self.floor = floor;
    }

    fn size(&self) -> usize {
        /// The fields around the keys.
        const AROUND: usize = 128;
        AROUND + self.entries.iter().map(Entry::size).sum::<usize>()
    }
}
