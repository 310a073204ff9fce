//! The surroundings of an AWS service: region, credentials, deadlines and HTTP.
//!
//! The standard chain finds region and credentials (environment, ECS task role, EKS pod identity
//! and IRSA, EC2 instance profile, profile files). What differs from the SDK's defaults:
//!
//! - **Credentials are fetched beside the calls**: see [`credentials`].
//! - **One attempt per call.** The SDK repeats nothing; retries belong to the elector.
//! - **Every wait has a deadline** that is derived from how long a call may take.
//! - **HTTP is [`http`]**, whose connections are not used again after a call that was given up.

use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::imds;
use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

mod causes;
pub mod choice;
pub mod credentials;
pub mod http;
mod process;
mod route;
mod source;

use causes::is_slow;
pub use causes::{cause, innermost};
pub use choice::{Choice, is_region};
use credentials::{Chain, CredentialsCache};
use http::{BadBundle, Http};

/// How long a metadata service may take to accept a connection: it is on the same host.
const METADATA_CONNECTS: Duration = Duration::from_secs(1);

/// How long it may take to answer.
const METADATA_ANSWERS: Duration = Duration::from_secs(9);

/// Why there are no settings to call AWS with.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    /// Nothing in the chain names a region.
    #[error("no AWS region is set")]
    NoRegion,
    /// It would make a host name and a signature that no server knows.
    #[error("the AWS region '{}' is no name of a region, such as eu-west-1", .0.escape_debug())]
    BadRegion(String),
    /// The metadata service of the instance has to provide it, and does not answer.
    #[error("the instance metadata service does not give the AWS region")]
    NoMetadata,
    /// See [`BadBundle`].
    #[error(transparent)]
    Bundle(#[from] BadBundle),
}

/// How long a call may take. The rest of `patience` is for the error to reach the caller.
fn call_timeout(patience: Duration) -> Duration {
    patience.mul_f64(0.8)
}

/// The settings for calls.
#[derive(Clone, Debug)]
pub struct Settled {
    /// For the clients of services.
    pub config: SdkConfig,
    /// The keeper that fetches its credentials; none if they were given.
    pub cache: Option<CredentialsCache>,
}

/// Finds out what calls are made with: `credentials`, or the standard chain's. `patience` is how
/// long a call may take.
///
/// # Errors
///
/// See [`Unsettled`]. Credentials are not looked for yet.
pub async fn settle(
    choice: &Choice,
    credentials: Option<SharedCredentialsProvider>,
    patience: Duration,
) -> Result<Settled, Unsettled> {
    let http = SharedHttpClient::new(Http::new(connect_timeout(patience))?);
    let providers = ProviderConfig::default().with_http_client(http.clone());
    let imds = instance_metadata(&providers);
    let region = find_region(choice, &providers, &imds).await?;
    if !is_region(region.as_ref()) {
        return Err(Unsettled::BadRegion(region.to_string()));
    }
    let (credentials, cache) = match credentials {
        Some(credentials) => (credentials, None),
        None => {
            let (choice, http, region) = (choice.clone(), http.clone(), region.clone());
            let cache = CredentialsCache::new(Chain { choice, region, http, imds }, wait(patience));
            (SharedCredentialsProvider::new(cache.clone()), Some(cache))
        }
    };
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(region)
        .credentials_provider(credentials)
        // The keeper is the cache.
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(patience))
        // Watches for slow uploads and downloads of many minutes: there are none.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Ok(name) = AppName::new("bellwether") {
        loader = loader.app_name(name);
    }
    if let Some(profile) = &choice.profile {
        loader = loader.profile_name(profile);
    }
    Ok(Settled { config: loader.load().await, cache })
}

/// How long a call waits for credentials: its caller has to learn what it waited for.
pub fn wait(patience: Duration) -> Duration {
    patience.mul_f64(0.6)
}

fn connect_timeout(patience: Duration) -> Duration {
    patience.mul_f64(0.4)
}

/// The SDK's usual second would be too short for a busy service. There are no retries, because the
/// caller tries again.
fn instance_metadata(providers: &ProviderConfig) -> imds::Client {
    imds::Client::builder()
        .configure(providers)
        .max_attempts(1)
        .connect_timeout(METADATA_CONNECTS)
        .read_timeout(METADATA_ANSWERS)
        .build()
}

async fn find_region(
    choice: &Choice,
    providers: &ProviderConfig,
    imds: &imds::Client,
) -> Result<Region, Unsettled> {
    if let Some(region) =
        choice.region.clone().or_else(|| region_of(|name| std::env::var(name).ok()))
    {
        return Ok(Region::new(region));
    }
    let mut profile = ProfileFileRegionProvider::builder().configure(providers);
    if let Some(name) = &choice.profile {
        profile = profile.profile_name(name);
    }
    if let Some(region) = profile.build().region().await {
        return Ok(region);
    }
    let disabled = std::env::var("AWS_EC2_METADATA_DISABLED");
    if disabled.is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(Unsettled::NoRegion);
    }
    match imds.get("/latest/meta-data/placement/region").await {
        Ok(region) => Ok(Region::new(region.as_ref().trim().to_owned())),
        Err(error) if is_slow(&error) => Err(Unsettled::NoMetadata),
        Err(_) => Err(Unsettled::NoRegion),
    }
}

/// The region of the environment. The SDK's own reader takes an empty `AWS_REGION`, as a manifest sets it that leaves
/// it open, for a region.
fn region_of(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let given = |name| variable(name).filter(|region| !region.is_empty());
    given("AWS_REGION").or_else(|| given("AWS_DEFAULT_REGION"))
}

fn timeouts(patience: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(connect_timeout(patience))
        // An operation is one attempt. A limit for that as well would be another timer, and an idle candidate's CPU
        // time is mostly what wakes it.
        .operation_timeout(call_timeout(patience))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_region_hides_no_other() {
        let region = |first: Option<&'static str>, second: Option<&'static str>| {
            region_of(|name| match name {
                "AWS_REGION" => first.map(str::to_owned),
                "AWS_DEFAULT_REGION" => second.map(str::to_owned),
                _ => None,
            })
        };
        assert_eq!(region(Some("a"), Some("b")).as_deref(), Some("a"));
        assert_eq!(region(Some(""), Some("b")).as_deref(), Some("b"));
        assert_eq!(region(None, Some("b")).as_deref(), Some("b"));
        assert_eq!(region(Some(""), Some("")), None, "the profile may have one");
    }
}
