//! The SDK's HTTP client.
//!
//! A thin one on hyper, for three reasons:
//!
//! - **A call that was given up takes its connection with it.** HTTP/1 only: a connection that
//!   hangs is closed together with its one request. On HTTP/2, which the SDK's own client would
//!   negotiate, the next request goes down the same hung connection.
//! - **The public roots are built in**, so that TLS works in an image without certificate files;
//!   `AWS_CA_BUNDLE` names a file with more.
//! - **It is small**: ring instead of AWS-LC, and no HTTP/2.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Connections kept at rest to one host. A candidate makes one call at a time.
const IDLE: usize = 1;

/// The file named by `AWS_CA_BUNDLE` is of no use.
#[derive(Debug, thiserror::Error)]
#[error("cannot read certificates from {}, which AWS_CA_BUNDLE names: {reason}", path.display())]
pub struct BadBundle {
    path: PathBuf,
    reason: String,
}

/// See the module.
#[derive(Clone)]
pub struct Http(Client<HttpsConnector<Tcp>, SdkBody>);

impl Http {
    /// A client without connections. Connecting is given up after `connect_timeout`.
    ///
    /// # Errors
    ///
    /// See [`BadBundle`].
    pub fn new(connect_timeout: Duration) -> Result<Self, BadBundle> {
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        let bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
        let roots = roots(bundle.map(PathBuf::from))?;
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(roots))
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE)
            .build(https);
        Ok(Self(client))
    }
}

fn tls(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS);
    #[expect(clippy::expect_used, reason = "ring has suites for both versions: a constant")]
    let builder = builder.expect("ring supports TLS 1.2 and 1.3");
    builder.with_root_certificates(roots).with_no_client_auth()
}

fn roots(bundle: Option<PathBuf>) -> Result<RootCertStore, BadBundle> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let Some(path) = bundle else { return Ok(roots) };
    let add = |roots: &mut RootCertStore| -> Result<(), String> {
        for certificate in CertificateDer::pem_file_iter(&path).map_err(|e| e.to_string())? {
            let certificate = certificate.map_err(|e| e.to_string())?;
            roots.add(certificate).map_err(|e| e.to_string())?;
        }
        Ok(())
    };
    match add(&mut roots) {
        Ok(()) => Ok(roots),
        Err(reason) => Err(BadBundle { path, reason }),
    }
}

impl HttpClient for Http {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // The whole answer, connecting included, within what is allowed for both together.
        let within = match (settings.connect_timeout(), settings.read_timeout()) {
            (Some(connect), Some(read)) => Some(connect + read),
            _ => None,
        };
        SharedHttpConnector::new(Calls { http: self.clone(), within })
    }
}

/// The client with the deadline of one kind of calls.
#[derive(Debug)]
struct Calls {
    http: Http,
    within: Option<Duration>,
}

impl HttpConnector for Calls {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (http, within) = (self.http.clone(), self.within);
        HttpConnectorFuture::new(async move {
            let answer = http.send(request);
            let Some(within) = within else { return answer.await };
            let timed_out =
                |error: tokio::time::error::Elapsed| ConnectorError::timeout(error.into());
            tokio::time::timeout(within, answer).await.map_err(timed_out)?
        })
    }
}

impl Http {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|e| ConnectorError::user(e.into()))?;
        let response = self.0.request(request).await.map_err(|e| ConnectorError::io(e.into()))?;
        let response = response.map(SdkBody::from_body_1_x);
        HttpResponse::try_from(response).map_err(|e| ConnectorError::other(e.into(), None))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}
