//! The events of an election that the log and the metrics report.

use super::calls::{CallFailed, Swapped};
use super::copied::Sign;
use crate::election::leadership::LossReason;
use crate::election::lease::Origin;
use crate::election::pause::Pause;
use crate::election::term::Term;

/// Something that a person, a log or a counter wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This candidate leads.
    Elected {
        /// Its term.
        term: Term,
    },
    /// This candidate no longer leads.
    Lost {
        /// The term it had.
        term: Term,
        /// Why.
        reason: LossReason,
    },
    /// This candidate freed the lease.
    Vacated {
        /// The term it had.
        term: Term,
        /// Who is to claim it first, if it named one.
        successor: Option<Box<str>>,
    },
    /// The election is paused: no candidate stands.
    Paused(Pause),
    /// It is not paused any longer.
    Resumed,
    /// Another candidate was seen to hold the lease.
    Following {
        /// Who.
        holder: String,
        /// Its term.
        term: Term,
    },
    /// The record's term is lower than one seen before: the store lost writes.
    TermWentBackwards {
        /// What was seen before.
        seen: Term,
        /// What the record says now.
        record: Term,
    },
    /// The record was written by a candidate on another platform, in another cluster or namespace:
    /// do two environments share a store by mistake? Reported once.
    Stranger {
        /// Where that one runs.
        origin: Origin,
        /// Where this one runs.
        own: Origin,
    },
    /// This process may have been copied, or did not run for longer than its clock says.
    Copied(Sign),
    /// A renewal of the own lease came to an end.
    Renewal(Renewal),
}

/// What came of one renewal. Each ends as exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It was applied.
    OnTime,
    /// It was applied, but late: see [`Timing::renews_late`](crate::election::timing::Timing::renews_late); or its answer came when the lease was
    /// no longer kept.
    Late,
    /// The record was not as it had been left.
    Refused,
    /// Whether it was applied is not known: the store failed, or did not answer in time.
    Failed,
}

impl Renewal {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OnTime, Self::Late, Self::Refused, Self::Failed];

    /// What the answer means, for a renewal that is late or the lease of which is no longer kept.
    pub(super) fn of(answer: &Result<Swapped, CallFailed>, late: bool) -> Self {
        match answer {
            Err(CallFailed) => Self::Failed,
            Ok(Swapped::Lost(_)) => Self::Refused,
            Ok(Swapped::Won(_)) if late => Self::Late,
            Ok(Swapped::Won(_)) => Self::OnTime,
        }
    }

    /// For metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnTime => "on_time",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}
