//! The program as a whole: real processes, real signals, real clocks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking, and print what they measured"
)]

mod cli;
mod command;
mod docs;
mod drill;
mod fuzz;
mod http;
mod metrics;
mod once;
mod only;
mod openapi;
mod page;
mod pause;
mod sidecar;
mod status;
mod voice;
