//! The chart and the page about Kubernetes, by Kubernetes' own tools; and how a pod ends.
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

#[path = "../postgres/server.rs"]
mod server;

mod chart;
mod docs;
mod ends;
mod kustomize;
mod pods;
mod render;
