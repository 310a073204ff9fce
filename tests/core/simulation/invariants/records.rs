//! Writes: into the record, and into a resource that is fenced by its term.

use std::collections::HashMap;

use bellwether::election::lease::LeaseRecord;
use bellwether::election::outcome::Outcome;
use bellwether::election::term::Term;

use super::{FENCED, OUTCOMES_KEPT, TERMS_RISE, Violation};

/// Identifies a process: its node, and the number of its start.
pub type Who = (usize, u32);

/// [`TERMS_RISE`]: a write replaced a record.
pub fn applied(before: Option<&LeaseRecord>, after: &LeaseRecord) -> Result<(), Violation> {
    let (term, holder) = before.map_or((Term::ZERO, None), |old| (old.term, old.holder.as_ref()));
    if after.term < term {
        let what = format!("term {} replaces term {term}", after.term);
        return Violation::found(TERMS_RISE, what);
    }
    match &after.holder {
        Some(new) if holder != Some(new) && after.term == term => {
            let what = format!("{new:?} takes over from {holder:?} in term {term}");
            Violation::found(TERMS_RISE, what)
        }
        _ => Ok(()),
    }
}

/// [`OUTCOMES_KEPT`].
#[derive(Debug, Default)]
pub struct Attempts {
    /// By the id of the attempt: who made it, and whether its outcome was written.
    told: HashMap<u64, (Who, bool)>,
}

impl Attempts {
    /// A process was notified how its attempt ended.
    pub fn ends(&mut self, who: Who, id: u64) {
        self.told.entry(id).or_insert((who, false));
    }

    /// The attempts of a process whose outcome is not written yet.
    fn pending(&self, who: Who) -> Option<u64> {
        let mine = |(_, told): &(&u64, &(Who, bool))| **told == (who, false);
        self.told.iter().find(mine).map(|(id, _)| *id)
    }

    pub fn nothing_pends(&self, who: Who) -> Result<(), Violation> {
        match self.pending(who) {
            Some(id) => {
                let what = format!("the outcome of attempt {id} is not written");
                Violation::found(OUTCOMES_KEPT, what)
            }
            None => Ok(()),
        }
    }

    /// A write is on its way: nothing is begun or given up before the outcome is written.
    pub fn sends(&self, who: Who, begins: bool, record: &LeaseRecord) -> Result<(), Violation> {
        let written = record.outcome.as_ref().and_then(|outcome| outcome.started.parse().ok());
        match &record.holder {
            Some(_) if !begins => Ok(()),
            None if self.pending(who) == written => Ok(()),
            _ => self.nothing_pends(who),
        }
    }

    /// A write of `who` was applied.
    pub fn applied(
        &mut self,
        who: Who,
        before: Option<&LeaseRecord>,
        after: &LeaseRecord,
    ) -> Result<(), Violation> {
        let bad = |what: String| Violation::found(OUTCOMES_KEPT, what);
        let old = before.and_then(|record| record.outcome.as_deref());
        let new = after.outcome.as_deref();
        if old.is_some_and(|old| old.succeeded) && after.holder.is_some() {
            return bad(format!("n{} takes the record of work that is done", who.0));
        }
        if old != new {
            let Some(new) = new else { return bad("an outcome is forgotten".to_owned()) };
            self.written(who, old, new)?;
        }
        // Others have lost the record, and with it the outcomes of their attempts.
        self.told.retain(|_, (whose, written)| *written || *whose == who);
        Ok(())
    }

    fn written(&mut self, who: Who, old: Option<&Outcome>, new: &Outcome) -> Result<(), Violation> {
        let bad = |what: String| Violation::found(OUTCOMES_KEPT, what);
        let id: u64 = new.started.parse().unwrap();
        if self.told.insert(id, (who, true)).is_some_and(|(_, written)| written) {
            return bad(format!("the outcome of attempt {id} is written twice"));
        }
        let counted = old.map_or(0, |old| old.attempts) + 1;
        if new.attempts != counted {
            return bad(format!("attempt {counted} is counted as {}", new.attempts));
        }
        Ok(())
    }
}

/// Whether the holder is this process.
pub fn is(holder: &bellwether::election::lease::Candidate, (node, life): Who) -> bool {
    // A process that considers itself a copy continues under a name with a point in it.
    let incarnation = holder.incarnation.split('.').next();
    holder.identity == format!("n{node}") && incarnation == Some(life.to_string().as_str())
}

/// [`FENCED`]: a resource that accepts no write of a term older than the newest that it accepted.
#[derive(Debug, Default)]
pub struct Fence {
    newest: Option<(Term, Who)>,
}

impl Fence {
    /// A write of `who` arrives, who believes in a term at this moment, or in none. Whether it is
    /// taken.
    pub fn takes(
        &mut self,
        who: Who,
        term: Term,
        believes: Option<Term>,
    ) -> Result<bool, Violation> {
        match self.newest {
            Some((newest, writer)) if newest == term && writer != who => {
                let what = format!("{who:?} and {writer:?} both write under term {term}");
                Violation::found(FENCED, what)
            }
            Some((newest, _)) if term < newest && believes == Some(term) => {
                let what = format!("the leader of term {term} is refused after term {newest}");
                Violation::found(FENCED, what)
            }
            Some((newest, _)) if term < newest => Ok(false),
            _ => {
                self.newest = Some((term, who));
                Ok(true)
            }
        }
    }
}
