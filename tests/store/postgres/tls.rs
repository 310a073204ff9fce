//! TLS, with an authority of the test's own.

use std::time::Duration;

use bellwether::election::term::Term;
use bellwether::store::Store as _;
use bellwether::store::postgres::{PostgresStore, Target};

use crate::postgres::stores::{acquired, misconfigured, observed, open, unavailable, won};
use support::postgres::signed::Signed;
use support::postgres::{PASSWORD, Server};

/// There is no TLS at a socket, so what is not found is the socket, and it may come.
#[tokio::test]
async fn a_socket_that_is_not_there_is_no_trouble_with_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres:///app?host={}", folder.path().display());
    let target = Target::parse(&url, &|name| {
        (name == "PGSSLROOTCERT").then(|| "/etc/ssl/ca.pem".to_owned())
    });
    let store = PostgresStore::new(target.unwrap(), Duration::from_secs(20));
    let message = unavailable(store.init().await);
    let socket = folder.path().join(".s.PGSQL.5432");
    assert!(message.contains(&format!("no socket {}", socket.display())), "{message}");
    assert!(!message.contains("TLS"), "{message}");
}

#[tokio::test]
async fn each_mode_demands_what_its_name_says() {
    let signed = Signed::start("localhost");
    signed.server.let_in("hostnossl all all 127.0.0.1/32 reject");
    let ca = format!("sslrootcert={}", signed.path("ca.crt").display());
    let stranger = format!("sslrootcert={}", signed.path("stranger.crt").display());
    for (host, parameters) in [
        ("localhost", "sslmode=prefer".to_owned()),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", format!("sslmode=verify-ca&{ca}")),
        ("localhost", format!("sslmode=verify-full&{ca}")),
    ] {
        let store = open(&signed.url(host, &parameters));
        store.init().await.unwrap_or_else(|error| panic!("{parameters}: {error}"));
    }
    for (host, parameters, part) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), "no encryption"),
        ("localhost", "sslmode=verify-full".to_owned(), "UnknownIssuer"),
        ("localhost", format!("sslmode=verify-full&{stranger}"), "UnknownIssuer"),
        ("localhost", format!("sslmode=verify-ca&{stranger}"), "UnknownIssuer"),
        ("127.0.0.1", format!("sslmode=require&{stranger}"), "UnknownIssuer"),
        ("127.0.0.1", format!("sslmode=verify-full&{ca}"), "not valid for name"),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(), "No such file"),
    ] {
        let store = open(&signed.url(host, &parameters));
        let message = misconfigured(store.init().await);
        assert!(message.contains(part), "{parameters}: {message}");
        assert!(!message.contains(PASSWORD), "{message}");
    }
}

#[tokio::test]
async fn a_lease_is_kept_and_pushed_over_tls() {
    let signed = Signed::start("localhost");
    let ca = signed.path("ca.crt");
    let store = open(
        &signed.url("localhost", &format!("sslmode=verify-full&sslrootcert={}", ca.display())),
    );
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    assert_eq!(observed(&store).await.record.term, Term::new(1));
    let encrypted = "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                     WHERE a.application_name = 'bellwether'";
    assert_eq!(signed.server.ask("postgres", encrypted).await, "true");
    crate::postgres::stores::eventually("the self-test passes", || async {
        store.pushes().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let server = Server::shared();
    let port = server.port();
    let base = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    open(&format!("{base}?sslmode=prefer")).init().await.unwrap();
    let message = misconfigured(open(&format!("{base}?sslmode=require")).init().await);
    assert!(message.contains("server does not support TLS"), "{message}");
}
