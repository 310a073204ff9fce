//! The history of a work: which of its keys are done, which failed, and which newer one has begun.
//!
//! Pure. It is the payload of a record of its own, beside the lease of the work. Only the holder of
//! the lease changes it, with a compare-and-swap: at the start and at the end of each attempt, and when
//! it finds a key done that an interrupted attempt was taking back. So an attempt without an end was
//! interrupted. And the end of an attempt whose lease was lost cannot replace the start of the next one.
//!
//! The times in it are readings of wall clocks. They decide about pauses, retention and periods,
//! never about a lease.

mod bounds;
mod decision;
mod encoding;
mod entry;
mod names;
mod transitions;

pub use bounds::{MAX_BYTES, MAX_KEYS};
pub use decision::{Decision, Instance, Look, RetryAfter, Rules, Superseded};
pub use encoding::Unreadable;
pub use entry::{Attempt, CLOCKS_DIFFER, End, Entry, Goal, Moment, Order, Piece, State};
pub use names::{InvalidText, Key, MAX_TEXT, WorkName, is_stored_text};
pub use transitions::History;

#[cfg(test)]
mod tests;
