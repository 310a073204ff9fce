//! How a table is called in messages.

use std::fmt;

use super::url::Target;
use crate::store::contract::StoreError;

/// A table, its region and its endpoint, as a person knows them.
#[derive(Clone, Debug)]
pub struct Place {
    table: String,
    region: Option<String>,
    endpoint: Option<String>,
    url: String,
}

impl Place {
    /// The place that the URL names. The region may be found later.
    pub fn new(target: &Target) -> Self {
        Self {
            table: target.table().to_owned(),
            region: target.choice().region.clone(),
            endpoint: target.endpoint().map(str::to_owned),
            url: target.to_string(),
        }
    }

    /// Says where the chain found the region to be.
    pub fn set_region(&mut self, region: &str) {
        self.region = Some(region.to_owned());
    }

    /// Names the endpoint of the environment, without a password that may be in it.
    pub fn set_endpoint(&mut self, endpoint: &str) {
        self.endpoint =
            url::Url::parse(endpoint).ok().map(|url| url.origin().ascii_serialization());
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The URL, for commands to copy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// It may work the next time.
    pub fn unavailable(&self, what: impl fmt::Display) -> StoreError {
        StoreError::Unavailable(format!("{self} {what}"))
    }

    /// A person must do something.
    pub fn misconfigured(&self, what: impl fmt::Display) -> StoreError {
        StoreError::Misconfigured(format!("{self} {what}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamoDB table '{}'", self.table)?;
        if let Some(region) = &self.region {
            write!(f, " in {region}")?;
        }
        if let Some(endpoint) = &self.endpoint {
            write!(f, " at {endpoint}")?;
        }
        Ok(())
    }
}
