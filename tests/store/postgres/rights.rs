//! Which user may do what, and the error for one that may not.

use bellwether::election::term::Term;
use bellwether::store::Store as _;

use crate::postgres::stores::{
    acquired, default, misconfigured, observed, open, renewed, unavailable, vacated, won,
};
use support::postgres::{PASSWORD, Server, url};

/// A role that may log in with a password, and nothing else.
async fn role(server: &Server, name: &str) {
    let sql = format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'");
    server.run_sql("postgres", &sql).await;
}

#[tokio::test]
async fn lacking_the_right_to_create_prints_sql_that_works() {
    let server = Server::start(&[]);
    let database = server.database().await;
    role(&server, "least").await;
    // The longest names, and as a terminal or a log shows the error.
    let longest = |letter: &str| letter.repeat(25);
    let url = url(server.port(), "least", &database);
    let joint = if url.contains('?') { '&' } else { '?' };
    let other = format!("{url}{joint}schema={}&table={}", longest("s"), longest("t"));
    for url in [other, url] {
        let error = open(&url).init().await.unwrap_err();
        let shown = error.to_string();
        let sql = shown.split_once("may run: ").expect("the SQL").1;
        assert!(sql.starts_with("CREATE SCHEMA") && !sql.contains('\n'), "{shown}");
        server.run_sql(&database, sql).await;
        open(&url).init().await.unwrap();
    }
    let fences = "(SELECT count(*) FROM pg_proc WHERE prosrc LIKE '%bellwether fence%')";
    assert_eq!(server.ask(&database, fences).await, "2");
    let store = open(&self::url(server.port(), "least", &database));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    won(&store, Some(&version), &renewed(&acquired("a", 1))).await;
    assert_eq!(store.list().await.unwrap().records.len(), 1);
    let may = "has_table_privilege('least', 'bellwether.leases', 'DELETE')";
    assert_eq!(server.ask(&database, may).await, "false");
}

#[tokio::test]
async fn lacking_a_right_prints_the_grant_that_is_needed() {
    let server = Server::start(&[]);
    let database = server.database().await;
    open(&server.url(&database)).init().await.unwrap();
    role(&server, "reader").await;
    server.run_sql(&database, "GRANT USAGE ON SCHEMA bellwether TO reader").await;
    server.run_sql(&database, "GRANT SELECT ON bellwether.leases TO reader").await;
    let store = open(&url(server.port(), "reader", &database));
    for message in [
        misconfigured(store.init().await),
        misconfigured(store.swap(&default(), None, &acquired("a", 1)).await),
    ] {
        let (_, sql) = message.split_once("run: ").expect("the SQL");
        assert!(sql.contains("GRANT SELECT, INSERT, UPDATE"), "{message}");
        assert!(sql.contains("\"reader\""), "{message}");
    }
    let message = misconfigured(store.init().await);
    server.run_sql(&database, message.split_once("run: ").unwrap().1).await;
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    assert_eq!(observed(&store).await.record.term, Term::new(1));
}

/// As in a database that was hardened: the election goes without notifications.
#[tokio::test]
async fn a_role_that_may_not_notify_elects_and_hands_over() {
    let server = Server::start(&[]);
    let database = server.database().await;
    open(&server.url(&database)).init().await.unwrap();
    role(&server, "mute").await;
    server.run_sql(&database, "GRANT USAGE ON SCHEMA bellwether TO mute").await;
    let rights = "GRANT SELECT, INSERT, UPDATE ON bellwether.leases TO mute";
    server.run_sql(&database, rights).await;
    let revoked = "REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC";
    server.run_sql(&database, revoked).await;
    let store = open(&url(server.port(), "mute", &database));
    store.init().await.unwrap();
    let message = unavailable(store.swap(&default(), None, &acquired("a", 1)).await);
    assert!(message.contains("pg_notify"), "{message}");
    assert!(store.observe(&default()).await.unwrap().is_none(), "nothing was applied");
    let version = won(&store, None, &acquired("a", 1)).await;
    let version = won(&store, Some(&version), &renewed(&acquired("a", 1))).await;
    won(&store, Some(&version), &vacated(&acquired("a", 1))).await;
    assert!(observed(&store).await.record.holder.is_none());
}

#[tokio::test]
async fn a_role_with_one_connection_creates_the_table() {
    let server = Server::start(&[]);
    let database = server.database().await;
    role(&server, "single").await;
    server.run_sql("postgres", "ALTER ROLE single CONNECTION LIMIT 1").await;
    let grant = format!("GRANT CREATE ON DATABASE {database} TO single");
    server.run_sql("postgres", &grant).await;
    let store = open(&url(server.port(), "single", &database));
    // As `once` begins: with a look.
    assert!(store.observe(&default()).await.unwrap().is_none());
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    won(&store, Some(&version), &renewed(&acquired("a", 1))).await;
}

#[tokio::test]
async fn scram_lets_the_right_password_in_and_names_a_wrong_one() {
    let server = Server::start(&["password_encryption = 'scram-sha-256'"]);
    role(&server, "app").await;
    server.run_sql("postgres", "CREATE DATABASE app OWNER app").await;
    server.let_in("host all app 127.0.0.1/32 scram-sha-256");
    open(&url(server.port(), "app", "app")).init().await.unwrap();
    let wrong = url(server.port(), "app", "app").replace(PASSWORD, "hunter2");
    let store = open(&wrong);
    for message in [
        misconfigured(store.init().await),
        misconfigured(store.observe(&default()).await),
        format!("{store:?}"),
    ] {
        assert!(!message.contains("hunter2"), "{message}");
        assert!(message.contains("app"), "{message}");
    }
    let message = misconfigured(store.init().await);
    assert!(message.contains("check user, password"), "{message}");
}
