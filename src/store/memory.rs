//! Records in this process's memory: for tests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::election::continuity::ServiceTime;
use crate::election::elector::Swapped;
use crate::election::lease::{ElectionName, LeaseRecord, Observed, Version};
use crate::election::time::{BootTime, Clock};
use crate::store::contract::{Hint, Hints, Listing, Notifier, Store, StoreError};

/// A store that lives and dies with its process and judges leases by the clock it is given.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    entries: Mutex<BTreeMap<ElectionName, Entry>>,
    notifier: Notifier,
}

#[derive(Clone, Debug)]
struct Entry {
    record: LeaseRecord,
    writes: u64,
    expires: BootTime,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entries: Mutex::default(), notifier: Notifier::default() }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ElectionName, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, entry: &Entry) -> Observed {
        Observed {
            record: entry.record.clone().checked(),
            version: Version::new(entry.writes.to_string()),
            remaining: Some(entry.expires.since(self.clock.now().boot)),
            outlived: false,
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("entries", &self.entries).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn init(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError> {
        Ok(self.entries().get(election).map(|entry| self.show(entry)))
    }

    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError> {
        let mut entries = self.entries();
        let found = entries.get(election).map(|entry| self.show(entry));
        if found.as_ref().map(|found| &found.version) != expected {
            return Ok(Swapped::Lost(found));
        }
        let writes = entries.get(election).map_or(0, |entry| entry.writes) + 1;
        let expires = self.clock.now().boot + record.lease_duration;
        entries.insert(election.clone(), Entry { record: record.clone(), writes, expires });
        self.notifier.notify(Hint::Changed);
        Ok(Swapped::Won(Version::new(writes.to_string())))
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        let entries = self.entries();
        let records = entries.iter().map(|(name, entry)| (name.clone(), self.show(entry)));
        Ok(Listing { records: records.collect(), unreadable: Vec::new() })
    }

    fn service_time(&self) -> Option<ServiceTime> {
        None
    }

    fn hints(&self, _election: &ElectionName) -> Hints {
        self.notifier.hints()
    }
}
