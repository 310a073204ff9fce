//! `bellwether serve`: the sidecar.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::signals::Signals;
use super::{Failure, beside};
use crate::candidate::{self, Handle, Standing};
use crate::config::{ElectionArgs, ElectionConfig, GateArgs, HookArgs, ListenArgs, TokenArgs};
use crate::election::clock::{Clock, HostClock};
use crate::gate::Rules;
use crate::health::Checks;
use crate::http::{self, Access, App, Holds};
use crate::identity;
use crate::metrics::Metrics;
use crate::platform;
use crate::store::{self, Store, StoreError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    election: ElectionArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    hooks: HookArgs,
}

pub(super) async fn run(args: Args) -> Result<u8, Failure> {
    let config = args.election.check()?;
    let listen = Listen { address: args.listen.listen, token: args.token.check()? };
    let (gate, hooks) = (args.gate.check()?, args.hooks.check(config.shutdown_grace)?);
    let mut signals = Signals::new()?;
    let mut sidecar = Sidecar::start(&config, Some(listen), gate).await?;
    let mut hooks = beside::Running::new(hooks);
    hooks.attend(&sidecar.election)?;

    let signal = signals.end().await;
    tracing::info!(signal, "shutting down");
    sidecar.shut_down(config.shutdown_grace).await;
    let left = async {
        sidecar.left().await;
        hooks.ended().await;
    };
    Ok(tokio::select! {
        () = left => 0,
        signal = signals.end() => second_signal(signal),
    })
}

/// Where to answer, and to whom.
pub(super) struct Listen {
    pub(super) address: SocketAddr,
    pub(super) token: Option<String>,
}

/// A candidate that stands, and the answers of it.
pub(super) struct Sidecar {
    pub(super) election: Handle,
    driver: JoinHandle<()>,
}

impl Sidecar {
    /// Takes the address, opens the store and stands. Nothing is opened if the address is taken.
    pub(super) async fn start(
        config: &ElectionConfig,
        listen: Option<Listen>,
        gate: Option<(Checks, Rules)>,
    ) -> Result<Self, Failure> {
        let (address, token) = match listen {
            Some(Listen { address, token }) => (Some(address), token),
            None => (None, None),
        };
        let listener = match address {
            Some(address) => Some(listen_on(address).await?),
            None => None,
        };
        let url = listener.as_ref().map(|(_, address)| format!("http://{address}/leader"));
        let identity = identity::settle(config.identity.clone(), platform::here()).await;
        let gated = gate.is_some();
        let (standing, metrics) = prepare(config, &identity, gated, url.clone()).await?;
        let gate = beside::watch(gate, &metrics)?;
        let (election, driver) = candidate::stand(standing)
            .map_err(|error| Failure::Unavailable(format!("cannot set up a timer: {error}")))?;
        beside::obey(gate.as_ref(), &election)?;
        tracing::info!(
            election = %config.election, identity, store = %config.store, url,
            "standing"
        );
        if let Some((listener, address)) = listener {
            let election = election.clone();
            let holds = Holds::new(config.shutdown_grace);
            let access = Access::new(address.ip(), token);
            tokio::spawn(http::serve(listener, App { election, metrics, holds, access }));
        }
        Ok(Self { election, driver: tokio::spawn(driver.run()) })
    }

    /// Begins to leave the election.
    pub(super) async fn shut_down(&self, grace: Duration) {
        self.election.shut_down(grace).await;
    }

    /// Waits until the candidate has left the election. Safe to cancel.
    pub(super) async fn left(&mut self) {
        // A driver that panicked has left as well; with `panic = "abort"` there is none.
        let _ = (&mut self.driver).await;
    }
}

async fn listen_on(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = http::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
    let address = listener.local_addr().unwrap_or(address);
    Ok((listener, address))
}

/// Opens the store and makes ready to stand.
async fn prepare(
    config: &ElectionConfig,
    identity: &str,
    gated: bool,
    url: Option<String>,
) -> Result<(Standing, Metrics), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(HostClock);
    let patience = config.timing.call_timeout();
    let store = store::open(&config.store, patience, Arc::clone(&clock));
    check_store(&*store, patience).await?;
    let metrics = Metrics::new().map_err(|error| Failure::Unavailable(error.to_string()))?;
    let standing = Standing {
        election: config.election.clone(),
        candidate: identity::candidate(identity.to_owned()),
        timing: config.timing,
        max_attempts: config.max_attempts,
        gated,
        store,
        clock,
        metrics: metrics.clone(),
        url,
    };
    Ok((standing, metrics))
}

/// What only a person can put right is said at once, and ends the program. A store that is not
/// reachable now may be so later: the election begins without it, undecided.
async fn check_store(store: &dyn Store, patience: Duration) -> Result<(), Failure> {
    match tokio::time::timeout(patience, store.init()).await {
        Ok(Err(error @ StoreError::Misconfigured(_))) => {
            Err(Failure::Unavailable(error.to_string()))
        }
        Ok(Err(StoreError::Unavailable(_)) | Ok(())) | Err(_) => Ok(()),
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::Unavailable(match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use by another process: stop it, or choose another with --listen"
        ),
        _ => format!("cannot listen on {address}: {error}: choose another with --listen"),
    })
}

/// A second signal exits now, and leaves the lease to run out.
pub(super) fn second_signal(signal: &str) -> u8 {
    tracing::warn!(signal, "second signal: exiting now, the lease runs out by itself");
    1
}
