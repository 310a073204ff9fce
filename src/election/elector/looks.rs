//! The looks of a standby.

use super::Elector;
use crate::election::time::BootTime;

impl Elector {
    /// As a standby to which no renewals are announced, looks soon after each one, so that it learns early of
    /// the last renewal before a crash.
    #[must_use]
    pub fn following_renewals(mut self) -> Self {
        self.pace.follow_renewals();
        self
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
