//! A process that may not be the only one of its name gives the name up.
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

use super::{Elector, LossReason, News};
use crate::election::continuity::ServiceTime;
use crate::election::lease::{Candidate, LeaseRecord, Observed};
use crate::election::time::BootTime;

use std::time::Duration;

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
            Self::ClockStoodStill { .. } => "the boot clock stood still while the store's went on",
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

/// Whether a refused swap shows the very record that it was to write. A request that is repeated on
/// the network path is refused because its first copy succeeded.
pub(super) fn is_echo(observed: Option<&Observed>, written: &LeaseRecord) -> bool {
    observed.is_some_and(|Observed { record, .. }| {
        // With the stored precision, a millisecond.
        record.holder == written.holder
            && record.term == written.term
            && record.renew_time.to_string() == written.renew_time.to_string()
    })
}

impl Elector {
    /// Whether it has to wait for [`Event::Reborn`](super::Event::Reborn).
    pub fn needs_incarnation(&self) -> bool {
        self.nameless
    }

    pub(super) fn compare_clocks(&mut self, told: &ServiceTime) {
        if let Some(gap) = self.continuity.note(told, &self.timing) {
            self.give_up_name(Sign::ClockStoodStill { gap });
        }
    }

    /// No other candidate writes a record that names this one. Each of its own writes is known by
    /// its version, or had an unknown outcome. A store that failed over shows old versions again.
    pub(super) fn look_for_a_double(&mut self, observed: Option<&Observed>) {
        let version = observed.map(|observed| &observed.version);
        if version == self.version() {
            return;
        }
        let resolved = !std::mem::take(&mut self.unresolved);
        let own = |o: &Observed| o.record.is_held_by(&self.me) && !o.outlived;
        // An older term comes from a restored backup, whichever candidate wrote it.
        let newer =
            |o: &Observed| self.watch.highest_term().is_none_or(|seen| o.record.term >= seen);
        if resolved && observed.is_some_and(|o| own(o) && newer(o)) {
            self.give_up_name(Sign::WrittenInItsName);
        }
    }

    /// The answer is "no" from here on. The record stays: it may be another process's.
    pub(super) fn give_up_name(&mut self, sign: Sign) {
        if self.nameless {
            return;
        }
        self.nameless = true;
        self.news.push(News::Copied(sign));
        if let Some(held) = self.held.take()
            && !held.draining
        {
            self.lost(held.term, LossReason::Copied);
        }
        if let Some(call) = &mut self.in_flight {
            call.void = true;
        }
        self.may_claim = false;
        self.finish = None;
        self.vacating_since = None;
    }

    pub(super) fn take_name(&mut self, now: BootTime, incarnation: String, seed: u64) {
        if !std::mem::take(&mut self.nameless) {
            return;
        }
        self.me = Candidate { incarnation, ..self.me.clone() };
        self.jitter = fastrand::Rng::with_seed(seed);
        self.unresolved = false;
        self.report_following();
        self.due_at = now;
    }
}
