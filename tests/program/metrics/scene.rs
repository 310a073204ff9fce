//! Two sidecars that stand in the same elections, each beside an application with a switch.

use std::net::{TcpListener, TcpStream};

use crate::metrics::exposition::Exposition;
use support::{Pasture, Sidecar, eventually};

/// The elections, in order: the first answers without a name in the path.
pub const ELECTIONS: [&str; 3] = ["jobs", "mail", "reports"];

pub struct Scene {
    pub pasture: Pasture,
    pub sidecars: [Sidecar; 2],
}

impl Scene {
    /// Starts both, and waits until all is settled: the first leads everything.
    pub fn new() -> Self {
        let pasture = Pasture::new();
        let healthy = pasture.folder().join("healthy");
        std::fs::write(&healthy, "").unwrap();
        let gate = format!("test -e {}", healthy.display());
        let start = |name: &str| {
            let elections = ELECTIONS.iter().flat_map(|name| ["--election", name]);
            let gate = ["--gate-command", &gate, "--gate-period", "300ms", "--gate-timeout", "5s"];
            let more: Vec<_> = elections.chain(gate).collect();
            Sidecar::start_with(name, &pasture.store(), &more)
        };
        let first = start("alpha");
        eventually("the first leads everything", || leads(&first, 1.0));
        let second = start("beta");
        eventually("the second knows, and would lead", || {
            let scrape = scrape(&second);
            let says = |metric, name| scrape.value(metric, &[("election", name)]) == 1.0;
            let ready =
                |name| says("bellwether_decided", name) && says("bellwether_standing", name);
            ELECTIONS.into_iter().all(ready).then_some(())
        });
        Self { sidecars: [first, second], pasture }
    }

    pub fn leader(&self) -> &Sidecar {
        &self.sidecars[0]
    }

    pub fn standby(&self) -> &Sidecar {
        &self.sidecars[1]
    }
}

/// A store that takes connections and never says a word, until dropped.
pub struct SilentStore {
    listener: TcpListener,
}

impl SilentStore {
    pub fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// A sidecar that stands in all elections, if it could.
    pub fn sidecar(&self, name: &str) -> Sidecar {
        let address = self.listener.local_addr().unwrap();
        let store = format!("postgres://shepherd@{address}/leases?sslmode=disable");
        let more: Vec<_> = ELECTIONS.iter().flat_map(|name| ["--election", name]).collect();
        let sidecar = Sidecar::start_with(name, &store, &more);
        // Connections wait in the kernel's queue, which is longer than two sidecars need.
        assert!(TcpStream::connect(address).is_ok());
        sidecar
    }
}

/// A scrape that says for every election that the store has been silent for longer than a lease.
pub fn silence(sidecar: &Sidecar) -> Option<Exposition> {
    let scrape = scrape(sidecar);
    let lease = scrape.value("bellwether_lease_duration_seconds", &[]);
    let age = |name| scrape.value("bellwether_store_answer_age_seconds", &[("election", name)]);
    ELECTIONS.into_iter().all(|name| age(name) > lease).then_some(scrape)
}

/// What a sidecar exposes now.
pub fn text(sidecar: &Sidecar) -> String {
    let answer = sidecar.get("/metrics").expect("it answers");
    assert_eq!(answer.status, 200);
    answer.body.as_str().expect("text").to_owned()
}

pub fn scrape(sidecar: &Sidecar) -> Exposition {
    Exposition::parse(&text(sidecar))
}

/// A scrape in which `bellwether_leading` has this value for every election.
pub fn leads(sidecar: &Sidecar, value: f64) -> Option<Exposition> {
    let scrape = scrape(sidecar);
    let says = |name| scrape.value("bellwether_leading", &[("election", name)]) == value;
    ELECTIONS.into_iter().all(says).then_some(scrape)
}
