//! Replicas, fail-overs that lost writes, and backups.

use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::term::Term;
use bellwether::election::watch::TERM_JUMP;
use bellwether::store::Store as _;

use crate::postgres::stores::{
    acquired, default, eventually, misconfigured, observed, open, swap, unavailable, vacated, won,
};
use support::postgres::{Server, Stop};

#[tokio::test]
async fn a_replica_is_refused() {
    let primary = Server::start(&[]);
    let store = open(&primary.url("postgres"));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    let replica = Server::replica_of(&primary);
    let store = open(&replica.url("postgres"));
    for message in [
        // A fail-over may be under way, and a start waits for its end.
        unavailable(store.init().await),
        misconfigured(store.observe(&default()).await),
        misconfigured(store.swap(&default(), Some(&version), &acquired("b", 2)).await),
        misconfigured(store.list().await),
    ] {
        assert!(message.contains("point the URL at the primary"), "{message}");
    }
}

#[tokio::test]
async fn a_read_only_database_is_refused() {
    let server = Server::shared();
    let database = server.database().await;
    open(&server.url(&database)).init().await.unwrap();
    let alter = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    server.run_sql("postgres", &alter).await;
    let store = open(&server.url(&database));
    let message = misconfigured(store.swap(&default(), None, &acquired("a", 1)).await);
    assert!(message.contains("read-only"), "{message}");
}

#[tokio::test]
async fn after_a_fail_over_a_record_proves_nothing_until_it_is_written_again() {
    let primary = Server::start(&[]);
    let store = open(&primary.url("postgres"));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 7)).await;
    let version = won(&store, Some(&version), &vacated(&acquired("a", 7))).await;
    assert!(!observed(&store).await.outlived);
    let replica = Server::replica_of(&primary);
    eventually("the replica has it", || async {
        let has = replica.ask("postgres", "SELECT version FROM bellwether.leases").await;
        version.as_str().starts_with(&has).then_some(())
    })
    .await;
    replica.cut_off(&primary).await;
    won(&store, Some(&version), &acquired("b", 8)).await;
    primary.stop(Stop::Kill);
    replica.promote();

    let store = open(&replica.url("postgres"));
    let found = eventually("the new primary answers", || async {
        store.observe(&default()).await.ok().flatten()
    })
    .await;
    assert_eq!(found.record.term, Term::new(7), "the later write is lost");
    assert!(found.record.holder.is_none() && found.outlived, "so being vacated proves nothing");
    assert_eq!(found.remaining, None, "and the clock is not read");
    // Meant for the old server, and too late.
    let late = swap(&store, Some(&version), &acquired("d", 8)).await.unwrap();
    assert!(matches!(late, Swapped::Lost(Some(_))), "{late:?}");
    won(&store, Some(&found.version), &acquired("c", 7 + TERM_JUMP)).await;
    let found = observed(&store).await;
    assert!(!found.outlived);
    assert!(found.remaining.is_some_and(|left| left > Duration::ZERO));
}
