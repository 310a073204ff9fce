//! What the tree says of itself: its layers, its pages, its reference, and what a release is made of.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, and print what they measured"
)]

mod docs;
mod layers;
mod reference;
mod release;
mod test_command;
