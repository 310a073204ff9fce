//! Faulty network paths to the API server: each sidecar has a proxy of its own, behind TLS.

use std::sync::Arc;

use crate::faults::{Paths, STEADY};
use support::dynamodb::encrypted::{certificates, terminator};
use support::http_proxy::{Fault, Proxy};
use support::kubernetes::{ApiServer, url};
use support::{Flock, Killed, Sidecar, eventually, now};

/// Of a user whom the API server knows by what is before it.
const NO_LOGIN: &str = "{}";

struct Scene {
    flock: Flock,
    proxies: Vec<Proxy>,
    _api: Killed,
    _folder: tempfile::TempDir,
    _server: Arc<ApiServer>,
}

impl Scene {
    fn set(names: &[&str], more: &[&str]) -> Self {
        Self::with_login(names, more, NO_LOGIN)
    }

    fn with_login(names: &[&str], more: &[&str], login: &str) -> Self {
        let server = ApiServer::shared();
        let namespace = server.namespace();
        let (api, port) = server.without_tls();
        let folder = tempfile::tempdir().unwrap();
        let proxies: Vec<_> = names.iter().map(|_| Proxy::before(port)).collect();
        let start = |(name, proxy): (&&str, &Proxy)| {
            // The proxy does not forward streams: reads have to be enough.
            proxy.always(Fault::Pass);
            let place = folder.path().join(name);
            std::fs::create_dir(&place).unwrap();
            let port = terminator(certificates(&place, "IP:127.0.0.1"), proxy.port());
            let (file, authority) = (format!("{namespace}-{name}"), place.join("ca.pem"));
            let kubeconfig = server.kubeconfig_by(&file, port, &authority, login);
            Sidecar::start_with(name, &url(&namespace, &kubeconfig), more)
        };
        let members = names.iter().zip(&proxies).map(start).collect();
        let (flock, _api) = (Flock { members }, Killed(api));
        Self { flock, proxies, _api, _folder: folder, _server: server }
    }

    fn paths(&self) -> Paths<'_> {
        Paths { flock: &self.flock, proxies: &self.proxies, write: "PUT", read: "GET" }
    }

    fn term(&self, place: usize) -> u64 {
        self.flock.members[place].leader().term()
    }
}

fn raw(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// One fault of every kind, on a renewal and on a read: the leader stays.
#[test]
fn a_single_fault_costs_no_leadership() {
    let scene = Scene::set(&["a", "b"], &STEADY);
    let status = r#"{"kind":"Status","reason":"TooManyRequests","code":429}"#;
    let page = "<html>sign in</html>";
    scene.paths().bear_each_once(&[
        Fault::Twice,
        Fault::Endless,
        Fault::Raw(raw("429 Too Many Requests", "audit-id: 1\r\nretry-after: 1\r\n", status)),
        Fault::Raw(raw("500 Internal Server Error", "audit-id: 1\r\n", "{}")),
        Fault::Raw(raw("504 Gateway Timeout", "", page)),
        // From a device on the network path, or of another call: none of them proves anything.
        Fault::Raw(raw("200 OK", "", page)),
        Fault::Raw(raw("200 OK", "audit-id: 1\r\n", "{}")),
        Fault::Raw(raw("204 No Content", "", "")),
        Fault::Raw(raw("404 Not Found", "", page)),
        Fault::Raw(raw("200 OK", "audit-id: 1\r\n", r#"{"kind":"LeaseList","items":[]}"#)),
    ]);
}

/// As a cloud provider's program may be. Its token serves the next session, too.
#[test]
fn a_program_that_is_slower_than_a_call_gives_a_token_once_and_costs_no_leadership() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let script = format!(
        r#"echo run >> {}; sleep 4; echo '{{"status":{{"token":"token-of-the-administrator"}}}}'"#,
        runs.display()
    );
    let login = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, {}]}}",
        serde_json::to_string(&script).unwrap()
    );
    let scene = Scene::with_login(&["a"], &[], &login);
    let leader = scene.flock.settled();
    let term = scene.term(leader);
    scene.proxies[leader].once("PUT", Fault::Reset);
    let puts = scene.proxies[leader].count("PUT");
    eventually("ten renewals", || (scene.proxies[leader].count("PUT") > puts + 10).then_some(()));
    assert_eq!((scene.flock.settled(), scene.term(leader)), (leader, term));
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "run\n");
}

#[test]
fn a_watch_that_ends_at_once_is_repeated_ever_less_often() {
    let scene = Scene::set(&["a"], &[]);
    let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410}}"#;
    scene.proxies[0].on(move |request| match request.operation.as_str() {
        "WATCH" => Fault::Raw(raw("200 OK", "audit-id: 1\r\n", &format!("{gone}\n"))),
        _ => Fault::Pass,
    });
    scene.flock.settled();
    let (since, before) = (now(), scene.proxies[0].count("WATCH"));
    eventually("some seconds pass", || (now().since(since).as_secs() > 12).then_some(()));
    let watches = scene.proxies[0].count("WATCH") - before;
    assert!(watches <= 8, "{watches}");
}

/// A mesh that repeats every request: a write is refused by its own first success.
#[test]
fn requests_that_arrive_twice_cost_no_leadership() {
    // Each renewal takes four requests, which must fit into the time of one call.
    let scene = Scene::set(&["a", "b"], &STEADY);
    let leader = scene.flock.settled();
    let term = scene.term(leader);
    scene.proxies.iter().for_each(|proxy| proxy.always(Fault::Twice));
    let puts = scene.proxies[leader].count("PUT");
    eventually("ten renewals", || (scene.proxies[leader].count("PUT") > puts + 10).then_some(()));
    assert_eq!((scene.flock.settled(), scene.term(leader)), (leader, term));
}

/// The faults that leave the outcome of a write open, at random, on everything.
#[test]
fn under_a_storm_of_faults_there_are_never_two_and_afterwards_one() {
    let scene = Scene::set(&["a", "b", "c"], &[]);
    scene.paths().weather(Fault::Twice);
}
