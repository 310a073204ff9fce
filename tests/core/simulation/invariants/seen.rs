//! What one process sees and does, kept independently of its elector.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether::election::leadership::Leadership;
use bellwether::election::lease::{LeaseRecord, Observed, Version};
use bellwether::election::pause::Pause;
use bellwether::election::term::Term;
use bellwether::election::time::BootTime;

use super::{BOUNDED_CALLS, NO_DEAD_HOLDER, TERMS_GROW, Violation};

/// What one process saw of the record, kept independently of the elector.
#[derive(Debug, Default)]
pub struct Seen {
    version: Option<Version>,
    /// When the lease that the record shows is over at the latest, by the process's clock.
    over_at: BootTime,
    named: Option<String>,
    /// The pause of that state, and until when it is certainly in force.
    pause: Option<Pause>,
    paused_until: BootTime,
    /// Since then, the elector may have seen a pause before, or may not have seen what this did.
    doubts_since: Option<BootTime>,
    /// The pause in the record that it writes.
    writes: Option<Pause>,
    /// How long the lease lasts that the record shows.
    lease: Duration,
    /// A renewal was announced since the last look.
    is_old: bool,
    /// A renewal was announced since the process had nothing to do.
    announced: bool,
    /// The holders, and the longest lease, that hints have shown since the last look: it may have taken them in.
    shown: Vec<String>,
    longest_shown: Duration,
    /// How many states of the record it saw.
    pub states: u32,
}

impl Seen {
    /// A look showed this in time: the elector takes it in. What made this doubt may come after the answer of a look
    /// that was sent before.
    pub fn saw_in_time(&mut self, observed: Option<&Observed>, sent: BootTime, received: BootTime) {
        let pause = observed.and_then(|o| o.record.pause.clone());
        if pause != self.pause {
            self.paused_until = match pause.as_ref().map(Pause::lasts) {
                None => BootTime::ZERO,
                Some(None) => BootTime::from_duration(Duration::MAX),
                Some(Some(_)) if self.doubts_since.is_some() => BootTime::ZERO,
                Some(Some(lasts)) => received + lasts,
            };
            self.pause = pause;
        }
        self.doubts_since = self.doubts_since.filter(|since| sent <= *since);
    }

    /// Whether this is the state that it saw last.
    pub fn is_unchanged(&self, observed: Option<&Observed>) -> bool {
        self.version.as_ref() == observed.map(|o| &o.version)
    }

    pub fn saw(&mut self, observed: Option<&Observed>, received: BootTime) {
        let version = observed.map(|o| &o.version);
        let is_old = std::mem::take(&mut self.is_old);
        if is_old && self.version.as_ref() == version {
            self.over_at = self.over_at.max(received + self.lease.max(self.longest_shown));
        }
        if self.version.as_ref() != version {
            self.version = version.cloned();
            self.states += 1;
            let lease = observed.map_or(Duration::ZERO, |o| o.record.lease_duration);
            self.over_at = received + lease;
            self.lease = lease;
        }
        let holder = observed.and_then(|o| o.record.holder.as_ref());
        self.named = holder.map(|holder| holder.identity.clone());
        // The driver may take in a hint after an answer that arrived later.
        if self.announced {
            self.over_at = self.over_at.max(received + self.longest_shown);
        } else {
            (self.shown, self.longest_shown) = (Vec::new(), Duration::ZERO);
        }
    }

    /// A hint shows the record of a new holder. Whether it is newer than what the process knows, only the elector
    /// can say.
    pub fn may_be_shown(&mut self, record: &LeaseRecord, now: BootTime) {
        self.may_be_resumed(now);
        self.announced = true;
        self.longest_shown = self.longest_shown.max(record.lease_duration);
        self.shown.extend(record.holder.as_ref().map(|holder| holder.identity.clone()));
    }

    /// An announcement arrives: the process takes it in at its next polls.
    pub fn is_announced(&mut self) {
        self.announced = true;
    }

    /// The process was polled, and counts an announced renewal as a sight of the record.
    pub fn polled(&mut self, now: BootTime) {
        if self.announced {
            self.over_at = self.over_at.max(now + self.lease.max(self.longest_shown));
            // It may be an old one, and the next look shows another state then.
            self.is_old = true;
        }
    }

    /// It has taken in all that arrived.
    pub fn settled(&mut self) {
        self.announced = false;
    }

    /// An old record of a vacated lease, from a lost write, makes it watch from the start.
    pub fn may_forget(&mut self) {
        self.version = None;
    }

    /// When the lease that it saw is over at the latest, by its clock.
    pub fn over_at(&self) -> BootTime {
        self.over_at
    }

    /// Its own write was applied: the record names itself or no holder.
    pub fn wrote(&mut self) {
        let (pause, kept) = (self.writes.take(), std::mem::take(self));
        let paused_until = if pause == kept.pause { kept.paused_until } else { BootTime::ZERO };
        let (states, doubts_since) = (kept.states + 1, kept.doubts_since);
        let hinted = match kept.announced {
            // The driver may take it in after the answer.
            true => Self { version: None, named: None, is_old: false, ..kept },
            false => Self::default(),
        };
        *self = Self { states, doubts_since, pause, paused_until, ..hinted };
    }

    /// It is about to write a record.
    pub fn writes(&mut self, record: &LeaseRecord) {
        self.writes.clone_from(&record.pause);
    }

    /// A hint that the lease is free says that there is no pause either; and whether the elector takes in
    /// an answer that meets its deadline cannot be seen from here.
    pub fn may_be_resumed(&mut self, now: BootTime) {
        (self.pause, self.paused_until, self.doubts_since) = (None, BootTime::ZERO, Some(now));
    }

    /// [`PAUSE_KEPT`].
    pub fn is_paused(&self, now: BootTime) -> bool {
        now < self.paused_until
    }

    /// [`NO_DEAD_HOLDER`], for as long as this view is the one that readers see.
    pub fn check(&self, view: &Leadership, now: BootTime) -> Result<(), Violation> {
        let bad = |what| Err(Violation::new(NO_DEAD_HOLDER, what));
        if let Some(holder) = view.holder(now.max(self.over_at)).filter(|_| !view.is_leading(now)) {
            return bad(format!("{} is named after the end of its lease", holder.identity));
        }
        match view.holder(now).filter(|_| !view.is_leading(now)) {
            Some(holder)
                if self.named.as_ref() != Some(&holder.identity)
                    && !self.shown.contains(&holder.identity) =>
            {
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

/// Without hints, in one retry period: a renewal that fails, the read after a quarter of the
/// period, the next renewal that fails at once, the read after half a period; or a read at the end
/// of a lease, an acquisition that is lost, a read, and the same again when the winner vacates;
/// before either, the four reads of a standby that waits for the renewal of a leader which crashed.
/// Each of the latter needs a write of another candidate, so there is no hard limit; a candidate
/// that repeats calls without a pause would make hundreds.
const CALLS_A_PERIOD: usize = 12;

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
