//! Obstacles to writes on a working server: triggers, policies and locks.

use std::process::Command;
use std::time::Duration;

use bellwether::election::term::Term;
use bellwether::store::Store as _;
use sqlx::{Row as _, raw_sql};

use crate::postgres::stores::{
    acquired, default, misconfigured, observed, open, open_with, renewed, swap, unavailable, won,
};
use support::postgres::{PASSWORD, Server, url};
use support::{self, Flock, eventually, now};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

/// A trigger that counts the writes, also those that come to nothing, and answers with `answer`.
fn counting_trigger(answer: &str) -> String {
    format!(
        "CREATE SEQUENCE IF NOT EXISTS calls; \
         CREATE FUNCTION obstacle() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM nextval(''public.calls''); RETURN {answer}; END'; \
         CREATE TRIGGER obstacle BEFORE INSERT OR UPDATE ON bellwether.leases \
         FOR EACH ROW EXECUTE FUNCTION obstacle()"
    )
}

#[test]
fn a_trigger_that_returns_null_is_named_and_costs_few_calls_and_lines() {
    let server = Server::shared();
    let database = block_on(server.database());
    block_on(open(&server.url(&database)).init()).unwrap();
    block_on(server.run_sql(&database, &counting_trigger("NULL")));
    let flock = Flock::start(&["a", "b"], &server.url(&database));
    for sidecar in &flock.members {
        eventually("the trigger is named", || {
            (sidecar.log().count("a trigger on the table that returns NULL") > 0).then_some(())
        });
    }
    let (began, calls) = (now(), "SELECT last_value FROM calls");
    let before: u32 = block_on(server.ask(&database, calls)).parse().unwrap();
    eventually("five seconds pass", || (now().since(began) > Duration::from_secs(5)).then_some(()));
    let after: u32 = block_on(server.ask(&database, calls)).parse().unwrap();
    // Two candidates in at least 5 s, with a retry period of 300 ms: 34, were all as fast as that.
    let periods = now().since(began).as_millis() / 300;
    assert!(u128::from(after - before) <= 2 * periods, "{} writes in 5 s", after - before);
    for sidecar in &flock.members {
        let lines = sidecar.log().lines();
        assert!(lines.len() < 10, "{lines:#?}");
    }
    block_on(server.run_sql(&database, "DROP TRIGGER obstacle ON bellwether.leases"));
    flock.settled();
}

#[tokio::test]
async fn a_trigger_that_returns_the_old_row_or_changes_the_new_one_wins_nothing() {
    for answer in ["OLD", "NULL"] {
        let server = Server::shared();
        let database = server.database().await;
        let store = open(&server.url(&database));
        store.init().await.unwrap();
        let version = won(&store, None, &acquired("a", 1)).await;
        server.run_sql(&database, &counting_trigger(answer)).await;
        let message = misconfigured(swap(&store, Some(&version), &acquired("b", 2)).await);
        assert!(message.contains("trigger"), "{message}");
        let found = observed(&store).await;
        assert_eq!((found.record.term, &found.version), (Term::new(1), &version), "{answer}");
    }
    for change in ["term := 99", "version := ''mine''", "incarnation := ''other''"] {
        let server = Server::shared();
        let database = server.database().await;
        let store = open(&server.url(&database));
        store.init().await.unwrap();
        let version = won(&store, None, &acquired("a", 1)).await;
        let trigger = format!(
            "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN NEW.{change}; RETURN NEW; END'; \
             CREATE TRIGGER change BEFORE INSERT OR UPDATE ON bellwether.leases \
             FOR EACH ROW EXECUTE FUNCTION change()"
        );
        server.run_sql(&database, &trigger).await;
        let message = misconfigured(swap(&store, Some(&version), &acquired("b", 2)).await);
        assert!(message.contains("not as it was written"), "{change}: {message}");
    }
}

#[tokio::test]
async fn row_level_security_is_named() {
    let server = Server::start(&[]);
    let database = server.database().await;
    open(&server.url(&database)).init().await.unwrap();
    let role = format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'");
    server.run_sql("postgres", &role).await;
    let grants = "GRANT USAGE ON SCHEMA bellwether TO app; \
                  GRANT SELECT, INSERT, UPDATE ON bellwether.leases TO app; \
                  ALTER TABLE bellwether.leases ENABLE ROW LEVEL SECURITY; \
                  CREATE POLICY reads ON bellwether.leases FOR SELECT USING (true); \
                  CREATE POLICY writes ON bellwether.leases FOR INSERT WITH CHECK (true)";
    server.run_sql(&database, grants).await;
    let store = open(&url(server.port(), "app", &database));
    let version = won(&store, None, &acquired("a", 1)).await;
    // Without a policy for updates they find no row.
    let message = misconfigured(swap(&store, Some(&version), &renewed(&acquired("a", 1))).await);
    assert!(message.contains("row-level security"), "{message}");
    server.run_sql(&database, "DROP POLICY writes ON bellwether.leases").await;
    server.run_sql(&database, "TRUNCATE bellwether.leases").await;
    let message = misconfigured(swap(&store, None, &acquired("a", 1)).await);
    assert!(message.contains("row-level security"), "{message}");
    assert!(!message.contains("GRANT"), "{message}");
}

#[tokio::test]
async fn a_renewal_that_waits_for_a_lock_names_who_holds_it_and_not_the_fence() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open_with(&server.url(&database), Duration::from_secs(5));
    store.init().await.unwrap();
    let version = won(&store, None, &acquired("a", 1)).await;
    let mut locker = server.connect(&database).await;
    let pid = raw_sql("SELECT pg_backend_pid()::text").fetch_one(&mut locker).await.unwrap();
    let pid: String = pid.get(0);
    raw_sql("BEGIN; SELECT FROM bellwether.leases FOR UPDATE").execute(&mut locker).await.unwrap();
    for _ in 0..2 {
        let renewal = renewed(&acquired("a", 1));
        let message = unavailable(swap(&store, Some(&version), &renewal).await);
        assert!(message.contains(&format!("pid {pid}")), "{pid}: {message}");
        assert!(!message.contains("fence"), "{message}");
    }
    raw_sql("ROLLBACK; BEGIN; LOCK TABLE bellwether.leases IN ACCESS EXCLUSIVE MODE")
        .execute(&mut locker)
        .await
        .unwrap();
    let message = unavailable(store.observe(&default()).await);
    assert!(message.contains(&format!("pid {pid}")), "a look: {message}");
    assert!(!message.contains("fence"), "{message}");
    raw_sql("ROLLBACK").execute(&mut locker).await.unwrap();
    won(&store, Some(&version), &renewed(&acquired("a", 1))).await;
}

/// What a person wrote into a row concerns that row.
#[tokio::test]
async fn a_row_with_odd_values_hides_no_other_one() {
    let server = Server::shared();
    let database = server.database().await;
    let store = open(&server.url(&database));
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    let odd = "odd".parse().unwrap();
    store.swap(&odd, None, &acquired("a", 1)).await.unwrap();
    let backup = "CREATE TABLE backup AS SELECT * FROM bellwether.leases";
    server.run_sql(&database, backup).await;
    for change in [
        "expires_at = 'infinity'",
        "expires_at = '-infinity'",
        "expires_at = '294276-12-31'",
        "expires_at = '4713-01-01 BC'",
        "acquire_time = 'infinity', renew_time = '-infinity'",
        "acquire_time = '294276-12-31', renew_time = '4713-01-01 BC'",
        "lease_duration_ms = -1",
        "lease_duration_ms = 9223372036854775807",
        "term = -1",
        "term = 9223372036854775807",
        "format = -2147483648",
        "version = '', timeline = ''",
        "holder = '', incarnation = NULL",
        "holder = E'\\n\\x1b'",
        "pause = 'x', handover = 'x', holder_url = 'x', origin = 'x', payload = 'x'",
        "election = ''",
        "election = E'a\\nb'",
    ] {
        let sql = format!("UPDATE bellwether.leases SET {change} WHERE election = 'odd'");
        server.run_sql(&database, &sql).await;
        let listed = store.list().await.unwrap_or_else(|error| panic!("{change}: {error}"));
        assert_eq!(listed.records.len() + listed.unreadable.len(), 2, "{change}");
        assert!(listed.records.iter().any(|(name, _)| *name == default()), "{change}");
        let (fine, _) = tokio::join!(async { observed(&store).await }, store.observe(&odd));
        assert_eq!(fine.record.term, Term::new(1), "{change}");
        let mut status: Command = support::bellwether();
        status.args(["status", "--store", &server.url(&database)]);
        let output = status.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("default  held"), "{change}: {text}");
        let restore = "BEGIN; DELETE FROM bellwether.leases; \
                       INSERT INTO bellwether.leases SELECT * FROM backup; COMMIT";
        server.run_sql(&database, restore).await;
    }
}

fn status(store: &str) -> String {
    let mut command: Command = support::bellwether();
    let output = command.args(["status", "--store", store]).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn status_says_that_a_port_is_refused_and_that_a_server_is_full() {
    let text = status(&url(support::ports::free_port(), "postgres", "app"));
    assert!(text.contains("refused"), "{text}");
    let server = Server::start(&["max_connections = 5", "superuser_reserved_connections = 0"]);
    let mut others = Vec::new();
    while let Ok(connection) = block_on(server.try_connect("postgres")) {
        others.push(connection);
    }
    let text = status(&server.url("postgres"));
    assert!(text.contains("no connection left"), "{text}");
    drop(others);
}

#[test]
fn the_schema_public_is_warned_of() {
    let server = Server::shared();
    let database = block_on(server.database());
    let store = format!("{}&schema=public", server.url(&database));
    let sidecar = support::Sidecar::start("a", &store);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let warned = || (sidecar.log().count("schema 'public'") == 1).then_some(());
    eventually("it warns of it", warned);
}
