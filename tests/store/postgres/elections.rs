//! Whole elections, by what only Postgres has: restarts, sessions, tables, backups, replicas, poolers.
//!
//! What every store has is in the drill (`tests/program/drill`).

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bellwether::election::watch::TERM_JUMP;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, raw_sql};

use support::network::Proxy;
use support::postgres::{Bouncer, Server, Stop, url};
use support::{Flock, Sidecar, Witness, eventually, no_instance_leads_while, now};

/// Runs what the other tests write as `async`, in a test that blocks.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

pub(super) struct Field {
    server: Arc<Server>,
    database: String,
}

impl Field {
    pub(super) fn new() -> Self {
        let server = Server::shared();
        let database = block_on(server.database());
        Self { server, database }
    }

    pub(super) fn store(&self) -> String {
        self.server.url(&self.database)
    }

    pub(super) async fn run_sql(&self, sql: &str) {
        self.server.run_sql(&self.database, sql).await;
    }

    fn ask(&self, sql: &str) -> String {
        block_on(self.server.ask(&self.database, sql))
    }
}

#[test]
fn notifications_arrive_directly_and_a_transaction_pooler_is_found_out() {
    let field = Field::new();
    let flock = Flock::start(&["a", "b"], &field.store());
    flock.settled();
    let (field, pooled) = (Field::new(), Bouncer::before(&field.server));
    let behind = Sidecar::start("a", &pooled.url(&field.database));
    behind.log().await_events("no_notifications", 1);
    for member in &flock.members {
        assert_eq!(member.log().events("no_notifications"), 0);
    }
}

/// Each role that can connect can listen to the versions, and notify.
#[test]
fn false_notifications_hand_no_lease_over_and_keep_none_alive() {
    let field = Field::new();
    let mut flock = Flock::start(&["a", "b"], &field.store());
    let leader = flock.settled();
    let term = flock.members[leader].leader().term();
    let notify = |text: &str| {
        field.ask(&format!("SELECT pg_notify('bellwether.leases', 'default {text}')::text"))
    };
    let state = "SELECT term || ' ' || version || '@' || timeline FROM bellwether.leases";
    for _ in 0..30 {
        notify(&field.ask(state));
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((flock.settled(), flock.members[leader].leader().term()), (leader, term));

    drop(flock.members.remove(leader));
    eventually("the other leads", || {
        notify(&format!("{term} free-{}@00000001", now().as_duration().as_nanos()));
        flock.members[0].leader().leads().then_some(())
    });
}

#[test]
fn a_server_that_dies_demotes_and_all_rejoin() {
    let server = Server::start(&[]);
    let flock = Flock::start(&["a", "b", "c"], &server.url("postgres"));
    for stop in [Stop::Kill, Stop::Immediate] {
        no_instance_leads_while(&flock, || server.stop(stop), |()| server.start_again());
    }
    let log = flock.members[0].log().text();
    assert!(log.contains("\"event\":\"store_answers\""), "{log}");
    assert!(!log.contains(support::postgres::PASSWORD), "{log}");
}

#[test]
fn a_short_restart_demotes_no_leader() {
    let server = Server::start(&[]);
    let sidecar = Sidecar::start_with(
        "a",
        &server.url("postgres"),
        &["--lease-duration", "60s", "--renew-deadline", "40s", "--retry-period", "1s"],
    );
    let before = eventually("it leads", || Some(sidecar.leader()).filter(|a| a.leads()));
    server.stop(Stop::Fast);
    server.start_again();
    let renewed = sidecar.leader().body["renewTime"].clone();
    let after = eventually("it renews again", || {
        Some(sidecar.leader()).filter(|answer| answer.body["renewTime"] != renewed)
    });
    assert_eq!((after.leads(), after.term()), (true, before.term()));
    assert_eq!(sidecar.log().events("lost"), 0);
}

#[test]
fn sessions_that_are_terminated_again_and_again_demote_no_leader() {
    let field = Field::new();
    let flock = Flock::start(&["a", "b"], &field.store());
    let leader = flock.settled();
    let term = flock.members[leader].leader().term();
    let database = &field.database;
    for _ in 0..10 {
        field.ask(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = '{database}' AND application_name = 'bellwether'"
        ));
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(flock.settled(), leader);
    assert_eq!(flock.members[leader].leader().term(), term);
}

#[test]
fn a_dropped_table_is_made_again_and_terms_continue() {
    let field = Field::new();
    let flock = Flock::start(&["a", "b"], &field.store());
    let leader = flock.settled();
    let term = flock.members[leader].leader().term();
    let witness = Witness::of(&flock);
    block_on(field.server.run_sql(&field.database, "DROP TABLE bellwether.leases"));
    let next = eventually("one of them leads a later term", || {
        let answers = flock.members.iter().map(Sidecar::leader);
        answers.into_iter().find(|answer| answer.leads() && answer.term() > term)
    });
    assert!(next.term() > term);
    flock.settled();
    witness.saw_never_two();
}

#[test]
fn a_restored_backup_takes_no_term_back() {
    let field = Field::new();
    let mut flock = Flock::start(&["a", "b", "c"], &field.store());
    flock.settled();
    let backup = "CREATE TABLE backup AS SELECT * FROM bellwether.leases";
    block_on(field.server.run_sql(&field.database, backup));
    let leader = flock.settled();
    flock.members[leader].kill();
    flock.members.remove(leader);
    let leader = flock.settled();
    let term = flock.members[leader].leader().term();
    let witness = Witness::of(&flock);
    let restore = "BEGIN; DELETE FROM bellwether.leases; \
                   INSERT INTO bellwether.leases SELECT * FROM backup; COMMIT";
    block_on(field.server.run_sql(&field.database, restore));
    eventually("one of them leads a later term", || {
        let answers = flock.members.iter().map(Sidecar::leader);
        answers.into_iter().find(|answer| answer.leads() && answer.term() > term)
    });
    flock.settled();
    witness.saw_never_two();
    let log: String = flock.members.iter().map(|sidecar| sidecar.log().text()).collect();
    assert!(log.contains("went backwards"), "{log}");
}

#[test]
fn a_fail_over_that_lost_the_latest_leader_elects_no_second_one() {
    let primary = Server::start(&[]);
    let proxy = Proxy::in_background(primary.port());
    let store = url(proxy.port(), "postgres", "postgres");
    let mut flock = Flock::start(&["a", "b", "c"], &store);
    let first = flock.settled();
    let term = flock.members[first].leader().term();
    let replica = Server::replica_of(&primary);
    block_on(replica.cut_off(&primary));
    flock.members[first].signal("TERM");
    assert!(flock.members[first].wait().success());
    flock.members.remove(first);
    let second = flock.settled();
    assert_eq!(flock.members[second].leader().term(), term + 1);
    let witness = Witness::of(&flock);
    primary.stop(Stop::Kill);
    replica.promote();
    proxy.redirect(replica.port());
    // A newcomer knows nothing of the second leader's term.
    let newcomer = Sidecar::start("newcomer", &store);
    flock.members.push(newcomer);
    let answer = eventually("one of them leads a term beyond all that may be lost", || {
        let answers = flock.members.iter().map(Sidecar::leader);
        answers.into_iter().find(|answer| answer.leads() && answer.term() >= TERM_JUMP)
    });
    assert!(answer.term() >= term + TERM_JUMP);
    flock.settled();
    witness.saw_never_two();
}

async fn fenced(connection: &mut PgConnection, term: u64) -> Result<(), sqlx::Error> {
    let sql = format!("BEGIN; SELECT bellwether.fence('default', {term})");
    raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

#[test]
fn an_overtaken_leaders_late_transaction_is_refused_and_an_earlier_one_finishes() {
    let field = Field::new();
    let flock = Flock::start(&["a", "b"], &field.store());
    let leader = flock.settled();
    let (old, other) = (&flock.members[leader], &flock.members[1 - leader]);
    let term = old.leader().term();
    let create = "CREATE TABLE work (term bigint)";
    block_on(field.server.run_sql(&field.database, create));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut app = runtime.block_on(field.server.connect(&field.database));
    runtime.block_on(fenced(&mut app, term)).unwrap();
    old.signal("STOP");
    eventually("the take-over waits, and says for what", || {
        (other.log().count("called the fence") > 0).then_some(())
    });
    assert!(!other.leader().leads(), "it has not overtaken the transaction");
    let finish = format!("INSERT INTO work VALUES ({term}); COMMIT");
    runtime.block_on(raw_sql(AssertSqlSafe(finish)).execute(&mut app)).unwrap();
    let next = eventually("it takes over", || Some(other.leader()).filter(|a| a.leads()));
    assert!(next.term() > term);
    let refused = runtime.block_on(fenced(&mut app, term)).unwrap_err();
    let code = refused.as_database_error().and_then(|e| e.code()).unwrap_or_default().into_owned();
    assert_eq!(code, "BW001", "{refused}");
    old.signal("CONT");
    assert_eq!(field.ask("SELECT count(*) FROM work"), "1");
}
