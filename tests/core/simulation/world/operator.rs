//! Operators who pause the election and resume it, as `bellwether pause` and `resume` do.

use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::lease::{LeaseRecord, Version};
use bellwether::election::maintenance::{Change, Maintenance, Next};
use bellwether::election::pause::Pause;
use bellwether::election::time::{BootTime, Now, WallTime};

use super::contest::Contest;
use super::{Happening, World};
use crate::simulation::invariants::{PAUSE_KEPT, Violation, applied};
use crate::simulation::time::{MS, TrueTime};

/// No operator pauses a work: there is one contest.
const ELECTION: usize = 0;

/// One command.
#[derive(Debug)]
pub(super) struct Operator {
    seen: Maintenance,
    change: Change,
    /// How long after its look its first write arrives.
    delay: TrueTime,
}

impl World {
    pub(super) fn pause_election(
        &mut self,
        lasts: Option<Duration>,
        skew: i64,
        delay: TrueTime,
        resumed: Option<TrueTime>,
    ) {
        let since = Duration::from_nanos(self.now.saturating_add_signed(skew));
        let pause = Pause::new(WallTime::from_unix(since), lasts, None);
        let seen = self.fresh_look();
        let operator = |change| Operator { seen: seen.clone(), change, delay };
        self.after(0, Happening::Operates(operator(Change::Pause(pause))));
        if let Some(resumed) = resumed {
            self.after(delay + resumed, Happening::Operates(operator(Change::Resume)));
        }
    }

    pub(super) fn operates(&mut self, change: Change, delay: TrueTime) -> Result<(), Violation> {
        let seen = self.fresh_look();
        self.operator_looks(Operator { seen, change, delay })
    }

    fn fresh_look(&self) -> Maintenance {
        Maintenance::new(self.host(0).timing.lease_duration())
    }

    pub(super) fn operator_looks(&mut self, mut operator: Operator) -> Result<(), Violation> {
        if self.calm && matches!(operator.change, Change::Pause(_)) {
            return Ok(());
        }
        let time = Duration::from_nanos(self.now);
        let boot = BootTime::from_duration(time);
        let now = self.now;
        operator.seen.saw(self.election().lease_record.observe(now), boot, boot);
        match operator.seen.next(&operator.change, Now { boot, wall: WallTime::from_unix(time) }) {
            Next::Done => Ok(()),
            Next::Wait { until } => {
                let left = u64::try_from(until.since(boot).as_nanos()).unwrap();
                self.after(left.max(MS), Happening::Operates(operator));
                Ok(())
            }
            Next::Write { expected, record } if self.calm || operator.delay == 0 => {
                self.operator_writes(operator, expected, *record)
            }
            Next::Write { expected, record } => {
                let delay = operator.delay.min(self.plan.calm_at.saturating_sub(self.now + 1));
                self.after(delay, Happening::OperatorWrites { operator, expected, record });
                Ok(())
            }
        }
    }

    pub(super) fn operator_writes(
        &mut self,
        mut operator: Operator,
        expected: Option<Version>,
        record: LeaseRecord,
    ) -> Result<(), Violation> {
        let (now, name) = (self.now, self.election().lease.clone());
        let (swapped, before) =
            self.election().lease_record.swap(now, expected.as_ref(), record.clone());
        let pauses = matches!(operator.change, Change::Pause(_));
        let Swapped::Won(version) = swapped else {
            self.tally.count(if pauses { "pauses refused" } else { "resumptions refused" });
            operator.delay /= 2;
            self.after(MS, Happening::Operates(operator));
            return Ok(());
        };
        trace!(self, "an operator writes: {:?}", record.pause);
        self.tally.count(if pauses { "pauses written" } else { "resumed" });
        applied(before.as_ref(), &record)?;
        self.check_vacated(ELECTION, &record)?;
        self.notify(&name, &record, version);
        self.paused = record.pause.map(|pause| (pause, now));
        Ok(())
    }

    /// [`PAUSE_KEPT`]: a candidate's write replaces a record.
    pub(super) fn check_pause(
        &self,
        node: usize,
        before: Option<&LeaseRecord>,
        after: &LeaseRecord,
    ) -> Result<(), Violation> {
        let Some(pause) = before.and_then(|before| before.pause.as_ref()) else { return Ok(()) };
        // An older one came back with a record from before.
        let written = self.paused.as_ref().filter(|(last, _)| last == pause).map(|(_, at)| *at);
        let lasts = pause.lasts().map(|lasts| self.host(node).clock.span(lasts));
        let is_over = written.zip(lasts).is_some_and(|(at, lasts)| self.now + MS >= at + lasts)
            || (written.is_none() && lasts.is_some());
        if after.pause.as_ref() == Some(pause) || is_over {
            return Ok(());
        }
        Violation::found(PAUSE_KEPT, format!("n{node} takes away in force: {pause}"))
    }

    pub(super) fn is_paused_until_resumed(&self) -> bool {
        let record = self.contests[ELECTION].lease_record.record();
        let pause = record.and_then(|record| record.pause.as_ref());
        pause.is_some_and(|pause| pause.lasts().is_none())
    }

    fn election(&mut self) -> &mut Contest {
        &mut self.contests[ELECTION]
    }
}
