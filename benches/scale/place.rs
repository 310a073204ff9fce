//! The stores that candidates elect in, and how their requests are counted: at the server, on the wire.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::{fmt, fs};

use async_trait::async_trait;
use bellwether::election::continuity::ServiceTime;
use bellwether::election::elector::Swapped;
use bellwether::election::lease::{ElectionName, LeaseRecord, Observed, Version};
use bellwether::election::timing::Timing;
use bellwether::store::{self, Hints, Listing, Store, StoreError, StoreOptions, StoreUrl};
use bellwether::time::clock::HostClock;
use support::Pasture;
use support::dynamodb::{Emulator, SKEW};
use support::kubernetes::{self, ApiServer};
use support::network::Proxy;
use support::postgres::{self, Server};
use support::watchdog::Watchdog;

use crate::requests::Requests;

/// Opens the store as one process does.
pub type Open = Arc<dyn Fn() -> Arc<dyn Store> + Send + Sync>;

/// An empty store.
pub struct Place {
    pub open: Open,
    pub requests: Requests,
    /// Whether each candidate has a sidecar that others reach.
    pub advertises: bool,
    _server: Box<dyn Any>,
}

impl Place {
    pub fn postgres() -> Self {
        // A server that keeps its promises, as far as one can here: commits wait for the disk. Each candidate has a
        // connection, and a second one now and then.
        let server = Server::start(&["fsync = on", "max_connections = 1200"]);
        let port = server.port();
        Self::behind_proxy(port, server, |port| {
            by_url(&postgres::url(port, "postgres", "postgres"))
        })
    }

    pub fn kubernetes() -> Self {
        let server = ApiServer::start();
        let port = server.port();
        let open = |port| by_url(&kubernetes::url("default", &server.admin_by(port, "default")));
        let Self { open, requests, .. } = Self::behind_proxy(port, (), open);
        Self { open, requests, advertises: false, _server: Box::new(server) }
    }

    /// Where each candidate follows the events of the leader's sidecar, or where none does.
    pub fn dynamodb(advertises: bool) -> Self {
        let server = Emulator::start();
        let port = server.port();
        let place = Self::behind_proxy(port, server, |port| {
            let url = support::dynamodb::url(port);
            let patience = Timing::default().call_timeout();
            Arc::new(move || support::dynamodb::open(&url, patience, Some(SKEW)))
        });
        Self { advertises, ..place }
    }

    /// A file has no wire: here each call counts.
    pub fn sqlite() -> Self {
        let folder = Pasture::new();
        let open = by_url(&folder.store());
        let calls = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&calls);
        let requests = Requests::of(move || counted.load(Ordering::Relaxed));
        let open = move || -> Arc<dyn Store> {
            Arc::new(Counted { store: open(), calls: Arc::clone(&calls) })
        };
        allow_watches();
        Self { open: Arc::new(open), requests, advertises: false, _server: Box::new(folder) }
    }

    fn behind_proxy(port: u16, server: impl Any, open: impl FnOnce(u16) -> Open) -> Self {
        let proxy = Proxy::in_background(port);
        let open = open(proxy.port());
        let requests = Requests::of(move || proxy.requests().count);
        Self { open, requests, advertises: false, _server: Box::new(server) }
    }
}

fn by_url(url: &str) -> Open {
    let url = StoreUrl::parse(url, &|_| None).unwrap();
    let options = StoreOptions { patience: Timing::default().call_timeout(), max_clock_skew: None };
    Arc::new(move || store::open(&url, options, Arc::new(HostClock)))
}

/// A store whose calls are counted.
struct Counted {
    store: Arc<dyn Store>,
    calls: Arc<AtomicUsize>,
}

impl Counted {
    fn counted(&self) -> &dyn Store {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &*self.store
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl Store for Counted {
    async fn init(&self) -> Result<(), StoreError> {
        self.counted().init().await
    }

    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError> {
        self.counted().observe(election).await
    }

    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError> {
        self.counted().swap(election, expected, record).await
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        self.counted().list().await
    }

    fn service_time(&self) -> Option<ServiceTime> {
        self.store.service_time()
    }

    fn hints(&self, election: &ElectionName) -> Hints {
        self.store.hints(election)
    }

    fn has_random_versions(&self) -> bool {
        self.store.has_random_versions()
    }

    fn combines_calls(&self) -> bool {
        self.store.combines_calls()
    }
}

/// How many processes of one user may watch folders: 128 on most systems. More, where this program may set it, and
/// until it ends, however it does.
fn allow_watches() {
    const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
    const MOST: u32 = 2_000;
    static RESTORES: OnceLock<Option<Watchdog>> = OnceLock::new();
    RESTORES.get_or_init(|| {
        let before = fs::read_to_string(LIMIT).ok()?.trim().parse::<u32>().ok()?;
        if before >= MOST {
            return None;
        }
        let restores = Watchdog::new("echo \"$1\" >\"$2\"", &[&before.to_string(), LIMIT]);
        fs::write(LIMIT, MOST.to_string()).ok()?;
        Some(restores)
    });
}
