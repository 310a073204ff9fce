//! The JSON of a sidecar, and a client for it.

pub mod client;
pub mod hold;
pub mod leader;
pub mod renewal;
