//! Writes: into the record, and into a resource that is fenced by its term.

use bellwether::election::lease::LeaseRecord;
use bellwether::election::term::Term;

use super::{FENCED, TERMS_RISE, Violation};

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
