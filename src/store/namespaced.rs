//! A namespace of a store: the same store, with other names for the records.
//!
//! This is the only place where the names of elections and keys become the names of records.

use std::sync::Arc;

use async_trait::async_trait;

use crate::election::continuity::ServiceTime;
use crate::election::elector::Swapped;
use crate::election::lease::{ElectionName, LeaseRecord, Namespace, Observed, Version};
use crate::store::contract::{Hints, Listing, Store, StoreError};

/// The records of one namespace, or those without one.
#[derive(Debug)]
pub struct Namespaced {
    store: Arc<dyn Store>,
    namespace: Option<Namespace>,
}

impl Namespaced {
    /// The records of `namespace` in `store`.
    pub fn new(store: Arc<dyn Store>, namespace: Option<Namespace>) -> Self {
        Self { store, namespace }
    }

    fn record(&self, election: &ElectionName) -> ElectionName {
        self.namespace.as_ref().map_or_else(|| election.clone(), |own| election.within(own))
    }
}

#[async_trait]
impl Store for Namespaced {
    async fn init(&self) -> Result<(), StoreError> {
        self.store.init().await
    }

    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError> {
        self.store.observe(&self.record(election)).await
    }

    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError> {
        self.store.swap(&self.record(election), expected, record).await
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        let Listing { records, unreadable } = self.store.list().await?;
        let own = |(name, observed): (ElectionName, Observed)| {
            let (namespace, election) = name.split();
            (namespace == self.namespace).then_some((election, observed))
        };
        // A record without a readable name may belong to any namespace.
        let may_be_own = |(name, _): &(String, StoreError)| {
            ElectionName::from_store(name).is_none_or(|name| name.split().0 == self.namespace)
        };
        Ok(Listing {
            records: records.into_iter().filter_map(own).collect(),
            unreadable: unreadable.into_iter().filter(may_be_own).collect(),
        })
    }

    fn service_time(&self) -> Option<ServiceTime> {
        self.store.service_time()
    }

    fn hints(&self, election: &ElectionName) -> Hints {
        self.store.hints(&self.record(election))
    }

    fn has_random_versions(&self) -> bool {
        self.store.has_random_versions()
    }

    fn combines_calls(&self) -> bool {
        self.store.combines_calls()
    }
}
