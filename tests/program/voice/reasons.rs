//! The right reason, at once.

use std::process::Command;

use support::lock::Lock;
use support::postgres::Server;
use support::{Pasture, Sidecar, bellwether, eventually};

#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_refused_port_is_called_a_refused_port() {
    let store = "postgres://u:p@127.0.0.1:1/d";
    for words in [&["status"][..], &["init"], &["once", "--reset", "--key", "k"]] {
        let printed = printed(bellwether().args(words).args(["--store", store]));
        assert!(printed.contains("Connection refused"), "{words:?}: {printed}");
        assert!(!printed.contains("no response"), "{words:?}: {printed}");
    }
}

#[tokio::test]
async fn a_server_without_a_free_connection_says_so() {
    let server = Server::start(&["max_connections=5", "superuser_reserved_connections=0"]);
    let mut taken = Vec::new();
    while let Ok(connection) = server.try_connect("postgres").await {
        taken.push(connection);
        assert!(taken.len() < 100);
    }
    let store = server.url("postgres");
    for words in [&["status"][..], &["init"]] {
        let printed = printed(bellwether().args(words).args(["--store", &store]));
        assert!(printed.contains("too many clients"), "{words:?}: {printed}");
        assert!(!printed.contains("no response"), "{words:?}: {printed}");
    }
}

#[test]
fn a_lease_that_cannot_be_freed_is_reported_to_run_out() {
    let pasture = Pasture::new();
    let more = ["--shutdown-grace", "1s", "--lease-duration", "30s", "--renew-deadline", "20s"];
    let mut sidecar = Sidecar::start_with("a", &pasture.store(), &more);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let _lock = Lock::take(&pasture);
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
    let log = sidecar.log();
    assert_eq!(log.events("lease_not_freed"), 1, "{}", log.text());
    assert_eq!(log.events("vacated"), 0, "{}", log.text());
    assert!(
        log.lines().last().unwrap().contains("\"event\":\"lease_not_freed\""),
        "{}",
        log.text()
    );
}
