//! The memory store keeps the promises that the others are measured by.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether::election::lease::ElectionName;
use bellwether::election::time::{BootTime, ManualClock};
use bellwether::store::Store;
use bellwether::store::memory::MemoryStore;
use bellwether::store::namespaced::Namespaced;

use crate::conformance::conformance;
use crate::conformance::subject::Subject;

struct Memory {
    clock: ManualClock,
    store: Arc<dyn Store>,
}

async fn memory() -> Memory {
    let clock = ManualClock::at(BootTime::from_duration(Duration::from_secs(100)));
    let store = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
    Memory { clock, store }
}

#[async_trait]
impl Subject for Memory {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn from_another_process(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn announces_renewals(&self) -> bool {
        false
    }

    async fn let_pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    async fn write_future_shape(&self, _election: &ElectionName) -> Option<String> {
        None
    }

    async fn raw(&self, _election: &ElectionName) -> String {
        String::new()
    }
}

conformance!(memory());

/// A namespace of a store that another one uses as well.
async fn namespace() -> Memory {
    let Memory { clock, store } = memory().await;
    let within = |name: &str| Namespaced::new(store.clone(), Some(name.parse().unwrap()));
    let other = Memory { clock: clock.clone(), store: Arc::new(within("other")) };
    crate::conformance::suite::list_shows_every_record(&other).await;
    Memory { clock, store: Arc::new(within("own")) }
}

mod namespace {
    crate::conformance::conformance!(super::namespace());
}
