//! The Postgres store against real servers: what every store promises is in `tests/store/conformance`.

mod hosts;
mod stores;

mod clock;
mod docs;
mod durability;
mod elections;
mod failures;
mod fence;
mod logins;
mod moves;
mod obstacles;
mod once;
mod promoted;
mod push;
mod rights;
mod rotation;
mod timelines;
mod tls;
mod together;
