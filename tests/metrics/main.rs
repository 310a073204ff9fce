//! What the program tells Prometheus, and everything that relies on it: the documentation, the
//! dashboard and the alert rules, each checked against what real sidecars expose.
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

mod alerts;
mod counts;
mod dashboard;
mod docs;
mod exposition;
mod many;
mod output;
mod promql;
mod scene;
mod scraped;
mod tools;
