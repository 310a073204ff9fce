//! The chart on a real cluster: Kubernetes' own programs, kubelet, containerd and runc, on one node.
//!
//! `make test-cluster` installs what it needs and runs it. It needs root, for namespaces and containers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

mod node;
mod place;
mod world;

mod faults;
mod found;
mod job;
mod life;
mod page;
