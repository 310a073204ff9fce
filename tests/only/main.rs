//! The commands beside a sidecar, with real processes: `only` and its holds, the questions, and
//! what people look at.
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

mod access;
mod beside;
mod commands;
mod holds;
mod questions;
mod scene;
mod tools;
