//! Every "yes" that was given, checked against all others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bellwether::election::time::BootTime;
use serde_json::Value;

/// The yes of both sidecars.
#[derive(Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    yes: u64,
    terms: HashMap<(String, u64), Term>,
}

/// A term that had a leader.
struct Term {
    leader: String,
    /// When the first yes under it had arrived.
    began: BootTime,
}

impl Ledger {
    /// Notes a yes. A term has one leader, and no yes under an older term was requested after a yes
    /// under a newer one had arrived.
    pub fn yes(&self, state: &Value, sent: BootTime, answered: BootTime) {
        let (election, identity) = (text(&state["election"]), text(&state["identity"]));
        let number = state["term"].as_u64().expect("who leads has a term");
        assert_eq!(state["holderIdentity"], identity, "who leads is named");
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.yes += 1;
        for newer in number + 1.. {
            let Some(term) = book.terms.get(&(election.clone(), newer)) else { break };
            assert!(sent <= term.began, "yes under term {number}, after one under {newer}");
        }
        let term = Term { leader: identity.clone(), began: answered };
        let term = book.terms.entry((election, number)).or_insert(term);
        assert_eq!(term.leader, identity, "two leaders of term {number}");
    }

    /// How many there were, and in how many terms.
    pub fn sum(&self) -> (u64, usize) {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (book.yes, book.terms.len())
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
