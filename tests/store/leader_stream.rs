//! A standby receives the events of the leader's sidecar, and takes over at once on stores that push nothing. A peer
//! that answers in the leader's place gains nothing.

mod hostile;

use std::sync::Arc;

use support::dynamodb::Emulator;
use support::dynamodb::encrypted::{certificates, terminator};
use support::http_proxy::{Fault, Proxy};
use support::kubernetes::ApiServer;
use support::ports::free_port;
use support::postgres::{Bouncer, Server};
use support::raw::{Events, post};
use support::{Killed, LIMIT, Pasture, Sidecar, bellwether, eventually, now, with_credentials};

/// A retry period that no test can wait for: a standby that takes over within [`LIMIT`] has not polled.
const SLOW: [&str; 6] =
    ["--lease-duration", "1h", "--renew-deadline", "30m", "--retry-period", "10m"];

/// Starts one that advertises an address of this host, as its sidecar has.
fn start(name: &str, store: &str, command: std::process::Command) -> Sidecar {
    let url = format!("http://127.0.0.1:{}", free_port());
    let more = ["--identity", name, "--store", store, "--advertise", &url];
    Sidecar::start_lasting(name, &SLOW, &more, command)
}

fn listeners(sidecar: &Sidecar) -> u64 {
    let metrics = support::raw::raw(
        sidecar,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .1;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("bellwether_http_connections{") && line.contains("stream"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// The lease goes to and fro, each time long before the next look of the other.
fn handed_over_at_once(mut start: impl FnMut(&str) -> Sidecar) {
    let mut leader = start("a");
    eventually("the first leads", || leader.leader().leads().then_some(()));
    for (name, ends) in [("b", false), ("c", true), ("d", false)] {
        let standby = start(name);
        eventually("it listens to the leader", || (listeners(&leader) > 0).then_some(()));
        let term = leader.leader().term();
        let begun = now();
        if ends {
            leader.signal("TERM");
        } else {
            assert_eq!(post(&leader, "/resign", "", r#"{"cooldown":"1h"}"#).0, 200);
        }
        eventually("the standby leads", || standby.leader().leads().then_some(()));
        assert!(now().since(begun) < LIMIT);
        assert_eq!(standby.leader().term(), term + 1, "once");
        leader = standby;
    }
}

#[test]
fn a_lease_on_dynamodb_is_handed_over_at_once() {
    let emulator = Emulator::start();
    handed_over_at_once(|name| start(name, &emulator.url(), with_credentials()));
}

/// The leader may leave before a standby that has just started has opened the stream.
#[test]
fn a_leader_that_leaves_before_the_standby_listens_is_followed_at_once() {
    let emulator = Emulator::start();
    let start = |name: &str| start(name, &emulator.url(), with_credentials());
    let mut leader = start("a");
    eventually("the first leads", || leader.leader().leads().then_some(()));
    for name in ["b", "c", "d"] {
        let standby = start(name);
        eventually("it follows", || standby.leader().holder().map(drop));
        leader.signal("TERM");
        eventually("the standby leads", || standby.leader().leads().then_some(()));
        leader = standby;
    }
}

#[test]
fn a_lease_behind_a_transaction_pooler_is_handed_over_at_once() {
    let server = Server::shared();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(server.database());
    let bouncer = Bouncer::before(&server);
    handed_over_at_once(|name| start(name, &bouncer.url(&database), bellwether()));
}

#[test]
fn a_kubernetes_lease_without_a_watch_is_handed_over_at_once() {
    let server: Arc<ApiServer> = ApiServer::shared();
    let namespace = server.namespace();
    let (api, port) = server.without_tls();
    let _api = Killed(api);
    let proxy = Proxy::before(port);
    proxy.on(|request| match request.operation.as_str() {
        "WATCH" => Fault::Refuse(403, "Forbidden", "no watch"),
        _ => Fault::Pass,
    });
    let folder = tempfile::tempdir().unwrap();
    let port = terminator(certificates(folder.path(), "IP:127.0.0.1"), proxy.port());
    let authority = folder.path().join("ca.pem");
    let kubeconfig = server.kubeconfig_by(&namespace, port, &authority, "{}");
    let store = support::kubernetes::url(&namespace, &kubeconfig);
    handed_over_at_once(|name| start(name, &store, bellwether()));
    assert!(proxy.count("WATCH") > 0, "it was requested");
}

/// A crowd takes over in turn by that number. The renewals themselves count only where their versions are random.
#[test]
fn a_leader_counts_its_standbys_on_a_store_whose_versions_are_not_random() {
    let pasture = Pasture::new();
    let leader = Sidecar::start("a", &pasture.store());
    eventually("it leads", || leader.leader().leads().then_some(()));
    let listen =
        || Events::with(&leader, "/elections/default/events", "Bellwether-Candidate: 1\r\n");
    let (_first, mut second) = (listen(), listen());
    let renewals =
        std::iter::from_fn(|| second.line()).filter(|line| line.contains(r#""renewed""#));
    let counted = renewals.take(50).find(|line| line.contains(r#""candidates":3"#));
    assert!(counted.is_some(), "the leader, and two that listen");
}

/// As often as a Postgres that pushes: once per renew deadline, and right after a crash.
#[test]
fn renewals_that_the_leader_announces_spare_a_standby_its_reads() {
    let emulator = Emulator::start();
    let (of_leader, of_standby) = (Proxy::before(emulator.port()), Proxy::before(emulator.port()));
    let start = |name: &str, proxy: &Proxy| {
        let url = format!("http://127.0.0.1:{}", free_port());
        let store = proxy.url();
        let more = ["--identity", name, "--store", &store, "--advertise", &url];
        let timing = ["--lease-duration", "15s", "--renew-deadline", "10s", "--retry-period", "1s"];
        Sidecar::start_lasting(name, &timing, &more, with_credentials())
    };
    let mut leader = start("a", &of_leader);
    eventually("the first leads", || leader.leader().leads().then_some(()));
    let standby = start("b", &of_standby);
    eventually("it listens to the leader", || (listeners(&leader) > 0).then_some(()));
    let (writes, reads) = (of_leader.count("PutItem"), of_standby.count("GetItem"));
    eventually("the leader renews", || (of_leader.count("PutItem") >= writes + 20).then_some(()));
    let (writes, reads) =
        (of_leader.count("PutItem") - writes, of_standby.count("GetItem") - reads);
    assert!(reads * 2 < writes, "{reads} reads beside {writes} renewals");
    assert!(reads > 0, "it checks what it is sent");

    // Where nothing is announced any more, it reads once per period again, and leads after the lease.
    let term = leader.leader().term();
    leader.kill();
    eventually("the standby leads", || standby.leader().leads().then_some(()));
    assert_eq!(standby.leader().term(), term + 1);
}
