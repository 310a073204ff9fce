//! What a sidecar says to the client that holds: one JSON object a line, at once and at every change.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::election::term::Term;
use crate::election::text;
use crate::election::time::BootTime;
use crate::election::work::{Deadlines, Directive};

/// No line is longer, in bytes: the longest identity, election and clock fit many times.
pub const MAX_LINE: usize = 8 * 1024;

/// One line of the stream of `POST /hold`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldLine {
    /// The election.
    pub election: String,
    /// Who leads, or led.
    pub identity: String,
    /// Whether the work may continue.
    pub leader: bool,
    /// The term that the work was begun in. It does not change.
    pub term: Term,
    /// Which boot of which clock the times are readings of: [`crate::time::boot::Boot::clock`]. On any
    /// other clock they mean nothing.
    pub clock: String,
    /// The reading of that clock when the line was written, because the clock's name may be made
    /// up. Milliseconds of `CLOCK_BOOTTIME`, rounded down, as in those below.
    pub boot_ms: u64,
    /// Until when the work may continue if no other line comes; none if it has to end now.
    pub until_boot_ms: Option<u64>,
    /// When the rest of the work has to be killed.
    pub kill_at_boot_ms: u64,
}

impl HoldLine {
    /// Puts an directive into a line.
    pub fn new(
        election: &str,
        identity: &str,
        term: Term,
        (clock, now): (&str, BootTime),
        directive: Directive,
    ) -> Self {
        let (until, kill_at) = match directive {
            Directive::Continue(deadlines) => (Some(deadlines.stop_at), deadlines.kill_at),
            Directive::End { kill_at } => (None, kill_at),
        };
        Self {
            election: election.to_owned(),
            identity: identity.to_owned(),
            leader: until.is_some(),
            term,
            clock: clock.to_owned(),
            boot_ms: millis(now),
            until_boot_ms: until.map(millis),
            kill_at_boot_ms: millis(kill_at),
        }
    }

    /// The line in a form that is safe to show, whatever program sent it.
    #[must_use]
    pub fn checked(self) -> Self {
        let (election, identity) = (text::line(&self.election), text::name(&self.identity));
        Self { election, identity, ..self }
    }

    /// Whether the line was written between two readings of this process's own clock, whose name is
    /// `clock`: then its times belong to the same clock.
    pub fn is_of(&self, clock: &str, sent_at: BootTime, received: BootTime) -> bool {
        self.clock == clock && (millis(sent_at)..=millis(received)).contains(&self.boot_ms)
    }

    /// The directive that the line gives. A line that contradicts itself orders the end.
    pub fn directive(&self) -> Directive {
        let kill_at = time(self.kill_at_boot_ms);
        match self.until_boot_ms.filter(|_| self.leader) {
            Some(until) => Directive::Continue(Deadlines { stop_at: time(until), kill_at }),
            None => Directive::End { kill_at },
        }
    }
}

fn millis(at: BootTime) -> u64 {
    u64::try_from(at.as_duration().as_millis()).unwrap_or(u64::MAX)
}

fn time(millis: u64) -> BootTime {
    BootTime::from_duration(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_being_written_and_read() {
        let deadlines = Deadlines { stop_at: time(10_000), kill_at: time(12_500) };
        for directive in [Directive::Continue(deadlines), Directive::End { kill_at: time(7) }] {
            let line =
                HoldLine::new("default", "a", Term::new(3), ("boot/0.0", time(5)), directive);
            let text = serde_json::to_string(&line).unwrap();
            let read: HoldLine = serde_json::from_str(&text).unwrap();
            assert_eq!((read.directive(), read), (directive, line), "{text}");
        }
    }

    #[test]
    fn times_are_never_rounded_up() {
        let at = BootTime::from_duration(Duration::from_micros(1_999));
        let line = HoldLine::new("e", "a", Term::new(1), ("c", at), Directive::End { kill_at: at });
        assert_eq!((line.kill_at_boot_ms, line.boot_ms), (1, 1));
    }

    #[test]
    fn a_clock_that_only_has_the_same_name_is_another_one() {
        let line = HoldLine::new(
            "e",
            "a",
            Term::new(1),
            ("c", time(70)),
            Directive::End { kill_at: time(80) },
        );
        assert!(line.is_of("c", time(70), time(70)));
        assert!(line.is_of("c", time(60), time(90)));
        assert!(!line.is_of("other", time(60), time(90)));
        for (sent_at, received) in [(71, 90), (10, 69), (1_000_000, 1_000_001)] {
            assert!(!line.is_of("c", time(sent_at), time(received)), "{sent_at} {received}");
        }
    }
}
