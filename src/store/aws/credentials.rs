//! AWS credentials, fetched in parallel to the calls that need them.
//!
//! An issuer of credentials may take seconds, or hang. A call to a store must not start that again
//! each time, and must not fail because of it while older credentials are still valid. So
//!
//! - a fetch is a task of its own, one at a time, and continues when a call gives up waiting;
//! - it begins before the credentials expire, and the older ones serve until it is done;
//! - it begins again when the service refuses the credentials, or when the shared files have
//!   changed: it then reads every source again, including the files;
//! - it has a time limit, and a pause follows a fetch that brings nothing new.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_async::time::{SystemTimeSource, TimeSource as _};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::sync::watch;

use super::causes::{innermost, is_slow};
use super::choice::Choice;
use super::process;
use super::source::{self, CredentialsSource, Stamp};
use crate::election::time::BootTime;
use crate::time::clock::HostClock;

/// How long a fetch may take: a user's command that queries a slow service takes no longer.
const LIMIT: Duration = Duration::from_secs(60);

/// How long before they expire credentials are replaced. Issuers have newer ones at least five
/// minutes before.
const AHEAD: Duration = Duration::from_secs(300);

/// The pause after a fetch that brought something new, and the longest one.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// If credentials have already expired by this host's clock when they arrive, they are fetched
/// again after this: the clock may be wrong.
const UNKNOWN_END: Duration = Duration::from_secs(60);

/// How often the shared files are checked.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Why there are no credentials, for the log. The same for every attempt of an outage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCredentials {
    /// The chain has none.
    #[error("there are no AWS credentials")]
    None,
    /// The settings are invalid.
    #[error("the AWS configuration for credentials from {0} is not valid")]
    Invalid(String),
    /// They cannot be in the header of a request.
    #[error(
        "no AWS credentials from {from}: the {what} contains a line break, a space or another \
         invalid character"
    )]
    Malformed {
        /// The issuer.
        from: String,
        /// Which part of them.
        what: &'static str,
    },
    /// They may still arrive.
    #[error("waiting for AWS credentials from {0}")]
    Waiting(String),
    /// They did not arrive.
    #[error("no AWS credentials from {from}: {why}")]
    Failed {
        /// The issuer.
        from: String,
        /// What happened.
        why: String,
    },
}

/// Keeps credentials. Clones share them.
#[derive(Clone, Debug)]
pub struct CredentialsCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    chain: Chain,
    /// How long a call waits for credentials.
    wait: Duration,
    state: watch::Sender<State>,
}

/// The inputs of the standard chain.
#[derive(Debug)]
pub struct Chain {
    /// The settings of the URL.
    pub choice: Choice,
    /// The endpoint of STS.
    pub region: Region,
    /// The HTTP client.
    pub http: SharedHttpClient,
    /// The instance metadata service.
    pub imds: imds::Client,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    failure: Option<NoCredentials>,
    /// The issuer, once it is known.
    from: Option<String>,
    fetching: bool,
    /// The kept credentials are useless, or older than the files.
    outdated: bool,
    /// The files as they were before the last fetch; none if they have no part in it.
    files: Option<Stamp>,
    looked_at: BootTime,
    /// Fetches in a row that brought nothing new.
    futile: u32,
    not_before: BootTime,
}

#[derive(Debug)]
struct Kept {
    credentials: Credentials,
    refresh_at: Option<BootTime>,
    over_at: Option<BootTime>,
}

impl CredentialsCache {
    /// Keeps the credentials of `chain`. A call waits for `wait` at most.
    pub fn new(chain: Chain, wait: Duration) -> Self {
        Self(Arc::new(Shared { chain, wait, state: watch::Sender::default() }))
    }

    /// The service refused them: the next call gets the result of a new fetch.
    pub fn refused(&self) {
        self.0.state.send_modify(|state| state.outdated = true);
    }

    /// The kept credentials, or the first that arrive.
    ///
    /// # Errors
    ///
    /// See [`NoCredentials`].
    pub async fn credentials(&self) -> Result<Credentials, NoCredentials> {
        self.look_at_files().await;
        self.begin_if_due();
        let mut states = self.0.state.subscribe();
        let settled = states.wait_for(|state| state.is_settled(HostClock::boot()));
        let settled = tokio::time::timeout(self.0.wait, settled).await.is_ok();
        self.0.state.borrow().response(HostClock::boot(), settled)
    }

    fn begin_if_due(&self) {
        let (now, mut begins) = (HostClock::boot(), false);
        self.0.state.send_modify(|state| begins = state.begins(now));
        if begins {
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move { shared.fetch().await });
        }
    }

    /// Files on a network file system may not answer: then they count as unchanged.
    async fn look_at_files(&self) {
        let now = HostClock::boot();
        let looks = |state: &State| {
            state.files.is_some() && !state.fetching && now >= state.looked_at + LOOK_PERIOD
        };
        if !looks(&self.0.state.borrow()) {
            return;
        }
        self.0.state.send_modify(|state| state.looked_at = now);
        if let Some(stamp) = stamp(self.0.wait / 2).await {
            self.0.state.send_modify(|state| state.saw_files(stamp));
        }
    }
}

async fn stamp(within: Duration) -> Option<Stamp> {
    tokio::time::timeout(within, tokio::task::spawn_blocking(source::stamp)).await.ok()?.ok()
}

/// The issuer. The SDK reads the profile files in the thread that polls it, so they get one of their own: on a network
/// file system that hangs they would hang the program. Not the fetch: a thread of the pool may
/// outlive the runtime, and timers panic then.
async fn find(profile: Option<String>) -> Option<CredentialsSource> {
    let runtime = tokio::runtime::Handle::current();
    let finding = move || runtime.block_on(source::find(profile.as_deref()));
    tokio::time::timeout(LIMIT, tokio::task::spawn_blocking(finding)).await.ok()?.ok()
}

impl ProvideCredentials for CredentialsCache {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.credentials().await.map_err(CredentialsError::provider_error)
        })
    }
}

impl Shared {
    async fn fetch(&self) {
        let files = stamp(LIMIT).await;
        let Some(source) = find(self.chain.choice.profile.clone()).await else {
            let failed = NoCredentials::Failed {
                from: "the profile files".to_owned(),
                why: format!("they cannot be read within {}", humantime::format_duration(LIMIT)),
            };
            let (now, wall) = (HostClock::boot(), SystemTimeSource::new().now());
            return self.state.send_modify(|state| state.take_in(Err(failed), now, wall));
        };
        let from = source.to_string();
        self.state.send_modify(|state| {
            state.files = files.filter(|_| matches!(source, CredentialsSource::Profile { .. }));
            state.from = Some(from.clone());
        });
        let fetched = match tokio::time::timeout(LIMIT, self.chain.request(&source)).await {
            Ok(Ok(credentials)) => checked(credentials, from),
            Ok(Err(error)) => Err(explain(from, &error)),
            Err(_) => Err(NoCredentials::Failed {
                from,
                why: format!("no response within {}", humantime::format_duration(LIMIT)),
            }),
        };
        let (now, wall) = (HostClock::boot(), SystemTimeSource::new().now());
        self.state.send_modify(|state| state.take_in(fetched, now, wall));
    }
}

/// Refuses what cannot be in the header of a request: the SDK would panic.
fn checked(credentials: Credentials, from: String) -> Result<Credentials, NoCredentials> {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let what = if !is_plain(credentials.access_key_id()) {
        "access key id"
    } else if !credentials.session_token().is_none_or(is_plain) {
        "session token"
    } else {
        return Ok(credentials);
    };
    Err(NoCredentials::Malformed { from, what })
}

impl Chain {
    /// Fetches once. It creates every provider again: the SDK's providers read files only once.
    async fn request(&self, source: &CredentialsSource) -> Result<Credentials, CredentialsError> {
        let config = ProviderConfig::default()
            .with_http_client(self.http.clone())
            .with_region(Some(self.region.clone()));
        match source {
            CredentialsSource::Profile { name, process: Some(process) } => {
                let printed = process::credentials(&process.command).await;
                let printed = printed.map_err(CredentialsError::provider_error)?;
                let Some(assumed_by) = &process.assumed_by else { return Ok(printed) };
                let files = source::files_with(&printed, assumed_by);
                let role = ProfileFileCredentialsProvider::builder().configure(&config);
                role.profile_files(files).profile_name(name).build().provide_credentials().await
            }
            CredentialsSource::Instance => {
                let instance = ImdsCredentialsProvider::builder().configure(&config);
                instance.imds_client(self.imds.clone()).build().provide_credentials().await
            }
            _ => {
                let mut chain = DefaultCredentialsChain::builder()
                    .configure(config)
                    .region(self.region.clone())
                    .imds_client(self.imds.clone());
                if let Some(profile) = &self.choice.profile {
                    chain = chain.profile_name(profile);
                }
                chain.build().await.provide_credentials().await
            }
        }
    }
}

fn explain(from: String, error: &CredentialsError) -> NoCredentials {
    // A slow metadata service is different from a missing one.
    match error {
        error if is_slow(error) => {
            NoCredentials::Failed { from, why: "it does not respond in time".to_owned() }
        }
        CredentialsError::CredentialsNotLoaded(_) => NoCredentials::None,
        CredentialsError::InvalidConfiguration(_) => NoCredentials::Invalid(from),
        error => NoCredentials::Failed { from, why: innermost(error) },
    }
}

impl State {
    fn begins(&mut self, now: BootTime) -> bool {
        let due = match &self.kept {
            None => true,
            Some(kept) => self.outdated || kept.refresh_at.is_some_and(|at| now >= at),
        };
        let begins = due && !self.fetching && now >= self.not_before;
        self.fetching |= begins;
        begins
    }

    fn saw_files(&mut self, stamp: Stamp) {
        if self.files.as_ref().is_some_and(|known| *known != stamp) {
            self.files = Some(stamp);
            self.outdated = true;
            self.not_before = BootTime::ZERO;
        }
    }

    fn take_in(
        &mut self,
        fetched: Result<Credentials, NoCredentials>,
        now: BootTime,
        wall: SystemTime,
    ) {
        self.fetching = false;
        self.outdated = false;
        let is_known = |new: &Credentials| {
            self.kept.as_ref().is_some_and(|kept| {
                kept.credentials.access_key_id() == new.access_key_id()
                    && kept.credentials.secret_access_key() == new.secret_access_key()
                    && kept.credentials.session_token() == new.session_token()
            })
        };
        let brought_new = fetched.as_ref().is_ok_and(|new| !is_known(new));
        self.futile = if brought_new { 0 } else { self.futile.saturating_add(1) };
        self.not_before = now + pause(self.futile);
        match fetched {
            Ok(credentials) => {
                self.kept = Some(Kept::new(credentials, now, wall));
                self.failure = None;
            }
            Err(failure) => {
                if self.failure.as_ref().is_none_or(|known| !known.is_like(&failure)) {
                    self.failure = Some(failure);
                }
            }
        }
    }

    fn usable(&self, now: BootTime) -> Option<&Credentials> {
        let kept = self.kept.as_ref()?;
        kept.over_at.is_none_or(|over_at| now < over_at).then_some(&kept.credentials)
    }

    /// Whether there is nothing to wait for.
    fn is_settled(&self, now: BootTime) -> bool {
        !self.fetching || (!self.outdated && self.usable(now).is_some())
    }

    /// The result of a call that has waited.
    fn response(&self, now: BootTime, settled: bool) -> Result<Credentials, NoCredentials> {
        match self.usable(now) {
            Some(credentials) if settled || !self.outdated => Ok(credentials.clone()),
            _ => Err(self.failure.clone().unwrap_or_else(|| {
                let from = self.from.as_deref().unwrap_or("the standard chain");
                NoCredentials::Waiting(from.to_owned())
            })),
        }
    }
}

impl NoCredentials {
    /// Whether this is the same except for numbers in it, which are times and ids.
    fn is_like(&self, other: &Self) -> bool {
        let without_numbers = |text: String| text.replace(|c: char| c.is_ascii_hexdigit(), "");
        without_numbers(self.to_string()) == without_numbers(other.to_string())
    }
}

impl Kept {
    fn new(credentials: Credentials, now: BootTime, wall: SystemTime) -> Self {
        let Some(end) = credentials.expiry() else {
            return Self { credentials, refresh_at: None, over_at: None };
        };
        match end.duration_since(wall).ok().filter(|left| !left.is_zero()) {
            Some(left) => {
                let refresh_at = Some(now + left.saturating_sub(AHEAD.min(left / 2)));
                Self { credentials, refresh_at, over_at: Some(now + left) }
            }
            None => Self { credentials, refresh_at: Some(now + UNKNOWN_END), over_at: None },
        }
    }
}

/// How long nothing is fetched after a fetch.
fn pause(futile: u32) -> Duration {
    PAUSE.saturating_mul(1 << futile.min(8)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    fn wall() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn credentials(id: &str, left: Option<u64>) -> Credentials {
        let end = left.map(|left| wall() + Duration::from_secs(left));
        Credentials::new(id, "secret", None, end, "test")
    }

    fn failed(why: &str) -> NoCredentials {
        NoCredentials::Failed { from: "x".to_owned(), why: why.to_owned() }
    }

    fn fetched(credentials: Credentials) -> State {
        let mut state = State::default();
        assert!(state.begins(at(100)) && !state.begins(at(100)), "one at a time");
        state.take_in(Ok(credentials), at(100), wall());
        state
    }

    #[test]
    fn credentials_are_replaced_ahead_of_their_end_and_serve_meanwhile() {
        let mut state = fetched(credentials("a", Some(3600)));
        assert!(!state.begins(at(3399)) && state.begins(at(3400)), "five minutes before");
        assert!(state.is_settled(at(3400)), "no call waits for it");
        assert_eq!(state.response(at(3400), true).unwrap().access_key_id(), "a");
        assert!(!state.is_settled(at(3700)), "they have ended");
        assert_eq!(
            state.response(at(3700), false),
            Err(NoCredentials::Waiting("the standard chain".to_owned()))
        );
        let mut brief = fetched(credentials("a", Some(10)));
        assert!(!brief.begins(at(104)) && brief.begins(at(105)), "at half time");
    }

    #[test]
    fn a_refresh_that_fails_costs_nothing_until_the_end() {
        let mut state = fetched(credentials("a", Some(20)));
        assert!(state.begins(at(110)));
        state.take_in(Err(failed("no response")), at(111), wall());
        assert!(!state.begins(at(112)) && state.begins(at(113)), "after a pause");
        assert_eq!(state.response(at(113), true).unwrap().access_key_id(), "a");
        state.take_in(Err(failed("no response")), at(121), wall());
        assert_eq!(state.response(at(121), true), Err(failed("no response")));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_named_without_its_text() {
        let of = |id: &str, token: Option<&str>| {
            let credentials = Credentials::new(id, "s\n", token.map(str::to_owned), None, "test");
            checked(credentials, "x".to_owned()).map_err(|error| error.to_string())
        };
        assert!(of("AKIA0", None).is_ok() && of("AKIA0", Some("a+/=")).is_ok());
        for bad in ["AKIA0\n", "AKIA0\r", " AKIA0", "AKIA\u{7f}", "AKIÄ"] {
            let id = of(bad, None).unwrap_err();
            assert!(id.starts_with("no AWS credentials from x: the access key id co"), "{id}");
            let token = of("AKIA0", Some(bad)).unwrap_err();
            assert!(token.contains(": the session token contains a line break"), "{token}");
            assert!(!id.contains("AK") && !token.contains("AK"), "{id} {token}");
        }
    }

    #[test]
    fn refused_credentials_are_fetched_again_with_pauses() {
        let mut state = fetched(credentials("a", None));
        assert!(!state.begins(at(99_999)), "they have no end");
        state.outdated = true;
        assert!(state.begins(at(101)) && !state.is_settled(at(101)), "the call waits");
        state.take_in(Ok(credentials("a", None)), at(101), wall());
        state.outdated = true;
        assert!(!state.begins(at(102)), "the same again: a longer pause");
        assert!(state.begins(at(103)));
        state.take_in(Ok(credentials("b", None)), at(103), wall());
        assert_eq!(state.response(at(103), true).unwrap().access_key_id(), "b");
        assert_eq!(state.futile, 0);
    }

    #[test]
    fn a_changed_file_is_read_at_once() {
        let mut state = fetched(credentials("a", None));
        state.files = Some(vec![None]);
        state.saw_files(vec![None]);
        assert!(!state.begins(at(100)));
        state.saw_files(vec![Some((wall(), 1, 1))]);
        assert!(state.begins(at(100)), "without a pause");
    }

    #[test]
    fn a_clock_that_is_ahead_makes_no_credentials_old() {
        let state = fetched(credentials("a", Some(0)));
        assert!(state.usable(at(5_000)).is_some());
    }

    #[test]
    fn the_reason_of_an_outage_stays_the_same() {
        let mut state = State::default();
        state.take_in(Err(failed("expired at 1764166451")), at(1), wall());
        state.take_in(Err(failed("expired at 1764166452")), at(2), wall());
        assert_eq!(state.failure, Some(failed("expired at 1764166451")));
        state.take_in(Err(failed("denied")), at(3), wall());
        assert_eq!(state.failure, Some(failed("denied")));
    }

    #[test]
    fn pauses_grow_to_ten_seconds() {
        assert_eq!([0, 1, 2, 9, u32::MAX].map(|n| pause(n).as_secs()), [1, 2, 4, 10, 10]);
    }
}
