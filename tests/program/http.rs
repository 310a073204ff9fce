//! What a sidecar answers over HTTP, to many and to the ill-behaved: several elections in one
//! process, events, the answers of older sidecars, and limits.

mod advertise;
mod causes;
mod crowd;
mod elections;
mod elector;
mod events;
mod limits;
mod many;
mod query;
