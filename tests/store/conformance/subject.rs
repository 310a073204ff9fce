//! What the suite needs to know about a store under test.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether::election::lease::ElectionName;
use bellwether::store::Store;

/// A store under test, with whatever keeps it alive.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The store as one process sees it.
    fn store(&self) -> Arc<dyn Store>;

    /// The same records as another process sees them.
    fn from_another_process(&self) -> Arc<dyn Store>;

    /// Whether the store judges by a clock of its own.
    fn has_a_clock(&self) -> bool {
        true
    }

    /// How much later than the end of a lease the store says so.
    fn judges_late_by(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the store pushes hints.
    fn pushes_hints(&self) -> bool {
        true
    }

    /// Whether it also pushes what a renewal wrote.
    fn announces_renewals(&self) -> bool {
        self.pushes_hints()
    }

    /// Whether the hint of an acquisition shows the record.
    fn shows_records(&self) -> bool {
        false
    }

    /// A lease duration that [`Subject::let_pass`] can wait for.
    fn lease_duration(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// Lets time pass for the store's clock.
    async fn let_pass(&self, time: Duration);

    /// Rewrites the record as a future version of bellwether might, if the store keeps a shape at
    /// all, and returns what shows the record down to the last byte.
    async fn write_future_shape(&self, election: &ElectionName) -> Option<String>;

    /// Takes away what keeps the origins and URLs of records, which a table of an older version lacks.
    async fn forget_later_columns(&self) {}

    /// Writes another incarnation, and leaves alone what an older version of bellwether does not
    /// know. False where such a version writes the whole record.
    async fn write_as_older_version(&self, _election: &ElectionName, _incarnation: &str) -> bool {
        false
    }

    /// Shows the record again, as [`Subject::write_future_shape`] did.
    async fn raw(&self, election: &ElectionName) -> String;
}
