//! Whether the candidate stands: its gate, a resignation, a shutdown.

use std::time::Duration;

use crate::election::leadership::{Gated, StandingDown};
use crate::election::pause::Sight;
use crate::election::projection::Projection;
use crate::election::time::BootTime;

/// Why a candidate may not stand, if it may not.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    gate_open: bool,
    gated: Gated,
    resigned: Option<Resignation>,
    shutdown: Option<Shutdown>,
}

#[derive(Clone, Debug)]
struct Resignation {
    cooldown: Duration,
    until: BootTime,
    successor: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug)]
struct Shutdown {
    give_up_at: BootTime,
    /// When vacating began: it is given one call's time.
    vacating_since: Option<BootTime>,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self { gate_open: true, gated: Gated::ByHealth, resigned: None, shutdown: None }
    }

    /// Behind a gate, which is closed.
    pub(super) fn behind(&mut self, gated: Gated) {
        (self.gate_open, self.gated) = (false, gated);
    }

    // --- Taking in what happened ----------------------------------------------------------------

    /// The gate opened or closed. Returns whether it was closed and is open now.
    pub(super) fn set_gate(&mut self, open: bool) -> bool {
        let opened = open && !self.gate_open;
        self.gate_open = open;
        opened
    }

    pub(super) fn resign(
        &mut self,
        now: BootTime,
        cooldown: Duration,
        successor: Option<Box<str>>,
    ) {
        self.resigned = Some(Resignation { cooldown, until: now + cooldown, successor });
    }

    /// A later request can only shorten an earlier one.
    pub(super) fn shut_down(&mut self, give_up_at: BootTime) {
        match &mut self.shutdown {
            Some(shutdown) => shutdown.give_up_at = shutdown.give_up_at.min(give_up_at),
            None => self.shutdown = Some(Shutdown { give_up_at, vacating_since: None }),
        }
    }

    /// A call is sent while the record is still to be vacated.
    pub(super) fn vacates(&mut self, now: BootTime) {
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.vacating_since.get_or_insert(now);
        }
    }

    /// There is nothing to vacate any longer.
    pub(super) fn stop_vacating(&mut self) {
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.vacating_since = None;
        }
    }

    /// The record was vacated: a cooldown counts from here.
    pub(super) fn vacated(&mut self, now: BootTime) {
        self.stop_vacating();
        if let Some(resigned) = &mut self.resigned {
            resigned.until = now + resigned.cooldown;
        }
    }

    /// Forgets a resignation whose cooldown is over.
    pub(super) fn end_cooldown(&mut self, now: BootTime) {
        self.resigned.take_if(|resigned| now >= resigned.until);
    }

    // --- Answers --------------------------------------------------------------------------------

    /// Why it does not stand in an election with this pause, as far as no time is looked at.
    pub(super) fn down(&self, pause: Option<&Sight>) -> Option<StandingDown> {
        if self.shutdown.is_some() {
            Some(StandingDown::ShuttingDown)
        } else if !self.gate_open {
            Some(self.gated.closed())
        } else if let Some(pause) = pause {
            Some(StandingDown::Paused { until: pause.ends_at })
        } else {
            let resigned = self.resigned.as_ref();
            resigned.map(|resigned| StandingDown::Resigned { until: resigned.until })
        }
    }

    /// Why it does not stand now.
    pub(super) fn down_at(&self, pause: Option<&Sight>, now: BootTime) -> Option<StandingDown> {
        let pause = pause.filter(|pause| pause.is_in_force(now));
        self.down(pause).filter(|reason| reason.lasts_at(now))
    }

    /// The candidate that a resignation names to claim the lease first.
    pub(super) fn successor(&self) -> Option<&str> {
        self.resigned.as_ref()?.successor.as_deref()
    }

    /// When a shutdown stops waiting for work and for the store.
    pub(super) fn gives_up_at(&self) -> Option<BootTime> {
        self.shutdown.map(|shutdown| shutdown.give_up_at)
    }

    /// Since when a shutdown tries to vacate the record.
    pub(super) fn vacating_since(&self) -> Option<BootTime> {
        self.shutdown?.vacating_since
    }

    pub(super) fn project(&self, now: BootTime, onto: &mut dyn Projection) {
        let Self { gate_open, gated: _, resigned, shutdown } = self;
        onto.flag(*gate_open);
        onto.flag(resigned.is_some());
        // No candidate of the model has a turn, so it names no successor.
        if let Some(Resignation { cooldown, until, successor: _ }) = resigned {
            onto.duration(*cooldown);
            onto.duration(until.since(now));
        }
        onto.flag(shutdown.is_some());
        if let Some(Shutdown { give_up_at, vacating_since }) = shutdown {
            onto.duration(give_up_at.since(now));
            onto.flag(vacating_since.is_some());
            onto.duration(vacating_since.map_or(Duration::ZERO, |since| now.since(since)));
        }
    }
}
