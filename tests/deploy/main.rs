//! What is deployed: the image, the chart, the files for each platform, and the example.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, and print what they measured"
)]

mod alembic;
mod django;
mod image;
mod kubernetes;
mod platforms;
