//! bellwether: a leader-election sidecar.
//!
//! The floors, from the ground up: [`election`] is the pure core; [`store`] keeps lease records;
//! [`candidate`] drives one election; [`http`] and [`command`] read its
//! [`election::leadership::Leadership`]; [`client`] asks the answers of another process; [`config`]
//! and [`cli`] put them together. A lower floor never imports an upper one (`tests/layers.rs`).

pub mod api;
pub mod cli;
pub mod command;
pub mod config;
pub mod driver;
pub mod election;
pub mod files;
pub mod gate;
pub mod health;
pub mod hooks;
pub mod http;
pub mod http_client;
pub mod metrics;
pub mod platform;
pub mod store;
pub mod time;
