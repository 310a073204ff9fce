//! What must hold at every instant of every run, checked from outside: by what readers and the
//! store see, with the one clock that is right.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether::election::clock::BootTime;
use bellwether::election::leadership::Leadership;
use bellwether::election::lease::{Observed, Term, Version};

/// No two candidates believe to lead at one instant.
///
/// Checked at every event, on each reader's own clock. That covers the time between events too:
/// two believers means that one of them began while the other believed, and belief begins at an
/// event only.
pub const ONE_BELIEVER: &str = "I1 one believer";
/// A candidate that begins to believe does so under a term larger than all that were believed in.
pub const TERMS_GROW: &str = "I2 terms grow";
/// Some time after the last fault there is a leader, and it stays.
pub const A_LEADER_EXISTS: &str = "I3 a leader exists";
/// A candidate names another one for no longer than the lease in the record lasts from when it
/// first saw this state of it, and not at all once it is vacated.
pub const NO_DEAD_HOLDER: &str = "I4 no dead holder is named";
/// Nobody believes while work of another term is alive, another candidate's or its own.
pub const NO_OLD_WORK: &str = "I5 no old work";
/// A candidate that vacates has stopped believing, and its work of that term was seen to end.
pub const VACATED_LAST: &str = "I6 vacated last";
/// No candidate calls the store more often than its timing says, and a leader in peace writes
/// once in a retry period.
pub const BOUNDED_CALLS: &str = "I7 bounded calls";
/// A wait ends after it begins, a call has a deadline within the call timeout, one call at a time.
pub const BOUNDED_WAITS: &str = "I8 bounded waits";
/// Nobody who has heard that its gate is closed believes, or writes itself into the record.
pub const GATE_KEPT: &str = "I9 the gate is kept";

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
}

/// What one process saw of the record, kept independently of the elector.
#[derive(Debug, Default)]
pub struct Seen {
    version: Option<Version>,
    /// When the lease that the record shows is over at the latest, by the process's clock.
    over_at: BootTime,
    named: Option<String>,
    /// How many states of the record it saw.
    pub states: u32,
}

impl Seen {
    pub fn saw(&mut self, observed: Option<&Observed>, received: BootTime) {
        let version = observed.map(|o| &o.version);
        if self.version.as_ref() != version {
            self.version = version.cloned();
            self.states += 1;
            let lease = observed.map_or(Duration::ZERO, |o| o.record.lease_duration);
            self.over_at = received + lease;
        }
        let holder = observed.and_then(|o| o.record.holder.as_ref());
        self.named = holder.map(|holder| holder.identity.clone());
    }

    /// Its own write was applied: the record names itself or nobody.
    pub fn wrote(&mut self) {
        *self = Self { states: self.states + 1, ..Self::default() };
    }

    /// [`NO_DEAD_HOLDER`], for as long as this view is the one that readers see.
    pub fn check(&self, view: &Leadership, now: BootTime) -> Result<(), Violation> {
        let bad = |what| Err(Violation::new(NO_DEAD_HOLDER, what));
        if let Some(holder) = view.holder(now.max(self.over_at)).filter(|_| !view.is_leading(now)) {
            return bad(format!("{} is named after the end of its lease", holder.identity));
        }
        match view.holder(now).filter(|_| !view.is_leading(now)) {
            Some(holder) if self.named.as_ref() != Some(&holder.identity) => {
                bad(format!("{} is named, but the record says {:?}", holder.identity, self.named))
            }
            _ => Ok(()),
        }
    }
}

/// [`TERMS_GROW`].
#[derive(Debug, Default)]
pub struct Terms {
    highest: Term,
}

impl Terms {
    pub fn begins(&mut self, term: Term) -> Result<(), Violation> {
        if term <= self.highest {
            let what = format!("term {term} begins after term {}", self.highest);
            return Err(Violation::new(TERMS_GROW, what));
        }
        self.highest = term;
        Ok(())
    }
}

/// [`BOUNDED_CALLS`], by the clock of the process.
#[derive(Debug, Default)]
pub struct Calls {
    recent: VecDeque<BootTime>,
}

/// Without hints, in one retry period: a renewal that fails, the look after a quarter of the
/// period, the next renewal that fails at once, the look after half a period; or a look at the end
/// of a lease, an acquisition that is lost, a look, and the same again when the winner vacates. Of
/// the latter each needs a write of somebody else, so there is no hard limit; a candidate that
/// repeats calls without a pause would make hundreds.
const CALLS_A_PERIOD: usize = 8;

impl Calls {
    pub fn called(
        &mut self,
        now: BootTime,
        period: Duration,
        hints: bool,
    ) -> Result<(), Violation> {
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|first| now.since(*first) >= period) {
            self.recent.pop_front();
        }
        // Each look for a hint comes 5 ms after the call before it.
        let for_hints = usize::try_from(period.as_millis() / 5).unwrap() + 1;
        let most = CALLS_A_PERIOD + if hints { for_hints } else { 0 };
        if self.recent.len() > most {
            let what = format!("{} calls within {period:?}", self.recent.len());
            return Err(Violation::new(BOUNDED_CALLS, what));
        }
        Ok(())
    }
}
