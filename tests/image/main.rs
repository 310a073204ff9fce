//! The image: what is in it, and that the binary needs nothing else.
//!
//! Needs root, to enter a folder as if it were all there is (in a container, that is the default).
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
#[path = "../dynamodb/encrypted.rs"]
mod encrypted;
#[path = "../postgres/server.rs"]
mod server;
#[path = "../postgres/signed.rs"]
mod signed;

mod alone;
mod build;
mod container;
mod parts;
