//! What the `Date` of the answers may do to an election: make it faster, never make two
//! leaders: rule `service-date`.

use std::time::Duration;

use bellwether::election::lease::LeaseRecord;
use bellwether::store::Store;

use crate::dynamodb::calls::{default, held, seen, won};
use support::dynamodb::{Emulator, PATIENCE, SKEW, open};
use support::http_proxy::{Dates, Proxy};

/// A lease that is over as soon as it is written.
fn brief() -> LeaseRecord {
    LeaseRecord { lease_duration: Duration::from_millis(1), ..held("a", 1) }
}

/// What is left of a lease of 15 s, for a candidate that was not there when it was written.
async fn left(emulator: &Emulator, judge: &Dates, skew: Option<Duration>) -> Option<Duration> {
    let proxy = Proxy::before(emulator.port());
    proxy.dates(judge.clone());
    seen(&open(&proxy.url(), PATIENCE, skew)).await.remaining
}

async fn written(record: &LeaseRecord, dates: &Dates, skew: Option<Duration>) -> Emulator {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    open(&emulator.url(), PATIENCE, None).init().await.unwrap();
    proxy.dates(dates.clone());
    let store = open(&proxy.url(), PATIENCE, skew);
    store.observe(&default()).await.unwrap();
    won(&store, None, record).await;
    emulator
}

#[tokio::test]
async fn a_lease_of_long_ago_is_over_at_the_first_look() {
    let emulator = written(&brief(), &Dates::Shifted(-60), Some(SKEW)).await;
    assert_eq!(left(&emulator, &Dates::AsTheyAre, Some(SKEW)).await, Some(Duration::ZERO));
}

#[tokio::test]
async fn without_a_date_on_either_side_there_is_no_judgement() {
    let emulator = written(&brief(), &Dates::Absent, Some(SKEW)).await;
    assert!(!emulator.item("default").await.contains("expires"));
    assert_eq!(left(&emulator, &Dates::Shifted(3600), Some(SKEW)).await, None);
    let emulator = written(&brief(), &Dates::Shifted(-60), Some(SKEW)).await;
    assert_eq!(left(&emulator, &Dates::Absent, Some(SKEW)).await, None);
}

#[tokio::test]
async fn with_off_nothing_is_written_and_nothing_judged() {
    let emulator = written(&brief(), &Dates::AsTheyAre, None).await;
    assert!(!emulator.item("default").await.contains("expires"));
    let emulator = written(&brief(), &Dates::Shifted(-60), Some(SKEW)).await;
    assert_eq!(left(&emulator, &Dates::AsTheyAre, None).await, None);
}

#[tokio::test]
async fn dates_that_are_wrong_by_less_than_the_skew_end_no_live_lease() {
    for (writer, judge) in [(0, 9), (-9, 0), (-4, 5), (-9, -9), (9, 9), (9, -9)] {
        let (writer, judge) = (Dates::Shifted(writer), Dates::Shifted(judge));
        let emulator = written(&held("a", 1), &writer, Some(SKEW)).await;
        let left = left(&emulator, &judge, Some(SKEW)).await.expect("judged");
        // All of the lease and more, less the time that this test took.
        assert!(left > Duration::from_secs(10), "{writer:?} {judge:?}: {left:?}");
    }
}

#[tokio::test]
async fn an_answer_from_a_cache_proves_no_time() {
    let emulator = written(&brief(), &Dates::Aged(60), Some(SKEW)).await;
    assert!(!emulator.item("default").await.contains("expires"));
}

#[tokio::test]
async fn a_date_that_stands_still_neither_ends_a_lease_nor_shortens_one() {
    let frozen = |seconds| {
        let now = std::process::Command::new("date").args(["-u", "-R"]).output().unwrap();
        let now = String::from_utf8(now.stdout).unwrap().trim().replace("+0000", "GMT");
        Dates::Frozen(support::http_proxy::shifted(&now, seconds))
    };
    let emulator = written(&held("a", 1), &frozen(0), Some(SKEW)).await;
    let proxy = Proxy::before(emulator.port());
    proxy.dates(frozen(0));
    let judge = open(&proxy.url(), PATIENCE, Some(SKEW));
    let first = seen(&judge).await.remaining.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let later = seen(&judge).await.remaining.unwrap();
    // Time stands still for the judge: its bound is the earlier for every answer that comes later.
    assert!(later >= first.saturating_sub(Duration::from_millis(1)), "{first:?} {later:?}");
    // The writer's own lease continues: a renewal ends later than the lease before it.
    let writer = open(&proxy.url(), PATIENCE, Some(SKEW));
    let version = seen(&writer).await.version;
    let before = emulator.item("default").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    won(&writer, Some(&version), &held("a", 1)).await;
    let expires = |item: &str| item.lines().find(|l| l.starts_with("expires")).unwrap().to_owned();
    assert!(expires(&emulator.item("default").await) > expires(&before));
}
