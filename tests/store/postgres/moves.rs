//! Fail-overs as they happen: the primary disappears, a standby is promoted, and the name follows
//! late or there are several names. All without a restart.

use bellwether::election::term::Term;
use std::process::Command;
use std::time::Duration;

use crate::postgres::hosts::Hosts;
use support::network::{Mode, Proxy};
use support::ports::free_port;
use support::postgres::{PASSWORD, Server, Stop, url, url_at};
use support::{Flock, Sidecar, Witness, eventually, now};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

/// More lines than this about one fault, with the start and the changes of leadership, would be
/// a line for every attempt.
const LINES: usize = 20;

fn flock(store: &str, command: impl Fn() -> Command) -> Flock {
    let start = |name: &&str| Sidecar::start_as(name, store, &[], command());
    Flock { members: ["a", "b", "c"].iter().map(start).collect() }
}

fn logged_little(flock: &Flock) {
    for sidecar in &flock.members {
        let lines = sidecar.log().lines();
        assert!(lines.len() < LINES, "{}: {lines:#?}", sidecar.name);
        assert!(!sidecar.log().text().contains(PASSWORD), "{lines:#?}");
    }
}

fn everyone_saw(flock: &Flock, part: &str) {
    for sidecar in &flock.members {
        eventually(part, || (sidecar.log().count(part) > 0).then_some(()));
    }
}

/// Waits until an instance has written on this server, and then for the leader.
fn settled_on(server: &Server, flock: &Flock) -> usize {
    let written = "SELECT count(*) FROM bellwether.leases \
                   WHERE timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)";
    eventually("the new primary is written to", || {
        (block_on(server.ask("postgres", written)) == "1").then_some(())
    });
    flock.settled()
}

fn for_a_while(time: Duration) {
    let began = now();
    eventually("time passes", || (now().since(began) > time).then_some(()));
}

/// The most ordinary fail-over: DNS follows seconds later, and the old address is a replica by then.
#[test]
fn a_name_that_moves_late_leaves_no_instance_with_the_replica_at_its_old_address() {
    let port = free_port();
    let primary = Server::start_at("127.0.0.1", port, &[]);
    let standby = Server::replica_at("127.0.0.2", port, &primary);
    let hosts = Hosts::with("db", &["127.0.0.1"]);
    let flock = flock(&url_at("db", port, "postgres", "postgres"), || hosts.bellwether());
    let leader = flock.settled();
    let term = flock.members[leader].leader().term();
    let witness = Witness::of(&flock);
    primary.stop(Stop::Kill);
    standby.promote();
    let old_primary = Server::replica_at("127.0.0.1", port, &standby);
    everyone_saw(&flock, "replica or read-only");
    for_a_while(Duration::from_secs(4));
    hosts.set("db", &["127.0.0.2"]);
    let leader = flock.settled();
    assert!(flock.members[leader].leader().term() > term);
    witness.saw_never_two();
    logged_little(&flock);
    drop(old_primary);
}

/// By a setting that reaches open sessions, and by one that lasts as long as a session.
#[test]
fn a_server_that_was_read_only_for_a_while_is_used_again() {
    let server = Server::start(&[]);
    let flock = flock(&server.url("postgres"), support::bellwether);
    flock.settled();
    let witness = Witness::of(&flock);
    let no_instance_leads = || {
        eventually("no instance leads", || {
            flock.members.iter().all(|sidecar| !sidecar.leader().leads()).then_some(())
        });
        for_a_while(Duration::from_secs(3));
    };
    server.configure("default_transaction_read_only = on");
    no_instance_leads();
    server.configure("default_transaction_read_only = off");
    flock.settled();
    let database = "ALTER DATABASE postgres SET default_transaction_read_only =";
    block_on(server.run_sql("postgres", &format!("{database} on")));
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE application_name = 'bellwether'";
    block_on(server.ask("postgres", cut));
    no_instance_leads();
    everyone_saw(&flock, "replica or read-only");
    let database = format!("SET default_transaction_read_only = off; {database} off");
    block_on(server.run_each("postgres", &database));
    flock.settled();
    witness.saw_never_two();
    logged_little(&flock);
}

/// A server that turns read-only under a session is left for the next of the list.
#[tokio::test]
async fn a_session_whose_write_is_refused_as_read_only_is_left_for_the_next_host() {
    let (one, other) = (Server::start(&[]), Server::start(&[]));
    let store = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?sslmode=disable",
        one.port(),
        other.port()
    );
    let store = crate::postgres::stores::open(&store);
    bellwether::store::Store::init(&*store).await.unwrap();
    let record = crate::postgres::stores::acquired("a", 1);
    let version = crate::postgres::stores::won(&store, None, &record).await;
    one.configure("default_transaction_read_only = on");
    let refused = crate::postgres::stores::swap(&store, Some(&version), &record).await;
    let message = crate::postgres::stores::misconfigured(refused);
    assert!(message.contains("replica or read-only"), "{message}");
    let found =
        bellwether::store::Store::observe(&*store, &crate::postgres::stores::default()).await;
    assert!(found.unwrap().is_none(), "the other server has no record");
}

#[test]
fn of_two_hosts_in_a_url_the_one_that_accepts_writes_is_found_again_and_again() {
    let first = Server::start(&[]);
    let second = Server::replica_of(&first);
    let (one, two) = (first.port(), second.port());
    let store = format!(
        "postgres://postgres:{PASSWORD}@127.0.0.1:{one},127.0.0.1:{two}/postgres\
         ?sslmode=disable&target_session_attrs=read-write"
    );
    let flock = flock(&store, support::bellwether);
    flock.settled();
    let witness = Witness::of(&flock);
    first.stop(Stop::Kill);
    second.promote();
    let leader = settled_on(&second, &flock);
    let term = flock.members[leader].leader().term();
    // And back, to a standby of the second at the first one's place.
    let third = Server::replica_at("127.0.0.1", one, &second);
    second.stop(Stop::Kill);
    third.promote();
    let leader = settled_on(&third, &flock);
    assert!(flock.members[leader].leader().term() >= term);
    witness.saw_never_two();
    logged_little(&flock);
}

#[test]
fn a_host_that_hangs_keeps_no_instance_from_the_next_one() {
    let server = Server::start(&[]);
    let hung = Proxy::in_background(server.port());
    hung.set(Mode::Stall);
    let store = format!(
        "postgres://postgres:{PASSWORD}@127.0.0.1:{},127.0.0.1:{}/postgres?sslmode=disable",
        hung.port(),
        server.port()
    );
    let flock = flock(&store, support::bellwether);
    flock.settled();
    logged_little(&flock);
}

/// Also with a certificate for the name, and with an address that hangs. The resolver gives the
/// address first that is nearest to the own one: that is the standby's.
#[test]
fn every_address_of_a_name_is_tried() {
    let signed = support::postgres::signed::Signed::start_at("db", "127.0.0.2");
    let port = signed.server.port();
    let standby = Server::replica_at("127.0.0.1", port, &signed.server);
    // Accepts connections, and sends nothing.
    let hung = std::net::TcpListener::bind(("127.0.0.3", port)).unwrap();
    let hosts = Hosts::with("db", &["127.0.0.1", "127.0.0.3", "127.0.0.2"]);
    let ca = signed.path("ca.crt");
    for parameters in [
        "sslmode=disable".to_owned(),
        "sslmode=prefer".to_owned(),
        format!("sslmode=verify-full&sslrootcert={}", ca.display()),
    ] {
        let store = format!("postgres://postgres:{PASSWORD}@db:{port}/postgres?{parameters}");
        let sidecar = Sidecar::start_as("a", &store, &[], hosts.bellwether());
        eventually(&parameters, || sidecar.leader().leads().then_some(()));
        let lines = sidecar.log().lines();
        assert!(lines.len() < LINES, "{lines:#?}");
    }
    drop((standby, hung));
}

#[test]
fn an_ipv6_literal_is_a_host_like_any_other() {
    let server = Server::start_at("::1", free_port(), &[]);
    server.let_in("host all all ::1/128 trust");
    let store = url_at("[::1]", server.port(), "postgres", "postgres");
    let sidecar = Sidecar::start("a", &store);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
}

/// The old server still answers and accepts writes: nothing but its age ends the session.
#[tokio::test]
async fn an_old_session_makes_room_for_one_where_the_name_leads_now() {
    let (one, other) = (Server::start(&[]), Server::start(&[]));
    for (server, term) in [(&one, 1), (&other, 2)] {
        let store = crate::postgres::stores::open(&server.url("postgres"));
        bellwether::store::Store::init(&*store).await.unwrap();
        crate::postgres::stores::won(&store, None, &crate::postgres::stores::acquired("a", term))
            .await;
    }
    let proxy = Proxy::before(one.port()).await;
    let store = crate::postgres::stores::aging(&url(proxy.port(), "postgres", "postgres"));
    assert_eq!(crate::postgres::stores::observed(&store).await.record.term, Term::new(1));
    proxy.redirect(other.port());
    crate::postgres::stores::eventually("the other server is queried", || async {
        (crate::postgres::stores::observed(&store).await.record.term == Term::new(2)).then_some(())
    })
    .await;
}
