//! `bellwether once`: work that is done once per key, across instances that start together, fail
//! and die.
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

mod docs;
mod keys;
mod reset;
mod scene;
mod words;
mod work;
