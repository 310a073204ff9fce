//! The fence: a transaction of the application that proves that its leader still leads.

use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::term::Term;
use bellwether::store::Store as _;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, raw_sql};

use crate::postgres::stores::{
    acquired, eventually, observed, open, open_with, renewed, swap, unavailable, vacated, won,
};
use support::postgres::{PASSWORD, Server, url};

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(drop)
}

async fn fence(connection: &mut PgConnection, term: u64) -> Result<(), String> {
    let fenced = run(connection, &format!("SELECT bellwether.fence('default', {term})")).await;
    fenced.map_err(|error| {
        let error = error.into_database_error().expect("the server's answer");
        assert_eq!(error.code().as_deref(), Some("BW001"), "{error}");
        error.to_string()
    })
}

#[tokio::test]
async fn a_term_that_is_over_is_refused() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    let mut app = server.connect(&database).await;
    assert!(fence(&mut app, 1).await.unwrap_err().contains("term 1 of election \"default\""));
    let first = won(&store, None, &acquired("a", 1)).await;
    fence(&mut app, 1).await.unwrap();
    fence(&mut app, 2).await.unwrap_err();
    let second = won(&store, Some(&first), &acquired("b", 2)).await;
    fence(&mut app, 1).await.unwrap_err();
    fence(&mut app, 2).await.unwrap();
    let third = won(&store, Some(&second), &vacated(&acquired("b", 2))).await;
    fence(&mut app, 2).await.unwrap_err();
    won(&store, Some(&third), &acquired("c", 3)).await;
    let past = "UPDATE bellwether.leases SET expires_at = clock_timestamp()";
    server.run_sql(&database, past).await;
    fence(&mut app, 3).await.unwrap_err();
}

#[tokio::test]
async fn a_take_over_waits_for_a_fenced_transaction_and_a_renewal_does_not() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    server.run_sql(&database, "CREATE TABLE work (term bigint)").await;
    let held = acquired("a", 1);
    let version = won(&store, None, &held).await;

    let mut early = server.connect(&database).await;
    run(&mut early, "BEGIN").await.unwrap();
    fence(&mut early, 1).await.unwrap();
    run(&mut early, "INSERT INTO work VALUES (1)").await.unwrap();

    let version = won(&store, Some(&version), &renewed(&held)).await;
    let version = won(&store, Some(&version), &renewed(&held)).await;
    let hasty = open_with(&server.url(&database), Duration::from_millis(400));
    let message = unavailable(swap(&hasty, Some(&version), &acquired("b", 2)).await);
    assert!(message.contains("fence"), "{message}");
    assert_eq!(observed(&store).await.record.term, Term::new(1), "not overtaken");

    let rival = open(&server.url(&database));
    let taking_over = tokio::spawn(async move {
        // It gives way to the other elections of its process, and comes back.
        loop {
            match swap(&rival, Some(&version), &acquired("b", 2)).await {
                Ok(outcome) => return assert!(matches!(outcome, Swapped::Won(_)), "{outcome:?}"),
                refused => assert!(unavailable(refused).contains("fence")),
            }
        }
    });
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = '{database}' AND wait_event_type = 'Lock'"
    );
    eventually("the take-over waits", || async {
        (server.ask("postgres", &waits).await == "1").then_some(())
    })
    .await;
    run(&mut early, "COMMIT").await.unwrap();
    taking_over.await.unwrap();

    let mut late = server.connect(&database).await;
    run(&mut late, "BEGIN").await.unwrap();
    fence(&mut late, 1).await.unwrap_err();
    run(&mut late, "INSERT INTO work VALUES (1)").await.unwrap_err();
    run(&mut late, "ROLLBACK").await.unwrap();
    assert_eq!(server.ask(&database, "SELECT count(*) FROM work").await, "1");
}

#[tokio::test]
async fn renewals_are_no_obstacle_to_a_repeatable_read() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    let held = acquired("a", 1);
    let version = won(&store, None, &held).await;
    let mut app = server.connect(&database).await;
    run(&mut app, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await.unwrap();
    won(&store, Some(&version), &renewed(&held)).await;
    fence(&mut app, 1).await.unwrap();
    run(&mut app, "COMMIT").await.unwrap();
}

#[tokio::test]
async fn an_application_needs_no_right_to_the_table() {
    let server = Server::start(&[]);
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    let role = format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'");
    server.run_sql(&database, &role).await;
    server.run_sql(&database, "GRANT USAGE ON SCHEMA bellwether TO app").await;
    let options: sqlx::postgres::PgConnectOptions =
        url(server.port(), "app", &database).parse().unwrap();
    let mut app = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let denied = run(&mut app, "SELECT bellwether.fence('default', 1)").await.unwrap_err();
    assert!(denied.to_string().contains("permission denied"), "{denied}");
    let grant = "GRANT EXECUTE ON FUNCTION bellwether.fence(text, bigint) TO app";
    server.run_sql(&database, grant).await;
    fence(&mut app, 1).await.unwrap();
    fence(&mut app, 2).await.unwrap_err();
}
