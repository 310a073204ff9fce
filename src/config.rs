//! Settings: each flag with its help, default and environment variable in one place, checked whole
//! before anything is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::api::client::{Client, InvalidSidecarUrl};
use crate::election::duration;
use crate::election::grace::Grace;
use crate::election::holder_url::{HolderUrl, InvalidHolderUrl};
use crate::election::leadership::Gated;
use crate::election::lease::{ElectionName, InvalidElectionName, InvalidNamespace, Namespace};
use crate::election::text;
use crate::election::time::Clock;
use crate::election::timing::{InvalidTiming, Timing};
use crate::platform::identity;
use crate::platform::release::UnknownRelease;
use crate::platform::{self, Shared, surroundings};
use crate::store::{self, InvalidStoreUrl, Store, StoreOptions, StoreUrl};
use crate::time::clock::HostClock;

mod gate;
mod hooks;
mod leader;
pub mod leaving;
mod listen;
mod log;
mod rank;
mod secret_file;
mod skew;
mod state_directory;
mod variables;

pub use gate::{GateArgs, InvalidGate};
pub use hooks::{HookArgs, InvalidHook};
pub use leader::{InvalidLabel, LeaderArgs, LeaderLabel};
pub use listen::{InvalidListen, ListenAddress, ListenArgs};
pub use log::{LogArgs, LogFormat, LogLevel};
pub use rank::{AUTO, InvalidOrder, RankArgs, RankConfig, parse_order};
use skew::{MaxClockSkew, parse_skew};
pub use variables::NoText;
use variables::{text_of, with_texts};

/// The shortest token: 16 characters of base64 are 96 bits, which no one guesses over a network.
const MIN_TOKEN: usize = 16;

/// The most elections of one sidecar. Each costs a timer, some kilobytes and, while it leads, a write
/// in every retry period: with the default of 2 s these are 128 writes a second.
const MAX_ELECTIONS: usize = 256;

/// Which store.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Store")]
pub struct StoreArgs {
    /// The store that holds the lease: sqlite:///PATH/leases.db,
    /// postgres://USER:PASSWORD@HOST/DATABASE, dynamodb://TABLE?region=REGION or
    /// kubernetes://NAMESPACE.
    ///
    /// Defaults to a file in the user's state directory, for processes of one user on one
    /// host. Required on ECS, Kubernetes and Elastic Beanstalk, and in a container.
    #[arg(long, env = "BELLWETHER_STORE", value_name = "URL")]
    store: Option<String>,

    /// Read the URL of --store from this file. Use it for a URL that contains a password.
    #[arg(long, env = "BELLWETHER_STORE_FILE", value_name = "FILE", conflicts_with = "store")]
    store_file: Option<PathBuf>,

    /// How far the clock in the HTTP responses of a store may be off, or 'off'.
    ///
    /// For DynamoDB and Kubernetes, which offer no other clock. A lease that ended longer ago
    /// than this, by the Date of a response, is taken over at once. Otherwise, and with 'off',
    /// a candidate watches it for its whole duration.
    #[arg(
        long,
        env = "BELLWETHER_MAX_CLOCK_SKEW",
        value_name = "TIME",
        value_parser = parse_skew,
        default_value = "10s"
    )]
    max_clock_skew: MaxClockSkew,

    /// The environment, such as staging. It becomes a part of the name of every record, so
    /// environments that share a store have separate elections and keys.
    #[arg(long, env = "BELLWETHER_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
}

/// Which store, and whose records in it.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The store.
    pub url: StoreUrl,
    /// The namespace, if there is one.
    pub namespace: Option<Namespace>,
    /// How far the clock in a service's answers may be off.
    pub max_clock_skew: Option<Duration>,
}

impl StoreConfig {
    /// The records, in a store that is not open yet: see [`store::open`].
    pub fn open(&self, patience: Duration, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        store::open_namespace(&self.url, self.namespace.clone(), self.options(patience), clock)
    }

    /// The records of every namespace.
    pub fn open_all(&self, patience: Duration, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        store::open(&self.url, self.options(patience), clock)
    }

    fn options(&self, patience: Duration) -> StoreOptions {
        StoreOptions { patience, max_clock_skew: self.max_clock_skew }
    }
}

/// Who stands, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Election")]
pub struct CandidateArgs {
    /// The name of this instance in responses and logs.
    ///
    /// Defaults to the first available of: ECS task, Kubernetes pod name (POD_NAME, with
    /// POD_NAMESPACE, if the manifest sets them), EC2 instance ID, host name.
    #[arg(long, env = "BELLWETHER_IDENTITY", value_name = "NAME")]
    identity: Option<String>,

    /// How long standbys wait for a leader that does not renew.
    ///
    /// This is the time without a leader after a crash. A shorter lease fails over faster, but
    /// tolerates shorter pauses of the store and the host.
    #[arg(
        long,
        env = "BELLWETHER_LEASE_DURATION",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "15s"
    )]
    lease_duration: Duration,

    /// How long a leader leads without a successful renewal. At most four fifths of the lease.
    ///
    /// A shorter outage of the store does not change the leader. In the rest of the lease,
    /// leader-only work ends.
    #[arg(
        long,
        env = "BELLWETHER_RENEW_DEADLINE",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "10s"
    )]
    renew_deadline: Duration,

    /// The time between two renewals of a leader, and between two reads of a standby to which the store pushes
    /// nothing.
    #[arg(
        long,
        env = "BELLWETHER_RETRY_PERIOD",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "2s"
    )]
    retry_period: Duration,

    /// How long leader-only work may take to end at a shutdown.
    ///
    /// Work that still runs is then killed, and the lease is freed. If the work is not gone two seconds
    /// later, the lease is not freed and runs out.
    #[arg(
        long,
        env = "BELLWETHER_SHUTDOWN_GRACE",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "20s"
    )]
    shutdown_grace: Duration,
}

/// How an instance stands in an election that has a name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Election")]
pub struct ElectionArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// The election to take part in. Candidates of the same election compete.
    #[arg(long, env = "BELLWETHER_ELECTION", value_name = "NAME")]
    #[arg(default_value = "default", help_heading = "Election")]
    election: Vec<String>,

    #[command(flatten)]
    candidate: CandidateArgs,

    #[command(flatten)]
    leader: LeaderArgs,
}

/// How an instance stands in several elections at once.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Election")]
pub struct ElectionsArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// The election to take part in. Candidates of the same election compete. You can repeat
    /// this flag.
    ///
    /// Several elections are independent of each other. They share the identity and the
    /// connection to the store. HTTP paths without the name of an election refer to the first.
    /// In the variable, separate the names with commas.
    #[arg(
        long,
        env = "BELLWETHER_ELECTION",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "default",
        help_heading = "Election"
    )]
    election: Vec<String>,

    #[command(flatten)]
    candidate: CandidateArgs,

    #[command(flatten)]
    leader: LeaderArgs,
}

/// Who else may ask a sidecar to change something.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sidecar")]
pub struct TokenArgs {
    /// Read a token of at least 16 characters from this file. Other hosts that send it may
    /// change things, such as asking this sidecar to resign.
    ///
    /// Clients send it as 'Authorization: Bearer TOKEN'. Clients on the same host need none.
    #[arg(long, env = "BELLWETHER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Which sidecar to ask.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sidecar")]
pub struct SidecarArgs {
    /// The http:// URL of the sidecar. Defaults to the address in BELLWETHER_LISTEN, or else
    /// http://127.0.0.1:4040.
    #[arg(long, env = "BELLWETHER_SIDECAR", value_name = "URL")]
    sidecar: Option<String>,

    /// How long the sidecar may take to respond to one request.
    #[arg(
        long,
        env = "BELLWETHER_REQUEST_TIMEOUT",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "2s"
    )]
    request_timeout: Duration,

    /// Read the token of a sidecar on another host from this file.
    #[arg(long, env = "BELLWETHER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The address of a sidecar with the default settings.
const DEFAULT_SIDECAR: &str = "http://127.0.0.1:4040";

impl SidecarArgs {
    /// Checks which sidecar is meant, and reads its token.
    ///
    /// # Errors
    ///
    /// What is wrong with its URL, or with the token.
    pub fn check(&self) -> Result<Client, InvalidConfig> {
        if self.request_timeout.is_zero() {
            return Err(InvalidConfig::RequestTimeout);
        }
        let token = read_token(self.token_file.as_deref())?;
        let url = match &self.sidecar {
            Some(url) => url.clone(),
            None => match text_of("BELLWETHER_LISTEN")?.filter(|text| !text.is_empty()) {
                Some(listen) => {
                    listen.parse::<ListenAddress>().map_err(InvalidConfig::ListenVariable)?.url()
                }
                None => DEFAULT_SIDECAR.to_owned(),
            },
        };
        Ok(Client::new(url.parse()?, token, self.request_timeout))
    }
}

impl TokenArgs {
    /// Reads the token, if there is one.
    ///
    /// # Errors
    ///
    /// What is wrong with its file.
    pub fn check(&self) -> Result<Option<String>, InvalidConfig> {
        read_token(self.token_file.as_deref())
    }
}

fn read_token(file: Option<&Path>) -> Result<Option<String>, InvalidConfig> {
    let Some(file) = file else { return Ok(None) };
    let token = secret_file::read(file)
        .map_err(|error| InvalidConfig::TokenFile { file: file.to_owned(), error })?;
    if token.len() < MIN_TOKEN || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(InvalidConfig::Token(file.to_owned()));
    }
    secret_file::warn_if_open(file);
    Ok(Some(token))
}

/// Checked settings of an election.
#[derive(Clone, Debug)]
pub struct ElectionConfig {
    /// Where the record lives.
    pub store: StoreConfig,
    /// Which record.
    pub election: ElectionName,
    /// Which others as well, each alone.
    pub others: Vec<ElectionName>,
    /// Who stands; none: as the surroundings say.
    pub identity: Option<String>,
    /// The durations.
    pub timing: Timing,
    /// When it claims a lease that was vacated; none: at once, for work that is done once.
    pub rank: Option<RankConfig>,
    /// Whether it begins to stand only when it is allowed to, such as for work that is done once.
    pub gated: Option<Gated>,
    /// How long a shutdown waits for work.
    pub shutdown_grace: Grace,
    /// Where this instance can be reached while it leads.
    pub holder_url: Option<HolderUrl>,
    /// The label of this instance's pod while it leads.
    pub leader_label: Option<LeaderLabel>,
}

impl ElectionConfig {
    /// The store, which is not open yet. A call may take as long as the election gives it.
    pub fn open_store(&self) -> Arc<dyn Store> {
        self.store.open(self.timing.call_timeout(), Arc::new(HostClock))
    }
}

/// A setting that is wrong, in words for the person who set it.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// See [`InvalidTiming`].
    #[error("{}: {_0}", settings_of(_0))]
    Timing(#[from] InvalidTiming),
    /// See [`InvalidElectionName`].
    #[error("--election: {0}")]
    Election(#[from] InvalidElectionName),
    /// The same election twice.
    #[error("--election: election '{0}' is named twice; name each election once")]
    ElectionTwice(ElectionName),
    /// More than one, for a command that stands in one.
    #[error(
        "--election: this command stands in one election, and {0} are named; name one, or use \
         `bellwether serve` with several and `bellwether only` for their work"
    )]
    OneElection(usize),
    /// More than a process can serve within its bounds.
    #[error("--election: {0} elections are too many for one sidecar; name at most {MAX_ELECTIONS}")]
    TooManyElections(usize),
    /// See [`InvalidNamespace`].
    #[error("--namespace: {0}")]
    Namespace(#[from] InvalidNamespace),
    /// A setting of `once`.
    #[error("{flag}: {error}")]
    Once {
        /// Which flag.
        flag: &'static str,
        /// What is wrong with it.
        error: String,
    },
    /// See [`InvalidOrder`].
    #[error("--order: {0}")]
    Order(#[from] InvalidOrder),
    /// See [`UnknownRelease`].
    #[error("{0}")]
    Release(#[from] UnknownRelease),
    /// See [`identity::InvalidIdentity`].
    #[error("--identity: {0}")]
    Identity(#[from] identity::InvalidIdentity),
    /// See [`InvalidLabel`].
    #[error("--leader-label: {0}")]
    Label(#[from] InvalidLabel),
    /// This host has only a loopback address.
    #[error("--advertise: this host has no default route, and so no {{ip}}; write its address")]
    NoAddress,
    /// It would be published as it is.
    #[error(
        "--advertise: it contains a '{{' or '}}' that does not belong to {{ip}}, the only placeholder"
    )]
    UnknownPlaceholder,
    /// See [`InvalidHolderUrl`].
    #[error("--advertise: {0}")]
    Advertise(#[from] InvalidHolderUrl),
    /// See [`InvalidStoreUrl`].
    #[error("{flag}: {error}")]
    Store {
        /// The flag that names the store.
        flag: &'static str,
        /// The error.
        error: InvalidStoreUrl,
    },
    /// The file of `--store-file`.
    #[error("--store-file: cannot read the store URL from {}: {error}", secret_file::shown(file))]
    StoreFile {
        /// As given.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// See [`InvalidGate`].
    #[error("{0}")]
    Gate(#[from] InvalidGate),
    /// See [`InvalidHook`].
    #[error("{0}")]
    Hook(#[from] InvalidHook),
    /// No sidecar responds in no time.
    #[error("--request-timeout: 0s leaves no time for a response; give at least some milliseconds")]
    RequestTimeout,
    /// The URL of `--sidecar`.
    #[error("--sidecar: {0}")]
    Sidecar(#[from] InvalidSidecarUrl),
    /// See [`InvalidListen`].
    #[error("--listen: {0}")]
    Listen(#[from] InvalidListen),
    /// See [`NoText`].
    #[error("{0}")]
    Variable(#[from] NoText),
    /// The address of the sidecar to send requests to.
    #[error("BELLWETHER_LISTEN: {0}")]
    ListenVariable(InvalidListen),
    /// The file of `--token-file`.
    #[error("--token-file: cannot read the token from {}: {error}", secret_file::shown(file))]
    TokenFile {
        /// As given.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// What is in the file of `--token-file`. The text itself is not repeated.
    #[error(
        "--token-file: {} does not contain a valid token; use at least {MIN_TOKEN} letters, digits \
         or signs, without spaces", secret_file::shown(.0)
    )]
    Token(PathBuf),
    /// No store is named, and the default one would be each instance's own.
    #[error(
        "no store is named, and this is {0}, where every instance would lead in its own file; set \
         BELLWETHER_STORE or --store to a store that all instances share (on one host: \
         sqlite:///PATH/leases.db)"
    )]
    NoSharedStore(Shared),
    /// Nothing to put the default store into.
    #[error(
        "there is no folder for the default store, because STATE_DIRECTORY, XDG_STATE_HOME and \
         HOME are not set; name a file with --store sqlite:///PATH/leases.db"
    )]
    NoStateDirectory,
}

/// The settings that contradict each other.
fn settings_of(timing: &InvalidTiming) -> &'static str {
    match timing {
        InvalidTiming::RetryPeriodTooShort(_) => "--retry-period",
        InvalidTiming::NoRoomForARetry { .. } => "--renew-deadline, --retry-period",
        InvalidTiming::NoRoomToStop { .. } => "--renew-deadline, --lease-duration",
        InvalidTiming::LeaseTooLong(_) => "--lease-duration",
    }
}

impl ElectionArgs {
    /// Checks everything.
    ///
    /// # Errors
    ///
    /// The first setting that is wrong.
    pub fn check(self) -> Result<ElectionConfig, InvalidConfig> {
        // The last of several would win silently.
        let [election] = self.election.as_slice() else {
            return Err(InvalidConfig::OneElection(self.election.len()));
        };
        let election = election.parse()?;
        let holder_url = self.leader.check_url()?;
        let leader_label = self.leader.check_label(&[&election])?;
        let config = self.candidate.check(election, self.store)?;
        Ok(ElectionConfig { holder_url, leader_label, ..config })
    }
}

impl ElectionsArgs {
    /// Checks everything.
    ///
    /// # Errors
    ///
    /// The first setting that is wrong.
    pub fn check(self) -> Result<ElectionConfig, InvalidConfig> {
        if self.election.len() > MAX_ELECTIONS {
            return Err(InvalidConfig::TooManyElections(self.election.len()));
        }
        let mut elections = Vec::with_capacity(self.election.len());
        for name in &self.election {
            let election: ElectionName = name.parse()?;
            if elections.contains(&election) {
                return Err(InvalidConfig::ElectionTwice(election));
            }
            elections.push(election);
        }
        let holder_url = self.leader.check_url()?;
        let leader_label = self.leader.check_label(&elections.iter().collect::<Vec<_>>())?;
        let mut elections = elections.into_iter();
        // An empty variable names none.
        let first = elections.next().map_or_else(|| "".parse(), Ok)?;
        let config = self.candidate.check(first, self.store)?;
        Ok(ElectionConfig { others: elections.collect(), holder_url, leader_label, ..config })
    }
}

impl CandidateArgs {
    /// Checks everything about standing in `election`.
    ///
    /// # Errors
    ///
    /// The first setting that is wrong.
    pub fn check(
        self,
        election: ElectionName,
        store: StoreArgs,
    ) -> Result<ElectionConfig, InvalidConfig> {
        let timing = Timing::new(self.lease_duration, self.renew_deadline, self.retry_period)?;
        let identity = self.identity.as_deref().map(identity::parse).transpose()?;
        Ok(ElectionConfig {
            store: store.check()?,
            election,
            others: Vec::new(),
            identity,
            timing,
            rank: None,
            gated: None,
            shutdown_grace: Grace::new(self.shutdown_grace),
            holder_url: None,
            leader_label: None,
        })
    }
}

impl StoreArgs {
    /// Checks which store is meant. Opens nothing but the file that holds the URL.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(self) -> Result<StoreConfig, InvalidConfig> {
        let namespace = self.namespace.as_deref().map(str::parse).transpose()?;
        let invalid = |flag| move |error| InvalidConfig::Store { flag, error };
        let parse =
            |text: &str, flag| with_texts(|env| StoreUrl::parse(text, env).map_err(invalid(flag)));
        let url = match (self.store, self.store_file) {
            (Some(url), _) => parse(&url, "--store")?,
            (None, Some(file)) => match secret_file::read(&file) {
                Ok(text) => {
                    let url = parse(&text, "--store-file")?;
                    if text::may_hold_password(&text) {
                        secret_file::warn_if_open(&file);
                    }
                    url.kept_in(&file)
                }
                Err(error) => return Err(InvalidConfig::StoreFile { file, error }),
            },
            (None, None) => match platform::shared(surroundings::here()) {
                Some(shared) => return Err(InvalidConfig::NoSharedStore(shared)),
                None => state_directory::store(|name| std::env::var_os(name).map(PathBuf::from))
                    .ok_or(InvalidConfig::NoStateDirectory)?,
            },
        };
        Ok(StoreConfig { url, namespace, max_clock_skew: self.max_clock_skew.0 })
    }
}
