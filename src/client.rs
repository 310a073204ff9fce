//! Asks a sidecar over HTTP: what the commands beside an application need, and no more.
//!
//! Plain HTTP to one address, one connection a question. Every question has a time limit and every
//! answer a bound. Redirects are not followed: nobody but the sidecar is to answer for it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::hold::{HoldLine, MAX_LINE};

/// The longest answer that is read: many times the longest one of `/leader`.
const MAX_ANSWER: usize = 64 * 1024;

/// Where a sidecar answers: `http://HOST:PORT`, or with a path below which its paths are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarUrl {
    host: String,
    port: u16,
    /// Host and port as written.
    authority: String,
    /// Without a slash at its end.
    path: String,
}

/// Why a text is not the URL of a sidecar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not the URL of a sidecar: use one like http://127.0.0.1:4040")]
pub struct InvalidSidecarUrl(String);

impl FromStr for SidecarUrl {
    type Err = InvalidSidecarUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || {
            // Before an '@' stands a password.
            let shown = text.rsplit_once('@').map(|(_, rest)| format!("…@{rest}"));
            InvalidSidecarUrl(shown.unwrap_or_else(|| text.to_owned()).escape_debug().to_string())
        };
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(invalid)?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() || authority.host().is_empty()
        {
            return Err(invalid());
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => 80,
            _ => authority.port_u16().ok_or_else(invalid)?,
        };
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for SidecarUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there, or does not answer in time. May be better later.
    #[error("no sidecar answers at {url}: {why}: does `bellwether serve` run there? See --sidecar")]
    Unreachable {
        /// Who was asked.
        url: SidecarUrl,
        /// What the system says.
        why: String,
    },
    /// Somebody is there who is no sidecar, or does not allow it.
    #[error("{url} refuses: {why}")]
    Refused {
        /// Who was asked.
        url: SidecarUrl,
        /// What it says.
        why: String,
    },
}

/// What `/leader` says, as far as commands need it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leader {
    /// Which election.
    pub election: String,
    /// The sidecar's own name.
    pub identity: String,
    /// Whether its instance leads.
    pub leader: bool,
    /// Who does, if anybody is known to.
    pub holder_identity: Option<String>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// What an `error` or a `reason` in it says, or else the whole of it.
    pub fn words(&self) -> String {
        #[derive(Deserialize)]
        struct Words {
            #[serde(alias = "reason")]
            error: String,
        }
        match serde_json::from_slice::<Words>(&self.body) {
            Ok(words) => words.error,
            Err(_) => {
                let text: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
                format!("{} {}", self.status, text.trim().escape_debug())
            }
        }
    }
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
pub enum Hold {
    /// This instance leads, and the sidecar knows of the work until the stream is closed.
    Granted(Box<HoldStream>),
    /// It does not.
    Refused(Leader),
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
    pub async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.within(self.limit, self.ask(Method::GET, path, String::new())).await
    }

    /// `POST path` with `body`.
    ///
    /// # Errors
    ///
    /// When there is no whole answer in time.
    pub async fn post(&self, path: &str, body: String) -> Result<Answer, ClientError> {
        self.within(self.limit, self.ask(Method::POST, path, body)).await
    }

    /// `GET /leader`, answered as soon as this instance leads, or after `wait`.
    ///
    /// # Errors
    ///
    /// When there is no answer in time, or it is no sidecar's.
    pub async fn leader(&self, wait: Duration) -> Result<Leader, ClientError> {
        let path = format!("/leader?wait={}ms", wait.as_millis());
        let question = self.ask(Method::GET, &path, String::new());
        let answer = self.within(wait + self.limit, question).await?;
        self.read_leader(&answer)
    }

    /// Asks to hold.
    ///
    /// # Errors
    ///
    /// When there is no answer in time, or the sidecar refuses for another reason than that
    /// this instance does not lead.
    pub async fn hold(&self) -> Result<Hold, ClientError> {
        self.within(self.limit, async {
            let (connection, response) = self.request(Method::POST, "/hold", String::new()).await?;
            if response.status() != StatusCode::OK {
                let answer = whole(response).await?;
                return Ok(Err(answer));
            }
            Ok(Ok(HoldStream { connection, body: response.into_body(), read: Vec::new() }))
        })
        .await
        .and_then(|granted| match granted {
            Ok(stream) => Ok(Hold::Granted(Box::new(stream))),
            Err(answer) => Ok(Hold::Refused(self.read_leader(&answer)?)),
        })
    }

    /// A refusal for this sidecar.
    pub fn refused(&self, why: impl Into<String>) -> ClientError {
        ClientError::Refused { url: self.url.clone(), why: why.into() }
    }

    fn read_leader(&self, answer: &Answer) -> Result<Leader, ClientError> {
        serde_json::from_slice(&answer.body).map_err(|_| self.refused(answer.words()))
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, ClientError> {
        let done = tokio::time::timeout(limit, work).await;
        done.unwrap_or_else(|_| {
            Err(format!("no answer within {}", humantime::format_duration(limit)))
        })
        .map_err(|why| ClientError::Unreachable { url: self.url.clone(), why })
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> Result<Answer, String> {
        let (_connection, response) = self.request(method, path, body).await?;
        whole(response).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(Connection, Response<Incoming>), String> {
        let target = (self.url.host.as_str(), self.url.port);
        let stream = TcpStream::connect(target).await.map_err(|error| in_short(&error))?;
        let _ = stream.set_nodelay(true);
        let socket = stream.as_fd().try_clone_to_owned().map_err(|error| in_short(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| with_cause(&error))?;
        // Ends with the last byte of the answer, or when both ends have lost interest.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url.path))
            .header(header::HOST, &self.url.authority)
            .header(header::USER_AGENT, concat!("bellwether/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|error| with_cause(&error))?;
        let response = sender.send_request(request).await.map_err(|error| with_cause(&error))?;
        Ok((Connection { socket, _sender: sender }, response))
    }
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    _sender: SendRequest<String>,
}

/// The lines of a hold.
#[derive(Debug)]
pub struct HoldStream {
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
                return serde_json::from_slice(&line).ok();
            }
            if self.read.len() > MAX_LINE {
                return None;
            }
            let bytes = next_bytes(&mut self.body).await?.ok()?;
            self.read.extend_from_slice(&bytes);
        }
    }

    /// The connection itself, for whoever is to keep it open: the sidecar takes the work to be over
    /// when the last copy of it is closed.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptor left.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.connection.socket.try_clone()
    }
}

async fn whole(response: Response<Incoming>) -> Result<Answer, String> {
    let status = response.status();
    let (mut incoming, mut body) = (response.into_body(), Vec::new());
    while let Some(bytes) = next_bytes(&mut incoming).await {
        body.extend_from_slice(&bytes.map_err(|error| with_cause(&error))?);
        if body.len() > MAX_ANSWER {
            return Err(format!("its answer is longer than {MAX_ANSWER} bytes"));
        }
    }
    Ok(Answer { status, body })
}

/// The next piece of a body; none at its end.
async fn next_bytes(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        // Trailers are of no interest.
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(bytes)) => return Some(Ok(bytes)),
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// hyper says what it was doing; what went wrong is the cause.
fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Without the number that the standard library puts behind.
fn in_short(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecar_urls_are_plain_http() {
        let parsed = |text: &str| {
            let url: SidecarUrl = text.parse().unwrap();
            (url.host.clone(), url.port, url.path.clone(), url.to_string())
        };
        let (host, port, path, shown) = parsed("http://127.0.0.1:4040/");
        assert_eq!((host.as_str(), port, path.as_str()), ("127.0.0.1", 4040, ""));
        assert_eq!(shown, "http://127.0.0.1:4040");
        let (host, port, path, _) = parsed("http://[::1]:4041/elections/cron/");
        assert_eq!((host.as_str(), port, path.as_str()), ("::1", 4041, "/elections/cron"));
        assert_eq!(parsed("http://sidecar").1, 80);
        for bad in [
            "",
            "127.0.0.1:4040",
            "https://localhost",
            "http://",
            "http://:4040",
            "ftp://x",
            "http://a b",
            "http://u:p@localhost",
            "http://localhost:99999",
            "http://x?y=1",
        ] {
            let error = bad.parse::<SidecarUrl>().unwrap_err().to_string();
            assert!(error.contains("http://127.0.0.1:4040"), "{bad}: {error}");
        }
    }
}
