//! `bellwether serve`: the sidecar.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::logging;
use super::signals::{Ending, Signals};
use super::{CommandError, beside, copies};
use crate::config::{ElectionConfig, ElectionsArgs, GateArgs, HookArgs, ListenArgs, TokenArgs};
use crate::driver::{self, Driver, DriverConfig, Handle, Health};
use crate::election::grace::Grace;
use crate::election::lease::{Candidate, ElectionName, Origin};
use crate::election::time::{Clock, HostClock};
use crate::files::{Files, Needs};
use crate::gate::{Gate, Rules};
use crate::health::Checks;
use crate::hooks;
use crate::http::{self, Access, App, ElectionState, Elections, Holds};
use crate::metrics::Metrics;
use crate::platform::identity::{self, Identity};
use crate::platform::{self, origin};
use crate::store::{Store, StoreError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    elections: ElectionsArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    hooks: HookArgs,

    /// Check the settings and the store, and exit: with 0 also if the store is away, with 64 or 69 if `serve` would
    /// exit with that. It neither stands nor listens, so it can run beside the sidecar that it is to replace
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let config = args.elections.check()?;
    let token = args.token.check()?;
    let (gate, hooks) = (args.gate.check()?, args.hooks.check(config.shutdown_grace)?);
    let of_hooks = if hooks.is_some() { hooks::FILES } else { 0 };
    if args.check {
        let (store, patience) = open_store(&config, Arc::new(HostClock));
        return check_store(&*store, patience).await.map(|()| 0);
    }
    let listen = Listen { address: args.listen.listen, token, of_hooks };
    let mut signals = Signals::new()?;
    let mut sidecar = match Sidecar::start(&config, Some(listen), gate, &mut signals).await? {
        Start::Stands(sidecar) => *sidecar,
        Start::Ends(signal) => return Ok(ended_while_starting(signal)),
    };
    let mut hooks = beside::Running::new(hooks);
    sidecar.elections().try_for_each(|election| hooks.follow(election))?;

    let signal = signals.end().await;
    tracing::info!(signal = signal.name, "shutting down");
    let hooks_end_at = HostClock::boot() + config.shutdown_grace.until_hooks_are_left();
    sidecar.shut_down(config.shutdown_grace).await;
    let left = async {
        sidecar.left().await;
        hooks.ended(hooks_end_at).await;
    };
    Ok(tokio::select! {
        () = left => 0,
        signal = signals.second() => second_signal(signal),
    })
}

/// Where to answer, and to whom.
pub(super) struct Listen {
    pub(super) address: SocketAddr,
    pub(super) token: Option<String>,
    /// How many files hooks have open at once.
    pub(super) of_hooks: usize,
}

/// The result of a start.
pub(super) enum Start {
    /// It stands.
    Stands(Box<Sidecar>),
    /// A signal ended it before it stood: there is nothing to free.
    Ends(Ending),
}

/// There is no election to leave in order.
pub(super) fn ended_while_starting(signal: Ending) -> u8 {
    tracing::info!(signal = signal.name, "shutting down");
    0
}

/// Who stands, in one election or several, and the answers of it.
pub(super) struct Sidecar {
    /// The election that was named first, of `run` and `once` the only one.
    pub(super) election: Handle,
    others: Vec<Handle>,
    /// Where it answers, if it does.
    pub(super) url: Option<String>,
    drivers: JoinSet<()>,
    /// The task that watches whether this process was copied, for as long as this exists.
    _copies: JoinSet<()>,
}

impl Sidecar {
    /// Takes the address, opens the store and stands. Nothing is opened if the address is taken.
    /// Meanwhile it answers that it is starting, and reacts to signals.
    pub(super) async fn start(
        config: &ElectionConfig,
        listen: Option<Listen>,
        gate: Option<(Checks, Rules)>,
        signals: &mut Signals,
    ) -> Result<Start, CommandError> {
        let files = set_files_aside(config, listen.as_ref(), gate.is_some())?;
        let (address, token) = match listen {
            Some(Listen { address, token, .. }) => (Some(address), token),
            None => (None, None),
        };
        let listener = match address {
            Some(address) => Some(listen_on(address).await?),
            None => None,
        };
        let url = listener.as_ref().map(|(_, address)| format!("http://{address}"));
        let candidates = tokio::select! {
            biased;
            signal = signals.end() => return Ok(Start::Ends(signal)),
            candidates = Candidates::prepare(config, gate) => candidates?,
            never = answer_meanwhile(listener.as_ref()) => match never {},
        };
        let (election, driver) = candidates.stand(&config.election, url.clone())?;
        let mut drivers = JoinSet::new();
        drivers.spawn(driver.run());
        let mut others = Vec::with_capacity(config.others.len());
        for name in &config.others {
            let url = url.as_ref().map(|url| format!("{url}/elections/{name}"));
            let (other, driver) = candidates.stand(name, url)?;
            others.push(other);
            drivers.spawn(driver.run());
        }
        if let Some((listener, address)) = listener {
            let state = |election: &Handle| ElectionState {
                election: election.clone(),
                holds: Holds::new(config.shutdown_grace),
            };
            let elections = Elections::new(state(&election), others.iter().map(state).collect());
            let access = Access::new(address.ip(), token);
            let app = App::new(elections, candidates.metrics, access, files.clients());
            let app = app.behind(candidates.gate);
            http::start(listener, app, files.ceiling()).map_err(|error| no_timer(&error))?;
        }
        let mut watches = JoinSet::new();
        let elections = std::iter::once(&election).chain(&others).cloned().collect();
        watches.spawn(copies::watch(elections, config.timing.retry_period()));
        Ok(Start::Stands(Box::new(Self { election, others, url, drivers, _copies: watches })))
    }

    /// All elections, in the order in which they were named.
    fn elections(&self) -> impl Iterator<Item = &Handle> {
        std::iter::once(&self.election).chain(&self.others)
    }

    /// Begins to leave the elections.
    pub(super) async fn shut_down(&self, grace: Grace) {
        for election in self.elections() {
            election.shut_down(grace.until_left(&election.leadership().timing)).await;
        }
    }

    /// Waits until the candidate has left every election. Safe to cancel.
    pub(super) async fn left(&mut self) {
        // A driver that panicked has left as well; with `panic = "abort"` there is none.
        while self.drivers.join_next().await.is_some() {}
    }
}

async fn answer_meanwhile(listener: Option<&(TcpListener, SocketAddr)>) -> Infallible {
    match listener {
        Some((listener, _)) => http::answer_meanwhile(listener).await,
        None => std::future::pending().await,
    }
}

/// Opens nothing if the elections alone would run out of files.
fn set_files_aside(
    config: &ElectionConfig,
    listen: Option<&Listen>,
    gated: bool,
) -> Result<Files, CommandError> {
    let hooks = listen.map_or(0, |listen| listen.of_hooks);
    // The timers of the election, of its events, of its gate and of its hooks.
    let timers = 1 + [listen.is_some(), gated, hooks > 0].iter().filter(|one| **one).count();
    let needs = Needs {
        elections: 1 + config.others.len(),
        of_each: timers + config.store.url.files_of_an_election(),
        of_hooks: hooks,
        clients: listen.map_or(0, |_| http::MAX_CONNECTIONS),
    };
    Files::set_aside(needs).map_err(|error| CommandError::Unavailable(error.to_string()))
}

async fn listen_on(address: SocketAddr) -> Result<(TcpListener, SocketAddr), CommandError> {
    let listener = http::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
    let address = listener.local_addr().unwrap_or(address);
    Ok((listener, address))
}

/// What the candidates of all elections have in common.
struct Candidates<'a> {
    config: &'a ElectionConfig,
    candidate: Candidate,
    origin: Option<Origin>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    health: Health,
    gate: Option<Gate>,
}

impl<'a> Candidates<'a> {
    /// Finds out who stands, opens the store, and begins to ask the application how it is.
    async fn prepare(
        config: &'a ElectionConfig,
        gate: Option<(Checks, Rules)>,
    ) -> Result<Self, CommandError> {
        let clock: Arc<dyn Clock> = Arc::new(HostClock);
        let (store, patience) = open_store(config, Arc::clone(&clock));
        let identity = Identity::settle(config.identity.clone(), platform::here());
        let (identity, origin, checked) =
            tokio::join!(identity, origin::find(platform::here()), check_store(&*store, patience));
        checked?;
        identity.announce();
        let metrics = Metrics::new(config.store.url.kind(), &config.timing, clock.now().boot)
            .map_err(|error| CommandError::Unavailable(error.to_string()))?;
        logging::count_in(&metrics)
            .map_err(|error| CommandError::Unavailable(error.to_string()))?;
        let gate = beside::watch(gate, &metrics)?;
        let candidate = identity::candidate(identity.name);
        let health = Health::default();
        Ok(Self { config, candidate, origin, store, clock, metrics, health, gate })
    }

    /// Stands in one election, whose answers are below `url`.
    fn stand(
        &self,
        election: &ElectionName,
        url: Option<String>,
    ) -> Result<(Handle, Driver), CommandError> {
        let url = url.map(|url| format!("{url}/leader"));
        let config = self.config;
        tracing::info!(
            %election,
            identity = self.candidate.identity,
            store = %config.store.url,
            namespace = config.store.namespace.as_ref().map(tracing::field::display),
            url,
            "standing"
        );
        let stands = driver::stand(DriverConfig {
            election: election.clone(),
            candidate: self.candidate.clone(),
            origin: self.origin.clone(),
            timing: config.timing,
            max_attempts: config.max_attempts,
            gated: self.gate.is_some(),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            url,
        })
        .map_err(|error| no_timer(&error))?;
        beside::obey(self.gate.as_ref(), &stands.0)?;
        Ok(stands)
    }
}

/// The store, and how long a call to it may take.
fn open_store(config: &ElectionConfig, clock: Arc<dyn Clock>) -> (Arc<dyn Store>, Duration) {
    let patience = config.timing.call_timeout();
    (config.store.open(patience, clock), patience)
}

/// What only a person can put right is said at once, and ends the program. A store that is not
/// reachable now may be so later: the election begins without it, undecided.
async fn check_store(store: &dyn Store, patience: Duration) -> Result<(), CommandError> {
    match tokio::time::timeout(patience, store.init()).await {
        Ok(Err(error @ StoreError::Misconfigured(_))) => {
            Err(CommandError::Unavailable(error.to_string()))
        }
        Ok(Err(StoreError::Unavailable(_)) | Ok(())) | Err(_) => Ok(()),
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> CommandError {
    CommandError::Unavailable(match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use by another process: stop it, or choose another with --listen"
        ),
        _ => format!("cannot listen on {address}: {error}: choose another with --listen"),
    })
}

pub(super) fn no_timer(error: &io::Error) -> CommandError {
    CommandError::Unavailable(format!(
        "cannot create a timer: {error}; raise the open-file limit (ulimit -n, LimitNOFILE)"
    ))
}

/// A second signal exits now, and leaves the lease to run out.
pub(super) fn second_signal(signal: Ending) -> u8 {
    tracing::warn!(
        signal = signal.name,
        "second signal: exiting now, the lease runs out by itself"
    );
    1
}
