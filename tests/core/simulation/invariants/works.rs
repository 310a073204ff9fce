//! Work that is done once: its commands, and what its history says of them.

use std::collections::{HashMap, HashSet};

use bellwether::election::history::{Entry, Goal, History, Key, Order, State};
use bellwether::election::term::Term;

use bellwether::once::Settled;

use super::records::Who;
use super::{BEGUN_BEFORE, IN_ORDER, OUTCOMES_KEPT, Violation};
use crate::simulation::host::{End, Run};

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Runs,
    /// It was made to end: it may be run again in the same term.
    Stopped,
    Ended {
        succeeded: bool,
    },
}

/// What really happened to the commands of a work.
#[derive(Debug, Default)]
pub struct Commands {
    /// By the term, which has one command at a time.
    begun: HashMap<Term, (Run, Fate)>,
    /// Keys whose success is recorded, and was not taken back.
    done: HashSet<String>,
    /// The highest order whose command has begun, and was not taken back.
    highest: Option<Order>,
    /// Ends that their processes saw, and that are not recorded.
    pending: HashMap<Who, Term>,
    /// Keys that were done, or taken back, at some time.
    ever: HashSet<(String, bool)>,
    /// The highest order that the history has ever had.
    ever_highest: Option<Order>,
}

impl Commands {
    /// A command starts. The history is as the store has it.
    pub fn starts(&mut self, run: &Run, history: &History) -> Result<(), Violation> {
        let Run { key, goal, term } = run;
        let entry = history.entry(key);
        let attempt = entry.and_then(|entry| match goal {
            Goal::Do => matches!(entry.state, State::Begun { .. }).then_some(&entry.attempt),
            Goal::TakeBack => entry.taking_back.as_ref(),
        });
        if attempt.map(|attempt| attempt.term) != Some(*term) {
            let what = format!("{key} starts in term {term}, and the history says {entry:?}");
            return Violation::found(BEGUN_BEFORE, what);
        }
        if *goal == Goal::Do {
            if self.done.contains(key.as_str()) {
                return Violation::found(OUTCOMES_KEPT, format!("{key} is done, and starts again"));
            }
            let order = entry.and_then(|entry| entry.order);
            if self.highest > order {
                let what = format!("{key} starts after order {:?}", self.highest);
                return Violation::found(IN_ORDER, what);
            }
            self.highest = self.highest.max(order);
        }
        let before = self.begun.insert(*term, (run.clone(), Fate::Runs));
        if before.is_some_and(|(_, fate)| fate == Fate::Runs) {
            return Violation::found(BEGUN_BEFORE, format!("two commands run in term {term}"));
        }
        Ok(())
    }

    /// A command has ended, known or not.
    pub fn ended(&mut self, term: Term, end: End) {
        if let Some((_, fate)) = self.begun.get_mut(&term) {
            *fate = match end {
                End::Own { succeeded } => Fate::Ended { succeeded },
                End::Stopped => Fate::Stopped,
            };
        }
    }

    /// A process saw how its command ended.
    pub fn seen(&mut self, who: Who, term: Term) {
        self.pending.insert(who, term);
    }

    /// An instance found that nothing is left to do for a key of an order.
    pub fn settles(
        &self,
        (key, goal, order): (&Key, Goal, Order),
        settled: &Settled,
    ) -> Result<(), Violation> {
        let true_to = match settled {
            Settled::Done(_) => self.ever.contains(&(key.as_str().to_owned(), goal == Goal::Do)),
            Settled::Superseded(newer, _) => *newer > order && Some(*newer) <= self.ever_highest,
            _ => true,
        };
        match true_to {
            true => Ok(()),
            false => {
                Violation::found(OUTCOMES_KEPT, format!("{key} {goal:?} settles: {settled:?}"))
            }
        }
    }

    /// A process frees the lease of a term that it still has.
    pub fn vacates(&self, who: Who, term: Term) -> Result<(), Violation> {
        if self.pending.get(&who) == Some(&term) {
            let what = format!("term {term} is vacated before the end of its command is recorded");
            return Violation::found(OUTCOMES_KEPT, what);
        }
        Ok(())
    }

    /// A write of the history was applied, by the leader of a term.
    pub fn applied(
        &mut self,
        before: &History,
        after: &History,
        writer: Term,
    ) -> Result<(), Violation> {
        for entry in after.entries() {
            let old = before.entry(&entry.key);
            if old != Some(entry) {
                self.changed(old, entry, writer)?;
            }
        }
        self.ever_highest = self.ever_highest.max(after.order());
        if after.order() < before.order() {
            self.highest = after.order();
        }
        Ok(())
    }

    fn changed(&mut self, old: Option<&Entry>, new: &Entry, writer: Term) -> Result<(), Violation> {
        let bad = |what: &str| {
            Violation::found(OUTCOMES_KEPT, format!("{what}: {old:?} becomes {new:?}"))
        };
        let (key, term) = (&new.key, new.attempt.term);
        let old_attempt = old.map(|old| &old.attempt);
        match new.state {
            State::Begun { .. } => {
                if self.done.contains(key.as_str()) {
                    return bad("what is done is begun");
                }
                // The end of the attempt before is not to be recorded any more.
                self.pending.clear();
            }
            State::Done { .. } | State::Failed { .. } => {
                if old_attempt != Some(&new.attempt) {
                    return bad("an end without its begin");
                }
                let was_open = old.is_some_and(|old| matches!(old.state, State::Begun { .. }));
                if was_open {
                    let success = matches!(new.state, State::Done { .. });
                    self.is_true(term, key, Goal::Do, success)?;
                    if success {
                        self.done.insert(key.as_str().to_owned());
                        self.ever.insert((key.as_str().to_owned(), true));
                    }
                    self.pending.retain(|_, pending| *pending != term);
                } else if new.taking_back.is_none() {
                    let taking_back = old.and_then(|old| old.taking_back.as_ref());
                    let Some(attempt) = taking_back else { return bad("an end from nowhere") };
                    if writer == attempt.term {
                        self.is_true(attempt.term, key, Goal::TakeBack, false)?;
                    } else if !self.is_over(attempt.term) {
                        return bad("it is given up, and it runs");
                    }
                    self.pending.retain(|_, pending| *pending != attempt.term);
                } else {
                    self.pending.clear();
                }
            }
            State::TakenBack { .. } => {
                self.is_true(term, key, Goal::TakeBack, true)?;
                self.done.remove(key.as_str());
                self.ever.insert((key.as_str().to_owned(), false));
                self.pending.retain(|_, pending| *pending != term);
            }
        }
        Ok(())
    }

    /// No command of that term runs.
    fn is_over(&self, term: Term) -> bool {
        self.begun.get(&term).is_none_or(|(_, fate)| *fate != Fate::Runs)
    }

    /// What the history says of a command is what it did.
    fn is_true(&self, term: Term, key: &Key, goal: Goal, success: bool) -> Result<(), Violation> {
        let known = self.begun.get(&term);
        let same = |(run, fate): &(Run, Fate)| {
            run.key == *key && run.goal == goal && *fate == Fate::Ended { succeeded: success }
        };
        if known.is_some_and(same) {
            return Ok(());
        }
        let what = format!("{key}, term {term}, success {success}: it was {known:?}");
        Violation::found(OUTCOMES_KEPT, what)
    }
}
