//! Output that cannot block, be forged, or reveal secrets.
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

#[path = "../dynamodb/emulator.rs"]
mod emulator;
#[path = "../postgres/server.rs"]
mod server;

mod hostile;
mod jammed;
mod reasons;
mod secrets;
