//! `bellwether once`: work that is done once per key, across instances that start together, fail
//! and die.

mod docs;
mod keys;
mod reset;
mod scene;
mod words;
mod work;
