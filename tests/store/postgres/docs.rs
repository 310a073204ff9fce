//! The examples of `docs/postgres.md`, run as they stand.

use std::process::Command;

use bellwether::election::term::Term;
use bellwether::store::Store as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, raw_sql};

use crate::postgres::stores::{acquired, observed, open, renewed, won};
use support::postgres::{PASSWORD, Server, url};

/// The code after the comment that says that this file runs it.
fn example(name: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/postgres.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mark = format!("<!-- run by tests/store/postgres/docs.rs: {name} -->\n```");
    let (_, after) = page.split_once(&mark).unwrap_or_else(|| panic!("no example '{name}'"));
    let (_, code) = after.split_once('\n').unwrap();
    code.split_once("\n```").unwrap().0.replace("'PASSWORD'", &format!("'{PASSWORD}'"))
}

#[tokio::test]
async fn the_least_privilege_is_enough_and_the_fence_examples_work() {
    let server = Server::start(&[]);
    let database = server.database().await;
    open(&server.url(&database)).init().await.unwrap();
    server.run_sql(&database, &example("least privilege")).await;
    let store = open(&url(server.port(), "bellwether", &database));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    won(&store, Some(&version), &renewed(&acquired("a", 1))).await;
    assert_eq!(observed(&store).await.record.term, Term::new(1));
    assert_eq!(store.list().await.unwrap().records.len(), 1);

    let app = format!(
        "CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE TABLE invoices (month text); \
                       GRANT INSERT ON invoices TO app"
    );
    server.run_sql(&database, &app).await;
    server.run_sql(&database, &example("fence rights")).await;
    let app_url = url(server.port(), "app", &database);
    let mut app = app_url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    raw_sql(AssertSqlSafe(example("fence"))).execute(&mut app).await.unwrap();
    let python = |term: &str| {
        // Debian's, for which Debian packages the driver; another may stand before it in the path.
        let output = Command::new("/usr/bin/python3")
            .args(["-c", &example("python")])
            .env("DATABASE_URL", &app_url)
            .env("BELLWETHER_ELECTION", "default")
            .env("BELLWETHER_TERM", term)
            .output()
            .expect("psycopg2 is not installed: apt-get install python3-psycopg2");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(python("1"), "done");
    assert_eq!(python("7"), "not the leader any more");
    let months = "SELECT string_agg(month, ',' ORDER BY month) FROM invoices";
    assert_eq!(server.ask(&database, months).await, "2026-11,2026-12");
}
