//! A process, as its store and the other candidates see it: one candidate in each election, on a connection of its own.
//!
//! It is a thread with a runtime of its own. A thousand programs would need more memory than this machine has. When the
//! thread ends, its connections close and it renews nothing, as after `kill -9`.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bellwether::driver::{DriverConfig, Handle, Health, stand};
use bellwether::election::grace::Grace;
use bellwether::election::handover::Rank;
use bellwether::election::holder_url::HolderUrl;
use bellwether::election::lease::ElectionName;
use bellwether::election::timing::Timing;
use bellwether::http::{self, Access, App, ElectionState, Elections, Holds, MAX_CONNECTIONS};
use bellwether::metrics::Metrics;
use bellwether::platform::identity;
use bellwether::sidecar::leader_stream;
use bellwether::store::{Store, StoreError};
use bellwether::time::clock::HostClock;
use support::now;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::place::Place;

pub struct Process {
    /// One for each election.
    pub candidates: Vec<Handle>,
    ends: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Process {
    /// Returns when it stands.
    pub fn start(place: &Place, name: &str, elections: &[ElectionName]) -> Self {
        let (ready, candidates) = mpsc::channel();
        let (ends, ended) = oneshot::channel();
        let (open, advertises) = (Arc::clone(&place.open), place.advertises);
        let (name, elections) = (name.to_owned(), elections.to_vec());
        let thread = thread::spawn(move || {
            let runtime = runtime();
            runtime.block_on(async {
                let store = open();
                // As a sidecar does: it stands without a store that is not reachable now.
                if let Err(error @ StoreError::Misconfigured(_)) = store.init().await {
                    panic!("{error}");
                }
                let (handles, drivers) = stand_in(&elections, &name, &store, advertises).await;
                ready.send(handles).unwrap();
                tokio::select! {
                    _ = ended => {}
                    _ = drivers.join_all() => {}
                }
            });
            // A call under way to a file does not delay it.
            runtime.shutdown_background();
        });
        let candidates = candidates.recv().expect("it stands");
        Self { candidates, ends, thread }
    }

    /// It ends as by `kill -9`.
    pub fn crash(self) {
        drop(self.ends);
        self.thread.join().unwrap();
    }

    /// It leaves as by SIGTERM. It ends later, when it has left.
    pub fn leave(&self, at_most: Duration) {
        runtime().block_on(async {
            for candidate in &self.candidates {
                candidate.shut_down(at_most).await;
            }
        });
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn stand_in(
    elections: &[ElectionName],
    name: &str,
    store: &Arc<dyn Store>,
    advertises: bool,
) -> (Vec<Handle>, JoinSet<()>) {
    let timing = Timing::default();
    let candidate = identity::candidate(name.to_owned());
    let metrics = Metrics::new(name, &timing, now()).unwrap();
    let health = Health::default();
    let rank = Some(Rank { order: None, since: now(), preference: None });
    let (mut handles, mut drivers) = (Vec::new(), JoinSet::new());
    for election in elections {
        let sidecar = if advertises { Some(listen().await) } else { None };
        let (handle, driver) = stand(DriverConfig {
            election: election.clone(),
            candidate: candidate.clone(),
            origin: None,
            holder_url: sidecar.as_ref().map(|(_, address)| url(*address)),
            timing,
            rank,
            gated: None,
            store: Arc::clone(store),
            clock: Arc::new(HostClock),
            metrics: metrics.clone(),
            health: health.clone(),
            url: None,
        })
        .unwrap();
        drivers.spawn(driver.run());
        if let Some((listener, address)) = sidecar {
            let holds = Holds::new(Grace::new(Duration::ZERO));
            let state = ElectionState { election: handle.clone(), holds };
            let access = Access::new(address.ip(), None);
            let elections = Elections::new(state, Vec::new());
            let app = App::new(elections, metrics.clone(), access, MAX_CONNECTIONS);
            http::start(listener, app, usize::MAX).unwrap();
            tokio::spawn(leader_stream::follow(handle.clone()));
        }
        handles.push(handle);
    }
    (handles, drivers)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = http::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn url(address: SocketAddr) -> HolderUrl {
    let url: HolderUrl = format!("http://{address}").parse().unwrap();
    url.with_sidecar(address.port(), true)
}
