//! A URL of the application that has to answer with a status from 200 to 299.

use std::str::FromStr;
use std::time::Duration;

use hyper::Method;

use super::CheckFailure;
use crate::http_client::{self, HttpUrl, InvalidUrl};

/// See the module.
#[derive(Clone, Debug)]
pub struct UrlCheck(HttpUrl);

impl FromStr for UrlCheck {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl UrlCheck {
    /// Sends each request on a connection of its own, as a user of the application would have to. The head of
    /// the answer decides.
    pub(super) async fn check(&self, within: Duration) -> Result<(), CheckFailure> {
        let Self(url) = self;
        let request = http_client::request(Method::GET, url.target());
        let response = http_client::send(url, request, String::new());
        let found = match tokio::time::timeout(within, response).await {
            Err(_) => format!("no response within {}", humantime::format_duration(within)),
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(reply)) => match reply.response.status() {
                status if status.is_success() => return Ok(()),
                status if status.is_redirection() => {
                    format!("status {status}; redirects are not followed")
                }
                status => format!("status {status}"),
            },
        };
        Err(CheckFailure::new(format!("{url}: {found}")))
    }
}
