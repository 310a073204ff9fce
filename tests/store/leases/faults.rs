//! Faulty network paths to the API server: each sidecar has a proxy of its own, behind TLS.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use support::dynamodb::encrypted::{certificates, terminator};
use support::dynamodb::proxy::{Fault, Proxy};
use support::kubernetes::{ApiServer, url};
use support::{Flock, Killed, Sidecar, Witness, eventually};

/// Tolerates a call that hangs, and one more, on a busy machine.
const STEADY: [&str; 6] =
    ["--lease-duration", "9s", "--renew-deadline", "7s", "--retry-period", "500ms"];

struct Scene {
    flock: Flock,
    proxies: Vec<Proxy>,
    _api: Killed,
    _folder: tempfile::TempDir,
    _server: Arc<ApiServer>,
}

impl Scene {
    fn set(names: &[&str], more: &[&str]) -> Self {
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
            let kubeconfig = server.kubeconfig_by(&file, port, &authority, "{}");
            Sidecar::start_with(name, &url(&namespace, &kubeconfig), more)
        };
        let members = names.iter().zip(&proxies).map(start).collect();
        let (flock, _api) = (Flock { members }, Killed(api));
        Self { flock, proxies, _api, _folder: folder, _server: server }
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
    let leader = scene.flock.settled();
    let term = scene.term(leader);
    let witness = Witness::of(&scene.flock);
    let status = r#"{"kind":"Status","reason":"TooManyRequests","code":429}"#;
    let page = "<html>sign in</html>";
    for fault in [
        Fault::DropAnswer,
        Fault::DropRequest,
        Fault::Reset,
        Fault::Hang,
        Fault::HangAfterwards,
        Fault::Delay(Duration::from_secs(3)),
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
    ] {
        let (renewals, looks) = (&scene.proxies[leader], &scene.proxies[1 - leader]);
        let (puts, gets) = (renewals.count("PUT"), looks.count("GET"));
        renewals.once("PUT", fault.clone());
        looks.once("GET", fault.clone());
        eventually("both go on", || {
            let gone_on = renewals.count("PUT") > puts + 2 && looks.count("GET") > gets + 2;
            gone_on.then_some(())
        });
        assert_eq!(scene.flock.settled(), leader, "{fault:?}");
        assert_eq!(scene.term(leader), term, "{fault:?}");
    }
    assert_eq!(scene.flock.members[leader].log().events("lost"), 0);
    witness.saw_never_two();
}

/// A mesh that repeats every request: a write is refused by its own first success.
#[test]
fn requests_that_arrive_twice_cost_no_leadership() {
    let scene = Scene::set(&["a", "b"], &[]);
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
    scene.flock.settled();
    let witness = Witness::of(&scene.flock);
    for (place, proxy) in scene.proxies.iter().enumerate() {
        let mut random = fastrand::Rng::with_seed(place as u64);
        proxy.on(move |_| match random.u8(0..10) {
            0 => Fault::DropAnswer,
            1 => Fault::DropRequest,
            2 => Fault::HangAfterwards,
            3 => Fault::Delay(Duration::from_millis(random.u64(0..1500))),
            4 => Fault::Twice,
            5 => Fault::Reset,
            _ => Fault::Pass,
        });
    }
    thread::sleep(Duration::from_secs(20));
    scene.proxies.iter().for_each(|proxy| proxy.always(Fault::Pass));
    scene.flock.settled();
    witness.saw_never_two();
}
