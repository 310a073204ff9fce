//! The commands beside a sidecar, with real processes: `only` and its holds, the questions, and
//! what people look at.

mod access;
mod beside;
mod commands;
mod holds;
mod questions;
pub mod scene;
mod tools;
