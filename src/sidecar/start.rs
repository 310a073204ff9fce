//! Opens the store, stands in every election and answers over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::error::StartError;
use super::limits::{Files, Needs};
use super::signals::{Ending, Signals};
use super::{copies, gate, leader_stream};
use crate::config::ElectionConfig;
use crate::driver::{self, Driver, DriverConfig, Handle, Health, Leaving};
use crate::election::grace::Grace;
use crate::election::handover::Rank;
use crate::election::holder_url::HolderUrl;
use crate::election::leadership::Gated;
use crate::election::lease::{Candidate, ElectionName, Origin};
use crate::election::time::Clock;
use crate::gate::Gate;
use crate::health::GateConfig;
use crate::http::{self, Access, App, ElectionState, Elections, Holds, StoreName};
use crate::leader_label;
use crate::metrics::Metrics;
use crate::platform::identity::{self, Identity};
use crate::platform::{origin, surroundings};
use crate::store::{Store, StoreError};
use crate::time::clock::HostClock;

/// Where to answer, and to whom.
pub struct Listen {
    /// The address and port.
    pub address: SocketAddr,
    /// What other hosts have to bring to change something.
    pub token: Option<String>,
    /// How many files hooks have open at once.
    pub of_hooks: usize,
}

/// The result of a start.
pub enum Start {
    /// It stands.
    Stands(Box<Sidecar>),
    /// A signal ended it before it stood: there is nothing to free.
    Ends(Ending),
}

/// Who stands, in one election or several, and the answers of it.
pub struct Sidecar {
    /// The election that was named first, of `run` and `once` the only one.
    pub election: Handle,
    others: Vec<Handle>,
    /// Where it answers, if it does.
    pub url: Option<String>,
    server: Option<http::Server>,
    drivers: JoinSet<()>,
    /// The tasks that keep the leader's label, if there is one.
    labels: JoinSet<()>,
    /// The tasks that watch whether this process was copied, and what leaders say, for as long as this exists.
    _watches: JoinSet<()>,
}

impl Sidecar {
    /// Takes the address, checks the store and stands. Nothing is checked if the address is taken.
    /// Meanwhile it answers that it is starting, and reacts to signals.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn start(
        store: Arc<dyn Store>,
        config: &ElectionConfig,
        listen: Option<Listen>,
        gate: Option<GateConfig>,
        metrics: Metrics,
        signals: &mut Signals,
    ) -> Result<Start, StartError> {
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
        let gate = gate.map(|gate| gate.run_by(url.as_deref()));
        let candidates = tokio::select! {
            biased;
            signal = signals.end() => return Ok(Start::Ends(signal)),
            candidates = Candidates::prepare(store, config, gate, metrics) => candidates?,
            never = serve_meanwhile(listener.as_ref()) => match never {},
        };
        let candidates = candidates.listening_on(listener.as_ref().map(|(_, address)| *address));
        let (election, driver) = candidates.stand(&config.election, url.clone())?;
        let mut drivers = JoinSet::new();
        drivers.spawn(driver.run());
        let mut others = Vec::with_capacity(config.others.len());
        for name in &config.others {
            let (other, driver) = candidates.stand(name, url_of(name, url.as_ref()))?;
            others.push(other);
            drivers.spawn(driver.run());
        }
        let mut server = None;
        if let Some((listener, address)) = listener {
            let state = |election: &Handle| ElectionState {
                election: election.clone(),
                holds: Holds::new(config.shutdown_grace),
            };
            let elections = Elections::new(state(&election), others.iter().map(state).collect());
            let access = Access::new(address.ip(), token);
            let app = App::new(elections, candidates.metrics, access, files.clients());
            let app = app.behind(candidates.gate).on(store_name(config));
            server = Some(http::start(listener, app, files.ceiling()).map_err(StartError::Timer)?);
        }
        let labels = label(config, std::iter::once(&election).chain(&others))?;
        let watches = watch(config, std::iter::once(&election).chain(&others));
        Ok(Start::Stands(Box::new(Self {
            election,
            others,
            url,
            server,
            drivers,
            labels,
            _watches: watches,
        })))
    }

    /// All elections, in the order in which they were named, and where each is answered for.
    pub fn elections(&self) -> impl Iterator<Item = (&Handle, Option<String>)> {
        let first = (&self.election, self.url.clone());
        let others =
            self.others.iter().map(|other| (other, url_of(other.election(), self.url.as_ref())));
        std::iter::once(first).chain(others)
    }

    /// Begins to leave the elections.
    pub async fn shut_down(&self, grace: Grace) {
        self.shut_down_after(grace, Duration::ZERO).await;
    }

    /// The same, and keeps the leases for `delay`, or until [`Leaving::finish`] learns that they can be freed.
    pub async fn shut_down_after(&self, grace: Grace, delay: Duration) -> Leaving {
        let within = |election: &Handle| grace.until_left(&election.leadership().timing);
        let elections: Vec<_> =
            self.elections().map(|(election, _)| (election.clone(), within(election))).collect();
        Leaving::begin(&elections, delay).await
    }

    /// Waits until the candidate has left every election. Safe to cancel.
    pub async fn left(&mut self) {
        // A driver that panicked has left as well; with `panic = "abort"` there is none.
        while self.drivers.join_next().await.is_some() {}
        // Each ends in time, also without an answer of the API.
        while self.labels.join_next().await.is_some() {}
    }

    /// The same, and until the readers of its events know that it has left.
    pub async fn left_and_shown(&mut self) {
        self.left().await;
        self.end_streams().await;
    }

    /// Lets the readers of its events know the last one: the program ends.
    pub async fn end_streams(&self) {
        if let Some(server) = &self.server {
            server.end_streams().await;
        }
    }
}

/// Where an election that is not the first one is answered for.
fn url_of(election: &ElectionName, sidecar: Option<&String>) -> Option<String> {
    sidecar.map(|sidecar| format!("{sidecar}/elections/{election}"))
}

fn store_name(config: &ElectionConfig) -> StoreName {
    StoreName {
        url: config.store.url.to_string(),
        namespace: config.store.namespace.as_ref().map(ToString::to_string),
    }
}

async fn serve_meanwhile(listener: Option<&(TcpListener, SocketAddr)>) -> Infallible {
    match listener {
        Some((listener, _)) => http::serve_meanwhile(listener).await,
        None => std::future::pending().await,
    }
}

/// Keeps the label of each election, if there is one.
fn label<'a>(
    config: &ElectionConfig,
    elections: impl Iterator<Item = &'a Handle>,
) -> Result<JoinSet<()>, StartError> {
    let mut labels = JoinSet::new();
    for election in elections {
        let label = config.leader_label.as_ref().map(|label| label.of(election.election()));
        if let Some(label) = label.and_then(Result::ok) {
            let task = leader_label::follow(label, election.clone());
            labels.spawn(task.map_err(StartError::Timer)?);
        }
    }
    Ok(labels)
}

/// Watches this process, and the leaders of the elections if this instance says where it is itself.
fn watch<'a>(
    config: &ElectionConfig,
    elections: impl Iterator<Item = &'a Handle> + Clone,
) -> JoinSet<()> {
    let mut watches = JoinSet::new();
    watches
        .spawn(copies::watch(elections.clone().cloned().collect(), config.timing.retry_period()));
    for election in elections.filter(|_| config.holder_url.is_some()) {
        watches.spawn(leader_stream::follow(election.clone()));
    }
    watches
}

/// Opens nothing if the elections alone would run out of files.
fn set_files_aside(
    config: &ElectionConfig,
    listen: Option<&Listen>,
    gated: bool,
) -> Result<Files, StartError> {
    let hooks = listen.map_or(0, |listen| listen.of_hooks);
    // The timers of the election, of its events, of its gate and of its hooks.
    let timers = 1 + [listen.is_some(), gated, hooks > 0].iter().filter(|one| **one).count();
    // A timer, and a connection.
    let labels = if config.leader_label.is_some() { 2 } else { 0 };
    let streams = if config.holder_url.is_some() { leader_stream::FILES } else { 0 };
    let needs = Needs {
        elections: 1 + config.others.len(),
        of_each: timers + labels + streams + config.store.url.files_of_an_election(),
        of_hooks: hooks,
        clients: listen.map_or(0, |_| http::MAX_CONNECTIONS),
    };
    Ok(Files::set_aside(needs)?)
}

async fn listen_on(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener =
        http::bind(address).await.map_err(|error| StartError::Listen { address, error })?;
    let address = listener.local_addr().unwrap_or(address);
    Ok((listener, address))
}

/// What the candidates of all elections have in common.
struct Candidates<'a> {
    config: &'a ElectionConfig,
    candidate: Candidate,
    rank: Option<Rank>,
    origin: Option<Origin>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    health: Health,
    gate: Option<Gate>,
    holder_url: Option<HolderUrl>,
}

impl<'a> Candidates<'a> {
    /// Finds out who stands, checks the store, and begins to ask the application how it is.
    async fn prepare(
        store: Arc<dyn Store>,
        config: &'a ElectionConfig,
        gate: Option<GateConfig>,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(HostClock);
        let rank = config.rank.map(|rank| rank.since(clock.now().boot));
        let patience = config.timing.call_timeout();
        let identity = Identity::settle(config.identity.clone(), surroundings::here());
        let (identity, origin, checked) = tokio::join!(
            identity,
            origin::find(surroundings::here()),
            check_store(&*store, patience)
        );
        checked?;
        identity.announce();
        metrics.introduce(&identity.name, config.store.namespace.as_ref())?;
        let gate = gate::watch(gate, &metrics)?;
        let candidate = identity::candidate(identity.name);
        let health = Health::default();
        let holder_url = config.holder_url.clone();
        Ok(Self {
            config,
            candidate,
            rank,
            origin,
            store,
            clock,
            metrics,
            health,
            gate,
            holder_url,
        })
    }

    /// The same, whose answers are at `address`.
    fn listening_on(self, address: Option<SocketAddr>) -> Self {
        let with = |url: HolderUrl| match address {
            Some(address) => url.with_sidecar(address.port(), address.ip().is_loopback()),
            None => url,
        };
        Self { holder_url: self.holder_url.map(with), ..self }
    }

    /// Stands in one election, whose answers are below `url`.
    fn stand(
        &self,
        election: &ElectionName,
        url: Option<String>,
    ) -> Result<(Handle, Driver), StartError> {
        let url = url.map(|url| format!("{url}/leader"));
        let config = self.config;
        tracing::info!(
            %election,
            identity = self.candidate.identity,
            store = %config.store.url,
            namespace = config.store.namespace.as_ref().map(tracing::field::display),
            url,
            event = "standing",
            "standing"
        );
        let stands = driver::stand(DriverConfig {
            election: election.clone(),
            candidate: self.candidate.clone(),
            origin: self.origin.clone(),
            holder_url: self.holder_url.clone(),
            timing: config.timing,
            rank: self.rank,
            gated: config.gated.or(self.gate.as_ref().map(|_| Gated::ByHealth)),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            url,
        })
        .map_err(StartError::Timer)?;
        gate::obey(self.gate.as_ref(), &stands.0)?;
        Ok(stands)
    }
}

/// Checks the store as a start does; neither stands nor listens.
///
/// # Errors
///
/// What only a person can put right.
pub async fn check(config: &ElectionConfig) -> Result<(), StartError> {
    let unreachable = check_store(&*config.open_store(), config.timing.call_timeout()).await?;
    if let Some(error) = unreachable {
        tracing::warn!(
            store = %config.store.url, error, event = "store_unchecked",
            "the store does not respond, so it was not checked; a start would wait for it"
        );
    }
    Ok(())
}

/// What only a person can put right is said at once, and ends the program. A store that is not
/// reachable now may be so later: the election begins without it, undecided.
/// Returns why it is not, if so.
async fn check_store(store: &dyn Store, patience: Duration) -> Result<Option<String>, StartError> {
    match tokio::time::timeout(patience, store.init()).await {
        Ok(Ok(())) => Ok(None),
        Ok(Err(error @ StoreError::Misconfigured(_))) => Err(StartError::Store(error)),
        Ok(Err(error @ StoreError::Unavailable(_))) => Ok(Some(error.to_string())),
        Err(_) => {
            let after = humantime::format_duration(patience);
            Ok(Some(format!("no response within {after}")))
        }
    }
}
