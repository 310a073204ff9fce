//! Short ways to say what the tests do with a store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::lease::{Candidate, ElectionName, LeaseRecord, Observed, Version};
use bellwether::election::term::Term;
use bellwether::election::time::{Clock as _, WallTime};
use bellwether::store::postgres::{PostgresStore, Target};
use bellwether::store::{Hints, Store as _, StoreError};
use bellwether::time::clock::HostClock;

/// No test waits for longer: a limit for a machine that is slow, not a claim about speed.
pub const LIMIT: Duration = Duration::from_secs(60);

pub const LEASE: Duration = Duration::from_secs(15);

pub fn open(url: &str) -> Arc<PostgresStore> {
    open_with(url, Duration::from_secs(20))
}

pub fn open_with(url: &str, call_timeout: Duration) -> Arc<PostgresStore> {
    let target = Target::parse(url, &|_| None).unwrap();
    Arc::new(PostgresStore::new(target, call_timeout))
}

/// Its sessions are replaced all the time.
pub fn aging(url: &str) -> PostgresStore {
    let target = Target::parse(url, &|_| None).unwrap();
    let store = PostgresStore::new(target, Duration::from_secs(20));
    store.with_session_lifetime(Duration::from_millis(200))
}

pub fn default() -> ElectionName {
    "default".parse().unwrap()
}

pub fn candidate(name: &str) -> Candidate {
    Candidate { identity: name.to_owned(), incarnation: format!("incarnation of {name}") }
}

/// As an elector writes it on taking over.
pub fn acquired(holder: &str, term: u64) -> LeaseRecord {
    LeaseRecord {
        holder: Some(candidate(holder)),
        term: Term::new(term),
        ..LeaseRecord::without_holder(LEASE, WallTime::EPOCH)
    }
}

pub fn renewed(record: &LeaseRecord) -> LeaseRecord {
    LeaseRecord { renew_time: WallTime::from_unix(Duration::from_secs(2)), ..record.clone() }
}

pub fn vacated(record: &LeaseRecord) -> LeaseRecord {
    LeaseRecord { holder: None, ..renewed(record) }
}

pub async fn swap(
    store: &PostgresStore,
    expected: Option<&Version>,
    record: &LeaseRecord,
) -> Result<Swapped, StoreError> {
    store.swap(&default(), expected, record).await
}

pub async fn won(
    store: &PostgresStore,
    expected: Option<&Version>,
    record: &LeaseRecord,
) -> Version {
    match swap(store, expected, record).await.unwrap() {
        Swapped::Won(version) => version,
        Swapped::Lost(found) => panic!("lost against {found:?}"),
    }
}

pub async fn observed(store: &PostgresStore) -> Observed {
    store.observe(&default()).await.unwrap().expect("there is a record")
}

pub fn unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Unavailable(message)) => message,
        other => panic!("not unavailable: {other:?}"),
    }
}

pub fn misconfigured<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Misconfigured(message)) => message,
        other => panic!("not misconfigured: {other:?}"),
    }
}

/// Tries until it gives something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let give_up = HostClock.now().boot + LIMIT;
    while HostClock.now().boot < give_up {
        if let Some(found) = attempt().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within {LIMIT:?}: {what}");
}

/// Looks until the store answers.
pub async fn observed_again(store: &PostgresStore) -> Observed {
    eventually("the store responds again", || async {
        store.observe(&default()).await.ok().flatten()
    })
    .await
}

pub async fn hinted_within(hints: &mut Hints, limit: Duration) -> bool {
    tokio::time::timeout(limit, hints.next()).await.is_ok()
}

/// Takes away hints that are about something earlier.
pub async fn quiet(hints: &mut Hints) {
    while hinted_within(hints, Duration::from_millis(200)).await {}
}
