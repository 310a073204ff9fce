//! The mutexes of this store.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a thread that panicked leaves behind is used as it is.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
