//! Requests to the API server, and what their answers prove.
//!
//! An answer is the API server's own if it has an `Audit-Id` and is a Lease or a Status. Any other
//! answer (a login page, a proxy's error) leaves the outcome of the request open.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use tokio::task::JoinHandle;

use super::access::{Access, Credentials, NoAccess};
use super::exec::Plugin;
use super::lease::Lease;
use super::url::Target;
use crate::election::time::{BootTime, Clock};
use crate::store::certificate::out_of_time;
use crate::store::contract::StoreError;
use crate::store::service_clock::{ServiceClock, ServiceTime};

/// The longest answer about one Lease: etcd takes no object of more than 1.5 MB.
const MAX_ANSWER: usize = 2 * 1024 * 1024;

/// The API server, and a session with it.
pub struct Api {
    target: Target,
    /// How long callers wait for a call.
    patience: Duration,
    clock: Arc<dyn Clock>,
    service_clock: ServiceClock,
    session: Mutex<Option<Arc<Session>>>,
    /// Reads the settings of the next session. One at a time: on a file system that hangs, each would hang.
    finding: tokio::sync::Mutex<Option<JoinHandle<Result<Access, NoAccess>>>>,
    /// The program of the last session that had one. It may be slow, and the next session needs its token, too.
    plugin: Mutex<Option<Plugin>>,
}

/// One way to the API server. Replaced after a failure, so that a new address, authority or user
/// is found.
pub struct Session {
    client: Client<HttpsConnector<Tcp>, Full<Bytes>>,
    server: String,
    pub namespace: String,
    credentials: Credentials,
    /// For messages: where its settings come from.
    pub from: String,
}

/// A request without an answer yet. When its caller gives up, the server may be another one by now.
struct Unanswered<'a> {
    api: &'a Api,
    session: Option<&'a Arc<Session>>,
}

impl Unanswered<'_> {
    fn answered(mut self) {
        self.session = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            self.api.leave(session);
        }
    }
}

/// A whole answer of the API server.
pub struct ApiResponse {
    pub status: StatusCode,
    pub body: Bytes,
    /// The server's time when it made the answer.
    pub date: Option<ServiceTime>,
}

/// The API server's answer when it does not return an object.
#[derive(Debug, Default, Deserialize)]
pub struct Status {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub details: Details,
}

#[derive(Debug, Default, Deserialize)]
pub struct Details {
    #[serde(default)]
    pub kind: String,
}

impl Api {
    /// `patience` is how long callers wait for a call. Nothing is opened yet.
    pub fn new(target: Target, patience: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            target,
            patience,
            clock,
            service_clock: ServiceClock::default(),
            session: Mutex::default(),
            finding: tokio::sync::Mutex::default(),
            plugin: Mutex::default(),
        }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn service_clock(&self) -> &ServiceClock {
        &self.service_clock
    }

    pub fn now(&self) -> BootTime {
        self.clock.now().boot
    }

    /// The session there is.
    pub fn opened(&self) -> Option<Arc<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The session there is, or a new one. Its files may be on a network file system that hangs, so they are read on
    /// another thread: this one runs the whole program. Safe to cancel: the attempt continues.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn session(&self) -> Result<Arc<Session>, StoreError> {
        if let Some(session) = self.opened() {
            return Ok(session);
        }
        let mut finding = self.finding.lock().await;
        // Another call may have opened it.
        if let Some(session) = self.opened() {
            return Ok(session);
        }
        let find = || {
            let target = self.target.clone();
            tokio::task::spawn_blocking(move || Access::find(&target))
        };
        let task = finding.get_or_insert_with(find);
        let Ok(found) = tokio::time::timeout(self.wait(), task).await else {
            return Err(StoreError::Unavailable(format!(
                "{} cannot be used yet: the files of the login do not respond: the kubeconfig, or \
                 those of the pod's service account",
                self.target
            )));
        };
        *finding = None;
        let found = found.map_err(|_| {
            StoreError::Unavailable(format!("{}: its settings could not be read", self.target))
        })?;
        let mut access = found.map_err(|why| {
            StoreError::Misconfigured(format!("{} cannot be used: {why}", self.target))
        })?;
        if let Credentials::Plugin(plugin) = &mut access.credentials {
            self.keep(plugin);
        }
        let opened = Arc::new(Session::new(access));
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        *session = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// How long a call waits for its login: the caller learns what it waited for.
    fn wait(&self) -> Duration {
        self.patience.mul_f64(0.6)
    }

    /// The same program as in the last session is the one that has its token.
    fn keep(&self, plugin: &mut Plugin) {
        let mut kept = self.plugin.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(kept) if kept.is_like(plugin) => plugin.clone_from(kept),
            _ => *kept = Some(plugin.clone()),
        }
    }

    /// The next call begins a new session.
    fn leave(&self, left: &Arc<Session>) {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.take_if(|session| Arc::ptr_eq(session, left));
    }

    /// One request, and its whole answer.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] for everything that is not an answer of the API server's own.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        lease: Option<&Lease>,
    ) -> Result<ApiResponse, StoreError> {
        let body = match lease {
            Some(lease) => serde_json::to_vec(lease)
                .map_err(|error| StoreError::Unavailable(format!("cannot write it: {error}")))?,
            None => Vec::new(),
        };
        self.send_bytes(method, path, body).await
    }

    /// The same with any body: of a PATCH, a JSON merge patch.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<ApiResponse, StoreError> {
        let response = self.exchange(method, path, body).await?;
        response.ok_or_else(|| {
            StoreError::Unavailable(
                "the response of the API server is longer than 2 MiB".to_owned(),
            )
        })
    }

    /// A page of a list; none if it is too long.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn page(&self, path: &str) -> Result<Option<ApiResponse>, StoreError> {
        self.exchange(Method::GET, path, Vec::new()).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Option<ApiResponse>, StoreError> {
        let session = self.session().await?;
        let unanswered = Unanswered { api: self, session: Some(&session) };
        let sent = self.now();
        let response = self.begin(&session, method, path, body.into()).await?;
        let (status, is_own) = (response.status(), is_of_the_server(response.headers()));
        let date = date(response.headers());
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        unanswered.answered();
        let body = match body {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Ok(None),
            Err(error) => {
                self.leave(&session);
                return Err(self.unavailable(&session, &short(&*error)));
            }
        };
        if !is_own {
            let why = format!("the server that responded ({status}) is not an API server");
            return Err(self.unavailable(&session, &why));
        }
        if let Some(date) = date {
            self.service_clock.note(date, sent, self.now());
        }
        if status == StatusCode::UNAUTHORIZED {
            if let Credentials::Plugin(plugin) = &session.credentials {
                plugin.refused();
            }
            self.leave(&session);
            return Err(self.unavailable(
                &session,
                &format!("it does not accept the credentials from {}", session.from),
            ));
        }
        Ok(Some(ApiResponse { status, body, date }))
    }

    /// One request, and the head of its answer.
    pub async fn begin(
        &self,
        session: &Arc<Session>,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, StoreError> {
        let token = session.credentials.token(self.wait()).await.map_err(|why| {
            self.leave(session);
            self.unavailable(session, &format!("there is no token: {why}"))
        })?;
        let content = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", session.server))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, content)
            .header(header::USER_AGENT, concat!("bellwether/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = token {
            let mut value =
                header::HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                    self.unavailable(
                        session,
                        "the token contains characters that are not \
                                                        valid in a token",
                    )
                })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| {
            StoreError::Misconfigured(format!("{} cannot be used: {error}", session.server))
        })?;
        let response = session.client.request(request).await;
        response.map_err(|error| {
            self.leave(session);
            self.unavailable(session, &short(&error))
        })
    }

    fn unavailable(&self, session: &Session, why: &str) -> StoreError {
        StoreError::Unavailable(format!("the API server {}: {why}", session.server))
    }
}

impl Session {
    fn new(access: Access) -> Self {
        let Access { server, namespace, credentials, from, connector } = access;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(1)
            .build(connector);
        Self { client, server, namespace, credentials, from }
    }

    /// The path of all Leases.
    pub fn leases(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }
}

impl ApiResponse {
    /// The Lease in it, if it is one.
    pub fn lease(&self) -> Option<Lease> {
        let lease: Lease = serde_json::from_slice(&self.body).ok()?;
        lease.is_stored().then_some(lease)
    }

    /// The Status in it; an empty one if it has none.
    pub fn failure(&self) -> Status {
        let status: Status = serde_json::from_slice(&self.body).unwrap_or_default();
        if status.kind == "Status" { status } else { Status::default() }
    }
}

/// Whether the API server itself made this answer: each has a number for its audit log.
pub fn is_of_the_server(headers: &HeaderMap) -> bool {
    headers.contains_key("audit-id")
}

/// The server's time, if the answer does not come from a cache (RFC 9111).
fn date(headers: &HeaderMap) -> Option<ServiceTime> {
    if !is_of_the_server(headers) || headers.contains_key(header::AGE) {
        return None;
    }
    ServiceTime::from_http_date(headers.get(header::DATE)?.to_str().ok()?)
}

/// The innermost cause of an error, the same at every attempt. The address already comes before it.
fn short(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(why) = out_of_time(error) {
        return why.to_string();
    }
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::clock::HostClock;

    #[test]
    fn a_certificate_that_expired_is_the_same_error_at_every_attempt() {
        use rustls::pki_types::UnixTime;
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let text = |now| {
            let why = rustls::CertificateError::ExpiredContext { time: at(now), not_after: at(1) };
            short(&std::io::Error::other(rustls::Error::InvalidCertificate(why)))
        };
        assert_eq!(text(2_000), text(3_000));
    }

    /// A pipe without a writer hangs its reader, as a network file system does.
    #[tokio::test]
    async fn a_kubeconfig_that_hangs_does_not_hang_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("config");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let url = format!("kubernetes://shop?kubeconfig={}", pipe.display());
        let target = Target::parse(&url).unwrap();
        let api = Api::new(target, Duration::from_millis(20), Arc::new(HostClock));
        for _ in 0..2 {
            let error = api.session().await.err().unwrap();
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
            assert!(error.to_string().contains("do not respond"), "{error}");
        }
        // The attempt of the first call continues, and serves the next one.
        let config = "current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n\
                      clusters: [{name: c, cluster: {server: 'https://a'}}]";
        tokio::task::spawn_blocking(move || std::fs::write(pipe, config)).await.unwrap().unwrap();
        let opened = loop {
            match api.session().await {
                Ok(session) => break session,
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        };
        assert_eq!(opened.namespace, "shop");
    }
}
