//! The changes of leadership that are remembered, for every reader of `/events` at its own place.
//!
//! # Ids
//!
//! `EPOCH-NUMBER`: the epoch is random and new for each process start, the numbers count the
//! changes of all elections together. So an id of one stream can be resumed from on any other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::election::change::Cause;
use crate::election::leadership::Leadership;
use crate::election::lease::ElectionName;
use crate::election::pause::Pause;
use crate::election::term::Term;
use crate::election::time::{BootTime, Clock};
use crate::time::clock::HostClock;

/// Changes remembered of one election: at the default lease of 15 s an hour of nothing but crashes.
const REMEMBERED: usize = 256;

/// Changes remembered in all. At half a kilobyte each they fill four megabytes, and with many
/// elections fewer are remembered of each.
const REMEMBERED_IN_ALL: usize = 8 * 1024;

/// The changes that are remembered. Clones share them.
#[derive(Clone)]
pub(super) struct Events(Arc<Log>);

struct Log {
    epoch: String,
    past: Mutex<Past>,
    /// The number of the last change, to wait for the next.
    last: watch::Sender<u64>,
    is_over: AtomicBool,
}

struct Past {
    last: u64,
    /// How many changes are remembered of each election.
    room: usize,
    elections: BTreeMap<ElectionName, VecDeque<Change>>,
}

struct Change {
    number: u64,
    /// When it was noted, by the wall clock. For people.
    noted: String,
    state: Seen,
    /// What `/leader` said then, with `name` and `last_update`.
    text: Box<str>,
}

/// What a change is a change of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    holder: Option<String>,
    term: Option<Term>,
    leader: bool,
    /// It does not lead any more, and still has the lease: when it is freed, the others can claim it.
    draining: bool,
    /// Why no instance is known to lead, if that is so.
    vacant: Option<Cause>,
    paused: Option<Pause>,
}

impl Seen {
    /// The state of an election, as a view shows it.
    pub(super) fn at(view: &Leadership, now: BootTime) -> Self {
        Self {
            holder: view.holder(now).map(|holder| holder.identity.clone()),
            term: view.term(),
            leader: view.is_leading(now),
            draining: view.draining(now).is_some(),
            vacant: view.holder(now).is_none().then(|| view.change(now).cause),
            paused: view.paused(now).cloned(),
        }
    }

    fn name(&self) -> &str {
        self.holder.as_deref().unwrap_or_default()
    }
}

impl Events {
    /// Nothing noted yet, for so many elections.
    pub(super) fn of(elections: usize) -> Self {
        let past = Past {
            last: 0,
            room: REMEMBERED.min(REMEMBERED_IN_ALL / elections.max(1)),
            elections: BTreeMap::new(),
        };
        let epoch = uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect();
        Self(Arc::new(Log {
            epoch,
            past: Mutex::new(past),
            last: watch::Sender::new(0),
            is_over: AtomicBool::new(false),
        }))
    }

    /// Notes the state of an election, if that is a change. `text` gives the message about it, for
    /// the time that it is noted at.
    pub(super) fn note(
        &self,
        election: &ElectionName,
        state: Seen,
        text: impl FnOnce(&str) -> Option<String>,
    ) {
        let mut past = self.past();
        let known = past.elections.get(election).and_then(VecDeque::back);
        if known.is_some_and(|change| change.state == state) {
            return;
        }
        let noted = HostClock.now().wall.to_string();
        let Some(text) = text(&noted) else { return };
        past.last += 1;
        let (number, room) = (past.last, past.room);
        let changes = past.elections.entry(election.clone()).or_default();
        if changes.len() >= room {
            changes.pop_front();
        }
        changes.push_back(Change { number, noted, state, text: text.into() });
        drop(past);
        self.0.last.send_replace(number);
    }

    /// The last change of an election, with the message about it as `text` gives it now.
    pub(super) fn latest(
        &self,
        election: &ElectionName,
        text: impl FnOnce(&str) -> Option<String>,
    ) -> Option<(u64, Notification)> {
        let past = self.past();
        let change = past.elections.get(election)?.back()?;
        let (name, noted) = (change.state.name().to_owned(), change.noted.clone());
        Some((change.number, Notification { text: text(&noted)?, name, noted }))
    }

    /// The number of the last change of all.
    pub(super) fn last(&self) -> u64 {
        self.past().last
    }

    /// No more changes come: readers end after the last one.
    pub(super) fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        self.0.last.send_modify(|_| ());
    }

    /// Whether no more changes come.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    /// To wait for the next change.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }

    /// The first change after `number`, of one election or of all.
    pub(super) fn after(
        &self,
        election: Option<&ElectionName>,
        number: u64,
    ) -> Option<(u64, Notification)> {
        let past = self.past();
        let next = |changes: &'_ VecDeque<Change>| {
            changes.partition_point(|change| change.number <= number)
        };
        let change = match election {
            Some(election) => {
                let changes = past.elections.get(election)?;
                changes.get(next(changes))
            }
            None => {
                let of_each = past.elections.values();
                let nexts = of_each.filter_map(|changes| changes.get(next(changes)));
                nexts.min_by_key(|change| change.number)
            }
        }?;
        let name = change.state.name().to_owned();
        let notification =
            Notification { text: change.text.to_string(), name, noted: change.noted.clone() };
        Some((change.number, notification))
    }

    /// The number that an id means, if it is of this process.
    pub(super) fn number_of(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.rsplit_once('-')?;
        let number = number.parse().ok()?;
        (epoch == self.0.epoch && number <= self.past().last).then_some(number)
    }

    /// The id of a change.
    pub(super) fn id_of(&self, number: u64) -> String {
        format!("{}-{number}", self.0.epoch)
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.0.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is to tell of a change.
pub(super) struct Notification {
    pub(super) text: String,
    pub(super) name: String,
    pub(super) noted: String,
}
