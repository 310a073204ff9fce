//! The call to the store that is under way, how it may end, and what is not known because an earlier
//! one failed.

use crate::election::lease::{LeaseRecord, Observed, Version};
use crate::election::projection::Projection;
use crate::election::time::BootTime;

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

/// What a swap is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Acquire,
    Renew,
    Vacate,
}

/// A call that is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    Look,
    Swap(Why),
}

/// A call that the store has not answered yet.
#[derive(Clone, Debug)]
pub(super) enum InFlight {
    Look,
    Swap { why: Why, record: LeaseRecord },
}

/// When and how it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: BootTime,
    /// Under a name that was given up since: the outcome is unknown, whatever the answer is.
    pub(super) void: bool,
}

/// The calls of one candidate: one at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    in_flight: Option<(InFlight, Sent)>,
    /// A swap failed: what the record says now is not known until the next look.
    pub(super) unsure: bool,
    /// A write that frees the present lease was sent: another candidate may have won since.
    pub(super) may_have_freed: bool,
}

impl Calls {
    pub(super) fn send(&mut self, call: InFlight, at: BootTime) {
        match call {
            InFlight::Swap { why: Why::Acquire, .. } => self.may_have_freed = false,
            InFlight::Swap { why: Why::Vacate, .. } => self.may_have_freed = true,
            InFlight::Swap { why: Why::Renew, .. } | InFlight::Look => {}
        }
        self.in_flight = Some((call, Sent { at, void: false }));
    }

    /// A look was answered. None if none is under way.
    pub(super) fn take_look(&mut self) -> Option<Sent> {
        let look = |(call, _): &mut (InFlight, Sent)| matches!(call, InFlight::Look);
        self.in_flight.take_if(look).map(|(_, sent)| sent)
    }

    /// A swap was answered. None if none is under way.
    pub(super) fn take_swap(&mut self) -> Option<(Why, LeaseRecord, Sent)> {
        match self.in_flight.take() {
            Some((InFlight::Swap { why, record }, sent)) => Some((why, record, sent)),
            other => {
                self.in_flight = other;
                None
            }
        }
    }

    /// The name under which the call was sent is given up.
    pub(super) fn make_void(&mut self) {
        if let Some((_, sent)) = &mut self.in_flight {
            sent.void = true;
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.in_flight.is_some()
    }

    pub(super) fn is_swapping(&self) -> bool {
        matches!(self.in_flight, Some((InFlight::Swap { .. }, _)))
    }

    pub(super) fn project(&self, now: BootTime, onto: &mut dyn Projection) {
        let Self { in_flight, unsure, may_have_freed } = self;
        onto.flag(*unsure);
        onto.flag(*may_have_freed);
        onto.flag(in_flight.is_some());
        if let Some((call, Sent { at, void })) = in_flight {
            onto.duration(now.since(*at));
            onto.flag(*void);
            match call {
                InFlight::Look => onto.number(0),
                InFlight::Swap { why, record } => {
                    onto.number(1 + *why as u64);
                    onto.record(record);
                }
            }
        }
    }
}
