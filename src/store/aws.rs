//! The surroundings of an AWS service: region, credentials, deadlines and HTTP.
//!
//! The standard chain finds region and credentials (environment, ECS task role, EKS pod identity
//! and IRSA, EC2 instance profile, profile files). What differs from the SDK's defaults:
//!
//! - **One attempt per call.** The SDK repeats nothing; retries belong to the elector.
//! - **Every wait has a deadline** that is derived from how long a call may take.
//! - **HTTP is [`http`]**, whose connections are not used again after a call that was given up.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

pub mod http;

use http::{BadBundle, Http};

/// What a URL says of region and credentials. The standard chain fills the gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The region.
    pub region: Option<String>,
    /// The profile of the shared configuration files.
    pub profile: Option<String>,
}

/// Why there are no settings to call AWS with.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    /// Nothing in the chain names a region.
    #[error("no AWS region is set")]
    NoRegion,
    /// See [`BadBundle`].
    #[error(transparent)]
    Bundle(#[from] BadBundle),
}

/// How long one attempt of a call may take. The rest of `patience` is for the caller to hear why.
pub fn attempt_timeout(patience: Duration) -> Duration {
    patience.mul_f64(0.8)
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
) -> Result<SdkConfig, Unsettled> {
    let http = SharedHttpClient::new(Http::new(connect_timeout(patience))?);
    let providers = ProviderConfig::default().with_http_client(http.clone());
    let imds = instance_metadata(&providers, patience);
    let region = find_region(choice, &providers, &imds).await.ok_or(Unsettled::NoRegion)?;
    let credentials = match credentials {
        Some(credentials) => credentials,
        None => chain(choice, &providers, &region, imds).await,
    };
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(region)
        .credentials_provider(credentials)
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
    Ok(loader.load().await)
}

/// The standard chain of credentials.
async fn chain(
    choice: &Choice,
    providers: &ProviderConfig,
    region: &Region,
    imds: imds::Client,
) -> SharedCredentialsProvider {
    let mut chain = DefaultCredentialsChain::builder()
        .configure(providers.clone())
        .region(region.clone())
        .imds_client(imds);
    if let Some(profile) = &choice.profile {
        chain = chain.profile_name(profile);
    }
    SharedCredentialsProvider::new(chain.build().await)
}

fn connect_timeout(patience: Duration) -> Duration {
    patience.mul_f64(0.4)
}

/// The elector comes again by itself, and a host that is no EC2 instance must not wait for one.
fn instance_metadata(providers: &ProviderConfig, patience: Duration) -> imds::Client {
    let timeout = patience.mul_f64(0.2).min(Duration::from_secs(1));
    imds::Client::builder()
        .configure(providers)
        .max_attempts(1)
        .connect_timeout(timeout)
        .read_timeout(timeout)
        .build()
}

async fn find_region(
    choice: &Choice,
    providers: &ProviderConfig,
    imds: &imds::Client,
) -> Option<Region> {
    if let Some(region) = &choice.region {
        return Some(Region::new(region.clone()));
    }
    let mut profile = ProfileFileRegionProvider::builder().configure(providers);
    if let Some(name) = &choice.profile {
        profile = profile.profile_name(name);
    }
    let instance = ImdsRegionProvider::builder().configure(providers).imds_client(imds.clone());
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .or_else(instance.build())
        .region()
        .await
}

fn timeouts(patience: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(connect_timeout(patience))
        .operation_attempt_timeout(attempt_timeout(patience))
        .operation_timeout(attempt_timeout(patience))
        .build()
}
