//! bellwether: a leader-election sidecar.
//!
//! The floors, from the ground up: [`election`] is the pure core; [`store`] keeps lease records;
//! [`driver`] drives one election; [`http`] and [`command`] read its
//! [`election::leadership::Leadership`]; [`api`] is the JSON between sidecar and commands; [`config`] checks
//! the settings, [`sidecar`] puts the parts together, [`cli`] is the commands. A lower floor never imports
//! an upper one, and no two files import each other (`tests/repo/layers.rs`).
//!
//! This is no API: the library exists for the program and its tests, and all of it may change in any version.
//! What is kept stable is the program: its commands, its exit codes and its answers over HTTP.

pub mod api;
pub mod cli;
pub mod command;
pub mod config;
pub mod driver;
pub mod election;
pub mod gate;
pub mod health;
pub mod hooks;
pub mod http;
pub mod http_client;
pub mod leader_label;
pub mod metrics;
pub mod once;
pub mod platform;
pub mod sidecar;
pub mod store;
pub mod time;
