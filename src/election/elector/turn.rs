//! When it is this candidate's turn to claim a vacated lease, and what it leaves to others when it
//! vacates its own.

use std::time::Duration;

use crate::election::handover::{Handover, Rank};
use crate::election::lease::{Candidate, LeaseRecord};
use crate::election::time::{BootTime, Now};
use crate::election::watch::Watch;

/// The place of one candidate among the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// None: it claims at once, and leaves nothing.
    pub(super) rank: Option<Rank>,
}

impl Turn {
    /// Whether candidates of one release and age have different turns.
    pub(super) fn has_preference(self) -> bool {
        self.rank.is_some_and(|rank| rank.preference.is_some())
    }

    /// When the lease may be claimed; none before the first look. After a crash that is when it is
    /// over.
    pub(super) fn claims_at(
        self,
        watch: &Watch,
        me: &Candidate,
        retry_period: Duration,
    ) -> Option<BootTime> {
        let over_at = watch.over_at(me)?;
        let (Some((handover, seen_at)), Some(rank)) = (watch.handover(), self.rank) else {
            return Some(over_at);
        };
        // From when it was first seen, so that another look does not defer it.
        let turn_at = seen_at + rank.turn(handover, &me.identity, seen_at, retry_period);
        Some(over_at.max(turn_at))
    }

    /// The own record, as this candidate leaves it.
    pub(super) fn vacated(
        self,
        own: LeaseRecord,
        now: Now,
        successor: Option<&str>,
    ) -> LeaseRecord {
        let successor = successor.map(Into::into);
        let handover = self.rank.map(|rank| Handover::new(own.term, &rank, now.boot, successor));
        LeaseRecord { handover, ..own.vacated(now.wall) }
    }
}
