//! One candidate: the program's own elector, and what it waits for.

use std::time::Duration;

use bellwether::election::elector::{Action, Call, CallFailed, Elector, Event, Swapped};
use bellwether::election::lease::{Candidate, Version};
use bellwether::election::term::Term;
use bellwether::election::time::{BootTime, Now, WallTime};

use crate::setup::{Rate, Setup};
use crate::store::{Store, Write};

#[derive(Clone, Debug)]
pub struct Node {
    pub elector: Elector,
    /// Counts the names that this process had.
    pub incarnation: u64,
    pub clock: Rate,
    pub doing: Doing,
    /// A swap that was given up, and can still be applied.
    pub late: Option<Write>,
    pub paused: Option<Paused>,
    /// The term in which it leads by its own clock, as last seen.
    pub believes: Option<Term>,
    /// The last one that it led in, and how many had begun before.
    pub tenure: Option<Tenure>,
    /// The version that it saw last, and how many it saw, two at most. Counted if the store has a clock.
    pub seen: (Option<Version>, u64),
}

/// Times are in nanoseconds, and true ones.
#[derive(Clone, Debug)]
pub enum Doing {
    Waits {
        until: u64,
    },
    /// It has called: what comes of it is not decided.
    Calls(Call),
    /// The request is on its way.
    Travels {
        call: Call,
        arrives: u64,
    },
    /// The outcome of the call is decided: this is received.
    Receives {
        event: Event,
        at: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Paused {
    pub since: u64,
    /// At the latest.
    pub until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    pub term: Term,
    pub begun: u64,
}

impl Node {
    pub fn new(setup: &Setup, index: usize, incarnation: u64, now: u64) -> Self {
        let clock = setup.clocks[index];
        let me = Candidate { identity: index.to_string(), incarnation: incarnation.to_string() };
        Self {
            elector: Elector::new(me, (setup.timing)(), 0),
            incarnation,
            clock,
            doing: Doing::Waits { until: now },
            late: None,
            paused: None,
            believes: None,
            tenure: None,
            seen: (None, 0),
        }
    }

    pub fn clock(&self, now: u64) -> BootTime {
        // No lease is older than the boot.
        BootTime::from_duration(Duration::from_nanos(self.clock.shows(now)))
    }

    /// When this clock shows that.
    fn when(&self, shown: BootTime) -> u64 {
        self.clock.when(nanos(shown.as_duration()))
    }

    pub fn deadline(&self, call: &Call) -> u64 {
        match call {
            Call::Observe { deadline } | Call::Swap { deadline, .. } => self.when(*deadline),
        }
    }

    /// The term in which it leads, as a reader of its view sees it.
    pub fn leads(&self, now: u64) -> Option<Term> {
        Some(self.elector.leadership().leading(self.clock(now))?.term())
    }

    /// When something is due, if it does not pause.
    pub fn due(&self) -> Option<u64> {
        match &self.doing {
            Doing::Waits { until } => Some(*until),
            Doing::Receives { at, .. } => Some(*at),
            Doing::Calls(_) | Doing::Travels { .. } => None,
        }
    }

    /// Takes in what is due, and no store is needed for.
    pub fn take_due(&mut self, setup: &Setup, now: u64) {
        let event = match &self.doing {
            Doing::Receives { event, .. } => event.clone(),
            _ => Event::Wake,
        };
        self.doing = self.step(setup, now, event);
    }

    /// Takes in what happens beside that. A call under way stays under way.
    pub fn take_in(&mut self, setup: &Setup, now: u64, event: Event) {
        let doing = self.step(setup, now, event);
        if let Doing::Waits { .. } = self.doing {
            self.doing = doing;
        }
    }

    pub fn saw_a_change(&self) -> bool {
        self.seen.1 == 2
    }

    fn see(&mut self, event: &Event) {
        let version = match event {
            Event::Observed(Ok(Some(seen))) | Event::Swapped(Ok(Swapped::Lost(Some(seen)))) => {
                Some(seen.version.clone())
            }
            Event::Swapped(Ok(Swapped::Won(version))) => Some(version.clone()),
            _ => return,
        };
        if version != self.seen.0 {
            self.seen = (version, 2.min(self.seen.1 + 1));
        }
    }

    fn step(&mut self, setup: &Setup, now: u64, event: Event) -> Doing {
        if setup.store_clock {
            self.see(&event);
        }
        let clocks = Now { boot: self.clock(now), wall: WallTime::EPOCH };
        self.elector.reseed(setup.jitter.seed());
        let mut step = self.elector.step(clocks, event);
        if self.elector.needs_incarnation() {
            // As the driver does.
            self.incarnation += 1;
            let (incarnation, seed) = (self.incarnation.to_string(), setup.jitter.seed());
            step = self.elector.step(clocks, Event::Reborn { incarnation, seed });
        }
        match step.action {
            Action::Call(call) => Doing::Calls(call),
            Action::Wait { until } => Doing::Waits { until: self.when(until) },
            Action::Finished => unreachable!("no candidate shuts down"),
        }
    }
}

/// Carries out a call. Returns its answer, and whether the record was written.
pub fn carry_out(call: &Call, store: &mut Store, now: u64) -> (Event, bool) {
    match write(call) {
        None => (Event::Observed(Ok(store.observe(now))), false),
        Some(write) => {
            let written = store.accepts(&write);
            (Event::Swapped(Ok(store.swap(now, &write))), written)
        }
    }
}

/// The answer to a call that failed.
pub fn failure(call: &Call) -> Event {
    match call {
        Call::Observe { .. } => Event::Observed(Err(CallFailed)),
        Call::Swap { .. } => Event::Swapped(Err(CallFailed)),
    }
}

/// What a call writes, if it is a swap.
pub fn write(call: &Call) -> Option<Write> {
    match call {
        Call::Observe { .. } => None,
        Call::Swap { expected, record, .. } => {
            Some(Write { expected: expected.clone(), record: record.clone() })
        }
    }
}

pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}
