//! When a standby looks to which no renewals are announced: soon after each of them.
//!
//! A lease counts from the look that first shows its last renewal. Looks at any even pace show it half a
//! retry period late on average, and the take-over after a crash is late by as much. But a leader renews
//! once in a retry period. So if one look shows a renewal that the look before did not, the next renewal
//! comes a period after the time between the two. The next look is sent in the middle of that time. If it
//! shows no renewal, another one is sent in the middle of what is left, and the next one at its end.
//!
//! This decides when to look and nothing else. If a leader renews at another pace, some looks are late, as
//! they are at an even pace, and some are in vain.

use std::time::Duration;

use crate::election::lease::Observed;
use crate::election::time::BootTime;

/// Of a retry period: looks are soon enough this long after a renewal. 42 ms at the default durations, of a
/// lease of 15 s. Less would make more looks come too early, because calls and timers vary.
const CLOSE_SHARE: u32 = 48;

/// The pauses after looks at the end of that time that show no renewal, in parts of a retry period: four looks wait for
/// a leader that has crashed, then looks are at an even pace. Timers of two hosts are late by different times, and two
/// short pauses cover that.
const PAUSE_SHARE: u32 = 96;
const PAUSES: [u32; 4] = [1, 1, 8, 64];

/// A read and a timer are no more exact than this.
const SHORTEST: Duration = Duration::from_millis(2);

/// After so many looks in a row that show a renewal, none of them shows that the renewal was not there earlier.
/// From then on it is less exactly known when the next one comes: by this part of a retry period, and after
/// each look by twice as much. So at last a look comes too early, or finds a renewal that moved.
const TRUSTED: u32 = 8;
const FORGOTTEN_SHARE: u32 = 1024;
const MOST_DOUBLINGS: u32 = 10;

/// The looks of a standby, and the renewals that they show.
#[derive(Clone, Debug)]
pub(super) struct Rhythm {
    period: Duration,
    /// When the last look was sent.
    looked: BootTime,
    /// None while the holder that the last look showed was not seen to renew.
    renewals: Option<Renewals>,
}

#[derive(Clone, Copy, Debug)]
struct Renewals {
    /// The last one that was seen came after this.
    after: BootTime,
    /// When the next look is due.
    next_look: BootTime,
    /// What is left after that look of the time in which the renewal is expected.
    left: Duration,
    /// Whether that is the half of what was left before.
    halved: bool,
    /// How many looks in a row came at the end of that time or later, and showed no renewal.
    in_vain: usize,
    /// How many looks in a row have shown a renewal.
    in_a_row: u32,
}

impl Rhythm {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, looked: BootTime::ZERO, renewals: None }
    }

    /// When the next look is due; none where it is not known when the next renewal is.
    pub(super) fn next_look(&self) -> Option<BootTime> {
        self.renewals.map(|renewals| renewals.next_look)
    }

    /// A look shows this, and the one before showed `last`.
    pub(super) fn looked(
        &mut self,
        last: Option<&Observed>,
        shown: Option<&Observed>,
        sent: BootTime,
        received: BootTime,
    ) {
        self.renewals = match (last, shown) {
            (Some(last), Some(shown)) if shown.record.is_same_tenure(&last.record) => {
                if last.version == shown.version {
                    self.renewals.map(|renewals| self.after_none(renewals, sent))
                } else {
                    Some(self.after_renewal(sent, received))
                }
            }
            _ => None,
        };
        self.looked = sent;
    }

    fn after_renewal(&self, sent: BootTime, received: BootTime) -> Renewals {
        let in_a_row = self.renewals.map_or(0, |last| last.in_a_row);
        let forgotten = in_a_row.checked_sub(TRUSTED).map_or(Duration::ZERO, |more| {
            self.period / FORGOTTEN_SHARE * (1 << more.min(MOST_DOUBLINGS))
        });
        let expected = self.renewals.map(|last| last.after + self.period.saturating_sub(forgotten));
        let after = expected.unwrap_or(self.looked).max(self.looked).min(received);
        let late = received.since(after);
        // After a time without the store this may be minutes, and the leader renewed meanwhile.
        let left = if late > self.close() { (late / 2).min(self.period) } else { Duration::ZERO };
        let next_look = sent + self.period.saturating_sub(left);
        Renewals {
            after,
            next_look,
            left,
            halved: false,
            in_vain: 0,
            in_a_row: in_a_row.saturating_add(1),
        }
    }

    fn after_none(&self, last: Renewals, sent: BootTime) -> Renewals {
        // Another cause than this rhythm made it look before the next renewal.
        if sent < last.next_look {
            return last;
        }
        let last = Renewals { in_a_row: 0, ..last };
        if last.left > self.close() && !last.halved {
            let left = last.left / 2;
            return Renewals { next_look: sent + left, left, halved: true, ..last };
        }
        let shares = PAUSES.get(last.in_vain).copied().unwrap_or(PAUSE_SHARE);
        let pause = (self.period * shares / PAUSE_SHARE).max(last.left).max(SHORTEST);
        let (next_look, in_vain) = (sent + pause, last.in_vain.saturating_add(1));
        Renewals { next_look, left: Duration::ZERO, in_vain, ..last }
    }

    fn close(&self) -> Duration {
        (self.period / CLOSE_SHARE).max(SHORTEST * 2)
    }
}
