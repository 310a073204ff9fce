//! A session on a server that can keep a lease.

use super::session::Session;

/// A session, and the state that its server reported.
pub struct Opened {
    /// It was used for nothing else.
    pub session: Session,
    /// The reported state.
    pub server: ServerFacts,
}

/// The state of a server that accepts writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// Whether it reports its WAL timeline.
    pub reports_timeline: bool,
    /// The server's process for this session; of no use behind a pooler.
    pub pid: Option<u32>,
}
