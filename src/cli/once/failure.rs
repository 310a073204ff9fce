//! Why `once` cannot do its work.

use crate::cli::exit::CommandError;
use crate::once::Broken;
use crate::sidecar::StartError;
use crate::time::alarm::Alarm;

/// The history cannot be used, or no process can be started.
pub(super) fn cannot(broken: &Broken) -> CommandError {
    CommandError::Unavailable(broken.to_string())
}

/// A timer.
pub(super) fn alarm() -> Result<Alarm, CommandError> {
    Alarm::new().map_err(|error| StartError::Timer(error).into())
}
