//! DynamoDB behind a proxy that does harm: single calls, whole elections, real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, and print what they counted"
)]

#[path = "../support/mod.rs"]
mod support;

mod emulator;
mod encrypted;
mod issuer;
mod proxy;

mod answers;
mod calls;
mod credentials;
mod crowd;
mod dates;
mod descriptors;
mod drill;
mod fence;
mod messages;
mod once;
mod paused;
mod recovery;
mod tls;
mod wall_clocks;
