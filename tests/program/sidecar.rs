//! What a sidecar has to do with its surroundings: who it is, whether the application beside it is
//! well, and which programs it notifies of changes. Real processes, and services that speak the real protocols.

mod app;
mod clock;
mod docs;
mod gate_command;
mod gate_container;
mod gate_url;
mod hooks;
mod identity;
mod leaves;
mod namespace;
mod service;
mod starts;
