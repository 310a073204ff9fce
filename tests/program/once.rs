//! `bellwether once`: work that is done once per key, across instances that start together, fail
//! and die.

mod check;
mod docs;
mod every;
mod keys;
mod limits;
mod releases;
mod reset;
mod scene;
mod server;
mod stderr;
mod words;
mod work;
