//! What must hold at every instant of every run, checked from outside: by what readers and the
//! store see, with the one clock that is right.

mod promises;
mod records;
mod seen;
mod turns;
mod works;

pub use promises::Promises;
pub use records::{Fence, applied, is};
pub use seen::{Calls, Seen, Terms};
pub use turns::{FOR_SUCCESSOR, LONGEST, SLACK, Standing};
pub use works::Commands;

/// No two candidates believe to lead at one instant: what rule `one-write-decides`, rule
/// `before-sent-after-received`, rule `watched-lease`, rule `store-clock` and rule `lost-writes` are for.
///
/// Checked at every event, on each reader's own clock. That covers the time between events too:
/// two believers means that one of them began while the other believed, and belief begins at an
/// event only.
pub const ONE_BELIEVER: &str = "I1 one believer";
/// A candidate that begins to believe does so under a term larger than all that were believed in:
/// rule `one-stretch`.
pub const TERMS_GROW: &str = "I2 terms grow";
/// Some time after the last fault there is a leader, and it stays: rule `outage-demotes`, rule
/// `resolve-ambiguity`.
pub const A_LEADER_EXISTS: &str = "I3 a leader exists";
/// A candidate names another one for no longer than the lease in the record lasts from when it
/// first saw this state of it, and not at all once it is vacated: rule `answers-from-the-clock`, rule
/// `vacated-lease`.
pub const NO_DEAD_HOLDER: &str = "I4 no dead holder is named";
/// No candidate believes while work of another term is alive, another candidate's or its own.
pub const NO_OLD_WORK: &str = "I5 no old work";
/// A candidate that vacates has stopped believing, and its work of that term was seen to end; no
/// record is vacated while work of its term lives: rule `stop-before-vacate`.
pub const VACATED_LAST: &str = "I6 vacated last";
/// No candidate calls the store more often than its timing says, and a leader in peace writes
/// once in a retry period.
pub const BOUNDED_CALLS: &str = "I7 bounded calls";
/// A process that runs waits for no call beyond the call timeout, has one call at a time, and does
/// not spin.
pub const BOUNDED_WAITS: &str = "I8 bounded waits";
/// A candidate whose gate is closed neither believes nor writes itself into the record.
pub const GATE_KEPT: &str = "I9 the gate is kept";
/// Each resignation, shutdown and change of the gate that was accepted takes effect: rule
/// `no-event-lost`.
pub const PROMISES_KEPT: &str = "I10 what was accepted takes effect";
/// What the history of a work says of a command is what that did, and it is written before the lease
/// is freed; nothing begins after a success.
pub const OUTCOMES_KEPT: &str = "I11 outcomes are kept";
/// The term of the writes that are applied never falls, and rises with every change of holder.
pub const TERMS_RISE: &str = "I12 terms rise with holders";
/// A candidate that left in peace leaves no record of its own.
pub const LEFT_CLEAN: &str = "I13 who left holds nothing";
/// A resource that is fenced by the term accepts no term of two holders, and does not refuse the
/// live leader: rule `fence-the-rest`.
pub const FENCED: &str = "I14 the fence lets the leader in";

/// A command starts only under the term in which the history says that it has begun.
pub const BEGUN_BEFORE: &str = "I15 begun before it starts";
/// Once the command of a newer order has begun, that of an older one does not.
pub const IN_ORDER: &str = "I16 in order";

/// A vacated lease is claimed by a named successor, the newest release, the newest instance and the
/// preferred one before others, each without delay of its own; one that ran out is claimed by all at
/// once.
pub const IN_TURN: &str = "I17 in turn";

/// A candidate that has seen a pause does not lead, no candidate claims a paused election, and none takes
/// a pause away before its time is over.
pub const PAUSE_KEPT: &str = "I18 a pause is kept";

/// An invariant that does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
}

impl Violation {
    pub fn new(invariant: &'static str, what: String) -> Self {
        Self { invariant, what }
    }

    /// For a check that fails.
    pub fn found<T>(invariant: &'static str, what: String) -> Result<T, Self> {
        Err(Self::new(invariant, what))
    }
}
