//! A standby that is promoted under candidates that reached it before, and that lacks the last
//! writes.

use bellwether::election::watch::TERM_JUMP;
use bellwether::store::Store as _;
use bellwether::store::postgres::PostgresStore;
use sqlx::raw_sql;

use crate::postgres::stores::{
    acquired, default, eventually as soon, misconfigured, open, unavailable, vacated, won,
};
use support::network::{Mode, Proxy};
use support::postgres::{Server, Stop, url};
use support::{Flock, Sidecar, Witness, eventually};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

/// The leader is on the old primary, whose last writes are lost with it; the others reached the
/// standby while it was one.
#[test]
fn a_session_that_found_a_standby_does_not_outlive_its_promotion() {
    let primary = Server::start(&[]);
    let (near, far) = (Proxy::in_background(primary.port()), Proxy::in_background(primary.port()));
    let store = |proxy: &Proxy| url(proxy.port(), "postgres", "postgres");
    // Its record is what the standby has: freed, so that the next may lead at once.
    let mut first = Sidecar::start("first", &store(&near));
    let term = eventually("it leads", || {
        Some(first.leader()).filter(|answer| answer.leads()).map(|answer| answer.term())
    });
    first.signal("TERM");
    assert!(first.wait().success());
    let standby = Server::replica_of(&primary);
    soon_has(&standby, term);
    block_on(standby.cut_off(&primary));
    let old = Sidecar::start("old", &store(&near));
    let answer =
        eventually("the next leads", || Some(old.leader()).filter(|answer| answer.leads()));
    assert_eq!(answer.term(), term + 1);
    // They begin while nothing can be reached, and the first that they find is the standby.
    far.set(Mode::Cut);
    let others = ["b", "c"].map(|name| Sidecar::start(name, &store(&far)));
    let mut flock = Flock { members: others.into_iter().collect() };
    flock.members.push(old);
    far.redirect(standby.port());
    far.set(Mode::Pass);
    for sidecar in &flock.members[..2] {
        eventually("they reach the standby", || {
            (sidecar.log().count("replica or read-only") > 0).then_some(())
        });
    }
    let witness = Witness::of(&flock);
    // The rest of the old leader's lease begins with its last renewal, which is now at most a retry
    // period ago.
    primary.stop(Stop::Kill);
    standby.promote();
    near.redirect(standby.port());
    // Any of the three may be the first: the old leader stands again, too. Its lost term is no answer.
    let answer = eventually("the next leads on the new primary", || {
        let answers = flock.members.iter().map(Sidecar::leader);
        answers.into_iter().find(|answer| answer.leads() && answer.term() != term + 1)
    });
    assert!(answer.term() >= TERM_JUMP, "the lost term was not jumped over: {answer:?}");
    flock.settled();
    witness.saw_never_two();
}

fn soon_has(standby: &Server, term: u64) {
    let has =
        format!("SELECT count(*) FROM bellwether.leases WHERE term = {term} AND holder IS NULL");
    eventually("the standby has the record", || {
        let table = "SELECT count(*) FROM pg_tables WHERE schemaname = 'bellwether'";
        let found = block_on(standby.ask("postgres", table)) == "1"
            && block_on(standby.ask("postgres", &has)) == "1";
        found.then_some(())
    });
}

/// Reads on a second connection, while a lock delays the first one.
async fn observed_aside(store: &PostgresStore, server: &Server) -> bool {
    let mut locker = server.connect("postgres").await;
    raw_sql("BEGIN; SELECT FROM bellwether.leases WHERE election = 'default' FOR UPDATE")
        .execute(&mut locker)
        .await
        .unwrap();
    let (election, late) = (default(), "late".parse().unwrap());
    let found = store.observe(&election).await.unwrap().unwrap();
    let record = vacated(&found.record);
    let waits = store.swap(&election, Some(&found.version), &record);
    let aside = async {
        tokio::task::yield_now().await;
        let outlived = store.observe(&late).await.unwrap().unwrap().outlived;
        raw_sql("ROLLBACK").execute(&mut locker).await.unwrap();
        outlived
    };
    tokio::join!(waits, aside).1
}

/// The one name of the store leads to a standby that is about to be promoted.
#[test]
fn a_start_during_a_fail_over_waits_for_its_end() {
    let primary = Server::start(&[]);
    let standby = Server::replica_of(&primary);
    primary.stop(Stop::Kill);
    let sidecar = Sidecar::start("a", &url(standby.port(), "postgres", "postgres"));
    eventually("it reports the standby", || {
        (sidecar.log().count("replica or read-only") > 0).then_some(())
    });
    assert!(!sidecar.leader().leads());
    standby.promote();
    eventually("it leads", || sidecar.leader().leads().then_some(()));
}

#[tokio::test]
async fn whatever_looks_asks_the_timeline_first_also_beside_the_first_connection() {
    let primary = Server::start(&[]);
    let before = open(&primary.url("postgres"));
    before.init().await.unwrap();
    won(&before, None, &acquired("a", 1)).await;
    let late = "late".parse().unwrap();
    before.swap(&late, None, &vacated(&acquired("a", 1))).await.unwrap();
    let standby = Server::replica_of(&primary);
    let store = crate::postgres::stores::open_with(
        &standby.url("postgres"),
        std::time::Duration::from_secs(8),
    );
    for message in [
        misconfigured(store.observe(&default()).await),
        misconfigured(store.list().await),
        unavailable(store.init().await),
    ] {
        assert!(message.contains("replica"), "{message}");
    }
    primary.stop(Stop::Kill);
    standby.promote();
    let found =
        soon("it answers", || async { store.observe(&default()).await.ok().flatten() }).await;
    assert!(found.outlived, "the row is of another timeline");
    assert!(observed_aside(&store, &standby).await, "so is what the second connection shows");
    let listed = store.list().await.unwrap();
    let late = listed.records.iter().find(|(election, _)| *election == late).unwrap();
    assert!(late.1.outlived, "{late:?}");
}

/// An unknown timeline is not the same as no timeline.
#[tokio::test]
async fn only_no_such_function_and_not_permitted_mean_that_a_server_reports_no_timeline() {
    let server = Server::start(&[]);
    let database = server.database().await;
    open(&server.url(&database)).init().await.unwrap();
    // A function of the database's own, found before the server's.
    let shadow = |body: &str| {
        format!(
            "CREATE SCHEMA IF NOT EXISTS shadow; \
             CREATE OR REPLACE FUNCTION shadow.pg_walfile_name(pg_lsn) RETURNS text \
             LANGUAGE plpgsql AS 'BEGIN {body} END'; \
             ALTER DATABASE {database} SET search_path = shadow, pg_catalog, public"
        )
    };
    let fails = "RAISE EXCEPTION ''out of luck'' USING ERRCODE = ''XX000'';";
    server.run_sql(&database, &shadow(fails)).await;
    let store = open(&server.url(&database));
    let message = crate::postgres::stores::unavailable(store.observe(&default()).await);
    assert!(message.contains("out of luck"), "{message}");
    for code in ["42883", "42501", "0A000", "55000"] {
        let none = format!("RAISE EXCEPTION ''no'' USING ERRCODE = ''{code}'';");
        server.run_sql(&database, &shadow(&none)).await;
        let store = open(&server.url(&database));
        assert!(store.observe(&default()).await.unwrap().is_none(), "{code}");
    }
}
