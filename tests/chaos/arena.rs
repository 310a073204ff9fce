//! The stores on which chaos is played, each with the harm that can be done to it.

use std::cell::RefCell;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use support::dynamodb::Emulator;
use support::http_proxy::{self, Fault};
use support::kubernetes::ApiServer;
use support::lock::Lock;
use support::network::{Mode, Proxy};
use support::postgres::{Server, Stop};
use support::{Pasture, bellwether, with_credentials};

pub const NAMES: [&str; 4] = ["sqlite", "postgres", "dynamodb", "kubernetes"];

pub struct Arena {
    pub store: String,
    pub program: fn() -> Command,
    /// What every candidate gets beside the store.
    pub more: &'static [&'static str],
    pub harms: Vec<Harm>,
}

/// One way to harm the store.
pub struct Harm {
    /// In the plural, for the report.
    pub name: &'static str,
    pub begin: Box<dyn Fn(&mut Rng) -> Mend>,
}

/// Ends a harm.
pub type Mend = Box<dyn FnOnce()>;

/// A name in the plural, and what is drawn each time.
type Drawn<T> = (&'static str, fn(&mut Rng) -> T);

impl Arena {
    pub fn named(name: &str) -> Self {
        match name {
            "sqlite" => sqlite(),
            "postgres" => postgres(),
            "dynamodb" => dynamodb(),
            "kubernetes" => kubernetes(),
            other => panic!("no store '{other}': {}", NAMES.join(", ")),
        }
    }
}

fn harm(name: &'static str, begin: impl Fn(&mut Rng) -> Mend + 'static) -> Harm {
    Harm { name, begin: Box::new(begin) }
}

fn sqlite() -> Arena {
    let pasture = Rc::new(Pasture::new());
    let store = pasture.store();
    let locks = harm("locks of the file", move |_| {
        let (lock, kept) = (Lock::take(&pasture), Rc::clone(&pasture));
        Box::new(move || drop((lock, kept)))
    });
    Arena { store, program: bellwether, more: &[], harms: vec![locks] }
}

/// A server, and the one that takes its place at a fail-over.
struct Cluster {
    primary: Server,
    standby: Server,
}

fn postgres() -> Arena {
    let primary = Server::start(&["max_wal_senders = 10"]);
    let standby = Server::replica_of(&primary);
    let proxy = Rc::new(Proxy::in_background(primary.port()));
    let store = support::postgres::url(proxy.port(), "postgres", "postgres");
    let cluster = Rc::new(RefCell::new(Cluster { primary, standby }));
    let mut harms = network(&proxy);
    let restarted = Rc::clone(&cluster);
    harms.push(harm("restarts of the server", move |rng| {
        let how = [Stop::Fast, Stop::Immediate, Stop::Kill][rng.usize(..3)];
        restarted.borrow().primary.stop(how);
        let restarted = Rc::clone(&restarted);
        Box::new(move || restarted.borrow().primary.start_again())
    }));
    // The old server is gone for good, with what the other had not received.
    harms.push(harm("fail-overs", move |_| {
        let mut cluster = cluster.borrow_mut();
        cluster.primary.stop(Stop::Kill);
        cluster.standby.promote();
        proxy.redirect(cluster.standby.port());
        let next = Server::replica_of(&cluster.standby);
        let promoted = std::mem::replace(&mut cluster.standby, next);
        cluster.primary = promoted;
        Box::new(|| ())
    }));
    Arena { store, program: bellwether, more: &[], harms }
}

/// Rounded to seconds, as the `Date` of an answer is.
const SKEW: &[&str] = &["--max-clock-skew", "500ms"];

fn dynamodb() -> Arena {
    let emulator = Emulator::start();
    let proxy = Rc::new(http_proxy::Proxy::before(emulator.port()));
    let store = support::dynamodb::url(proxy.port());
    let emulator = Rc::new(emulator);
    let all: [Drawn<Fault>; 6] = [
        ("lost answers", |_| Fault::DropAnswer),
        ("lost requests", |_| Fault::DropRequest),
        ("hanging requests", |_| Fault::Hang),
        ("writes without an answer", |_| Fault::HangAfterwards),
        ("late requests", |rng| Fault::Delay(Duration::from_millis(rng.u64(50..6000)))),
        ("requests that arrive twice", |_| Fault::Twice),
    ];
    let harms = all.map(|(name, fault)| {
        let (proxy, emulator) = (Rc::clone(&proxy), Rc::clone(&emulator));
        harm(name, move |rng| {
            let mut rng = rng.fork();
            // One half of them, so that what is lost stands beside what is not.
            proxy.on(move |_| if rng.bool() { fault(&mut rng) } else { Fault::Pass });
            let (proxy, emulator) = (Rc::clone(&proxy), Rc::clone(&emulator));
            Box::new(move || {
                proxy.always(Fault::Pass);
                drop(emulator);
            })
        })
    });
    Arena { store, program: with_credentials, more: SKEW, harms: harms.into() }
}

fn kubernetes() -> Arena {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    let proxy = Rc::new(Proxy::in_background(server.port()));
    let kubeconfig = server.admin_by(proxy.port(), &namespace);
    let store = support::kubernetes::url(&namespace, &kubeconfig);
    let mut harms = network(&proxy);
    let restarted = std::sync::Arc::clone(&server);
    harms.push(harm("restarts of the server", move |_| {
        restarted.restart();
        Box::new(|| ())
    }));
    harms.push(harm("stops of etcd", move |_| {
        let frozen = server.freeze_etcd();
        Box::new(move || drop(frozen))
    }));
    Arena { store, program: bellwether, more: SKEW, harms }
}

/// What can happen between the candidates and a server.
fn network(proxy: &Rc<support::network::Background>) -> Vec<Harm> {
    let modes: [Drawn<Mode>; 3] = [
        ("silences of the network", |_| Mode::Stall),
        ("cuts of the network", |_| Mode::Cut),
        ("delays of the network", |rng| Mode::Delay(Duration::from_millis(rng.u64(20..1500)))),
    ];
    let harms = modes.map(|(name, mode)| {
        let proxy = Rc::clone(proxy);
        harm(name, move |rng| {
            proxy.set(mode(rng));
            let proxy = Rc::clone(&proxy);
            Box::new(move || proxy.set(Mode::Pass))
        })
    });
    harms.into()
}
