//! The text by which a writer notifies other candidates of what it wrote, where a store carries such texts:
//! the notifications of Postgres, and the bell of SQLite.
//!
//! A wrong text makes no candidate lead beside the holder. A swap decides, and no text can name a state with a holder
//! as vacated: see [`state`]. For renewals: rule `announced-renewal`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::contract::{Hint, Hints, Notifier};
use crate::election::handover::Handover;
use crate::election::lease::{ElectionName, LeaseRecord, Listeners, Renewed, Vacated, Version};
use crate::election::term::Term;

/// Marks a renewal.
const RENEWED: &str = "renewed";

/// Begins the names of states without a holder.
const FREE: &str = "free-";

/// A new name for a state of the record. Texts are public: each role of a Postgres database can read and write them. So
/// the names of states that a candidate may claim at once differ from those that it may not.
pub fn state(record: &LeaseRecord) -> String {
    let id = Uuid::new_v4();
    if record.is_free() { format!("{FREE}{id}") } else { id.to_string() }
}

/// The text for a write that vacates a lease and leaves nothing else to know about the record: what is before
/// its version in the text, and what is after it. For another change the text is the election.
pub fn vacated(election: &str, record: &LeaseRecord) -> Option<(String, String)> {
    let handover = record.stored_handover().map(|text| format!(" {text}")).unwrap_or_default();
    record.is_free().then(|| (format!("{election} {} ", record.term), handover))
}

/// The text for a renewal. After it, and a space, comes the number of sessions that receive it, if it is known.
pub fn renewed(election: &str, term: Term, version: &Version) -> String {
    format!("{election} {RENEWED} {term} {}", version.as_str())
}

/// The election that a text is about, and what happened to its record.
pub fn read(text: &str) -> (&str, Hint) {
    let mut words = text.splitn(4, ' ');
    let election = words.next().unwrap_or_default();
    let kind = words.next();
    if kind == Some(RENEWED) {
        let term = words.next().and_then(|term| term.parse().ok());
        let renewed = term.zip(words.next()).map(|(term, rest)| read_renewed(term, rest));
        return (election, renewed.map_or(Hint::Changed, Hint::Renewed));
    }
    let term = kind.and_then(|term| term.parse().ok());
    let hint = match (term, words.next()) {
        (Some(term), Some(version)) if version.starts_with(FREE) => Hint::Vacated(Vacated {
            term,
            version: Version::new(version),
            handover: words.next().and_then(|text| Handover::from_store(text, term)),
        }),
        _ => Hint::Changed,
    };
    (election, hint)
}

fn read_renewed(term: Term, rest: &str) -> Renewed {
    let (version, listeners) = rest.split_once(' ').unwrap_or((rest, ""));
    let listeners = listeners.parse().map_or(Listeners::Unknown, Listeners::Sessions);
    Renewed { term, version: Version::new(version), listeners }
}

/// Passes hints on to the elections of this process.
#[derive(Debug, Default)]
pub struct Notifiers(Mutex<BTreeMap<ElectionName, Notifier>>);

impl Notifiers {
    /// Hints about this election.
    pub fn hints(&self, election: &ElectionName) -> Hints {
        self.all().entry(election.clone()).or_default().hints()
    }

    /// Passes on what a text says.
    pub fn notify(&self, text: &str) {
        let (election, hint) = read(text);
        self.notify_of(election, &hint);
    }

    /// Passes on what happened to the record of this election.
    pub fn notify_of(&self, election: &str, hint: &Hint) {
        for (name, notifier) in self.all().iter() {
            if name.as_str() == election {
                notifier.notify(hint.clone());
            }
        }
    }

    /// Texts may have been missed: every record may have changed.
    pub fn notify_missed(&self) {
        self.all().values().for_each(|notifier| notifier.notify(Hint::Missed));
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ElectionName, Notifier>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hints have no equality, because records have none.
    fn shown(notification: (&str, Hint)) -> String {
        format!("{notification:?}")
    }

    fn read(payload: &str) -> String {
        shown(super::read(payload))
    }

    #[test]
    fn notifications_are_read_whatever_they_say() {
        let version = Version::new("free-state@00000001");
        let vacated = Vacated { term: Term::new(7), version, handover: None };
        for rest in ["", " {\"term\":6}", " nonsense"] {
            let payload = format!("default 7 free-state@00000001{rest}");
            let expected = ("default", Hint::Vacated(vacated.clone()));
            assert_eq!(read(&payload), shown(expected), "{rest}");
        }
        let text = r#"{"term":7,"order":3,"successor":"web 2"}"#;
        let handover = Handover::from_store(text, Term::new(7));
        assert!(handover.is_some());
        let payload = format!("default 7 free-state@00000001 {text}");
        let expected = ("default", Hint::Vacated(Vacated { handover, ..vacated }));
        assert_eq!(read(&payload), shown(expected));
        for (payload, election) in [
            ("default", "default"),
            ("once/v1.2", "once/v1.2"),
            ("default x y", "default"),
            // The version of a state with a holder, or of an older release.
            ("default 7 state@00000001", "default"),
            ("default 7", "default"),
            ("", ""),
        ] {
            assert_eq!(read(payload), shown((election, Hint::Changed)), "{payload}");
        }
        let renewed = Renewed {
            term: Term::new(7),
            version: Version::new("state@00000001"),
            listeners: Listeners::Sessions(12),
        };
        let payload = "default renewed 7 state@00000001 12";
        assert_eq!(read(payload), shown(("default", Hint::Renewed(renewed.clone()))));
        for unknown in ["", " ", " x", " -1", " 4294967296"] {
            let payload = format!("default renewed 7 state@00000001{unknown}");
            let of_some = Renewed { listeners: Listeners::Unknown, ..renewed.clone() };
            assert_eq!(read(&payload), shown(("default", Hint::Renewed(of_some))), "{payload}");
        }
        for payload in ["default renewed", "default renewed x y", "default renewed 7"] {
            assert_eq!(read(payload), shown(("default", Hint::Changed)), "{payload}");
        }
    }
}
