//! `bellwether serve`: the sidecar.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::candidate::{self, Standing};
use crate::config::{ElectionArgs, ElectionConfig, ListenArgs};
use crate::election::clock::{Clock, HostClock};
use crate::http::{self, App};
use crate::identity;
use crate::metrics::Metrics;
use crate::store::{self, Store, StoreError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    election: ElectionArgs,
    #[command(flatten)]
    listen: ListenArgs,
}

pub(super) async fn run(args: Args) -> Result<u8, Failure> {
    let config = args.election.check()?;
    let address = args.listen.listen;
    let mut signals = Signals::new()?;
    let listener = http::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
    let address = listener.local_addr().unwrap_or(address);
    let url = format!("http://{address}/leader");
    let (standing, metrics) = prepare(&config, Some(url.clone())).await?;
    let (handle, driver) = candidate::stand(standing).map_err(no_timer)?;
    tracing::info!(
        election = %config.election, identity = config.identity, store = %config.store, url,
        "standing"
    );
    let app = App { election: handle.clone(), metrics };
    let answers = tokio::spawn(http::serve(listener, app));
    let mut election = tokio::spawn(driver.run());

    let signal = signals.next().await;
    tracing::info!(signal, "shutting down");
    handle.shut_down(config.shutdown_grace).await;
    let code = tokio::select! {
        _ = &mut election => 0,
        signal = signals.next() => second_signal(signal),
    };
    answers.abort();
    Ok(code)
}

/// Opens the store and makes ready to stand.
pub(super) async fn prepare(
    config: &ElectionConfig,
    url: Option<String>,
) -> Result<(Standing, Metrics), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(HostClock);
    let patience = config.timing.call_timeout();
    let store = store::open(&config.store, patience, Arc::clone(&clock));
    check_store(&*store, patience).await?;
    let metrics = Metrics::new().map_err(|error| Failure::Unavailable(error.to_string()))?;
    let standing = Standing {
        election: config.election.clone(),
        candidate: identity::candidate(config.identity.clone()),
        timing: config.timing,
        store,
        clock,
        metrics: metrics.clone(),
        url,
    };
    Ok((standing, metrics))
}

/// What only a person can put right is said at once, and ends the program. A store that is not
/// reachable now may be so later: the election begins without it, undecided.
async fn check_store(store: &dyn Store, patience: std::time::Duration) -> Result<(), Failure> {
    match tokio::time::timeout(patience, store.init()).await {
        Ok(Err(error @ StoreError::Misconfigured(_))) => {
            Err(Failure::Unavailable(error.to_string()))
        }
        Ok(Err(StoreError::Unavailable(_)) | Ok(())) | Err(_) => Ok(()),
    }
}

fn cannot_listen(address: std::net::SocketAddr, error: &std::io::Error) -> Failure {
    Failure::Unavailable(match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "{address} is in use by another process: stop it, or choose another with --listen"
        ),
        _ => format!("cannot listen on {address}: {error}: choose another with --listen"),
    })
}

pub(super) fn no_timer(error: std::io::Error) -> Failure {
    Failure::Unavailable(format!("cannot set up a timer: {error}"))
}

/// A second signal exits now, and leaves the lease to run out.
fn second_signal(signal: &str) -> u8 {
    tracing::warn!(signal, "second signal: exiting now, the lease runs out by itself");
    1
}

/// The signals that ask a process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::Unavailable(format!("cannot listen for signals: {error}"))
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
