//! Servers that die, hang, refuse and forget, and networks that lose answers.

use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::lease::{LeaseRecord, Origin, Version};
use bellwether::election::term::Term;
use bellwether::store::postgres::PostgresStore;
use bellwether::store::{Store as _, StoreError};
use sqlx::{PgConnection, raw_sql};
use tokio::time::timeout;

use crate::postgres::stores::{
    LIMIT, acquired, candidate, default, eventually, misconfigured, observed, observed_again, open,
    open_with, renewed, swap, unavailable, won,
};
use support::network::{Mode, Proxy};
use support::postgres::{Server, Stop, url};
use support::tmpfs::Tmpfs;

#[tokio::test]
async fn a_server_that_crashes_keeps_every_term_and_is_found_again() {
    let server = Server::start(&[]);
    let store = open(&server.url("postgres"));
    store.init().await.unwrap();
    let mut version = won(&store, None, &acquired("a", 1)).await;
    for (term, stop) in [(2, Stop::Kill), (3, Stop::Immediate), (4, Stop::Fast)] {
        version = won(&store, Some(&version), &acquired("a", term)).await;
        server.stop(stop);
        let message = unavailable(store.observe(&default()).await);
        assert!(message.contains("postgres://postgres@127.0.0.1"), "{message}");
        server.start_again();
        let found = observed_again(&store).await;
        assert_eq!((found.record.term, &found.version), (Term::new(term), &version), "{stop:?}");
        assert!(!found.outlived, "{stop:?}: the same server, with all it ever confirmed");
    }
}

#[tokio::test]
async fn a_refused_connection_is_called_that() {
    let store = open(&url(support::ports::free_port(), "postgres", "app"));
    let message = unavailable(store.init().await);
    assert!(message.contains("refused"), "{message}");
    eventually("the reason is given to calls too", || async {
        unavailable(store.observe(&default()).await).contains("refused").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_terminated_session_is_replaced() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    let terminate = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = '{database}' AND application_name = 'bellwether'"
    );
    for _ in 0..5 {
        server.ask("postgres", &terminate).await;
        assert_eq!(observed_again(&store).await.version, version);
    }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_found_by_looking() {
    let server = Server::shared();
    let database = server.database().await;
    let proxy = Proxy::before(server.port()).await;
    let store = open(&url(proxy.port(), "postgres", &database));
    store.init().await.unwrap();
    let mut version = None;
    for term in 1..=5 {
        // The statement reaches the server, and its answer is lost.
        let insert = "INSERT INTO".to_owned();
        let write = version.as_ref().map_or(insert, |_| format!("term = {term},"));
        proxy.set(Mode::CutAfter(write));
        unavailable(swap(&store, version.as_ref(), &acquired("a", term)).await);
        proxy.set(Mode::Pass);
        let found = eventually("the write is applied", || async {
            Some(observed_again(&store).await).filter(|found| found.record.term == Term::new(term))
        })
        .await;
        assert!(found.record.is_held_by(&candidate("a")));
        // The same swap again is refused: it was applied once.
        let again = swap(&store, version.as_ref(), &acquired("a", term)).await.unwrap();
        assert!(matches!(again, Swapped::Lost(Some(_))), "{again:?}");
        version = Some(found.version);
    }
}

#[tokio::test]
async fn a_call_that_was_given_up_leaves_no_connection_and_no_answer_behind() {
    let server = Server::shared();
    let database = server.database().await;
    let proxy = Proxy::before(server.port()).await;
    let store = open_with(&url(proxy.port(), "postgres", &database), Duration::from_secs(2));
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    for _ in 0..10 {
        eventually("the line is open", || async { store.observe(&default()).await.ok() }).await;
        proxy.set(Mode::Stall);
        let (limit, election) = (Duration::from_millis(100), default());
        assert!(timeout(limit, store.observe(&election)).await.is_err(), "it hangs");
        proxy.set(Mode::Pass);
    }
    let other: bellwether::election::lease::ElectionName = "other".parse().unwrap();
    assert!(store.observe(&other).await.unwrap().is_none(), "not an earlier call's answer");
    // What was set aside is closed, not left to the kernel's patience.
    eventually("one connection is left", || async { (proxy.connections() == 1).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_slow_network_is_slow_and_nothing_else() {
    let server = Server::shared();
    let database = server.database().await;
    let proxy = Proxy::before(server.port()).await;
    proxy.set(Mode::Delay(Duration::from_millis(50)));
    let store = open(&url(proxy.port(), "postgres", &database));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    won(&store, Some(&version), &renewed(&acquired("a", 1))).await;
}

/// A session of an application that has locked the table.
async fn locker_of_the_table(server: &Server, database: &str) -> PgConnection {
    let mut locker = server.connect(database).await;
    let lock = "BEGIN; LOCK TABLE bellwether.leases IN ACCESS EXCLUSIVE MODE";
    raw_sql(lock).execute(&mut locker).await.unwrap();
    locker
}

async fn nothing_waits_in(server: &Server, database: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' \
         AND application_name = 'bellwether' AND wait_event_type = 'Lock'"
    );
    eventually("nothing waits in the server", || async {
        (server.ask("postgres", &waiting).await == "0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn calls_given_up_do_not_pile_up_in_the_server() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open_with(&server.url(&database), Duration::from_millis(500));
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    let mut locker = locker_of_the_table(&server, &database).await;
    let message = unavailable(store.observe(&default()).await);
    assert!(message.contains("lock"), "{message}");
    for _ in 0..10 {
        let election = default();
        let _ = timeout(Duration::from_millis(30), store.observe(&election)).await;
    }
    nothing_waits_in(&server, &database).await;
    raw_sql("ROLLBACK").execute(&mut locker).await.unwrap();
    observed_again(&store).await;
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_no_session_that_waits_in_the_server() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open_with(&server.url(&database), Duration::from_millis(500));
    store.init().await.unwrap();
    server.run_sql(&database, "DROP INDEX bellwether.leases_term").await;
    let mut locker = locker_of_the_table(&server, &database).await;
    let message = unavailable(timeout(LIMIT, store.init()).await.expect("the server ends it"));
    assert!(message.contains("waiting for a lock while creating"), "{message}");
    for _ in 0..10 {
        let _ = timeout(Duration::from_millis(30), store.init()).await;
    }
    nothing_waits_in(&server, &database).await;
    raw_sql("ROLLBACK").execute(&mut locker).await.unwrap();
    store.init().await.unwrap();
}

#[tokio::test]
async fn another_elections_wait_does_not_hold_up_this_ones_calls() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open_with(&server.url(&database), Duration::from_secs(8));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    let mut locker = server.connect(&database).await;
    raw_sql("BEGIN; SELECT FROM bellwether.leases FOR UPDATE").execute(&mut locker).await.unwrap();
    let (election, record) = (default(), renewed(&acquired("a", 1)));
    let waits = store.swap(&election, Some(&version), &record);
    let other = async {
        let other = "other".parse().unwrap();
        // Begun after the first.
        tokio::task::yield_now().await;
        assert!(store.observe(&other).await.unwrap().is_none());
        let sessions = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' \
             AND application_name = 'bellwether'"
        );
        assert!(server.ask("postgres", &sessions).await.parse::<u32>().unwrap() <= 2);
        raw_sql("ROLLBACK").execute(&mut locker).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(waits, other);
    assert!(matches!(outcome.unwrap(), Swapped::Won(_)));
}

#[tokio::test]
async fn a_full_disk_is_named_and_recovers() {
    let server = Server::start(&["autovacuum = off"]);
    let folder = tempfile::tempdir().unwrap();
    let disk = Tmpfs::over(folder.path(), "64k");
    server.tablespace(folder.path()).await;
    let store = open(&server.url("postgres"));
    store.init().await.unwrap();
    let mut version = won(&store, None, &acquired("a", 1)).await;
    server.run_sql("postgres", "ALTER TABLE bellwether.leases SET TABLESPACE tiny").await;
    // A session that still sees the old states of the row keeps the server from reusing their place.
    let mut reader = server.connect("postgres").await;
    raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM bellwether.leases")
        .execute(&mut reader)
        .await
        .unwrap();
    let message = loop {
        match swap(&store, Some(&version), &renewed(&acquired("a", 1))).await {
            Ok(Swapped::Won(next)) => version = next,
            failed => break unavailable(failed),
        }
    };
    assert!(message.contains("the server's disk is full"), "{message}");
    assert_eq!(observed(&store).await.version, version, "the last write that was won");
    disk.enlarge("1m");
    won(&store, Some(&version), &renewed(&acquired("a", 1))).await;
}

/// Whatever else a transaction of an application locks, in whatever order.
#[tokio::test]
async fn a_deadlock_fails_the_call_and_changes_nothing() {
    let server = Server::start(&["deadlock_timeout = 300ms"]);
    let store = open_with(&server.url("postgres"), Duration::from_secs(60));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    let trigger = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
         CREATE TRIGGER wait AFTER UPDATE ON bellwether.leases
         FOR EACH ROW EXECUTE FUNCTION wait()";
    server.run_sql("postgres", trigger).await;
    let mut version = version;
    let message = loop {
        match swap_into_a_deadlock(&server, &store, &version).await {
            // It came about after the only look that the server took.
            Ok(Swapped::Won(next)) => version = next,
            failed => break unavailable(failed),
        }
    };
    assert!(message.contains("deadlock detected"), "{message}");
    assert_eq!(observed(&store).await.version, version);
    won(&store, Some(&version), &renewed(&acquired("a", 1))).await;
}

/// The swap holds the row and waits for a lock of another session, which waits for the row.
async fn swap_into_a_deadlock(
    server: &Server,
    store: &PostgresStore,
    version: &Version,
) -> Result<Swapped, StoreError> {
    let mut other = server.connect("postgres").await;
    // The server cancels the session that detects the deadlock first, and this session is patient.
    let first = "SET deadlock_timeout = '1min'; BEGIN; SELECT pg_advisory_xact_lock(1)";
    raw_sql(first).execute(&mut other).await.unwrap();
    let record = renewed(&acquired("a", 1));
    let theirs = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'";
        while server.ask("postgres", waiting).await == "0" {}
        let then = "SET LOCAL lock_timeout = '2s'; SELECT FROM bellwether.leases FOR UPDATE";
        let _ = raw_sql(then).execute(&mut other).await;
        raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    };
    tokio::join!(swap(store, Some(version), &record), theirs).0
}

#[tokio::test]
async fn a_statement_timeout_is_named() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    let alter = format!("ALTER DATABASE {database} SET statement_timeout = '100ms'");
    server.run_sql("postgres", &alter).await;
    let mut locker = server.connect(&database).await;
    raw_sql("BEGIN; SELECT FROM bellwether.leases FOR UPDATE").execute(&mut locker).await.unwrap();
    // A session of after the change.
    let fresh = open(&server.url(&database));
    let message = unavailable(swap(&fresh, Some(&version), &acquired("b", 2)).await);
    assert!(message.contains("statement_timeout"), "{message}");
    raw_sql("ROLLBACK").execute(&mut locker).await.unwrap();
    won(&fresh, Some(&version), &acquired("b", 2)).await;
}

#[tokio::test]
async fn serializable_by_default_is_no_obstacle() {
    let server = Server::shared();
    let database = server.database().await;
    let alter =
        format!("ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'");
    server.run_sql("postgres", &alter).await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    let contenders = (0..8).map(|n| {
        let (store, version) = (open(&server.url(&database)), version.clone());
        async move { swap(&store, Some(&version), &acquired(&n.to_string(), 2)).await }
    });
    let mut set = tokio::task::JoinSet::new();
    contenders.for_each(|contender| drop(set.spawn(contender)));
    let outcomes = set.join_all().await;
    let winners = outcomes.iter().filter(|o| matches!(o, Ok(Swapped::Won(_)))).count();
    assert_eq!(winners, 1, "{outcomes:?}");
    assert_eq!(observed(&store).await.record.term, Term::new(2));
}

#[tokio::test]
async fn a_dropped_table_is_made_again() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 7)).await;
    server.run_sql(&database, "DROP TABLE bellwether.leases").await;
    let message = misconfigured(swap(&store, Some(&version), &acquired("a", 7)).await);
    assert!(message.contains("CREATE TABLE"), "{message}");
    assert!(store.observe(&default()).await.unwrap().is_none());
    won(&store, None, &acquired("a", 8)).await;
    server.run_sql(&database, "DROP SCHEMA bellwether CASCADE").await;
    assert!(store.observe(&default()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_table_of_another_program_is_left_alone() {
    let server = Server::shared();
    let database = server.database().await;
    server
        .run_sql(&database, "CREATE SCHEMA bellwether; CREATE TABLE bellwether.leases (id int)")
        .await;
    let store = open(&server.url(&database));
    let message = misconfigured(store.observe(&default()).await);
    assert!(message.contains("another ?table="), "{message}");
    let apart = open(&format!("{}&schema=apart&table=ours", server.url(&database)));
    apart.init().await.unwrap();
    won(&apart, None, &acquired("a", 1)).await;
    assert_eq!(server.ask(&database, "SELECT holder FROM apart.ours").await, "a");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let server = Server::shared();
    let message = misconfigured(open(&server.url("nowhere")).init().await);
    assert!(message.contains("\"nowhere\" does not exist"), "{message}");
}

#[tokio::test]
async fn a_full_server_is_unavailable_and_recovers() {
    let server = Server::start(&["max_connections = 6", "superuser_reserved_connections = 0"]);
    let store = open(&server.url("postgres"));
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    let mut others = Vec::new();
    let full = loop {
        let fresh = open(&server.url("postgres"));
        match fresh.init().await {
            Ok(()) => others.extend(server.try_connect("postgres").await),
            Err(error) => break unavailable::<()>(Err(error)),
        }
    };
    assert!(full.contains("no connection left"), "{full}");
    drop(others);
    observed_again(&open(&server.url("postgres"))).await;
}

/// As after a restore of an old backup.
#[tokio::test]
async fn columns_that_went_and_came_back_are_written_again() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    let origin = Origin::new("ECS cluster prod");
    let next = |term| LeaseRecord { origin: origin.clone(), ..acquired("a", term) };
    let version = won(&store, None, &next(1)).await;
    server.run_sql(&database, "ALTER TABLE bellwether.leases DROP COLUMN origin").await;
    let message = misconfigured(swap(&store, Some(&version), &next(2)).await);
    assert!(message.contains("origin"), "{message}");
    assert!(observed(&store).await.record.origin.is_none());
    let version = won(&store, Some(&version), &next(2)).await;
    // Another instance adds it again when it starts.
    open(&server.url(&database)).init().await.unwrap();
    assert!(observed(&store).await.record.origin.is_none());
    won(&store, Some(&version), &next(3)).await;
    assert_eq!(observed(&store).await.record.origin, next(3).origin);
}
