//! A process that may not be the only one of its name gives the name up: rule `own-name`.
//!
//! A virtual machine that is resumed from a snapshot beside its original, or a process restored
//! from a checkpoint, is another candidate with the same incarnation: it takes the other's record
//! for its own, and both lead. A copy has no certain way to know that it is one, so every [`Sign`]
//! counts. Belief ends in the step that sees a sign, and the outcome of the call under way is
//! unknown. The candidate then continues under an incarnation that the system's random source
//! generates after that. Its old record then belongs to another candidate: the other process, if
//! there is one.
//!
//! The candidate cannot detect a copy that neither the kernel nor a clock nor the record shows: see
//! docs/operations.md.

use std::time::Duration;

use crate::election::continuity::{Continuity, ServiceTime};
use crate::election::lease::{Candidate, LeaseRecord, Observed};
use crate::election::projection::Projection;
use crate::election::time::BootTime;
use crate::election::timing::Timing;
use crate::election::watch::{Watch, Written};

/// A sign that this process may have been copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The kernel reports that this virtual machine was resumed from a snapshot.
    VmGeneration,
    /// This process is on another boot, or in another time namespace: after a checkpoint.
    OtherClock,
    /// The boot clock did not count some of the time that the store's clock did.
    ClockStoodStill {
        /// How much.
        gap: Duration,
    },
    /// The record was written in this candidate's name, and not by this process.
    WrittenInItsName,
}

impl Sign {
    /// For the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VmGeneration => "the kernel says that this machine was resumed from a snapshot",
            Self::OtherClock => "this process was restored on another boot or time namespace",
            Self::ClockStoodStill { .. } => {
                "the boot clock stood still while the store's continued"
            }
            Self::WrittenInItsName => "another process writes the record in this one's name",
        }
    }

    /// How much time the boot clock did not count, if that is known.
    pub fn gap(self) -> Option<Duration> {
        match self {
            Self::ClockStoodStill { gap } => Some(gap),
            Self::VmGeneration | Self::OtherClock | Self::WrittenInItsName => None,
        }
    }
}

/// The name that a candidate has in the record, and what may show that another process has it too.
#[derive(Clone, Debug)]
pub(super) struct Name {
    me: Candidate,
    continuity: Continuity,
    /// The next version of the record may be the result of an own swap whose outcome is unknown.
    unresolved: bool,
    /// The own incarnation may also be another process's, and there is no new one yet.
    given_up: bool,
    /// When the last one was given up for a sign that leaves the record to this process.
    left: Option<BootTime>,
}

impl Name {
    pub(super) fn new(me: Candidate) -> Self {
        Self {
            me,
            continuity: Continuity::default(),
            unresolved: false,
            given_up: false,
            left: None,
        }
    }

    /// Who stands under it.
    pub(super) fn candidate(&self) -> &Candidate {
        &self.me
    }

    /// Whether the candidate has no incarnation that is its own.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// The outcome of an own swap is unknown.
    pub(super) fn swap_failed(&mut self) {
        self.unresolved = true;
    }

    /// An own swap was applied: what the record says is known.
    pub(super) fn swap_applied(&mut self) {
        self.unresolved = false;
    }

    /// An own swap was refused, which shows this.
    pub(super) fn swap_refused(&mut self, observed: Option<&Observed>, written: &LeaseRecord) {
        self.unresolved |= is_echo(observed, written);
    }

    /// A store sent its time.
    pub(super) fn compare_clocks(&mut self, time: &ServiceTime, timing: &Timing) -> Option<Sign> {
        let gap = self.continuity.note(time, timing)?;
        Some(Sign::ClockStoodStill { gap })
    }

    /// No other candidate writes a record that names this one, and an operator changes only its pause.
    /// Each of its own writes is known by its version, or had an unknown outcome. A store that failed over
    /// shows old versions again.
    pub(super) fn look_for_a_double(
        &mut self,
        observed: Option<&Observed>,
        watch: &Watch,
    ) -> Option<Sign> {
        if observed.map(|o| &o.version) == watch.version() {
            return None;
        }
        let resolved = !std::mem::take(&mut self.unresolved);
        let own = |o: &&Observed| o.record.is_held_by(&self.me) && !o.outlived;
        // An older term comes from a restored backup, whichever candidate wrote it.
        let newer = |o: &&Observed| watch.highest_term().is_none_or(|seen| o.record.term >= seen);
        let seen = watch.observed().map(|o| &o.record);
        let written = |o: &&Observed| seen.is_none_or(|seen| !o.record.is_same_writing(seen));
        let double = observed.filter(own).filter(newer).filter(written);
        (resolved && double.is_some()).then_some(Sign::WrittenInItsName)
    }

    /// Returns whether it had not been given up before.
    pub(super) fn give_up(&mut self, sign: Sign, now: BootTime) -> bool {
        let is_first = !std::mem::replace(&mut self.given_up, true);
        // This sign shows the other process at work. The others leave the old record to this one.
        if is_first && sign != Sign::WrittenInItsName {
            self.left = Some(now);
        }
        is_first
    }

    /// Whether a record of another incarnation was written by another process that is alive: it
    /// changed after a look under the present incarnation. For people; it decides nothing.
    pub(super) fn shows_another(&self, written: Written) -> bool {
        written.after.is_some_and(|after| self.left.is_none_or(|left| after > left))
    }

    /// Takes a new one. Returns whether the old one had been given up.
    pub(super) fn take(&mut self, incarnation: String) -> bool {
        let given_up = std::mem::take(&mut self.given_up);
        if given_up {
            self.me.incarnation = incarnation;
            self.unresolved = false;
        }
        given_up
    }

    /// Without what it knows of a service's time: no model sends any.
    pub(super) fn project(&self, onto: &mut dyn Projection) {
        let Self { me, continuity: _, unresolved, given_up, left: _ } = self;
        onto.candidate(Some(me));
        onto.flag(*unresolved);
        onto.flag(*given_up);
    }
}

/// Whether a refused swap shows the very record that it was to write. A request that is repeated on
/// the network path is refused because its first copy succeeded.
fn is_echo(observed: Option<&Observed>, written: &LeaseRecord) -> bool {
    observed.is_some_and(|o| o.record.is_same_writing(written))
}
