//! bellwether: a leader-election sidecar.
//!
//! The floors, from the ground up: [`election`] is the pure core; [`store`] keeps lease records;
//! [`candidate`] drives one election; [`http`], [`command`] and [`metrics`] are the readers of its
//! [`election::leadership::Leadership`]; `config`, `cli` and `main` put them together. A lower
//! floor never imports an upper one (`tests/layers.rs`).

pub mod alarm;
pub mod candidate;
pub mod election;
pub mod metrics;
pub mod store;
