//! A change of the leadership, and why: what readers see of it. [`super::succession`] finds it out.

use super::time::BootTime;

/// How the present state of the leadership came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A candidate leads, and did before the first look from here.
    Found,
    /// A candidate leads: the first ever.
    First,
    /// A candidate leads: the lease before was vacated.
    HandedOver,
    /// The last lease was not renewed until it was over. A candidate has led since, or none does.
    LeaseRanOut,
    /// A candidate leads in the same term as before it was not known who does.
    KnownAgain,
    /// A candidate leads, and how the one before it ended was not seen.
    Unseen,
    /// The store lost the record, or has an older one. A candidate has led since, or it is not known
    /// who does.
    RecordLost,
    /// No candidate leads: none ever did.
    NoRecord,
    /// No candidate leads: the lease was vacated.
    Vacated,
    /// No candidate leads: this one stopped.
    Stopped(LossReason),
    /// No candidate leads: an operator paused the election.
    Paused,
    /// Not known: the store has not answered since the start.
    NoAnswerYet,
    /// Not known: the last lease seen is over, and the store does not answer.
    StoreSilent,
}

impl Cause {
    /// For JSON and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::First => "first",
            Self::HandedOver => "handed_over",
            Self::LeaseRanOut => "lease_ran_out",
            Self::KnownAgain => "known_again",
            Self::Unseen => "unseen",
            Self::RecordLost => "record_lost",
            Self::NoRecord => "no_record",
            Self::Vacated => "vacated",
            Self::Stopped(reason) => reason.as_str(),
            Self::Paused => LossReason::Paused.as_str(),
            Self::NoAnswerYet => "no_answer_yet",
            Self::StoreSilent => "store_silent",
        }
    }

    /// Whether [`Change::since`] is since when it was not known who led, and not since when no candidate did.
    pub fn is_ignorance(self) -> bool {
        match self {
            Self::KnownAgain
            | Self::Unseen
            | Self::RecordLost
            | Self::NoAnswerYet
            | Self::StoreSilent => true,
            Self::Found
            | Self::First
            | Self::HandedOver
            | Self::LeaseRanOut
            | Self::NoRecord
            | Self::Vacated
            | Self::Stopped(_)
            | Self::Paused => false,
        }
    }
}

/// A change of the leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Why.
    pub cause: Cause,
    /// Since when no candidate led, or none was known to, until now or until the present leader. For a
    /// lease that ran out that is the last renewal that was seen. None if it is not known.
    pub since: Option<BootTime>,
}

impl Change {
    /// Before the first look.
    pub const NONE: Self = Self { cause: Cause::NoAnswerYet, since: None };

    pub(super) fn at(cause: Cause, since: BootTime) -> Self {
        Self { cause, since: Some(since) }
    }
}

/// Why a candidate stopped leading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// No renewal succeeded before the renew deadline.
    RenewDeadline,
    /// The record names another candidate, or another term.
    Superseded,
    /// The record is gone.
    RecordGone,
    /// Asked to resign.
    Resigned,
    /// An operator paused the election.
    Paused,
    /// The gate closed.
    GateClosed,
    /// It stands only for work, and there is nothing to do.
    NothingToDo,
    /// Shutting down.
    ShuttingDown,
    /// The process may have been copied, or did not run for longer than its clock says.
    Copied,
}

impl LossReason {
    /// All that a sidecar can have: it does not stand for work.
    pub const OF_A_SIDECAR: [Self; 8] = [
        Self::RenewDeadline,
        Self::Superseded,
        Self::RecordGone,
        Self::Resigned,
        Self::Paused,
        Self::GateClosed,
        Self::ShuttingDown,
        Self::Copied,
    ];

    /// For logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RenewDeadline => "renew_deadline",
            Self::Superseded => "superseded",
            Self::RecordGone => "record_gone",
            Self::Resigned => "resigned",
            Self::Paused => "paused",
            Self::GateClosed => "gate_closed",
            Self::NothingToDo => "nothing_to_do",
            Self::ShuttingDown => "shutting_down",
            Self::Copied => "paused_or_copied",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, LossReason};

    /// JSON, the log and metrics carry these words: they are an interface.
    #[test]
    fn each_cause_has_its_word_and_says_whether_a_leader_was_unknown_or_missing() {
        let causes = [
            (Cause::Found, "found", false),
            (Cause::First, "first", false),
            (Cause::HandedOver, "handed_over", false),
            (Cause::LeaseRanOut, "lease_ran_out", false),
            (Cause::KnownAgain, "known_again", true),
            (Cause::Unseen, "unseen", true),
            (Cause::RecordLost, "record_lost", true),
            (Cause::NoRecord, "no_record", false),
            (Cause::Vacated, "vacated", false),
            (Cause::Stopped(LossReason::Resigned), "resigned", false),
            (Cause::Paused, "paused", false),
            (Cause::NoAnswerYet, "no_answer_yet", true),
            (Cause::StoreSilent, "store_silent", true),
        ];
        for (cause, word, unknown) in causes {
            assert_eq!((cause.as_str(), cause.is_ignorance()), (word, unknown), "{cause:?}");
        }
    }

    #[test]
    fn each_reason_of_a_loss_has_its_word() {
        let words = LossReason::OF_A_SIDECAR.map(LossReason::as_str);
        let expected = [
            "renew_deadline",
            "superseded",
            "record_gone",
            "resigned",
            "paused",
            "gate_closed",
            "shutting_down",
            "paused_or_copied",
        ];
        assert_eq!(words, expected);
        assert_eq!(LossReason::NothingToDo.as_str(), "nothing_to_do");
    }
}
