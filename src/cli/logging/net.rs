//! The last safety net: no fault makes the log too long to read.
//!
//! Each source of log lines has limits of its own: see [`crate::driver::Health`]. But a
//! leadership can come and go, an application can change its health again and again, a guard can be
//! killed repeatedly. So the lines of one election share a budget. The first of each kind in an
//! hour passes in any case.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::election::time::BootTime;
use crate::time::clock::HostClock;

/// The target of lines that are not about faults, and come as often as users cause them, such as
/// one at each beginning of held work: they are never left out.
const ORDINARY: &str = "bellwether::ordinary";

/// How many lines of an election may follow each other: several changes of leadership.
const BURST: u32 = 12;

/// The time between lines after those.
const PAUSE: Duration = Duration::from_secs(300);

/// One line of each kind passes in this time, whatever other lines there are.
const RESERVED: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Default)]
pub(super) struct Net(Mutex<Budgets>);

#[derive(Default)]
struct Budgets {
    of: HashMap<String, Budget>,
    /// When the last line of each kind passed.
    passed: HashMap<(String, String), BootTime>,
}

struct Budget {
    left: u32,
    next_at: Option<BootTime>,
    left_out: u64,
    /// When the log may report that lines were left out.
    report_at: BootTime,
}

impl<S: Subscriber> Layer<S> for Net {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == ORDINARY {
            return true;
        }
        let mut about = About::default();
        event.record(&mut about);
        let About { election, event } = about;
        // A library's message has no event: its kind is the place in its code.
        let kind = event.unwrap_or_else(|| metadata.name().to_owned());
        let (passes, left_out) = {
            let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            budgets.admit(HostClock::boot(), &kind, &election)
        };
        if let Some(left_out) = left_out {
            tracing::warn!(
                target: ORDINARY,
                election, left_out,
                event = "log_lines_left_out",
                "too many lines in a short time, so some were left out; --log-level debug shows \
                 all"
            );
        }
        passes
    }
}

impl Budgets {
    /// Whether a line passes, and how many did not, when it is time to report it.
    fn admit(&mut self, now: BootTime, kind: &str, election: &str) -> (bool, Option<u64>) {
        let budget = self.of.entry(election.to_owned()).or_insert(Budget {
            left: BURST,
            next_at: None,
            left_out: 0,
            report_at: now,
        });
        let kind = (kind.to_owned(), election.to_owned());
        let is_first = self.passed.get(&kind).is_none_or(|last| now.since(*last) >= RESERVED);
        // A line that passes as the first of its kind uses the budget as far as there is one.
        let passes = budget.take(now) || is_first;
        if !passes {
            budget.left_out = budget.left_out.saturating_add(1);
            return (false, None);
        }
        self.passed.insert(kind, now);
        let due = budget.left_out > 0 && now >= budget.report_at;
        (true, due.then(|| budget.report(now)))
    }
}

impl Budget {
    fn take(&mut self, now: BootTime) -> bool {
        while let Some(at) = self.next_at.filter(|at| *at <= now) {
            self.left += 1;
            self.next_at = (self.left < BURST).then(|| at + PAUSE);
        }
        let taken = self.left > 0;
        if taken {
            self.left -= 1;
            self.next_at.get_or_insert(now + PAUSE);
        }
        taken
    }

    fn report(&mut self, now: BootTime) -> u64 {
        self.report_at = now + RESERVED;
        std::mem::take(&mut self.left_out)
    }
}

/// What a line is about.
#[derive(Default)]
struct About {
    /// Empty if the line names none.
    election: String,
    event: Option<String>,
}

impl Visit for About {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "election" => value.clone_into(&mut self.election),
            "event" => self.event = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "election" {
            self.election = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [&str; 6] =
        ["elected", "lost", "vacated", "following", "gate_opened", "gate_closed"];

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    #[test]
    fn a_leadership_that_comes_and_goes_for_a_day_makes_some_twenty_lines_an_hour() {
        let mut budgets = Budgets::default();
        for hour in 0..24 {
            let (mut lines, mut kinds) = (0, [0; 6]);
            for second in 0..3600 {
                for (kind, count) in KINDS.iter().zip(&mut kinds) {
                    let now = at(hour * 3600 + second);
                    let (passes, reported) = budgets.admit(now, kind, "a");
                    *count += usize::from(passes);
                    lines += usize::from(passes) + usize::from(reported.is_some());
                }
            }
            assert!(lines <= if hour == 0 { 30 } else { 20 }, "hour {hour}: {lines}");
            assert!(kinds.iter().all(|count| *count > 0), "hour {hour}: {kinds:?}");
        }
    }

    #[test]
    fn elections_share_no_budget_and_lines_left_out_are_reported() {
        let mut budgets = Budgets::default();
        let passed = (0..100).filter(|_| budgets.admit(at(0), KINDS[0], "a").0).count();
        assert_eq!(passed, usize::try_from(BURST).unwrap());
        assert_eq!(budgets.admit(at(0), KINDS[0], "b"), (true, None));
        assert_eq!(budgets.admit(at(300), KINDS[0], "a"), (true, Some(88)));
        assert_eq!(budgets.admit(at(300), KINDS[0], "a"), (false, None));
        assert_eq!(budgets.admit(at(600), KINDS[0], "a"), (true, None), "reported once an hour");
        assert_eq!(budgets.admit(at(3900), KINDS[0], "a"), (true, Some(1)));
    }
}
