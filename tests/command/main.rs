//! Leader-only commands under guard: real processes, real signals, real clocks.
//!
//! A test asserts what must hold (order, safety, nothing left), not how many milliseconds it took.
//! Commands write down the time of day since boot by themselves, so that a process that runs for
//! too long is its own witness.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod driver;
mod ends;
mod escapes;
mod faults;
mod leftovers;
mod passes;
mod scene;
