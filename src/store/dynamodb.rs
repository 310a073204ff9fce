//! Records in a DynamoDB table: for candidates that share an AWS account and nothing else.
//!
//! # Reads and writes
//!
//! One item an election ([`item`]). Looking is a strongly consistent read; every write is a
//! conditional put on the version, whose refusal brings the item back. The item is never deleted.
//!
//! # What proves a write
//!
//! Not a status: a maintenance page has one, too. A write was applied if the answer shows the item
//! that it replaced, with the version that it expected there. The first write, which replaces
//! nothing, was applied if a read shows the version that it wrote. A version is random and written
//! once, so no other write can show it. For the same reason a refusal that shows the version just
//! written is a success: the network path sent the request twice, and the second one was refused.
//! After any other answer it is unknown whether the write was applied.
//!
//! # Clock
//!
//! The service has no clock to read. [`service_clock`](super::service_clock) keeps what its answers
//! show of the time. That is enough to see that a lease is long over.
//!
//! # One attempt
//!
//! A call is one request on the wire, and for the first write of all a read after it: see
//! [`aws`](super::aws).
//! Nothing is sent twice. A request that is given up takes
//! its connection with it, so the next call begins on a new one, and nothing is left behind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

use crate::election::continuity::ServiceTime;
use crate::election::elector::Swapped;
use crate::election::lease::{ElectionName, LeaseRecord, Observed, Version};
use crate::election::time::Clock;
use crate::store::contract::{Hints, Listing, Store, StoreError};
use crate::store::service_clock::ServiceClock;

mod client;
mod dates;
mod errors;
mod item;
mod place;
mod refusals;
mod responses;
mod table;
mod url;

use client::{ClientConfig, LazyClient, TableClient};
use errors::{DynamoDbError, failure};
use item::{Item, Kept};
use place::Place;
pub use url::{InvalidTarget, Target};

/// The store that keeps its records in a DynamoDB table.
pub struct DynamoDbStore {
    target: Target,
    patience: Duration,
    /// In the place of what the standard chain finds.
    credentials: Option<SharedCredentialsProvider>,
    max_clock_skew: Option<Duration>,
    clock: Arc<dyn Clock>,
    service_clock: Arc<ServiceClock>,
    client: LazyClient,
    /// Whether the table was found to keep the promises.
    checked: AtomicBool,
    /// Whether to create a missing table: not for commands that only read.
    creates: AtomicBool,
}

impl DynamoDbStore {
    /// A store at `target`. Nothing is opened yet. `patience` is how long callers wait for a call.
    pub fn new(target: Target, patience: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            target,
            patience,
            credentials: None,
            max_clock_skew: None,
            clock,
            service_clock: Arc::default(),
            client: LazyClient::default(),
            checked: AtomicBool::new(false),
            creates: AtomicBool::new(false),
        }
    }

    /// Judges leases by the Date of the service's answers, which may be off by this much; none, as
    /// at first: not at all.
    #[must_use]
    pub fn judged_within(mut self, max_clock_skew: Option<Duration>) -> Self {
        self.max_clock_skew = max_clock_skew;
        self
    }

    /// Signs with these instead of what the standard chain finds.
    #[must_use]
    pub fn with_credentials(mut self, credentials: SharedCredentialsProvider) -> Self {
        self.credentials = Some(credentials);
        self
    }

    async fn client(&self) -> Result<&TableClient, StoreError> {
        let config = || ClientConfig {
            target: self.target.clone(),
            patience: self.patience,
            credentials: self.credentials.clone(),
            clock: Arc::clone(&self.clock),
            service_clock: Arc::clone(&self.service_clock),
        };
        self.client.get(config).await
    }

    /// The connection to the table, which is checked now or was checked before. Creates the table
    /// if it is missing and [`Store::init`] was called, even if that call failed.
    async fn ready(&self) -> Result<&TableClient, StoreError> {
        let client = self.client().await?;
        if !self.checked.load(Ordering::Relaxed) {
            match table::check(&client.client, &client.place).await? {
                table::Found::Ready => self.checked.store(true, Ordering::Relaxed),
                table::Found::Coming => return Err(table::coming(&client.place)),
                table::Found::Missing if !self.creates.load(Ordering::Relaxed) => {
                    return Err(table::missing(&client.place));
                }
                table::Found::Missing => {
                    table::create(&client.client, &client.place).await?;
                    return Err(table::coming(&client.place));
                }
            }
        }
        Ok(client)
    }

    fn explain(&self, client: &TableClient, failure: DynamoDbError) -> StoreError {
        match failure {
            DynamoDbError::Explained(error) => error,
            DynamoDbError::NoTable => {
                self.checked.store(false, Ordering::Relaxed);
                client.place.unavailable("does not exist any more")
            }
        }
    }

    fn unreadable(
        client: &TableClient,
        election: &ElectionName,
        unreadable: &item::Unreadable,
    ) -> StoreError {
        client
            .place
            .misconfigured(format!("has an item of election '{election}' that {unreadable}"))
    }

    fn show(
        &self,
        client: &TableClient,
        election: &ElectionName,
        item: &Item,
    ) -> Result<Observed, StoreError> {
        if item::key_of(item) != Some(&self.target.key(election)) {
            return Err(client.place.unavailable("responded with the item of another election"));
        }
        let kept = item::decode(item).map_err(|why| Self::unreadable(client, election, &why))?;
        let remaining = self.remaining(&kept);
        let Kept { record, version, .. } = kept;
        // A table has no fail-over that loses writes: the service keeps each in three places.
        Ok(Observed { record, version, remaining, outlived: false })
    }

    async fn look(
        &self,
        client: &TableClient,
        election: &ElectionName,
    ) -> Result<Option<Observed>, StoreError> {
        let request = client
            .client
            .get_item()
            .table_name(client.place.table())
            .key(item::KEY, item::key(&self.target.key(election)))
            .consistent_read(true);
        let found = match request.send().await {
            Ok(output) => output.item,
            Err(error) => return Err(self.explain(client, failure(&client.place, &error))),
        };
        found.map(|item| self.show(client, election, &item)).transpose()
    }

    /// The outcome of a write, by an answer that says that it was applied and replaced `old`.
    async fn proven(
        &self,
        client: &TableClient,
        election: &ElectionName,
        expected: Option<&Version>,
        old: Option<Item>,
        written: Version,
    ) -> Result<Swapped, StoreError> {
        match (expected, old) {
            (None, None) => match self.look(client, election).await? {
                Some(found) => Ok(Self::outcome(Some(found), written)),
                None => Err(unproven(&client.place)),
            },
            (Some(expected), Some(old))
                if self.show(client, election, &old)?.version == *expected =>
            {
                Ok(Swapped::Won(written))
            }
            _ => Err(unproven(&client.place)),
        }
    }

    /// The outcome of a write, by the item after it.
    fn outcome(found: Option<Observed>, written: Version) -> Swapped {
        match found {
            Some(found) if found.version == written => Swapped::Won(written),
            found => Swapped::Lost(found),
        }
    }

    /// The service's judgement, read early: see [`service_clock`](super::service_clock).
    fn remaining(&self, kept: &Kept) -> Option<Duration> {
        let (now, skew) = (self.clock.now().boot, self.max_clock_skew);
        self.service_clock.remaining(now, kept.expires, kept.record.lease_duration, skew)
    }

    /// The record with a new version and its end in the service's time, rounded late.
    fn keep(&self, record: &LeaseRecord) -> Kept {
        // From after the elector's reading, so the lease ends later than the elector counts.
        let now = self.clock.now().boot;
        let skew = self.max_clock_skew;
        Kept {
            record: record.clone(),
            version: Version::new(uuid::Uuid::new_v4().simple().to_string()),
            expires: self.service_clock.expires(now, record.lease_duration, skew),
        }
    }
}

#[async_trait]
impl Store for DynamoDbStore {
    async fn init(&self) -> Result<(), StoreError> {
        self.creates.store(true, Ordering::Relaxed);
        let client = self.client().await?;
        table::ensure(&client.client, &client.place).await?;
        self.checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError> {
        let client = self.ready().await?;
        self.look(client, election).await
    }

    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError> {
        let client = self.ready().await?;
        let kept = self.keep(record);
        let item = item::encode(&self.target.key(election), &kept);
        let item = item.map_err(|why| Self::unreadable(client, election, &why))?;
        let request = client
            .client
            .put_item()
            .table_name(client.place.table())
            .set_item(Some(item))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let request = match expected {
            None => request
                .condition_expression("attribute_not_exists(#key)")
                .expression_attribute_names("#key", item::KEY),
            // The format too: an item of a future version is left as it is.
            Some(expected) => {
                let [plain, paused] = item::formats();
                request
                    .condition_expression("#version = :expected AND #format IN (:plain, :paused)")
                    .expression_attribute_names("#version", "version")
                    .expression_attribute_names("#format", "format")
                    .expression_attribute_values(":expected", item::key(expected.as_str()))
                    .expression_attribute_values(":plain", plain)
                    .expression_attribute_values(":paused", paused)
            }
        };
        let error = match request.send().await {
            Ok(output) => {
                let old = output.attributes;
                return self.proven(client, election, expected, old, kept.version).await;
            }
            Err(error) => error,
        };
        if let Some(PutItemError::ConditionalCheckFailedException(refusal)) =
            error.as_service_error()
        {
            let found = match refusal.item() {
                Some(item) => Some(self.show(client, election, item)?),
                None => self.look(client, election).await?,
            };
            return Ok(Self::outcome(found, kept.version));
        }
        Err(self.explain(client, failure(&client.place, &error)))
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        let client = self.ready().await?;
        let mut request =
            client.client.scan().table_name(client.place.table()).consistent_read(true);
        if let Some(prefix) = self.target.key_prefix() {
            request = request
                .filter_expression("begins_with(#key, :prefix)")
                .expression_attribute_names("#key", item::KEY)
                .expression_attribute_values(":prefix", item::key(&prefix));
        }
        let mut listing = Listing::default();
        let mut from = None;
        loop {
            let page = match request.clone().set_exclusive_start_key(from).send().await {
                Ok(page) => page,
                Err(error) => return Err(self.explain(client, failure(&client.place, &error))),
            };
            for item in page.items() {
                let election = item::key_of(item).and_then(|key| self.target.election(key));
                // Other items in the table are not ours.
                let Some(election) = election else { continue };
                match self.show(client, &election, item) {
                    Ok(observed) => listing.records.push((election, observed)),
                    Err(why) => listing.unreadable.push((election.as_str().to_owned(), why)),
                }
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                listing.records.sort_by(|(a, _), (b, _)| a.cmp(b));
                return Ok(listing);
            }
        }
    }

    fn service_time(&self) -> Option<ServiceTime> {
        self.service_clock.last()
    }

    fn hints(&self, _election: &ElectionName) -> Hints {
        Hints::never()
    }

    fn has_random_versions(&self) -> bool {
        true
    }
}

fn unproven(place: &Place) -> StoreError {
    place.unavailable(
        "responded to a write without showing that it was applied; look for a proxy that responds \
         in place of DynamoDB",
    )
}

impl fmt::Debug for DynamoDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbStore").field("target", &self.target).finish_non_exhaustive()
    }
}
