//! What a leader's sidecar sends to the candidates that listen to its events.

use serde::{Deserialize, Serialize};

use crate::election::lease::{Listeners, Renewed, Version};
use crate::election::term::Term;

/// The type of the events that announce a renewal.
pub const RENEWAL: &str = "renewal";

/// Longer than any store's version.
const MAX_VERSION: usize = 256;

/// What matters to a candidate in an event. An older one reads a renewal as an event that says nothing new.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderEvent {
    /// Whether the sidecar that sends this leads.
    pub leader: bool,
    /// The last renewal, in an event of the type [`RENEWAL`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<Renewal>,
}

/// One renewal of the lease.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    term: u64,
    version: String,
    /// How many candidates there are; 0 from an older leader, which does not say.
    #[serde(default)]
    candidates: u32,
}

impl Renewal {
    /// The renewal that gave the record this version, in an election with so many candidates.
    pub fn of(term: Term, version: &Version, candidates: u32) -> Self {
        Self { term: term.get(), version: version.as_str().to_owned(), candidates }
    }

    /// None if no store has such a version.
    pub fn read(self) -> Option<Renewed> {
        let Self { term, version, candidates } = self;
        let is_one = !version.is_empty() && version.len() <= MAX_VERSION;
        let is_one = is_one && !version.chars().any(char::is_control);
        is_one.then(|| Renewed {
            term: Term::new(term),
            version: Version::new(version),
            listeners: match candidates {
                0 => Listeners::Unknown,
                some => Listeners::Candidates(some),
            },
        })
    }
}
