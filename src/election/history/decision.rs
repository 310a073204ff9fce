//! What an instance should do next, by the history.

use std::time::Duration;

use super::entry::{Entry, Goal, Moment, Order, Piece, State};
use super::names::Key;
use super::transitions::History;
use crate::election::term::Term;

/// The longest pause between two attempts, unless the first one is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What an instance does whose order is older than one that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Superseded {
    /// It continues: there is nothing to do.
    Skip,
    /// It fails.
    Fail,
    /// It waits until the newer one is taken back.
    Wait,
}

/// How long after the last failure an instance may try again, if all attempts have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// After this time.
    Time(Duration),
    /// Only after a reset.
    Never,
}

/// The settings that decide.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// See there.
    pub superseded: Superseded,
    /// How many attempts may fail.
    pub max_attempts: u32,
    /// The pause after the first one.
    pub retry_delay: Duration,
    /// See there.
    pub retry_after: RetryAfter,
}

/// The instance that asks.
#[derive(Clone, Copy, Debug)]
pub struct Instance {
    /// When it started.
    pub started: Moment,
    /// From 0 to 1, so that not all try again in one moment.
    pub jitter: f64,
}

/// The circumstances of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// This instance holds the lease of the work. So no other command runs.
    pub leading: bool,
    /// The attempt that is recorded as done, and that a check of this instance found not to be.
    pub disproved: Option<Term>,
    /// The time.
    pub now: Moment,
    /// How long this instance has seen this state of the history, on its own clock.
    pub watched: Duration,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// There is nothing left to do.
    Done(&'a Entry),
    /// A newer order has begun. The key that has it, if that is still known.
    Superseded(Order, Option<&'a Entry>),
    /// A newer period has begun.
    Past(&'a Entry),
    /// The lease of the work is to be acquired, and then the command may begin.
    MayRun {
        /// The attempts that failed no longer count.
        healed: bool,
    },
    /// The same, but first the instances that are to end what was begun at this key.
    After(&'a Entry),
    /// The same, after a pause.
    Pause(Duration, &'a Entry),
    /// All attempts have failed.
    Failed(&'a Entry),
    /// There is no such key to take back.
    Unknown,
}

impl History {
    /// The run of a period that an instance which started at `started` belongs to: the nearest,
    /// counted from the last one. So the clocks of two hosts may differ by nearly half a period,
    /// wherever in it the instances start.
    ///
    /// # Errors
    ///
    /// The newer one that has begun already.
    pub fn tick(&self, period: Duration, started: Moment) -> Result<Piece, &Entry> {
        let newest = self.entries.iter().filter_map(|entry| Some((entry.tick?, entry)));
        let newest = newest.max_by_key(|(tick, _)| *tick);
        let tick = match newest {
            Some((last, _)) if started.since(last).max(last.since(started)) < period / 2 => last,
            Some((last, entry)) if started < last => return Err(entry),
            Some(_) | None => started,
        };
        Ok(Piece { key: Key::of_tick(tick), order: None, tick: Some(tick) })
    }

    /// What an instance is to do.
    pub fn decide(
        &self,
        piece: &Piece,
        goal: Goal,
        rules: &Rules,
        instance: &Instance,
        look: &Look,
    ) -> Decision<'_> {
        match goal {
            Goal::Do => self.decide_do(piece, rules, instance, look),
            Goal::TakeBack => match self.entry(&piece.key) {
                None => Decision::Unknown,
                Some(entry) if matches!(entry.state, State::TakenBack { .. }) => {
                    Decision::Done(entry)
                }
                Some(_) => self.free(&piece.key, look, false),
            },
        }
    }

    /// Instances that were taking the key back come first. But an instance that would have nothing
    /// to do as the leader does not stand: it would lead and step down again and again.
    fn decide_do(
        &self,
        piece: &Piece,
        rules: &Rules,
        instance: &Instance,
        look: &Look,
    ) -> Decision<'_> {
        let taken_back = |open: &&Entry| open.key == piece.key && open.taking_back.is_some();
        match (
            self.open().filter(taken_back),
            self.decide_undisturbed(piece, rules, instance, look),
        ) {
            (Some(entry), Decision::Done(_) | Decision::MayRun { .. }) if !look.leading => {
                Decision::After(entry)
            }
            (_, decision) => decision,
        }
    }

    fn decide_undisturbed(
        &self,
        piece: &Piece,
        rules: &Rules,
        instance: &Instance,
        look: &Look,
    ) -> Decision<'_> {
        let entry = self.entry(&piece.key);
        if let Some(entry) = entry {
            let done = matches!(entry.state, State::Done { .. });
            if done && look.disproved != Some(entry.attempt.term) {
                // The order under which it was done: a newer one may have changed that again.
                let newer = self.newer_than(entry.order.or(piece.order));
                return match newer.filter(|_| rules.superseded == Superseded::Wait) {
                    Some(order) => Decision::Superseded(order, self.of_order(order)),
                    None => Decision::Done(entry),
                };
            }
        }
        if let Some(order) = self.newer_than(piece.order) {
            return Decision::Superseded(order, self.of_order(order));
        }
        let Some((entry, State::Failed { ended, failures, .. })) =
            entry.map(|entry| (entry, &entry.state))
        else {
            return self.free(&piece.key, look, false);
        };
        if *failures >= rules.max_attempts {
            return match rules.retry_after {
                RetryAfter::Time(after) if instance.started.since(*ended) > after => {
                    self.free(&piece.key, look, true)
                }
                RetryAfter::Time(_) | RetryAfter::Never => Decision::Failed(entry),
            };
        }
        let pause = pause(rules.retry_delay, *failures, instance.jitter);
        // The clock of the host where it failed may be ahead: then the own one counts.
        let passed = look.now.since(*ended).max(look.watched);
        match pause.checked_sub(passed).filter(|left| !left.is_zero()) {
            Some(left) => Decision::Pause(left, entry),
            None => self.free(&piece.key, look, false),
        }
    }

    /// Another key whose command was begun and has not ended comes first, until another one begins.
    fn free(&self, key: &Key, look: &Look, healed: bool) -> Decision<'_> {
        match self.open().filter(|open| open.key != *key && !look.leading) {
            Some(open) => Decision::After(open),
            None => Decision::MayRun { healed },
        }
    }

    fn newer_than(&self, order: Option<Order>) -> Option<Order> {
        self.order.filter(|highest| order.is_some_and(|order| *highest > order))
    }

    fn of_order(&self, order: Order) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.order == Some(order))
    }
}

/// Doubled with each failure, and up to a quarter shorter or longer.
fn pause(first: Duration, failures: u32, jitter: f64) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let longest = LONGEST_PAUSE.max(first);
    let pause = first.checked_mul(doubled.max(1)).unwrap_or(longest).min(longest);
    pause.mul_f64(0.75 + 0.5 * jitter.clamp(0.0, 1.0))
}
