//! Plain HTTP questions to one address.
//!
//! One connection a question, no TLS, no proxy, and no redirects followed: no host but the one that was
//! named is to answer. Every answer has a bound; the time limit is the caller's.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::http::request;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::election::text;

/// The longest head of an answer, in bytes: that of any server's.
const MAX_HEAD: usize = 16 * 1024;

/// How many interim responses (1xx) may come before the final one: servers send one or two.
const MAX_INTERIM: usize = 16;

/// An `http://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    host: String,
    port: u16,
    /// Host and port as written.
    authority: String,
    /// The path, and the query if there is one.
    target: String,
}

/// The error for a text that is no [`HttpUrl`]: the text, without a password and its query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an http:// URL")]
pub struct InvalidUrl(pub String);

impl FromStr for HttpUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidUrl(without_secrets(text));
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(invalid)?;
        if uri.scheme_str() != Some("http") || authority.host().is_empty() {
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
            target: uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned(),
        })
    }
}

/// A password comes before an '@', and another secret may come after a '?'.
fn without_secrets(text: &str) -> String {
    let (login, rest) = text.rsplit_once('@').map_or(("", text), |(_, rest)| ("…@", rest));
    let (rest, query) = rest.split_once(['?', '#']).map_or((rest, ""), |(url, _)| (url, "?…"));
    // A text that is no URL has an unknown form.
    let known = rest.split_once("://").map_or(rest, |(_, rest)| rest);
    let rest = if text::may_hold_secret(known) { "…".to_owned() } else { text::line(rest) };
    format!("{login}{rest}{query}")
}

impl HttpUrl {
    /// Whether it has a query.
    pub fn has_query(&self) -> bool {
        self.target.contains('?')
    }

    /// The path, and the query if there is one.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The target `path`, below the path of this URL.
    pub fn below(&self, path: &str) -> String {
        format!("{}{path}", self.folder())
    }

    /// The path, without a slash at its end.
    fn folder(&self) -> &str {
        self.target.split('?').next().unwrap_or_default().trim_end_matches('/')
    }
}

/// Without the query: that may hold a secret.
impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.folder())
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection.
    #[error("{}", in_short(.0))]
    Connect(#[source] io::Error),
    /// This process, or this host, has no file descriptor left.
    #[error("{}; raise the open-file limit (ulimit -n, LimitNOFILE)", in_short(.0))]
    NoDescriptor(#[source] io::Error),
    /// Nothing but interim responses.
    #[error("it sends more than {MAX_INTERIM} interim responses (1xx), and no final one")]
    NeverFinal,
    /// The request itself is malformed: nothing was sent.
    #[error("{}", with_cause(.0))]
    Request(#[from] hyper::http::Error),
    /// The connection was lost, or what came is not HTTP.
    #[error("{}", with_cause(.0))]
    Broken(#[from] hyper::Error),
    /// The body is longer than so many bytes.
    #[error("its response is longer than {0} bytes")]
    TooLong(usize),
}

/// hyper names what it was doing; what went wrong is the cause.
fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Without the number that the standard library puts behind.
fn in_short(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct FullResponse {
    /// The status code.
    pub status: StatusCode,
    /// The body.
    pub body: Vec<u8>,
}

impl FullResponse {
    /// The text of an `error` or a `reason` in it, or else the beginning of it.
    pub fn message(&self) -> String {
        self.error().unwrap_or_else(|| {
            let begin: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
            format!("{} {}", self.status, text::message(begin.trim()))
        })
    }

    /// The text of an `error` or a `reason` in it.
    pub fn error(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Message {
            #[serde(alias = "reason")]
            error: String,
        }
        let message = serde_json::from_slice::<Message>(&self.body).ok()?;
        Some(text::message(&message.error))
    }
}

/// The beginning of an answer. The rest comes for as long as this exists.
#[derive(Debug)]
pub struct StreamedResponse {
    /// The head, and what is still to come.
    pub response: Response<Incoming>,
    /// The connection that it comes on.
    pub connection: Connection,
}

/// A connection with one question on it.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    _sender: SendRequest<String>,
}

impl Connection {
    /// Another descriptor of it: it is closed when the last of them is.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptor left.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }
}

/// A question for `target` at a server.
pub fn request(method: Method, target: &str) -> request::Builder {
    Request::builder().method(method).uri(target)
}

/// Sends a request to the server of `url`, and waits for the head of the response.
///
/// # Errors
///
/// Why there is none.
pub async fn send(
    url: &HttpUrl,
    request: request::Builder,
    body: String,
) -> Result<StreamedResponse, HttpError> {
    let target = (url.host.as_str(), url.port);
    let stream = TcpStream::connect(target).await.map_err(no_connection)?;
    let _ = stream.set_nodelay(true);
    let socket = stream.as_fd().try_clone_to_owned().map_err(HttpError::NoDescriptor)?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
    // Ends with the last byte of the answer, or when both ends have lost interest.
    let connection = tokio::spawn(connection);
    let mut request = request
        .header(header::HOST, &url.authority)
        .header(header::USER_AGENT, concat!("bellwether/", env!("CARGO_PKG_VERSION")))
        .body(body)?;
    let too_many = limit_interim(&mut request);
    let response = tokio::select! {
        biased;
        () = too_many.notified() => {
            connection.abort();
            return Err(HttpError::NeverFinal);
        }
        response = sender.send_request(request) => response?,
    };
    Ok(StreamedResponse { response, connection: Connection { socket, _sender: sender } })
}

/// hyper reads interim responses without end, and no bound of its own counts them.
fn limit_interim(request: &mut Request<String>) -> Arc<Notify> {
    let (too_many, received) = (Arc::new(Notify::new()), AtomicUsize::new(0));
    let notified = Arc::clone(&too_many);
    hyper::ext::on_informational(request, move |_| {
        if received.fetch_add(1, Ordering::Relaxed) == MAX_INTERIM {
            notified.notify_one();
        }
    });
    too_many
}

fn no_connection(error: io::Error) -> HttpError {
    match is_out_of_files(&error) {
        true => HttpError::NoDescriptor(error),
        false => HttpError::Connect(error),
    }
}

/// Whether a file cannot be opened because too many are, in this process or on this host.
fn is_out_of_files(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

/// Sends a request, and reads the whole response, which may be `longest` bytes long.
///
/// # Errors
///
/// Why there is none.
pub async fn fetch(
    url: &HttpUrl,
    request: request::Builder,
    body: String,
    longest: usize,
) -> Result<FullResponse, HttpError> {
    let StreamedResponse { response, connection: _connection } = send(url, request, body).await?;
    whole(response, longest).await
}

/// The rest of an answer, which may be `longest` bytes long.
///
/// # Errors
///
/// When it is longer, or broken off.
pub async fn whole(
    response: Response<Incoming>,
    longest: usize,
) -> Result<FullResponse, HttpError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), longest).collect().await;
    // It fails with the body's own error, or by its bound.
    let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => HttpError::Broken(*error),
        Err(_) => HttpError::TooLong(longest),
    })?;
    Ok(FullResponse { status, body: body.to_bytes().into() })
}

/// The next piece of a body; none at its end. Safe to cancel.
pub async fn next_bytes(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame = body.frame().await?;
        // Trailers are of no interest.
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(bytes)) => return Some(Ok(bytes)),
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    /// A server that sends these bytes again and again until its client is gone.
    fn endless(piece: &'static [u8]) -> (HttpUrl, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = parsed(&format!("http://{}", listener.local_addr().unwrap()));
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            while stream.write_all(piece).is_ok() {}
        });
        (url, server)
    }

    #[tokio::test]
    async fn a_response_that_never_begins_is_left() {
        let (url, server) = endless(b"HTTP/1.1 102 Processing\r\n\r\n");
        let fetched = fetch(&url, request(Method::GET, "/"), String::new(), 1024);
        let fetched = tokio::time::timeout(Duration::from_secs(60), fetched).await;
        assert!(matches!(fetched, Ok(Err(HttpError::NeverFinal))), "{fetched:?}");
        tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn a_few_interim_responses_are_none_too_many() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = parsed(&format!("http://{}", listener.local_addr().unwrap()));
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(MAX_INTERIM);
            let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(format!("{interim}{last}").as_bytes()).unwrap();
        });
        let fetched = fetch(&url, request(Method::GET, "/"), String::new(), 1024).await;
        assert_eq!(fetched.unwrap().body, b"ok");
    }

    #[test]
    fn a_lack_of_files_is_not_taken_for_a_server_that_is_not_there() {
        for errno in [Errno::MFILE, Errno::NFILE] {
            let error = no_connection(errno.into()).to_string();
            assert!(error.contains("ulimit -n, LimitNOFILE"), "{error}");
        }
        let error = no_connection(Errno::CONNREFUSED.into());
        assert!(matches!(error, HttpError::Connect(_)), "{error:?}");
    }

    fn parsed(text: &str) -> HttpUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_url_names_a_server_and_a_path() {
        let url = parsed("http://127.0.0.1:4040/");
        assert_eq!((url.host.as_str(), url.port, url.target()), ("127.0.0.1", 4040, "/"));
        assert_eq!(
            (url.to_string().as_str(), url.below("/x").as_str()),
            ("http://127.0.0.1:4040", "/x")
        );
        let url = parsed("http://[::1]:4041/elections/cron/?key=secret");
        assert_eq!((url.host.as_str(), url.port), ("::1", 4041));
        assert_eq!(url.target(), "/elections/cron/?key=secret");
        assert_eq!(url.below("/leader"), "/elections/cron/leader");
        assert_eq!(url.to_string(), "http://[::1]:4041/elections/cron");
        assert_eq!(parsed("http://sidecar").port, 80);
    }

    #[test]
    fn a_url_that_is_not_plain_http_is_refused_without_repeating_a_password() {
        for bad in [
            "",
            "127.0.0.1:4040",
            "https://localhost",
            "http://",
            "http://:4040",
            "ftp://x",
            "http://a b",
            "http://u:secret@localhost",
            "http://localhost:99999",
            "https://h/?key=secret",
            "http://h:x/?user=a@b&key=secret",
            "h/#secret",
        ] {
            let error = bad.parse::<HttpUrl>().unwrap_err().to_string();
            assert!(!error.contains("secret") && error.contains("http://"), "{bad}: {error}");
        }
    }
}
