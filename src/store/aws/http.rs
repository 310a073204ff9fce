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
//!
//! The answers of a service are bounded and checked here, before the SDK sees them: the size of
//! heads and bodies, the checksum of DynamoDB, and the `Date`, by which the SDK corrects its
//! signatures.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format::HttpDate;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{DATE, HeaderMap};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;

use super::route::Route;
use crate::store::small_file;

/// Requests under way at once, and idle connections that are kept. A candidate makes one call at a
/// time, but up to 256 in one process share this, and may all begin at once. Then they wait for
/// each other's connections, for a few milliseconds each, instead of opening their own.
const AT_ONCE: usize = 16;

/// For how long they are kept: less than the idle timeout of load balancers and proxies.
const IDLE_FOR: Duration = Duration::from_secs(50);

/// The longest head of an answer, in bytes: ten times one of an AWS service.
const LONGEST_HEAD: usize = 32 * 1024;

/// The longest body of an answer, in bytes.
///
/// A page of a scan has up to 1 MB of items. As JSON they take about half as much again, and in the
/// worst case, quotes in the output of failed commands, twice that.
const LONGEST_BODY: usize = 4 * 1024 * 1024;

/// The times that a `Date` can have, in seconds since 1970: from 2024, when there was no bellwether,
/// to the end of 2099.
const PLAUSIBLE: Range<i64> = 1_704_067_200..4_102_444_800;

/// How long a token of the instance metadata service is valid: the longest useful time.
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const LONGEST_TTL: u64 = 21_600;

/// The name of the header with the checksum of a body.
const CHECKSUM: &str = "x-amz-crc32";

/// As DynamoDB calculates it: the CRC-32 of zip and Ethernet.
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// An answer that is not what the service sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// No service sends that much.
    #[error("it is longer than {LONGEST_BODY} bytes")]
    TooLong,
    /// It was changed or truncated on the network path.
    #[error("its checksum does not match")]
    Checksum,
}

/// The file named by `AWS_CA_BUNDLE` is of no use.
#[derive(Debug, thiserror::Error)]
#[error("cannot read certificates from {}, which AWS_CA_BUNDLE names: {reason}", path.display())]
pub struct BadBundle {
    path: PathBuf,
    reason: BadCertificates,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
enum BadCertificates {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error(transparent)]
    NotPem(#[from] pem::Error),
    #[error(transparent)]
    Invalid(#[from] rustls::Error),
    #[error("there is none in it")]
    None,
}

/// See the module.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpsConnector<Route>, SdkBody>,
    places: Arc<Semaphore>,
}

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
            .wrap_connector(Route::new(tcp));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(AT_ONCE)
            .pool_idle_timeout(IDLE_FOR)
            .http1_max_buf_size(LONGEST_HEAD)
            .build(https);
        Ok(Self { client, places: Arc::new(Semaphore::new(AT_ONCE)) })
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
    let built_in = roots.len();
    let add = |roots: &mut RootCertStore| -> Result<(), BadCertificates> {
        // With a limit of its size: a device or a pipe in its place has no end.
        let pem = small_file::read_in_time(&path)?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate?)?;
        }
        if roots.len() == built_in { Err(BadCertificates::None) } else { Ok(()) }
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
            let response = http.send(request);
            let Some(within) = within else { return response.await };
            let timed_out =
                |error: tokio::time::error::Elapsed| ConnectorError::timeout(error.into());
            tokio::time::timeout(within, response).await.map_err(timed_out)?
        })
    }
}

impl Http {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|e| ConnectorError::user(e.into()))?;
        // The semaphore is never closed.
        let _place = self.places.acquire().await.map_err(|e| ConnectorError::user(e.into()))?;
        let response =
            self.client.request(request).await.map_err(|e| ConnectorError::io(e.into()))?;
        let (mut head, body) = response.into_parts();
        let body = whole(body).await?;
        if !matches_checksum(&head.headers, &body) {
            return Err(ConnectorError::other(BadResponse::Checksum.into(), None));
        }
        keep_plausible(&mut head.headers);
        let response = hyper::Response::from_parts(head, SdkBody::from(body));
        HttpResponse::try_from(response).map_err(|e| ConnectorError::other(e.into(), None))
    }
}

async fn whole(body: Incoming) -> Result<Bytes, ConnectorError> {
    match Limited::new(body, LONGEST_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ConnectorError::other(BadResponse::TooLong.into(), None))
        }
        Err(error) => Err(ConnectorError::io(error)),
    }
}

/// True as well without a checksum: emulators, and services other than DynamoDB, send none.
fn matches_checksum(headers: &HeaderMap, body: &Bytes) -> bool {
    let Some(wanted) = headers.get(CHECKSUM) else { return true };
    let wanted = wanted.to_str().ok().and_then(|text| text.trim().parse::<u32>().ok());
    wanted == Some(CRC.checksum(body))
}

/// Removes times that cannot be those of a service: the SDK's sums with them would be out of range,
/// and it panics then.
fn keep_plausible(headers: &mut HeaderMap) {
    // The SDK adds the difference from the host's clock to the time that it signs with.
    let date = |text: &str| DateTime::from_str(text, HttpDate).ok();
    let plausible = |text| date(text).is_some_and(|date| PLAUSIBLE.contains(&date.secs()));
    if headers.get(DATE).is_some_and(|date| !date.to_str().is_ok_and(plausible)) {
        headers.remove(DATE);
    }
    let usual = |text: &str| text.parse().is_ok_and(|seconds: u64| seconds <= LONGEST_TTL);
    if headers.get(TOKEN_TTL).is_some_and(|ttl| !ttl.to_str().is_ok_and(usual)) {
        headers.remove(TOKEN_TTL);
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            hyper::header::HeaderName::from_static(name),
            value.parse().unwrap(),
        )])
    }

    #[test]
    fn a_time_of_another_age_is_none() {
        let kept = |name: &'static str, value: &str| {
            let mut headers = headers(name, value);
            keep_plausible(&mut headers);
            headers.contains_key(name)
        };
        assert!(kept("date", "Thu, 26 Nov 2026 14:20:51 GMT") && kept(TOKEN_TTL, "21600"));
        for date in [
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Fri, 01 Jan 2100 00:00:00 GMT",
            "Mon, 01 Jan 0001 00:00:00 GMT",
            "tomorrow",
            "",
        ] {
            assert!(!kept("date", date), "{date}");
        }
        assert!(!kept(TOKEN_TTL, "18446744073709551615") && !kept(TOKEN_TTL, "-1"));
    }

    #[test]
    fn a_bundle_that_is_of_no_use_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        for (path, words) in [
            (PathBuf::from("/nonexistent.pem"), "No such file"),
            (PathBuf::from("/dev/zero"), "longer than 1024 kB"),
            (folder.path().to_owned(), "directory"),
            (file("words.pem", "just words\n"), "there is none in it"),
            (file("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"), "end"),
        ] {
            let bad = roots(Some(path.clone())).unwrap_err().to_string();
            let named = format!("from {}, which AWS_CA_BUNDLE names: ", path.display());
            assert!(bad.contains(&named) && bad.contains(words), "{bad}");
        }
        assert!(!roots(None).unwrap().is_empty());
    }

    #[test]
    fn a_body_has_to_match_its_checksum() {
        let matches = |sum, body| matches_checksum(&headers(CHECKSUM, sum), &Bytes::from(body));
        assert!(matches("2745614147", "{}") && matches_checksum(&HeaderMap::new(), &Bytes::new()));
        assert!(!matches("2745614147", "{ }") && !matches("2745614147", "") && !matches("x", "{}"));
    }
}
