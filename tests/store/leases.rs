//! The Kubernetes store on a real API server, alone and in one election with candidates of client-go.

mod chart;
mod elections;
mod faults;
mod label;
mod once;
mod rights;
mod rival;
mod rivals;
