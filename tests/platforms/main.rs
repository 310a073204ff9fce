//! The files of deploy/ for ECS, Elastic Beanstalk and Compose: checked by the tools of each, and
//! played with real processes in the order in which each platform starts and stops them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, and print what they measured"
)]

#[path = "../dynamodb/emulator.rs"]
mod emulator;
#[path = "../postgres/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

mod field;
mod instance;
mod podman;
mod template;
mod tools;

mod beanstalk;
mod compose;
mod cron;
mod docs;
mod ecs;
mod ecs_files;
mod systemd;
