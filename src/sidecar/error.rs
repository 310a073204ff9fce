//! Why a sidecar cannot start.

use std::io;
use std::net::SocketAddr;

use super::limits::TooFew;
use crate::store::StoreError;

/// Why a sidecar cannot start, in words for a person.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system has no timer to spare.
    #[error("cannot create a timer: {0}; raise the open-file limit (ulimit -n, LimitNOFILE)")]
    Timer(#[source] io::Error),
    /// The system delivers no signals.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
    /// The address is in use, not this host's, or not allowed.
    #[error("{}", cannot_listen(*.address, .error))]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The reason.
        error: io::Error,
    },
    /// A metric is there twice.
    #[error("cannot count: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The store needs an operator.
    #[error(transparent)]
    Store(StoreError),
    /// Too few files may be open.
    #[error(transparent)]
    Files(#[from] TooFew),
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use by another process; stop it, or choose another with --listen"
        ),
        _ => format!("cannot listen on {address}: {error}; choose another address with --listen"),
    }
}
