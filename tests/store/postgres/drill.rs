//! The whole drill with real processes on a real server.
//!
//! What is asserted is order and safety. How fast it goes is measured by `make figures`.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bellwether::election::watch::TERM_JUMP;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, raw_sql};

use support::postgres::proxy::{Mode, Proxy};
use support::postgres::{Bouncer, Server, Stop, url};
use support::{self, Flock, QUICK_LEASE, Sidecar, Witness, eventually, get, now};

/// Runs what the other tests write as `async`, in a test that blocks.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

struct Field {
    server: Arc<Server>,
    database: String,
}

impl Field {
    fn new() -> Self {
        let server = Server::shared();
        let database = block_on(server.database());
        Self { server, database }
    }

    fn store(&self) -> String {
        self.server.url(&self.database)
    }

    fn ask(&self, sql: &str) -> String {
        block_on(self.server.ask(&self.database, sql))
    }
}

/// A leader is terminated, then its successor killed: the flock goes on, term by term.
fn the_flock_goes_on(store: &str) -> Flock {
    let mut flock = Flock::start(&["a", "b", "c", "d"], store);
    let leader = flock.settled();
    for sidecar in &flock.members {
        assert_eq!(sidecar.status("/ready"), 200);
    }
    let witness = Witness::of(&flock);
    let term = flock.members[leader].leader().term();
    flock.members[leader].signal("TERM");
    assert!(flock.members[leader].wait().success());
    assert_eq!(flock.members[leader].log().events("vacated"), 1);
    flock.members.remove(leader);
    let next = flock.settled();
    assert_eq!(flock.members[next].leader().term(), term + 1, "handed over, not run out");
    flock.members[next].kill();
    flock.members.remove(next);
    let last = flock.settled();
    assert!(flock.members[last].leader().term() > term + 1);
    witness.saw_never_two();
    flock
}

#[test]
fn leaders_come_and_go_and_there_are_never_two() {
    let field = Field::new();
    let flock = the_flock_goes_on(&field.store());
    assert_eq!(flock.members[0].log().events("no_notifications"), 0);
}

#[test]
fn leaders_come_and_go_behind_a_transaction_pooler_too() {
    let field = Field::new();
    let bouncer = Bouncer::before(&field.server);
    let flock = the_flock_goes_on(&bouncer.url(&field.database));
    eventually("the pooler is found out", || {
        (flock.members[0].log().events("no_notifications") == 1).then_some(())
    });
}

#[test]
fn a_leader_that_was_frozen_says_no_with_its_first_answer() {
    let field = Field::new();
    let flock = Flock::start(&["a", "b"], &field.store());
    let leader = flock.settled();
    let (frozen, other) = (&flock.members[leader], 1 - leader);
    frozen.signal("STOP");
    let next = flock.led_by_one_of(&[other]);
    let url = format!("{}/leader", frozen.url);
    let first = thread::spawn(move || get(&url));
    thread::sleep(Duration::from_millis(100));
    frozen.signal("CONT");
    let first = first.join().unwrap().expect("it answers");
    assert!(!first.leads(), "{first:?}");
    assert_eq!(flock.settled(), next, "the frozen one follows");
}

#[test]
fn after_everybody_died_a_new_process_leads_without_waiting() {
    let field = Field::new();
    let mut flock = Flock::start(&["a", "b"], &field.store());
    let leader = flock.settled();
    let last_term = flock.members[leader].leader().term();
    flock.members.iter_mut().for_each(Sidecar::kill);
    let dead_since = now();
    eventually("the lease runs out", || (now().since(dead_since) > QUICK_LEASE).then_some(()));
    let started = now();
    let fresh = Sidecar::start("fresh", &field.store());
    let answer = eventually("it leads", || Some(fresh.leader()).filter(|answer| answer.leads()));
    assert_eq!(answer.term(), last_term + 1, "the term goes on: {answer:?}");
    // Not a claim about speed: waiting for a lease is what it must not do.
    assert!(now().since(started) < QUICK_LEASE, "it waited for a lease that was over");
}

/// Breaks the store, waits until nobody leads, puts it right and waits until somebody leads again.
fn nobody_leads_while(flock: &Flock, breaking: impl FnOnce(), mending: impl FnOnce()) {
    flock.settled();
    let witness = Witness::of(flock);
    breaking();
    eventually("nobody leads", || {
        flock.members.iter().all(|sidecar| !sidecar.leader().leads()).then_some(())
    });
    for sidecar in &flock.members {
        assert_eq!(sidecar.status("/started"), 200, "an outage must not get the app killed");
        assert_eq!(sidecar.status("/livez"), 200, "an outage must not get the app killed");
    }
    mending();
    flock.settled();
    witness.saw_never_two();
}

#[test]
fn a_server_that_dies_demotes_and_everybody_rejoins() {
    let server = Server::start(&[]);
    let flock = Flock::start(&["a", "b", "c"], &server.url("postgres"));
    for stop in [Stop::Kill, Stop::Immediate] {
        nobody_leads_while(&flock, || server.stop(stop), || server.start_again());
    }
    let log = flock.members[0].log().text();
    assert!(log.contains("\"event\":\"store_answers\""), "{log}");
    assert!(!log.contains(support::postgres::PASSWORD), "{log}");
}

#[test]
fn a_short_restart_demotes_nobody() {
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
fn a_network_that_stalls_or_cuts_demotes_and_everybody_rejoins() {
    let field = Field::new();
    let proxy = Proxy::in_background(field.server.port());
    let flock = Flock::start(&["a", "b"], &url(proxy.port(), "postgres", &field.database));
    for mode in [Mode::Stall, Mode::Cut] {
        nobody_leads_while(&flock, || proxy.set(mode), || proxy.set(Mode::Pass));
    }
}

#[test]
fn sessions_that_are_terminated_again_and_again_demote_nobody() {
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
fn a_dropped_table_is_made_again_and_terms_go_on() {
    let field = Field::new();
    let flock = Flock::start(&["a", "b"], &field.store());
    let leader = flock.settled();
    let term = flock.members[leader].leader().term();
    let witness = Witness::of(&flock);
    block_on(field.server.run_sql(&field.database, "DROP TABLE bellwether.leases"));
    let next = eventually("somebody leads a later term", || {
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
    eventually("somebody leads a later term", || {
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
    // The replica hears no more; what is written now is lost with the primary.
    let nowhere = "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'";
    block_on(replica.run_sql("postgres", nowhere));
    replica.configure("");
    eventually("the replica is cut off", || {
        let gone = block_on(primary.ask("postgres", "SELECT count(*) FROM pg_stat_replication"));
        (gone == "0").then_some(())
    });
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
    let answer = eventually("somebody leads a term beyond all that may be lost", || {
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

#[test]
fn eight_at_once_do_it_once_directly_and_behind_a_transaction_pooler() {
    let field = Field::new();
    support::eight::do_it_once(&field.store(), support::bellwether);
    let field = Field::new();
    let bouncer = Bouncer::before(&field.server);
    support::eight::do_it_once(&bouncer.url(&field.database), support::bellwether);
}
