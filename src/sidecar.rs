//! The composition root: turns checked settings into running parts, and ends them in order.

mod copies;
mod error;
mod gate;
mod hooks;
pub mod leader_stream;
mod limits;
pub mod pod;
mod signals;
mod start;

pub use error::StartError;
pub use hooks::RunningHooks;
pub use signals::{Ending, SignalRequest, Signals};
pub use start::{Listen, Sidecar, Start, check};
