//! The health of the store, for the log: each change is one line, not each attempt.
//!
//! Reads and writes are tracked separately: if reads succeed and writes fail (a full disk, a
//! read-only server), the log does not report "answers again" at every read. Several elections on
//! one store share this, so that an outage is one line and not one per election.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::election::lease::{ElectionName, Version};
use crate::election::time::BootTime;
use crate::metrics::Verb;
use crate::store::StoreError;

/// How many lines about problems may follow each other without a pause.
const BURST: u32 = 4;

/// The time between lines after those. Together with the line that reports the end of the problem,
/// a store that comes and goes for a day causes a dozen lines an hour.
const PAUSE: Duration = Duration::from_secs(600);

/// How long a problem lasts until the log repeats it. The pause doubles each time, up to a limit.
const FIRST_REMINDER: Duration = Duration::from_secs(600);
const LONGEST_REMINDER: Duration = Duration::from_secs(4 * 3600);

/// The results of all elections of a process on the store. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

/// A call that has ended.
pub(super) struct Call<'a> {
    pub(super) election: &'a ElectionName,
    pub(super) verb: Verb,
    pub(super) error: Option<&'a StoreError>,
    /// The version that the call shows. If a read shows a new one, some instance can write.
    pub(super) version: Option<&'a Version>,
}

/// What to log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Trouble { left_out: u64 },
    Over,
}

#[derive(Debug)]
struct State {
    /// The error of the last call of each kind.
    troubles: BTreeMap<(ElectionName, Verb), Trouble>,
    /// The version that the last call of each election showed.
    seen: BTreeMap<ElectionName, Version>,
    /// The problem that the log has reported, and not yet reported as over.
    shown: Vec<Shown>,
    tokens: u32,
    /// When the next token comes; none if all tokens are there.
    next_token: Option<BootTime>,
    /// How many elections of this process use the store.
    elections: usize,
    /// Whether any call was answered since the last line about an outage.
    answered: bool,
    /// How many lines had no token since the last line that had one.
    left_out: u64,
}

/// An error, and the one that stands for it in the log.
#[derive(Debug)]
struct Trouble {
    error: StoreError,
    of_log: StoreError,
}

#[derive(Debug)]
struct Shown {
    error: StoreError,
    again_at: BootTime,
    pause: Duration,
}

impl Default for State {
    fn default() -> Self {
        Self {
            troubles: BTreeMap::new(),
            seen: BTreeMap::new(),
            shown: Vec::new(),
            tokens: BURST,
            next_token: None,
            elections: 0,
            answered: true,
            left_out: 0,
        }
    }
}

impl Health {
    /// One more election uses the store.
    pub(super) fn join(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.elections = state.elections.saturating_add(1);
    }

    /// What is wrong with the store as this election sees it, if anything is: the error of the last
    /// call, or of the last write if only reads succeed. Checked, and without secrets.
    pub(super) fn trouble(&self, election: &ElectionName) -> Option<String> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // As nearly always: every response asks.
        if state.troubles.is_empty() {
            return None;
        }
        let of = |verb| state.troubles.get(&(election.clone(), verb));
        let trouble = of(Verb::Observe).or_else(|| of(Verb::Swap))?;
        Some(trouble.error.to_string())
    }

    /// Logs the change that a call makes.
    pub(super) fn note(&self, now: BootTime, call: &Call<'_>) {
        let (line, elections) = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (state.note(now, call), state.elections)
        };
        let (election, verb) = (call.election, call.verb.as_str());
        match (line, call.error) {
            (Some(Line::Trouble { left_out }), Some(error @ StoreError::Unavailable(_))) => {
                tracing::warn!(
                    elections, %election, verb, %error, left_out, event = "store_unreachable",
                    "the store is unavailable; trying again"
                );
            }
            (Some(Line::Trouble { left_out }), Some(error @ StoreError::Misconfigured(_))) => {
                tracing::error!(
                    elections, %election, verb, %error, left_out, event = "store_needs_attention",
                    "the store cannot be used as it is; do what the error says (no restart \
                     needed)"
                );
            }
            (Some(Line::Over), _) => {
                tracing::info!(
                    elections, %election, verb, event = "store_answers",
                    "the store responds again"
                );
            }
            (Some(Line::Trouble { .. }) | None, _) => {}
        }
    }
}

impl State {
    fn note(&mut self, now: BootTime, call: &Call<'_>) -> Option<Line> {
        match call.error {
            Some(error) => self.failed(now, call, error),
            None => self.responded(call),
        }
    }

    fn failed(&mut self, now: BootTime, call: &Call<'_>, error: &StoreError) -> Option<Line> {
        let known = self.known(error);
        // As the log has it.
        let of_log = known.and_then(|at| self.shown.get(at)).map_or(error, |shown| &shown.error);
        let trouble = Trouble { error: error.clone(), of_log: of_log.clone() };
        self.troubles.insert((call.election.clone(), call.verb), trouble);
        if known.and_then(|at| self.shown.get(at)).is_some_and(|shown| now < shown.again_at) {
            return None;
        }
        if !self.take_token(now) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        let pause = match known {
            Some(at) => {
                let shown = self.shown.swap_remove(at);
                for trouble in self.troubles.values_mut().filter(|it| it.of_log == shown.error) {
                    trouble.of_log.clone_from(error);
                }
                (shown.pause * 2).min(LONGEST_REMINDER)
            }
            None => FIRST_REMINDER,
        };
        self.answered = false;
        self.shown.push(Shown { error: error.clone(), again_at: now + pause, pause });
        Some(Line::Trouble { left_out: std::mem::take(&mut self.left_out) })
    }

    /// The line that an error belongs to. An outage looks different from one moment to the next, and from one
    /// election to another: a connection is closed, the next one refused, and then the server is starting up. As
    /// long as no call is answered, it is one outage.
    fn known(&self, error: &StoreError) -> Option<usize> {
        let is_outage = |error: &StoreError| matches!(error, StoreError::Unavailable(_));
        let same = self.shown.iter().position(|shown| shown.error == *error);
        same.or_else(|| {
            let may_be_another = self.answered || !is_outage(error);
            (!may_be_another)
                .then(|| self.shown.iter().position(|shown| is_outage(&shown.error)))?
        })
    }

    fn responded(&mut self, call: &Call<'_>) -> Option<Line> {
        self.answered = true;
        let cleared = self.troubles.remove(&(call.election.clone(), call.verb));
        // An own write before the problem is not one that a later read shows.
        let last = call
            .version
            .and_then(|version| self.seen.insert(call.election.clone(), version.clone()));
        if call.verb == Verb::Observe {
            let written = last.is_some_and(|last| Some(&last) != call.version);
            self.clear_writes(call, cleared.as_ref().map(|trouble| &trouble.error), written);
        }
        // A single failed call of one election among many is not a problem that ends.
        let before = self.shown.len();
        let troubles = &self.troubles;
        self.shown.retain(|shown| troubles.values().any(|trouble| trouble.of_log == shown.error));
        (self.shown.len() < before).then_some(Line::Over)
    }

    /// After a read: writes count as working again if they failed with the same error as reads, or
    /// if some instance has written. Otherwise only a write can show it.
    fn clear_writes(&mut self, call: &Call<'_>, cleared: Option<&StoreError>, written: bool) {
        let key = (call.election.clone(), Verb::Swap);
        let over = self.troubles.get(&key).is_some_and(|Trouble { error, .. }| {
            Some(error) == cleared || (written && matches!(error, StoreError::Unavailable(_)))
        });
        if over {
            self.troubles.remove(&key);
        }
    }

    fn take_token(&mut self, now: BootTime) -> bool {
        while let Some(at) = self.next_token.filter(|at| *at <= now) {
            self.tokens += 1;
            self.next_token = (self.tokens < BURST).then(|| at + PAUSE);
        }
        let taken = self.tokens > 0;
        if taken {
            self.tokens -= 1;
            self.next_token.get_or_insert(now + PAUSE);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    fn failing(text: &str) -> Result<u32, StoreError> {
        Err(StoreError::Unavailable(text.to_owned()))
    }

    /// Plays a store as elections see it, and counts the lines that it causes.
    #[derive(Default)]
    struct Reported {
        state: State,
        troubles: usize,
        overs: usize,
    }

    impl Reported {
        fn note(&mut self, now: u64, name: &str, verb: Verb, result: &Result<u32, StoreError>) {
            let election: ElectionName = name.parse().unwrap();
            let version = result.as_ref().ok().map(|version| Version::new(version.to_string()));
            let (error, version) = (result.as_ref().err(), version.as_ref());
            let call = Call { election: &election, verb, error, version };
            match self.state.note(at(now), &call) {
                Some(Line::Trouble { .. }) => self.troubles += 1,
                Some(Line::Over) => self.overs += 1,
                None => {}
            }
        }

        fn look(&mut self, now: u64, result: &Result<u32, StoreError>) {
            self.note(now, "a", Verb::Observe, result);
        }

        fn write(&mut self, now: u64, result: &Result<u32, StoreError>) {
            self.note(now, "a", Verb::Swap, result);
        }

        fn lines(&self) -> (usize, usize) {
            (self.troubles, self.overs)
        }
    }

    #[test]
    fn writes_that_fail_between_looks_that_succeed_are_one_line() {
        let mut reported = Reported::default();
        for now in (0..600).step_by(2) {
            reported.look(now, &Ok(1));
            reported.write(now + 1, &failing("the disk is full"));
        }
        assert_eq!(reported.lines(), (1, 0));
        reported.look(601, &Ok(1));
        assert_eq!(reported.lines(), (1, 0), "a look proves nothing of writes");
        reported.write(602, &Ok(2));
        assert_eq!(reported.lines(), (1, 1));
    }

    #[test]
    fn a_look_that_shows_an_own_write_before_the_problem_does_not_end_it() {
        let mut reported = Reported::default();
        reported.look(0, &Ok(1));
        reported.write(1, &Ok(2));
        reported.write(2, &failing("locked"));
        reported.look(3, &Ok(2));
        assert_eq!(reported.lines(), (1, 0));
        reported.look(4, &Ok(3));
        assert_eq!(reported.lines(), (1, 1), "another instance can write");
    }

    #[test]
    fn an_outage_is_two_lines_for_a_leader_a_standby_and_many_elections() {
        let mut reported = Reported::default();
        let names: Vec<_> = (0..200).map(|number| format!("e{number}")).collect();
        for now in 0..100 {
            for name in &names {
                reported.note(now, name, Verb::Swap, &failing("refused"));
                reported.note(now, name, Verb::Observe, &failing("refused"));
            }
        }
        for name in &names {
            reported.note(100, name, Verb::Observe, &Ok(1));
        }
        assert_eq!(reported.lines(), (1, 1));
    }

    #[test]
    fn an_outage_that_looks_different_from_moment_to_moment_is_one_line() {
        let mut reported = Reported::default();
        for (now, error) in ["closed", "refused", "starting up"].iter().enumerate() {
            for name in ["a", "b", "c"] {
                reported.note(now as u64, name, Verb::Swap, &failing(error));
                reported.note(now as u64, name, Verb::Observe, &failing(error));
            }
        }
        assert_eq!(reported.lines(), (1, 0));
        reported.note(4, "c", Verb::Observe, &Ok(1));
        assert_eq!(reported.lines(), (1, 0), "a and b are still without an answer");
        reported.note(4, "c", Verb::Swap, &failing("the disk is full"));
        assert_eq!(reported.lines(), (2, 0), "another problem, of a server that answers");
        reported.note(5, "c", Verb::Swap, &Ok(1));
        reported.note(5, "a", Verb::Observe, &Ok(1));
        reported.note(5, "b", Verb::Observe, &Ok(1));
        reported.look(6, &Err(StoreError::Misconfigured("not allowed".to_owned())));
        assert_eq!(reported.troubles, 3);
    }

    #[test]
    fn a_standby_learns_from_the_writes_of_others_that_the_store_can_be_written() {
        let mut reported = Reported::default();
        reported.look(0, &Ok(1));
        reported.write(1, &failing("locked"));
        reported.look(2, &Ok(1));
        assert_eq!(reported.lines(), (1, 0));
        reported.look(3, &Ok(2));
        assert_eq!(reported.lines(), (1, 1));
        reported.write(4, &Err(StoreError::Misconfigured("not allowed".to_owned())));
        reported.look(5, &Ok(3));
        assert_eq!(reported.lines(), (2, 1), "others may be allowed what this instance is not");
    }

    #[test]
    fn no_fault_makes_more_than_twenty_lines_an_hour() {
        type Fault = fn(u64) -> Result<u32, StoreError>;
        let comes_and_goes =
            |now: u64| if now.is_multiple_of(2) { failing("refused") } else { Ok(1) };
        let never_the_same = |now: u64| failing(&format!("no response within {now} ns"));
        let two_by_turns =
            |now: u64| failing(if now.is_multiple_of(2) { "refused" } else { "reset" });
        let worst =
            |now: u64| if now.is_multiple_of(3) { Ok(1) } else { failing(&now.to_string()) };
        let faults: [Fault; 4] = [comes_and_goes, never_the_same, two_by_turns, worst];
        for (number, fault) in faults.iter().enumerate() {
            let mut reported = Reported::default();
            for hour in 0..24 {
                let before = reported.troubles + reported.overs;
                for second in 0..3600 {
                    let now = hour * 3600 + second;
                    reported.write(now, &fault(now));
                    reported.look(now, &fault(now + 1));
                }
                let lines = reported.troubles + reported.overs - before;
                assert!(lines <= 20, "fault {number}, hour {hour}: {lines}");
                assert!(hour > 0 || lines > 0, "fault {number}: silence");
            }
        }
    }

    #[test]
    fn a_trouble_that_stays_is_repeated_with_growing_pauses() {
        let mut reported = Reported::default();
        for now in 0..24 * 3600 {
            reported.look(now, &failing("refused"));
        }
        assert!((6..=12).contains(&reported.troubles), "{}", reported.troubles);
        reported.look(24 * 3600, &Ok(1));
        assert_eq!(reported.overs, 1);
    }
}
