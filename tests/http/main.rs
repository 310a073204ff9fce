//! What a sidecar answers over HTTP, to many and to the ill-behaved: several elections in one
//! process, events, the answers of older sidecars, and limits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

#[path = "../postgres/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

mod crowd;
mod elections;
mod elector;
mod events;
mod limits;
mod many;
mod query;
