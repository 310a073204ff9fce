//! The connection to the table. It is made once, in parallel to the calls that wait for it. An
//! instance may have to request its region, and that may be slow.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_types::service_config::ServiceConfigKey;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::JoinHandle;

use super::dates::NotesDates;
use super::place::Place;
use super::refusals::NotesRefusals;
use super::responses::ChecksResponses;
use super::url::{Target, is_endpoint};
use crate::election::time::Clock;
use crate::store::aws::{self, Settled, Unsettled};
use crate::store::contract::StoreError;
use crate::store::service_clock::ServiceClock;

/// The connection to the table, and its name in messages.
#[derive(Debug)]
pub struct TableClient {
    /// Calls the service.
    pub client: Client,
    /// The name in messages.
    pub place: Place,
}

/// A line that is made when it is first needed.
#[derive(Debug, Default)]
pub struct LazyClient {
    made: OnceCell<TableClient>,
    making: Mutex<Option<JoinHandle<Result<TableClient, StoreError>>>>,
}

/// The inputs of a line.
pub struct ClientConfig {
    /// The table.
    pub target: Target,
    /// How long a call may take.
    pub patience: Duration,
    /// Replaces the result of the standard chain.
    pub credentials: Option<SharedCredentialsProvider>,
    /// Reads the time when answers arrive.
    pub clock: Arc<dyn Clock>,
    /// Keeps the service's time from them.
    pub service_clock: Arc<ServiceClock>,
}

impl LazyClient {
    /// The line; made now if there is none. Safe to cancel: the attempt continues.
    pub async fn get(&self, config: impl Fn() -> ClientConfig) -> Result<&TableClient, StoreError> {
        let make = || async {
            let mut making = self.making.lock().await;
            let ClientConfig { target, patience, .. } = config();
            let task = making.get_or_insert_with(|| tokio::spawn(connect(config())));
            let Ok(made) = tokio::time::timeout(aws::wait(patience), task).await else {
                return Err(Place::new(&target).unavailable(
                    "cannot be used yet: waiting for the instance metadata service to give the AWS \
                     region; set ?region=REGION or AWS_REGION to avoid the wait",
                ));
            };
            *making = None;
            made.unwrap_or_else(|_| Err(Place::new(&target).unavailable("could not be reached")))
        };
        self.made.get_or_try_init(make).await
    }
}

async fn connect(config: ClientConfig) -> Result<TableClient, StoreError> {
    let ClientConfig { target, patience, credentials, clock, service_clock } = config;
    let mut place = Place::new(&target);
    let settled = aws::settle(target.choice(), credentials, patience).await;
    let Settled { config: settled, cache } = settled.map_err(|error| match error {
        Unsettled::NoRegion => place.misconfigured(
            "cannot be found: no AWS region is set; add ?region=REGION to the store URL, or set \
             AWS_REGION",
        ),
        Unsettled::NoMetadata => place.unavailable(format!("cannot be found: {error}")),
        Unsettled::Bundle(_) | Unsettled::BadRegion(_) => {
            place.misconfigured(format!("cannot be used: {error}"))
        }
    })?;
    if let Some(region) = settled.region() {
        place.set_region(region.as_ref());
    }
    let mut config = aws_sdk_dynamodb::config::Builder::from(&settled);
    match target.endpoint() {
        Some(endpoint) => config = config.endpoint_url(endpoint),
        None => {
            if let Some(endpoint) = endpoint_of_environment(&settled) {
                check(&place, &endpoint)?;
                place.set_endpoint(&endpoint);
            }
        }
    }
    let notes = NotesDates::new(clock, service_clock);
    config = config.interceptor(ChecksResponses).interceptor(notes);
    if let Some(cache) = cache {
        config = config.interceptor(NotesRefusals(cache));
    }
    Ok(TableClient { client: Client::from_conf(config.build()), place })
}

/// Without this, each request would fail as if the service was away, and a start would wait for it. What is there
/// is not repeated: it may have a password in it.
fn check(place: &Place, endpoint: &str) -> Result<(), StoreError> {
    if is_endpoint(endpoint) {
        return Ok(());
    }
    Err(place.misconfigured(
        "cannot be used: its endpoint, which AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL or the \
         profile names, must be http:// or https:// with a host, and no user or password",
    ))
}

/// The SDK's endpoint if the URL names none: found in the same way as the SDK does.
fn endpoint_of_environment(settled: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("DynamoDB")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let own = settled.service_config().and_then(|config| config.load_config(key));
    own.or_else(|| settled.endpoint_url().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_of_the_environment_that_is_none_is_a_mistake() {
        let place = Place::new(&Target::parse("dynamodb://leases").unwrap());
        for good in
            ["http://localhost:8000", "https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com/"]
        {
            assert!(check(&place, good).is_ok(), "{good}");
        }
        for bad in
            ["localhost:8000", "127.0.0.1:8000", "http:/h", "http://", "", "http://u:hunter2@h"]
        {
            let error = check(&place, bad).unwrap_err();
            assert!(matches!(error, StoreError::Misconfigured(_)), "{bad}: {error:?}");
            let text = error.to_string();
            assert!(
                text.contains("AWS_ENDPOINT_URL_DYNAMODB") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }
}
