//! The Postgres store against real servers: what every store promises is in `tests/conformance`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod hosts;
mod proxy;
mod server;
mod signed;
mod stores;

mod clock;
mod docs;
mod drill;
mod durability;
mod failures;
mod fence;
mod logins;
mod moves;
mod obstacles;
mod promoted;
mod push;
mod rights;
mod rotation;
mod timelines;
mod tls;
