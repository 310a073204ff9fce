//! The election itself, pure: who may lead, since when, and until when.
//!
//! Nothing in here does I/O, spawns, logs or waits. The [`elector`] is a state machine that is
//! handed a time and an event and gives back what to do next; [`crate::driver`] joins it to a
//! store and a clock, and the simulation joins the very same machine to a made-up world.
//!
//! # The model of time
//!
//! Every decision compares readings of one clock of one host, `CLOCK_BOOTTIME`, which counts on
//! while the machine is suspended and is never stepped. No two hosts' clocks are ever compared:
//! the holder counts its belief from *before* it sent a write, a rival counts the lease from
//! *after* it received what it saw, and the gap between the renew deadline and the lease duration
//! ([`timing`]) absorbs clocks that run at different rates.

pub mod continuity;
pub mod duration;
pub mod elector;
pub mod grace;
pub mod leadership;
pub mod lease;
pub mod outcome;
pub mod term;
pub mod text;
pub mod time;
pub mod timing;
pub mod watch;
pub mod work;
