//! The gate: whether this instance may stand, by the health of the application beside it.
//!
//! It is closed until the application was seen healthy, and an open gate is open *until* a time:
//! if the application is no longer checked, for any reason, the gate closes by the clock.

use std::time::Duration;

use tokio::sync::watch;

use crate::election::time::BootTime;

/// Why a gate is closed that closed by the clock.
const SILENCE: &str = "no result of the application's health check in time";

/// When the gate opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long from the beginning of one check to the beginning of the next.
    pub period: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// So many failures in a row close it.
    pub failures: u32,
    /// So many successes in a row open it.
    pub successes: u32,
    /// Failures this soon after the start, and before the first success, are not counted.
    pub grace: Duration,
}

impl Rules {
    /// How long a success keeps the gate open if there is no further check: one check longer than it
    /// takes that many failures to close it.
    pub fn open_for(&self) -> Duration {
        let round = self.period.max(self.timeout);
        round.saturating_mul(self.failures.saturating_add(1)).saturating_add(self.timeout)
    }
}

/// Why the application is not healthy, as one check or several see it. Readers see the words, so there
/// is nothing of the application's own in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unhealthy(pub String);

/// The outcome of one check.
pub type CheckOutcome = Result<(), Unhealthy>;

/// What a check changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateChange {
    /// Nothing.
    Nothing,
    /// It failed, but not yet too often.
    Failure,
    /// It failed, and the application is still starting.
    NotUpYet,
    /// The gate opened.
    Opened,
    /// So many failed that the gate closed, or stays closed.
    Closed,
}

/// What readers see.
#[derive(Clone, Debug, Default)]
struct State {
    /// Until when it is open, if it was opened.
    open_until: Option<BootTime>,
    /// Why it was closed, if it was.
    why: Option<String>,
}

/// The gate as readers see it. Clones see the same.
#[derive(Clone, Debug)]
pub struct Gate(watch::Receiver<State>);

impl Gate {
    /// Whether it is open at `now`.
    pub fn is_open(&self, now: BootTime) -> bool {
        self.open_until().is_some_and(|until| now < until)
    }

    /// Why it is closed at `now`, in words; none if it is open.
    pub fn why_closed(&self, now: BootTime) -> Option<String> {
        let state = self.0.borrow();
        match state.open_until {
            Some(until) if now < until => None,
            Some(_) => Some(SILENCE.to_owned()),
            None => {
                let never = "the application has not been healthy yet";
                Some(state.why.clone().unwrap_or_else(|| never.to_owned()))
            }
        }
    }

    /// Until when it is open without a further check; none if it is not.
    pub fn open_until(&self) -> Option<BootTime> {
        self.0.borrow().open_until
    }

    /// Waits until a check has ended; whether a reader is left. Safe to cancel.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// Opens and closes the gate, by the checks.
#[derive(Debug)]
pub struct GateState {
    rules: Rules,
    started: BootTime,
    /// In a row.
    failed: u32,
    /// In a row.
    succeeded: u32,
    ever_open: bool,
    state: watch::Sender<State>,
}

impl GateState {
    /// A gate that is closed, and its keeper.
    pub fn new(rules: Rules, now: BootTime) -> (Self, Gate) {
        let (state, gate) = watch::channel(State::default());
        let gate_state =
            Self { rules, started: now, failed: 0, succeeded: 0, ever_open: false, state };
        (gate_state, Gate(gate))
    }

    /// Takes in a check that began at `asked` and ended at `now`.
    pub fn record(
        &mut self,
        sent_at: BootTime,
        now: BootTime,
        outcome: &CheckOutcome,
    ) -> GateChange {
        if self.state.borrow().open_until.is_some_and(|until| now >= until) {
            // It closed by the clock, and has to be opened like any other.
            self.state.send_replace(State { open_until: None, why: Some(SILENCE.to_owned()) });
            self.succeeded = 0;
        }
        match outcome {
            Ok(()) => self.record_success(sent_at),
            Err(why) => self.record_failure(now, why),
        }
    }

    fn record_success(&mut self, sent_at: BootTime) -> GateChange {
        self.failed = 0;
        self.succeeded = self.succeeded.saturating_add(1);
        if self.succeeded < self.rules.successes && !self.is_open() {
            return GateChange::Nothing;
        }
        let change = if self.is_open() { GateChange::Nothing } else { GateChange::Opened };
        self.ever_open = true;
        // From before the question: the answer may have been true then and no longer.
        let open_until = Some(sent_at + self.rules.open_for());
        self.state.send_replace(State { open_until, why: None });
        change
    }

    fn record_failure(&mut self, now: BootTime, Unhealthy(why): &Unhealthy) -> GateChange {
        self.succeeded = 0;
        if !self.ever_open && now.since(self.started) < self.rules.grace {
            return GateChange::NotUpYet;
        }
        self.failed = self.failed.saturating_add(1);
        if self.failed < self.rules.failures && self.is_open() {
            return GateChange::Failure;
        }
        self.state.send_replace(State { open_until: None, why: Some(why.clone()) });
        // Reported once.
        if self.failed == self.rules.failures { GateChange::Closed } else { GateChange::Failure }
    }

    fn is_open(&self) -> bool {
        self.state.borrow().open_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        period: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        failures: 3,
        successes: 2,
        grace: Duration::from_secs(10),
    };

    fn at(ms: u64) -> BootTime {
        BootTime::from_duration(Duration::from_millis(ms))
    }

    struct Scene {
        gate_state: GateState,
        gate: Gate,
    }

    impl Scene {
        fn new(rules: Rules) -> Self {
            let (gate_state, gate) = GateState::new(rules, at(0));
            Self { gate_state, gate }
        }

        /// A check that began at `ms` and took half a second; whether the gate is open after it.
        fn records(&mut self, ms: u64, outcome: CheckOutcome) -> (GateChange, bool) {
            let change = self.gate_state.record(at(ms), at(ms + 500), &outcome);
            (change, self.gate.is_open(at(ms + 500)))
        }

        fn opened() -> Self {
            let mut scene = Self::new(Rules { successes: 1, ..RULES });
            assert_eq!(scene.records(0, Ok(())), (GateChange::Opened, true));
            scene
        }
    }

    fn bad() -> CheckOutcome {
        Err(Unhealthy("status 500".to_owned()))
    }

    #[test]
    fn it_is_closed_until_enough_successes_in_a_row() {
        let mut scene = Scene::new(RULES);
        assert!(scene.gate.why_closed(at(0)).unwrap().contains("has not been healthy yet"));
        assert_eq!(scene.records(0, Ok(())), (GateChange::Nothing, false));
        assert_eq!(scene.records(2_000, bad()), (GateChange::NotUpYet, false));
        assert_eq!(scene.records(4_000, Ok(())), (GateChange::Nothing, false));
        assert_eq!(scene.records(6_000, Ok(())), (GateChange::Opened, true));
        assert_eq!(scene.records(8_000, Ok(())), (GateChange::Nothing, true));
        assert_eq!(scene.gate.why_closed(at(8_500)), None);
    }

    #[test]
    fn so_many_failures_in_a_row_close_it_and_successes_open_it_again() {
        let mut scene = Scene::opened();
        for outcome in [bad(), bad(), Ok(()), bad(), bad()] {
            assert!(scene.records(2_000, outcome).1, "not in a row");
        }
        assert_eq!(scene.records(4_000, bad()), (GateChange::Closed, false));
        assert_eq!(scene.gate.why_closed(at(4_500)).unwrap(), "status 500");
        assert_eq!(scene.records(6_000, bad()), (GateChange::Failure, false), "reported once");
        assert_eq!(scene.records(8_000, Ok(())), (GateChange::Opened, true));
        assert_eq!(scene.records(10_000, bad()), (GateChange::Failure, true), "counted again");
    }

    #[test]
    fn without_news_it_closes_by_the_clock_one_check_later_than_failures_would_close_it() {
        let mut scene = Scene::opened();
        assert_eq!(RULES.open_for(), Duration::from_secs(9));
        assert!(scene.gate.is_open(at(8_999)));
        assert!(!scene.gate.is_open(at(9_000)));
        assert!(scene.gate.why_closed(at(9_000)).unwrap().contains("no result of the application"));
        assert_eq!(scene.records(20_000, Ok(())), (GateChange::Opened, true));
    }

    #[test]
    fn closed_by_the_clock_it_needs_as_many_successes_as_ever() {
        let mut scene = Scene::new(RULES);
        scene.records(0, Ok(()));
        assert_eq!(scene.records(2_000, Ok(())), (GateChange::Opened, true));
        assert_eq!(scene.records(60_000, Ok(())), (GateChange::Nothing, false));
        assert_eq!(scene.records(62_000, Ok(())), (GateChange::Opened, true));
    }

    #[test]
    fn a_late_answer_counts_from_the_time_of_its_request() {
        let mut scene = Scene::new(Rules { successes: 1, ..RULES });
        scene.gate_state.record(at(0), at(9_500), &Ok(()));
        assert!(!scene.gate.is_open(at(9_500)));
    }

    #[test]
    fn failures_while_the_application_starts_are_not_counted_until_it_was_up_once() {
        let mut scene = Scene::new(Rules { successes: 1, ..RULES });
        for ms in [0, 2_000, 4_000, 6_000, 8_000] {
            assert_eq!(scene.records(ms, bad()), (GateChange::NotUpYet, false));
        }
        assert_eq!(scene.records(10_000, bad()), (GateChange::Failure, false));
        assert_eq!(scene.records(12_000, bad()), (GateChange::Failure, false));
        assert_eq!(scene.records(14_000, bad()), (GateChange::Closed, false), "it never came up");

        let mut early = Scene::new(Rules { successes: 1, failures: 1, ..RULES });
        assert_eq!(early.records(0, Ok(())), (GateChange::Opened, true));
        assert_eq!(
            early.records(2_000, bad()),
            (GateChange::Closed, false),
            "it was up: that counts"
        );
    }
}
