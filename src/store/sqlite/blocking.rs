//! System calls that may hang, away from the thread that answers.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs a system call that may hang on a thread of its own.
///
/// # Errors
///
/// When that thread is gone: only when the runtime shuts down.
pub async fn blocking<T: Send + 'static>(
    operation: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(operation).await;
    done.map_err(|_| io::Error::other("shutting down"))
}

/// What a thread that panicked leaves behind is used as it is.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
