//! The server's time, which reveals a boot clock that stood still.

use std::time::Duration;

use bellwether::election::continuity::{Continuity, ServiceTime};
use bellwether::election::time::{BootTime, Clock as _};
use bellwether::election::timing::Timing;
use bellwether::store::Store as _;
use bellwether::time::clock::HostClock;

use crate::postgres::stores::{acquired, default, open, renewed, won};
use support::postgres::Server;

#[tokio::test]
async fn every_answer_has_the_servers_time_and_shows_a_clock_that_stood_still() {
    let server = Server::shared();
    let store = open(&server.url(&server.database().await));
    store.init().await.unwrap();
    assert_eq!(store.service_time(), None);
    let began = HostClock.now().boot;
    let time = || store.service_time().expect("it tells the time");
    store.observe(&default()).await.unwrap();
    let looked = time();
    let first = won(&store, None, &acquired("a", 1)).await;
    let acquired_at = time();
    won(&store, Some(&first), &renewed(&acquired("a", 1))).await;
    let renewed_at = time();
    let mut continuity = Continuity::default();
    let timing = Timing::default();
    for (before, after) in [(looked, acquired_at), (acquired_at, renewed_at)] {
        assert!(before.since_epoch < after.since_epoch, "{before:?} {after:?}");
        assert!(before.received <= after.sent && after.sent <= after.received, "{after:?}");
    }
    assert!(began <= looked.sent);
    for time in [looked, acquired_at, renewed_at] {
        assert_eq!(continuity.note(&time, &timing), None);
    }
    // The same answer, had this host been paused before it for a minute.
    let minute = Duration::from_secs(60);
    let paused = |at: BootTime| BootTime::from_duration(at.as_duration() + minute);
    let (sent, received) = (paused(looked.sent), paused(looked.received));
    let mut continuity = Continuity::default();
    assert_eq!(continuity.note(&ServiceTime { sent, received, ..looked }, &timing), None);
    let gap = continuity.note(&renewed_at, &timing).expect("an alarm");
    assert!(gap > minute / 2, "{gap:?}");
}
