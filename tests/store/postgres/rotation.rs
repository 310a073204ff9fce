//! Passwords that change while everything runs, as docs/rotation.md describes.

use bellwether::election::term::Term;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use support::postgres::{Server, url};
use support::{self, Flock, Sidecar, Witness, eventually};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

const OLD: &str = "oldpassword1";
const NEW: &str = "newpassword2";

/// A server that requires a password of `app`.
fn guarded() -> Server {
    let server = Server::start(&["password_encryption = 'scram-sha-256'"]);
    let role = format!("CREATE ROLE app LOGIN PASSWORD '{OLD}'");
    block_on(server.run_sql("postgres", &role));
    block_on(server.run_sql("postgres", "CREATE DATABASE app OWNER app"));
    server.let_in("host all app 127.0.0.1/32 scram-sha-256");
    server
}

fn alter(server: &Server, password: &str) {
    let alter = format!("ALTER ROLE app PASSWORD '{password}'");
    block_on(server.run_sql("postgres", &alter));
}

fn cut_sessions(server: &Server) {
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app'";
    block_on(server.ask("postgres", cut));
}

fn write(file: &Path, text: &str) {
    let next = file.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(next, file).unwrap();
}

/// Changes the password, in the place that `publish` writes, in both orders.
fn rotated(server: &Server, flock: &Flock, publish: impl Fn(&str)) {
    let leader = flock.settled();
    let term = flock.members[leader].leader().term();
    let witness = Witness::of(flock);
    // In order: open sessions do not notice, and those that break recover.
    alter(server, NEW);
    publish(NEW);
    assert_eq!(flock.members[flock.settled()].leader().term(), term, "no leader was replaced");
    cut_sessions(server);
    let leader = flock.settled();
    let term = flock.members[leader].leader().term();
    // Late: a session that broke meanwhile is refused, and recovers.
    alter(server, OLD);
    for sidecar in &flock.members {
        eventually("the login is refused", || {
            // A login that was under way gives another session that is good.
            cut_sessions(server);
            (sidecar.log().count("refused the login") > 0).then_some(())
        });
    }
    publish(OLD);
    let leader = flock.settled();
    assert!(flock.members[leader].leader().term() >= term);
    witness.saw_never_two();
    for sidecar in &flock.members {
        let lines = sidecar.log().lines();
        assert!(lines.len() < 20, "{lines:#?}");
        let text = sidecar.log().text();
        assert!(!text.contains(OLD) && !text.contains(NEW), "{text}");
    }
}

#[test]
fn a_password_that_changes_in_the_file_of_the_url_is_used() {
    let server = guarded();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let text = |password: &str| {
        let plain = url(server.port(), "app", "app");
        plain.replace(support::postgres::PASSWORD, password)
    };
    write(&file, &text(OLD));
    let path = file.display().to_string();
    let start = |name: &&str| {
        let arguments = ["--identity", name, "--store-file", &path];
        Sidecar::start_serving(name, &arguments, support::bellwether())
    };
    let flock = Flock { members: ["a", "b", "c"].iter().map(start).collect() };
    rotated(&server, &flock, |password| write(&file, &text(password)));
}

#[test]
fn a_password_that_changes_in_the_password_file_is_used() {
    let server = guarded();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pgpass");
    let port = server.port();
    let text = |password: &str| format!("127.0.0.1:{port}:app:app:{password}\n");
    write(&file, &text(OLD));
    let store = format!("postgres://app@127.0.0.1:{port}/app?sslmode=disable");
    let start = |name: &&str| {
        let mut command = support::bellwether();
        command.env("PGPASSFILE", &file);
        Sidecar::start_as(name, &store, &[], command)
    };
    let flock = Flock { members: ["a", "b"].iter().map(start).collect() };
    rotated(&server, &flock, |password| write(&file, &text(password)));
}

#[test]
fn a_password_that_changes_in_a_service_file_is_used() {
    let server = guarded();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services");
    let port = server.port();
    let text = |password: &str| {
        format!(
            "[leases]\nhost=127.0.0.1\nport={port}\nuser=app\ndbname=app\nsslmode=disable\n\
             password={password}\n"
        )
    };
    write(&file, &text(OLD));
    let start = |name: &&str| {
        let mut command = support::bellwether();
        command.env("PGSERVICEFILE", &file);
        Sidecar::start_as(name, "postgres:///?service=leases", &[], command)
    };
    let flock = Flock { members: ["a", "b"].iter().map(start).collect() };
    rotated(&server, &flock, |password| write(&file, &text(password)));
}

/// The session is old, and its password is wrong by now: no other session is possible.
#[tokio::test]
async fn a_session_that_cannot_be_replaced_is_kept() {
    use crate::postgres::stores::{acquired, aging, default, eventually, observed, won};
    use bellwether::store::Store as _;

    let server = tokio::task::spawn_blocking(guarded).await.unwrap();
    let store = aging(&url(server.port(), "app", "app").replace(support::postgres::PASSWORD, OLD));
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    server.run_sql("postgres", &format!("ALTER ROLE app PASSWORD '{NEW}'")).await;
    let refused = || server.log().matches("password authentication failed").count();
    let session = "SELECT min(pid) FROM pg_stat_activity WHERE usename = 'app'";
    let pid = eventually("the last one that was let in", || async {
        (refused() > 0).then_some(())?;
        Some(server.ask("postgres", session).await)
    })
    .await;
    let before = refused();
    eventually("it was tried several times", || async {
        assert!(store.observe(&default()).await.is_ok(), "the session was good");
        (refused() > before + 5).then_some(())
    })
    .await;
    assert_eq!(observed(&store).await.record.term, Term::new(1));
    assert_eq!(server.ask("postgres", session).await, pid, "the same session");
}
