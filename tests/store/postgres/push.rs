//! Hand-overs are pushed where that works, and no standby relies on it where it does not.

use std::time::Duration;

use bellwether::election::lease::{LeaseRecord, Listeners, Renewed};
use bellwether::election::term::Term;
use bellwether::election::time::WallTime;
use bellwether::store::{Hint, Store as _};
use sqlx::{Row as _, raw_sql};
use tokio::task::JoinHandle;

use crate::postgres::stores::{
    LIMIT, acquired, default, eventually, hinted_within, observed, open, open_with, quiet, renewed,
    vacated, won,
};
use support::postgres::{Bouncer, Server};

async fn sessions(server: &Server, database: &str) -> u32 {
    let count = format!(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = '{database}' AND application_name = 'bellwether'"
    );
    server.ask("postgres", &count).await.parse().unwrap()
}

#[tokio::test]
async fn a_change_of_leader_is_pushed_and_a_renewal_with_its_version() {
    let server = Server::shared();
    let database = server.database().await;
    let (store, other) = (open(&server.url(&database)), open(&server.url(&database)));
    store.init().await.unwrap();
    other.init().await.unwrap();
    let mut hints = other.hints(&default());
    let mut elsewhere = other.hints(&"other".parse().unwrap());
    for store in [&store, &other] {
        eventually("the self-test passes", || async { store.pushes().then_some(()) }).await;
    }
    quiet(&mut hints).await;
    quiet(&mut elsewhere).await;
    let record = acquired("a", 1);
    let version = won(&store, None, &record).await;
    assert!(hinted_within(&mut hints, LIMIT).await, "of the acquisition");
    let version = won(&store, Some(&version), &renewed(&record)).await;
    let announced = tokio::time::timeout(LIMIT, hints.next()).await.unwrap();
    let Hint::Renewed(news) = announced else { panic!("a renewal needs a look: {announced:?}") };
    let Renewed { term, version: announced, listeners } = news;
    assert_eq!((term, announced), (Term::new(1), version.clone()));
    let Listeners::Sessions(sessions) = listeners else { panic!("nothing counts: {listeners:?}") };
    assert!((2..=4).contains(&sessions), "{sessions} listeners; a self-test opens one, too");
    won(&store, Some(&version), &vacated(&record)).await;
    assert!(hinted_within(&mut hints, LIMIT).await, "of the vacating");
    assert!(!hinted_within(&mut elsewhere, Duration::from_millis(1)).await);
}

/// Each commit waits for it, but not those of bellwether's user.
async fn await_a_replica_that_is_gone(server: &Server, database: &str) {
    for sql in [
        "ALTER SYSTEM SET synchronous_standby_names = 'gone'",
        "SET synchronous_commit = local; ALTER ROLE postgres SET synchronous_commit = local",
        "SELECT pg_reload_conf()",
    ] {
        server.run_sql(database, sql).await;
    }
}

/// A commit of the application that hangs with the lock of the notifications.
///
/// No commit waits for a replica before the checkpointer has read the configuration, and no session sees when that is.
/// So a commit that does not hang is tried again.
async fn commit_that_hangs(server: &Server, database: &str) -> JoinHandle<Result<(), sqlx::Error>> {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    eventually("the application's commit hangs", || async {
        let mut session = server.connect(database).await;
        let commit = tokio::spawn(async move {
            let writes =
                "SET synchronous_commit = on; CREATE TABLE t (); DROP TABLE t; NOTIFY other";
            raw_sql(writes).execute(&mut session).await.map(drop)
        });
        let hangs = eventually("the application's commit hangs or ends", || async {
            let hangs = server.ask(database, waits).await == "1";
            (hangs || commit.is_finished()).then_some(hangs)
        });
        hangs.await.then_some(commit)
    })
    .await
}

#[tokio::test]
async fn a_self_test_that_is_given_up_leaves_no_session_that_waits_in_the_server() {
    let server = Server::start(&[]);
    let database = server.database().await;
    open(&server.url(&database)).init().await.unwrap();
    await_a_replica_that_is_gone(&server, &database).await;
    let hanging = commit_that_hangs(&server, &database).await;
    let store = open_with(&server.url(&database), Duration::from_millis(500));
    eventually("the store responds", || async { store.observe(&default()).await.ok() }).await;
    eventually("the server ends the statement of the self-test", || async {
        server.log().contains("canceling statement due to lock timeout").then_some(())
    })
    .await;
    assert!(!hanging.is_finished(), "the application's commit hung until now");
    hanging.abort();
}

/// A transaction that notifies keeps a lock of the whole server until its commit is safe.
#[tokio::test]
async fn a_notifying_commit_that_hangs_stops_no_renewal() {
    let server = Server::start(&[]);
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    let record = acquired("a", 1);
    let mut version = won(&store, None, &record).await;
    drop(store);
    await_a_replica_that_is_gone(&server, &database).await;
    let store = open_with(&server.url(&database), Duration::from_secs(3));
    eventually("the store responds", || async { store.observe(&default()).await.ok() }).await;
    eventually("the self-test passes", || async { store.pushes().then_some(()) }).await;
    let hanging = commit_that_hangs(&server, &database).await;
    for time in 2..5 {
        let renew_time = WallTime::from_unix(Duration::from_secs(time));
        let renewed = LeaseRecord { renew_time, ..record.clone() };
        version = won(&store, Some(&version), &renewed).await;
        assert_eq!(observed(&store).await.version, version, "the announcement was left out");
    }
    assert!(!hanging.is_finished(), "the application's commit hung until now");
    hanging.abort();
}

#[tokio::test]
async fn there_is_one_connection_at_rest() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    eventually("the self-test passes", || async { store.pushes().then_some(()) }).await;
    eventually("one session is left", || async {
        (sessions(&server, &database).await == 1).then_some(())
    })
    .await;
    drop(store);
    eventually("none is left", || async {
        (sessions(&server, &database).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_listener_that_was_cut_off_listens_again_and_looks() {
    let server = Server::shared();
    let database = server.database().await;
    let (store, other) = (open(&server.url(&database)), open(&server.url(&database)));
    store.init().await.unwrap();
    other.init().await.unwrap();
    let mut hints = other.hints(&default());
    eventually("the self-test passes", || async { other.pushes().then_some(()) }).await;
    let version = won(&store, None, &acquired("a", 1)).await;
    quiet(&mut hints).await;
    let terminate = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = '{database}' AND application_name = 'bellwether'"
    );
    server.ask("postgres", &terminate).await;
    // Without a call it comes back on its own, and hints at whatever it missed.
    assert!(hinted_within(&mut hints, LIMIT).await, "of what may have been missed");
    quiet(&mut hints).await;
    let version = eventually("the store responds again", || async {
        Some(store.observe(&default()).await.ok()??.version).filter(|v| *v == version)
    })
    .await;
    won(&store, Some(&version), &vacated(&acquired("a", 1))).await;
    assert!(hinted_within(&mut hints, LIMIT).await, "of the vacating");
}

#[tokio::test]
async fn a_transaction_pooler_is_found_out() {
    let server = Server::shared();
    let database = server.database().await;
    let bouncer = Bouncer::before(&server);
    let store = open(&bouncer.url(&database));
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    // Longer than the self-test's patience.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!store.pushes());
    let found = eventually("the store answers", || async {
        store.observe(&default()).await.ok().flatten()
    })
    .await;
    assert_eq!(found.record.term, Term::new(1));
}

/// A pooler lends the server connection on which another client has listened.
#[tokio::test]
async fn a_notification_for_another_client_of_the_pooler_costs_no_call() {
    let server = Server::shared();
    let database = server.database().await;
    let bouncer = Bouncer::with_connections(&server, 1);
    let pooled = async |sql: &'static str| {
        let mut client = bouncer.connect(&database).await;
        raw_sql(sql).execute(&mut client).await.unwrap();
    };
    pooled("LISTEN another_clients").await;
    let mut direct = server.connect(&database).await;
    let waits_for_a_lock = async || {
        let waits = "SELECT count(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the statement waits for the lock", || async {
            (server.ask(&database, waits).await == "1").then_some(())
        })
        .await;
        server.run_sql(&database, "NOTIFY another_clients").await;
    };

    // The server sends it with the response to the statement that is under way: one of `init`...
    let store = open(&bouncer.url(&database));
    let init = "SELECT pg_advisory_lock(hashtext('bellwether init \"bellwether\".\"leases\"'))";
    raw_sql(init).execute(&mut direct).await.unwrap();
    let (created, ()) = tokio::join!(store.init(), async {
        waits_for_a_lock().await;
        raw_sql("SELECT pg_advisory_unlock_all()").execute(&mut direct).await.unwrap();
    });
    created.expect("init got a notification");

    // ... and a write.
    let version = won(&store, None, &acquired("a", 1)).await;
    raw_sql("BEGIN; SELECT FROM bellwether.leases FOR UPDATE").execute(&mut direct).await.unwrap();
    let renewal = renewed(&acquired("a", 1));
    let (_, ()) = tokio::join!(won(&store, Some(&version), &renewal), async {
        waits_for_a_lock().await;
        raw_sql("ROLLBACK").execute(&mut direct).await.unwrap();
    });
}

#[tokio::test]
async fn the_self_test_leaves_no_listener_in_a_pooler() {
    let server = Server::start(&["log_statement = all"]);
    let bouncer = Bouncer::with_connections(&server, 1);
    let store = open(&bouncer.url("postgres"));
    store.init().await.unwrap();
    eventually("the self-test has sent its notifications", || async {
        let sent = server.log().matches("pg_notify(E'bellwether_test_").count();
        (sent == 3).then_some(())
    })
    .await;
    assert!(server.log().contains("LISTEN \"bellwether_test_"));
    // On the only server connection.
    let mut client = bouncer.connect("postgres").await;
    let channels = raw_sql("SELECT count(*)::text FROM pg_listening_channels()");
    let row = channels.fetch_one(&mut client).await.unwrap();
    assert_eq!(row.get::<String, _>(0), "0", "another client of the pooler listens");
    assert!(!store.pushes());
}
