//! The Kubernetes store on a real API server, alone and in one election with candidates of client-go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../dynamodb/emulator.rs"]
mod emulator;
#[path = "../dynamodb/encrypted.rs"]
mod encrypted;
#[path = "../dynamodb/proxy.rs"]
mod proxy;
#[path = "../kubernetes/render.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod render;

mod chart;
mod drill;
mod faults;
mod rights;
mod rival;
mod rivals;
mod server;
