//! Asks a sidecar over HTTP: what the commands beside an application need, and no more.
//!
//! Plain HTTP to one address, one connection a question. Every question has a time limit and every
//! answer a bound. Redirects are not followed: only the sidecar may answer for it.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::str::FromStr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, StatusCode, header};

use crate::api::hold::{HoldLine, MAX_LINE};
use crate::api::leader::Leader;
use crate::election::time::BootTime;
use crate::http_client::{
    self, Connection, FullResponse, HttpError, HttpUrl, InvalidUrl, StreamedResponse,
};
use crate::time::clock::HostClock;

/// The longest answer that is read: many times the longest one of `/leader`.
const MAX_ANSWER: usize = 64 * 1024;

/// Where a sidecar answers: `http://HOST:PORT`, or with a path below which its paths are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarUrl(HttpUrl);

/// Why a text is not the URL of a sidecar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not the URL of a sidecar; use one like http://127.0.0.1:4040")]
pub struct InvalidSidecarUrl(String);

impl FromStr for SidecarUrl {
    type Err = InvalidSidecarUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: HttpUrl = text.parse().map_err(|InvalidUrl(shown)| InvalidSidecarUrl(shown))?;
        if url.has_query() {
            return Err(InvalidSidecarUrl(format!("{url}?…")));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for SidecarUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why no sidecar answers.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// There is no connection, or what comes is not an answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// There is nothing within this time.
    #[error("no response within {}", humantime::format_duration(*.0))]
    Late(Duration),
    /// The same, to a command that was to run while this instance leads.
    #[error("no response within {}, and nothing was run", humantime::format_duration(*.0))]
    NothingRun(Duration),
    /// It came when what it says was no longer sure.
    #[error("the response came too late: it was not valid for that long")]
    Outdated,
}

/// Why there is no answer of use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens there, or it does not answer in time. A retry may help.
    #[error(
        "no sidecar responds at {url}: {why}; check that `bellwether serve` runs there, or set \
             --sidecar"
    )]
    Unreachable {
        /// Who was asked.
        url: SidecarUrl,
        /// What happened instead.
        why: NoAnswer,
    },
    /// This process has no file descriptor left to ask it. A retry may help.
    #[error("cannot ask the sidecar at {url}: {why}")]
    NoDescriptor {
        /// The sidecar.
        url: SidecarUrl,
        /// Why.
        why: HttpError,
    },
    /// It has no room, or is just starting. A later request may succeed.
    #[error("{url} is busy: {why}")]
    Busy {
        /// The sidecar that got the request.
        url: SidecarUrl,
        /// Its answer.
        why: String,
    },
    /// It does not respond as a sidecar does.
    #[error(
        "the program that responds at {url} is no sidecar; set --sidecar to the URL of `bellwether serve`"
    )]
    Stranger {
        /// Where.
        url: SidecarUrl,
    },
    /// Something listens there that is no sidecar, or does not allow it.
    #[error("{url} refuses: {why}")]
    Refused {
        /// Who was asked.
        url: SidecarUrl,
        /// What it says.
        why: String,
    },
}

/// A sidecar to ask.
#[derive(Clone, Debug)]
pub struct Client {
    url: SidecarUrl,
    token: Option<String>,
    limit: Duration,
}

/// The answer to a wish to hold.
#[derive(Debug)]
pub enum HoldResponse {
    /// This instance leads, and the sidecar knows of the work until the stream is closed.
    Granted(Box<HoldStream>),
    /// It does not.
    Refused(Box<Leader<'static>>),
}

impl Client {
    /// Asks the sidecar at `url`, with its token if one is known, which has to answer each question
    /// within `limit`.
    pub fn new(url: SidecarUrl, token: Option<String>, limit: Duration) -> Self {
        Self { url, token, limit }
    }

    /// How long an answer may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Whom this asks.
    pub fn url(&self) -> &SidecarUrl {
        &self.url
    }

    /// `GET path`.
    ///
    /// # Errors
    ///
    /// When there is no whole answer in time.
    pub async fn get(&self, path: &str) -> Result<FullResponse, ClientError> {
        self.within(self.limit, self.send(Method::GET, path, String::new())).await
    }

    /// `GET path`, whose head decides: none if its status is 200, because the rest of that response may
    /// be long, or have no end. Else the whole response.
    ///
    /// # Errors
    ///
    /// When there is no head in time, or what follows another status than 200 is not whole.
    pub async fn check(&self, path: &str) -> Result<Option<FullResponse>, ClientError> {
        self.within(self.limit, async {
            let StreamedResponse { response, connection: _connection } =
                self.request(Method::GET, path, String::new()).await?;
            if response.status() == StatusCode::OK {
                return Ok(None);
            }
            http_client::whole(response, MAX_ANSWER).await.map(Some)
        })
        .await
    }

    /// `POST path` with `body`.
    ///
    /// # Errors
    ///
    /// When there is no whole answer in time.
    pub async fn post(&self, path: &str, body: String) -> Result<FullResponse, ClientError> {
        self.within(self.limit, self.send(Method::POST, path, body)).await
    }

    /// `GET /leader`, answered as soon as this instance leads, or after `wait`.
    ///
    /// # Errors
    ///
    /// When there is no answer in time, or it is no sidecar's.
    pub async fn leader(&self, wait: Duration) -> Result<Leader<'static>, ClientError> {
        let path = format!("/leader?wait={}ms", wait.as_millis());
        let request = self.send(Method::GET, &path, String::new());
        let response = self.within(wait + self.limit, request).await?;
        self.read_leader(&response)
    }

    /// `GET /leader`, with an answer that is true when this returns: what says that this instance leads says for how
    /// long, which counts from the request.
    ///
    /// # Errors
    ///
    /// The same, and when two answers in a row came too late.
    pub async fn leader_now(&self) -> Result<Leader<'static>, ClientError> {
        for _ in 0..2 {
            let sent_at = HostClock::boot();
            let leader = self.leader(Duration::ZERO).await?;
            let valid_until = leader.valid_for_ms.map(|ms| sent_at + Duration::from_millis(ms));
            let is_late = valid_until.is_some_and(|until| HostClock::boot() >= until);
            if !(leader.leader && is_late) {
                return Ok(leader);
            }
        }
        Err(self.unreachable(NoAnswer::Outdated))
    }

    /// Asks to hold.
    ///
    /// # Errors
    ///
    /// When there is no answer in time, or the sidecar refuses for another reason than that
    /// this instance does not lead.
    pub async fn hold(&self) -> Result<HoldResponse, ClientError> {
        let sent_at = HostClock::boot();
        self.within(self.limit, async {
            let StreamedResponse { response, connection } =
                self.request(Method::POST, "/hold", String::new()).await?;
            if response.status() != StatusCode::OK {
                return Ok(Err(http_client::whole(response, MAX_ANSWER).await?));
            }
            let body = response.into_body();
            Ok(Ok(HoldStream { sent_at, connection, body, read: Vec::new() }))
        })
        .await
        .and_then(|granted| match granted {
            Ok(stream) => Ok(HoldResponse::Granted(Box::new(stream))),
            Err(response) => Ok(HoldResponse::Refused(Box::new(self.read_leader(&response)?))),
        })
    }

    /// A refusal for this sidecar.
    pub fn refused(&self, why: impl Into<String>) -> ClientError {
        ClientError::Refused { url: self.url.clone(), why: why.into() }
    }

    /// What a response means that is not as it has to be. A sidecar says why.
    pub fn refusal(&self, response: &FullResponse) -> ClientError {
        match response.error() {
            Some(why) if response.status != StatusCode::OK => self.refused(why),
            _ => self.stranger(),
        }
    }

    /// The error that this is no sidecar.
    fn stranger(&self) -> ClientError {
        ClientError::Stranger { url: self.url.clone() }
    }

    /// The error that this sidecar does not answer.
    pub fn unreachable(&self, why: NoAnswer) -> ClientError {
        ClientError::Unreachable { url: self.url.clone(), why }
    }

    /// The error that this sidecar has no room.
    fn busy(&self, response: &FullResponse) -> ClientError {
        ClientError::Busy { url: self.url.clone(), why: response.message() }
    }

    /// The state of an election that a sidecar responded with.
    ///
    /// # Errors
    ///
    /// When the response has none.
    pub fn read_leader(&self, response: &FullResponse) -> Result<Leader<'static>, ClientError> {
        let leader = serde_json::from_slice(&response.body);
        leader.map(Leader::checked).map_err(|_| match response.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => self.busy(response),
            _ => self.refusal(response),
        })
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, ClientError> {
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done.map_err(|error| match error {
                why @ HttpError::NoDescriptor(_) => {
                    ClientError::NoDescriptor { url: self.url.clone(), why }
                }
                error => self.unreachable(error.into()),
            }),
            Err(_) => Err(self.unreachable(NoAnswer::Late(limit))),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<FullResponse, HttpError> {
        let StreamedResponse { response, connection: _connection } =
            self.request(method, path, body).await?;
        http_client::whole(response, MAX_ANSWER).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<StreamedResponse, HttpError> {
        let SidecarUrl(url) = &self.url;
        let mut request = http_client::request(method, &url.below(path));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        http_client::send(url, request, body).await
    }
}

/// The lines of a hold.
#[derive(Debug)]
pub struct HoldStream {
    /// When it was requested.
    pub sent_at: BootTime,
    connection: Connection,
    body: Incoming,
    /// What has arrived beyond the last line.
    read: Vec<u8>,
}

impl HoldStream {
    /// The next line; none when the connection is lost, or what arrives makes no sense. Safe to
    /// cancel.
    pub async fn next(&mut self) -> Option<HoldLine> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return serde_json::from_slice(&line).ok().map(HoldLine::checked);
            }
            if self.read.len() > MAX_LINE {
                return None;
            }
            let bytes = http_client::next_bytes(&mut self.body).await?.ok()?;
            self.read.extend_from_slice(&bytes);
        }
    }

    /// The connection itself, for the process that is to keep it open: the sidecar takes the work to be over
    /// when the last copy of it is closed.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptor left.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.connection.socket()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecar_urls_are_plain_http_without_a_query() {
        let url: SidecarUrl = "http://[::1]:4041/elections/cron/".parse().unwrap();
        assert_eq!(url.to_string(), "http://[::1]:4041/elections/cron");
        for bad in
            ["", "127.0.0.1:4040", "https://localhost", "http://u:p@localhost", "http://x?y=1"]
        {
            let error = bad.parse::<SidecarUrl>().unwrap_err().to_string();
            assert!(error.contains("http://127.0.0.1:4040"), "{bad}: {error}");
        }
    }
}
