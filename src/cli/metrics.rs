//! The counters of a process, with those of its log.

use super::exit::CommandError;
use super::logging;
use crate::config::ElectionConfig;
use crate::metrics::Metrics;
use crate::time::clock::HostClock;

/// Everything at zero.
pub(super) fn of(config: &ElectionConfig) -> Result<Metrics, CommandError> {
    let unavailable = |error: prometheus::Error| CommandError::Unavailable(error.to_string());
    let kind = config.store.url.kind();
    let metrics = Metrics::new(kind, &config.timing, HostClock::boot()).map_err(unavailable)?;
    logging::count_in(&metrics).map_err(unavailable)?;
    Ok(metrics)
}
