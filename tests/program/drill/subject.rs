//! The stores on which the suite plays, each behind something that can keep it from answering.

use std::any::Any;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use support::dynamodb::Emulator;
use support::kubernetes::ApiServer;
use support::lock::Lock;
use support::network::{Background, Mode, Proxy};
use support::postgres::{Bouncer, Server};
use support::{Flock, Pasture, QUICK_LEASE, Sidecar, bellwether, with_credentials};

pub struct Subject {
    pub store: String,
    pub program: fn() -> Command,
    /// The flags of every sidecar beside the store.
    more: &'static [&'static str],
    /// How long after a crash a process that did not see it knows that the lease is over.
    pub night: Duration,
    /// Each is one way in which the store stops answering; the first one hangs.
    pub outages: Vec<Box<dyn Fn() -> Outage>>,
    /// What the log says of the first.
    pub reason: &'static str,
    _servers: Box<dyn Any>,
}

impl Subject {
    pub fn start(&self, name: &str) -> Sidecar {
        self.start_with(name, &[])
    }

    pub fn start_with(&self, name: &str, more: &[&str]) -> Sidecar {
        Sidecar::start_as(name, &self.store, &[self.more, more].concat(), (self.program)())
    }

    pub fn flock(&self, names: &[&str]) -> Flock {
        Flock { members: names.iter().map(|name| self.start(name)).collect() }
    }

    /// From here on the store does not answer.
    pub fn hang(&self) -> Outage {
        self.outages[0]()
    }
}

/// The store does not answer, until this is dropped.
pub struct Outage(Option<Box<dyn FnOnce()>>);

impl Outage {
    fn until(mend: impl FnOnce() + 'static) -> Self {
        Self(Some(Box::new(mend)))
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.0.take().unwrap()();
    }
}

/// Read by every process that shares the host, whose clock judges the lease.
pub fn sqlite() -> Subject {
    let pasture = Rc::new(Pasture::new());
    let locked = Rc::clone(&pasture);
    let lock = move || {
        let lock = Lock::take(&locked);
        Outage::until(move || drop(lock))
    };
    Subject {
        store: pasture.store(),
        program: bellwether,
        more: &[],
        night: QUICK_LEASE,
        outages: vec![Box::new(lock)],
        reason: "keeps the file locked",
        _servers: Box::new(pasture),
    }
}

pub fn postgres() -> Subject {
    let server = Server::shared();
    let database = database(&server);
    let proxy = Proxy::in_background(server.port());
    let store = support::postgres::url(proxy.port(), "postgres", &database);
    networked(store, proxy, QUICK_LEASE, server)
}

pub fn pgbouncer() -> Subject {
    let server = Server::shared();
    let database = database(&server);
    let bouncer = Bouncer::before(&server);
    let proxy = Proxy::in_background(bouncer.port());
    let store = support::postgres::url(proxy.port(), "postgres", &database);
    networked(store, proxy, QUICK_LEASE, (bouncer, server))
}

/// The skew that is borne, and a second by which the `Date` of an answer is rounded.
const NIGHT: Duration = Duration::from_secs(QUICK_LEASE.as_secs() + 3);
const SKEW: &[&str] = &["--max-clock-skew", "500ms"];

pub fn dynamodb() -> Subject {
    let emulator = Emulator::start();
    let proxy = Proxy::in_background(emulator.port());
    let store = support::dynamodb::url(proxy.port());
    let subject = networked(store, proxy, NIGHT, emulator);
    Subject { program: with_credentials, more: SKEW, ..subject }
}

pub fn kubernetes() -> Subject {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    let proxy = Proxy::in_background(server.port());
    // The administrator's way, through the proxy.
    let kubeconfig = server.admin_by(proxy.port(), &namespace);
    let store = support::kubernetes::url(&namespace, &kubeconfig);
    let subject = networked(store, proxy, NIGHT, server);
    Subject { more: SKEW, ..subject }
}

fn networked(store: String, proxy: Background, night: Duration, servers: impl Any) -> Subject {
    let proxy = Rc::new(proxy);
    let outage = |mode: Mode| -> Box<dyn Fn() -> Outage> {
        let proxy = Rc::clone(&proxy);
        Box::new(move || {
            proxy.set(mode.clone());
            let proxy = Rc::clone(&proxy);
            Outage::until(move || proxy.set(Mode::Pass))
        })
    };
    Subject {
        store,
        program: bellwether,
        more: &[],
        night,
        outages: vec![outage(Mode::Stall), outage(Mode::Cut)],
        reason: "\"event\":\"store_unreachable\"",
        _servers: Box::new(servers),
    }
}

fn database(server: &Server) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(server.database())
}
