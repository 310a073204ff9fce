//! The stores: what every store promises, and what is special about each, on real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wrong_self_convention,
    reason = "tests fail by panicking, and print what they measured"
)]

mod conformance;
mod dynamodb;
mod faults;
mod leader_stream;
mod leases;
mod ports;
mod postgres;
