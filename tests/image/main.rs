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
#[path = "../kubernetes/render.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod render;
#[path = "../postgres/server.rs"]
mod server;
#[path = "../postgres/signed.rs"]
mod signed;

mod alone;
mod build;
mod container;
mod parts;
mod runtime;
