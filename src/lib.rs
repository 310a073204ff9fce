//! bellwether: a leader-election sidecar.
//!
//! The floors, from the ground up: [`election`] is the pure core; [`store`] keeps lease records;
//! [`candidate`] drives one election; [`http`] and [`command`] read its
//! [`election::leadership::Leadership`]; [`client`] asks the answers of another process; [`config`]
//! and [`cli`] put them together. A lower floor never imports an upper one (`tests/layers.rs`).

pub mod alarm;
pub mod candidate;
pub mod cli;
pub mod client;
pub mod command;
pub mod config;
pub mod election;
pub mod fetch;
pub mod files;
pub mod gate;
pub mod health;
pub mod hold;
pub mod hooks;
pub mod host;
pub mod http;
pub mod identity;
pub mod logs;
pub mod metrics;
pub mod platform;
pub mod release;
pub mod store;
