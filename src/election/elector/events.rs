//! What the elector takes in and gives back.

use std::time::Duration;

use super::calls::{CallFailed, Swapped};
use super::copied::Sign;
use super::news::News;
use crate::election::continuity::ServiceTime;
use crate::election::lease::{LeaseRecord, Listeners, Observed, Renewed, Vacated, Version};
use crate::election::time::BootTime;

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
    /// The store may have missed a change to hint at.
    PushesMissed,
    /// The holder hints that it vacated the record.
    MayBeVacated,
    /// The store hints that the holder of a term vacated the lease.
    Vacated(Vacated),
    /// The store announces that the holder of a term renewed the lease.
    Renewed(Renewed),
    /// The holder says how many candidates listen to it.
    Counted(Listeners),
    /// The store itself sent the record, as another candidate wrote it when it acquired the lease.
    Acquired(Observed),
    /// The gate opened or closed.
    Gate {
        /// Whether the candidate may stand.
        open: bool,
    },
    /// Step down, and do not stand for this long.
    Resign {
        /// Counted from the vacating of the record.
        cooldown: Duration,
        /// The identity of the candidate that is to claim the lease first.
        successor: Option<Box<str>>,
    },
    /// Leader-only work began, or the last of it ended. The record is not vacated under it.
    Work {
        /// Whether any is under way.
        under_way: bool,
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
    /// The incarnation that [`Elector::needs_incarnation`](super::Elector::needs_incarnation) asked for.
    Reborn {
        /// From the random source of the system, drawn after the request.
        incarnation: String,
        /// For the jitter, whose state was copied as well.
        seed: u64,
    },
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

/// What [`Elector::step`](super::Elector::step) gives back.
#[derive(Clone, Debug)]
pub struct Step {
    /// What to do next.
    pub action: Action,
    /// What happened, in order.
    pub news: Vec<News>,
}
