//! What an instance is for, what it needs, and what comes of it.

use std::io;
use std::time::Duration;

use crate::election::history::{
    Decision, Entry, Goal, History, Instance, Key, Look, Order, Piece, Rules, Superseded,
};
use crate::election::leadership::Tenure;
use crate::election::term::Term;
use crate::election::time::BootTime;

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A key.
    Key(Piece),
    /// The run of a period.
    Every(Duration),
}

/// What an instance is for, and its settings.
#[derive(Clone, Debug)]
pub struct Task {
    /// What is to be done.
    pub subject: Subject,
    /// Or taken back.
    pub goal: Goal,
    /// What decides.
    pub rules: Rules,
    /// The instance.
    pub instance: Instance,
    /// How long done keys are kept; none: as long as there is room.
    pub keep: Option<Duration>,
    /// Whether a command lists what is really done.
    pub checks: bool,
    /// When to stop waiting. A command that runs is not stopped.
    pub give_up_at: Option<BootTime>,
}

/// The commands, as the protocol needs them.
pub trait Runner: Send {
    /// Runs the command of a key under a leadership, until nothing of it is left.
    fn run(&mut self, key: &Key, tenure: Tenure) -> impl Future<Output = io::Result<Ended>> + Send;

    /// Runs the command that checks whether a key is really done: as part of an attempt under its
    /// leadership, and never longer.
    fn check(
        &mut self,
        key: &Key,
        attempt: Option<Tenure>,
    ) -> impl Future<Output = io::Result<Ended>> + Send;
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// On its own, or because it took too long.
    Exited {
        /// Its exit code, 128+n for a signal.
        code: u8,
        /// The last of its standard error, if that was kept.
        stderr: Option<String>,
    },
    /// It was made to end, or killed. How far it got is not known.
    Stopped,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// There is nothing left to do.
    Done(Entry),
    /// A newer order has begun: the key that has it, if that is still known.
    Superseded(Order, Option<Entry>),
    /// A newer period has begun.
    Past(Entry),
    /// All attempts have failed.
    Failed(Entry),
    /// The command could not be started here, or the way down failed: this instance does not try
    /// again.
    FailedHere {
        /// Which key.
        key: Key,
        /// The exit code.
        code: u8,
    },
    /// The command that checks cannot be started.
    CannotCheck(u8),
    /// There is no such key to take back.
    Unknown(Key),
    /// It was not done in time.
    GaveUp,
    /// This instance has left the election.
    Left,
}

/// What an instance does at the moment, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It reads the history, or checks.
    Looking,
    /// It waits for the lease; if it is known, for the command of this entry.
    Waiting(Option<Entry>),
    /// It waits before the next attempt, after the failure of this entry.
    Pausing(Entry, Duration),
    /// It waits until a newer order is taken back.
    Superseded(Order, Option<Entry>),
    /// Its command runs.
    Running(Key, Term),
    /// Its command has succeeded, and it checks that.
    Checking(Key, Term),
    /// Its command has ended, and that is not recorded yet.
    Recording(Key, Term, u8),
}

/// Exit codes of a command that could not be started: another try on the same host gets the
/// same.
pub const NOT_STARTED: [u8; 2] = [126, 127];

/// What an instance is to do next, by the history alone.
pub(super) enum Step<'a> {
    Settled(Settled),
    /// It has to check first.
    Check(Piece, &'a Entry),
    Decided(Piece, Decision<'a>),
}

impl Step<'_> {
    /// The key that is done, as far as the history says.
    pub(super) fn done(&self) -> Option<&Key> {
        match self {
            Self::Settled(Settled::Done(entry)) => Some(&entry.key),
            Self::Check(_, entry) => Some(&entry.key),
            Self::Settled(_) | Self::Decided(..) => None,
        }
    }
}

impl Task {
    /// What follows from the history, in these circumstances.
    pub(super) fn step<'a>(&self, history: &'a History, look: &Look) -> Step<'a> {
        let piece = match &self.subject {
            Subject::Key(piece) => Ok(piece.clone()),
            Subject::Every(period) => history.tick(*period, self.instance.started),
        };
        let piece = match piece {
            Ok(piece) => piece,
            Err(newer) => return Step::Settled(Settled::Past(newer.clone())),
        };
        match history.decide(&piece, self.goal, &self.rules, &self.instance, look) {
            Decision::Done(entry) if self.checks && self.goal == Goal::Do => {
                Step::Check(piece, entry)
            }
            Decision::Done(entry) => Step::Settled(Settled::Done(entry.clone())),
            Decision::Superseded(order, by) if self.rules.superseded != Superseded::Wait => {
                Step::Settled(Settled::Superseded(order, by.cloned()))
            }
            Decision::Past(newer) => Step::Settled(Settled::Past(newer.clone())),
            Decision::Failed(entry) => Step::Settled(Settled::Failed(entry.clone())),
            Decision::Unknown => Step::Settled(Settled::Unknown(piece.key)),
            decision => Step::Decided(piece, decision),
        }
    }
}

impl Subject {
    /// The key, if that is known without the history.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Key(piece) => Some(&piece.key),
            Self::Every(_) => None,
        }
    }
}

/// Reports that the end of a command is in no record.
pub fn report_lost(key: &Key, term: Term, code: u8) {
    tracing::error!(
        key = key.as_str(),
        term = term.get(),
        code,
        event = "outcome_lost",
        "the command has ended, but its outcome could not be recorded; it will run again"
    );
}
