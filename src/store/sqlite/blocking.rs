//! System calls that may hang, away from the thread that answers.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs a system call that may hang on a thread of its own.
pub async fn blocking<T: Send + 'static, E>(
    operation: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    E: Send + 'static + From<Panicked>,
{
    match tokio::task::spawn_blocking(operation).await {
        Ok(result) => result,
        Err(_) => Err(E::from(Panicked)),
    }
}

/// The thread of a blocking call is gone: only when the runtime shuts down.
pub struct Panicked;

impl From<Panicked> for io::Error {
    fn from(_: Panicked) -> Self {
        io::Error::other("shutting down")
    }
}

/// What a thread that panicked leaves behind is used as it is.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
