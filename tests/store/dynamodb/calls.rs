//! One call at a time: the requests to the service, and the result of its failures.

use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::lease::{Candidate, ElectionName, LeaseRecord, Observed, Version};
use bellwether::election::term::Term;
use bellwether::election::time::WallTime;
use bellwether::store::dynamodb::DynamoDbStore;
use bellwether::store::{Store, StoreError};
use std::sync::Arc;

use support::dynamodb::{Emulator, PATIENCE, SKEW, open};
use support::http_proxy::{Fault, Proxy};
use support::now;

/// Short, for calls that have to be given up.
const IMPATIENCE: Duration = Duration::from_secs(1);

pub fn default() -> ElectionName {
    "default".parse().unwrap()
}

pub fn candidate(name: &str) -> Candidate {
    Candidate { identity: name.to_owned(), incarnation: format!("incarnation of {name}") }
}

pub fn held(name: &str, term: u64) -> LeaseRecord {
    LeaseRecord {
        holder: Some(candidate(name)),
        term: Term::new(term),
        ..LeaseRecord::without_holder(Duration::from_secs(15), WallTime::EPOCH)
    }
}

pub async fn won(
    store: &DynamoDbStore,
    expected: Option<&Version>,
    record: &LeaseRecord,
) -> Version {
    match store.swap(&default(), expected, record).await.unwrap() {
        Swapped::Won(version) => version,
        Swapped::Lost(found) => panic!("lost against {found:?}"),
    }
}

pub async fn seen(store: &DynamoDbStore) -> Observed {
    store.observe(&default()).await.unwrap().expect("there is a record")
}

/// An emulator, a proxy before it, and a store that goes through the proxy and holds the lease.
pub struct Scene {
    pub emulator: Emulator,
    pub proxy: Proxy,
    pub store: Arc<DynamoDbStore>,
    pub version: Version,
}

pub async fn scene(patience: Duration) -> Scene {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    open(&emulator.url(), PATIENCE, Some(SKEW)).init().await.unwrap();
    let store = open(&proxy.url(), patience, Some(SKEW));
    let version = loop {
        // A busy machine may need longer than the patience.
        match store.swap(&default(), None, &held("a", 1)).await {
            Ok(Swapped::Won(version)) => break version,
            Ok(Swapped::Lost(found)) => break found.unwrap().version,
            Err(_) => {}
        }
    };
    Scene { emulator, proxy, store, version }
}

pub fn unavailable(result: Result<Swapped, StoreError>) -> String {
    match result {
        Err(StoreError::Unavailable(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_leader_takes_four_requests_and_a_renewal_one() {
    let emulator = Emulator::start();
    open(&emulator.url(), PATIENCE, Some(SKEW)).init().await.unwrap();
    let proxy = Proxy::before(emulator.port());
    let store = open(&proxy.url(), PATIENCE, Some(SKEW));
    store.init().await.unwrap();
    assert!(store.observe(&default()).await.unwrap().is_none());
    let version = won(&store, None, &held("a", 1)).await;
    // The table, the item that is not there, the write, and the look that proves it.
    assert_eq!(proxy.total(), 4, "{:?}", proxy.counts());
    won(&store, Some(&version), &held("a", 1)).await;
    assert_eq!(proxy.total(), 5, "{:?}", proxy.counts());
}

#[tokio::test]
async fn a_refused_write_brings_the_item_with_it() {
    let Scene { emulator: _emulator, proxy, store, .. } = scene(PATIENCE).await;
    let before = proxy.total();
    let outcome = store.swap(&default(), Some(&Version::new("stale")), &held("b", 2)).await;
    let Swapped::Lost(Some(found)) = outcome.unwrap() else { panic!("it is refused") };
    assert!(found.record.is_held_by(&candidate("a")));
    assert!(found.remaining.is_some(), "judged like any other look");
    assert_eq!(proxy.total(), before + 1, "no second read");
}

#[tokio::test]
async fn a_read_is_strongly_consistent() {
    let Scene { emulator: _emulator, proxy, store, .. } = scene(PATIENCE).await;
    proxy.on(|request| {
        let consistent = request.body.contains("\"ConsistentRead\":true");
        assert!(request.operation != "GetItem" || consistent, "{}", request.body);
        Fault::Pass
    });
    seen(&store).await;
}

/// Every failure that passes without help: one attempt, a message that does not change, and nothing
/// written.
#[tokio::test]
async fn every_passing_error_is_unavailable_after_one_attempt() {
    let Scene { emulator, proxy, store, version } = scene(PATIENCE).await;
    let before = emulator.item("default").await;
    for (status, code, message) in [
        (400, "ProvisionedThroughputExceededException", "rate of requests 17 exceeds"),
        (400, "RequestLimitExceeded", "exceeds the current throughput limit"),
        (400, "ThrottlingException", "Rate exceeded"),
        (500, "InternalServerError", "try again"),
        (503, "ServiceUnavailable", "try again"),
        (502, "", "an error page of something on the way"),
        (400, "ExpiredTokenException", "The security token included in the request is expired"),
        (400, "InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier"),
        (400, "TransactionConflictException", "ongoing for the item"),
        (400, "ReplicatedWriteConflictException", "in another region"),
    ] {
        proxy.always(Fault::Refuse(status, code, message));
        let count = proxy.total();
        let first = unavailable(store.swap(&default(), Some(&version), &held("a", 1)).await);
        assert_eq!(proxy.total(), count + 1, "{code}: one attempt a call");
        assert!(first.contains("'leases' in eu-west-1"), "{first}");
        let again = unavailable(store.swap(&default(), Some(&version), &held("a", 1)).await);
        assert_eq!(first, again, "the same for every attempt, so that it is logged once");
    }
    assert_eq!(emulator.item("default").await, before);
    proxy.always(Fault::Pass);
    won(&store, Some(&version), &held("a", 1)).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_the_own_record_to_be_found() {
    let Scene { emulator: _emulator, proxy, store, version, .. } = scene(PATIENCE).await;
    proxy.once("PutItem", Fault::DropAnswer);
    unavailable(store.swap(&default(), Some(&version), &held("a", 1)).await);
    let found = seen(&store).await;
    assert_ne!(found.version, version, "it was applied");
    assert!(found.record.is_held_by(&candidate("a")));
    won(&store, Some(&found.version), &held("a", 1)).await;
}

#[tokio::test]
async fn a_request_that_is_lost_changes_nothing() {
    let Scene { emulator: _emulator, proxy, store, version, .. } = scene(PATIENCE).await;
    for fault in [Fault::DropRequest, Fault::Reset] {
        proxy.once("PutItem", fault);
        unavailable(store.swap(&default(), Some(&version), &held("a", 1)).await);
        assert_eq!(seen(&store).await.version, version);
    }
}

#[tokio::test]
async fn a_call_that_hangs_ends_within_the_patience_and_the_next_has_a_new_connection() {
    let Scene { emulator: _emulator, proxy, store, version, .. } = scene(IMPATIENCE).await;
    // Whatever goes down the connection that is open now is lost from here on.
    let hung = Arc::new(std::sync::Mutex::new(None));
    let noted = Arc::clone(&hung);
    proxy.on(move |request| {
        let first = *noted.lock().unwrap().get_or_insert(request.connection);
        if first == request.connection { Fault::Hang } else { Fault::Pass }
    });
    let started = now();
    let message = unavailable(store.swap(&default(), Some(&version), &held("a", 1)).await);
    assert!(message.contains("did not respond in time"), "{message}");
    assert!(now().since(started) < IMPATIENCE, "{:?}", now().since(started));
    assert!(hung.lock().unwrap().is_some());
    // Only a busy machine could need more than one.
    let found = loop {
        if let Ok(found) = store.observe(&default()).await {
            break found.unwrap();
        }
        assert!(now().since(started) < PATIENCE, "the hung connection is used again");
    };
    assert_eq!(found.version, version);
}

#[tokio::test]
async fn a_call_that_its_caller_gives_up_does_not_block_the_next_one() {
    let Scene { emulator: _emulator, proxy, store, version, .. } = scene(PATIENCE).await;
    let (election, record) = (default(), held("a", 1));
    for _ in 0..20 {
        proxy.always(Fault::HangAfterwards);
        let hung = store.swap(&election, Some(&version), &record);
        assert!(tokio::time::timeout(Duration::from_millis(50), hung).await.is_err());
    }
    proxy.always(Fault::Pass);
    assert!(seen(&store).await.record.is_held_by(&candidate("a")));
}

#[tokio::test]
async fn an_item_that_expired_cannot_be_mistaken_for_one_to_delete() {
    let Scene { emulator, .. } = scene(PATIENCE).await;
    let item = emulator.item("default").await;
    assert!(item.contains("expires = S(\"20"), "text, which no TTL takes: {item}");
}

#[tokio::test]
async fn an_address_without_a_server_is_unavailable() {
    let no_server = "dynamodb://leases?region=eu-west-1&endpoint=http://127.0.0.1:1";
    let error = open(no_server, PATIENCE, Some(SKEW)).init().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("at http://127.0.0.1:1 cannot be reached"), "{error}");
    let unknown = "dynamodb://leases?region=eu-west-1&endpoint=http://bellwether.invalid:1";
    let error = open(unknown, PATIENCE, Some(SKEW)).init().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}
