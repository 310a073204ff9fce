//! How to reach the API server: from inside a pod, or by a kubeconfig.
//!
//! In this order: the file that the store URL names; the one that `KUBECONFIG` names; the pod's
//! service account; `~/.kube/config`. Each new session reads everything again, and each request
//! reads the token file again: projected tokens rotate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::exec::{NoToken, Plugin};
use super::kubeconfig::{self, Identity, Kubeconfig, KubeconfigError};
use super::url::{Target, is_label};
use crate::election::text;
use crate::store::small_file;

/// The folder that every pod with a service account has.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why the API server cannot be reached, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum NoAccess {
    #[error("no file of KUBECONFIG exists")]
    NoFile,
    #[error(
        "no API server is known, because KUBERNETES_SERVICE_HOST is not set and there is no \
         kubeconfig; set KUBECONFIG, or add ?kubeconfig=FILE to the store URL"
    )]
    NoServer,
    #[error(
        "there is no token in {SERVICE_ACCOUNT}; give the pod a service account that may use \
         leases, and set automountServiceAccountToken: true"
    )]
    NoServiceAccount,
    #[error(
        "the store URL names the context '{}', and there is no kubeconfig to find it in: the pod's \
         service account has none; remove ?context=, or add ?kubeconfig=FILE",
        text::line(.0)
    )]
    ContextInPod(String),
    #[error("no namespace is known; name one in the store URL, kubernetes://NAMESPACE")]
    NoNamespace,
    #[error("{}: {error}", file.display())]
    Kubeconfig { file: PathBuf, error: KubeconfigError },
    #[error(transparent)]
    Certificate(#[from] BadCertificate),
    #[error("cannot read {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("cannot read {}: it does not respond", .0.display())]
    Silent(PathBuf),
    #[error("{}: not text", .0.display())]
    NotText(PathBuf),
    #[error(transparent)]
    Plugin(#[from] NoToken),
}

/// Why a certificate or a key is of no use. What is in them is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    #[error("{0} cannot be read: it is not PEM")]
    NotPem(&'static str),
    #[error("the cluster's certificate file has no certificate in it")]
    None,
    #[error("the client certificate: {0}")]
    Client(#[source] rustls::Error),
    /// The TLS library has no such versions.
    #[error(transparent)]
    Versions(rustls::Error),
}

/// The connection settings of an API server.
pub struct Access {
    /// `https://HOST:PORT`, and a path if the server is behind one.
    pub server: String,
    /// Where the Leases are.
    pub namespace: String,
    /// How this process authenticates.
    pub credentials: Credentials,
    /// For messages: the source of these settings.
    pub from: String,
    pub connector: HttpsConnector<Tcp>,
}

/// How this process authenticates.
pub enum Credentials {
    /// A certificate, which is in the connector; or nothing.
    None,
    /// A token that is part of a kubeconfig.
    Token(String),
    /// A file that is replaced from time to time.
    TokenFile(PathBuf),
    /// A program that prints a token.
    Plugin(Plugin),
}

impl Access {
    /// Finds the API server.
    ///
    /// # Errors
    ///
    /// What is missing or wrong.
    pub fn find(target: &Target) -> Result<Self, NoAccess> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(file) = target.kubeconfig() {
            return Self::by_kubeconfig(file, target);
        }
        // Paths need not be texts.
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(files) = path("KUBECONFIG") {
            // kubectl merges several files; the first that exists is nearly always the right one.
            let mut files = std::env::split_paths(&files);
            let file = files.find(|file| file.exists());
            let file = file.ok_or(NoAccess::NoFile)?;
            return Self::by_kubeconfig(&file, target);
        }
        if let Some(host) = var("KUBERNETES_SERVICE_HOST") {
            let port = var("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
            return Self::in_pod(&host, &port, target);
        }
        let home = path("HOME").map(|home| Path::new(&home).join(".kube/config"));
        match home.filter(|file| file.exists()) {
            Some(file) => Self::by_kubeconfig(&file, target),
            None => Err(NoAccess::NoServer),
        }
    }

    fn in_pod(host: &str, port: &str, target: &Target) -> Result<Self, NoAccess> {
        if let Some(context) = target.context() {
            return Err(NoAccess::ContextInPod(context.to_owned()));
        }
        let folder = Path::new(SERVICE_ACCOUNT);
        let token = folder.join("token");
        if !token.exists() {
            return Err(NoAccess::NoServiceAccount);
        }
        // An IPv6 address is in brackets in a URL.
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let authority = read(&folder.join("ca.crt"))?;
        let own = read(&folder.join("namespace")).ok();
        let own = own.and_then(|bytes| String::from_utf8(bytes).ok());
        let own = own.map(|text| text.trim().to_owned());
        Ok(Self {
            server: format!("https://{host}:{port}"),
            namespace: namespace(target, own.as_deref())?,
            credentials: Credentials::TokenFile(token),
            from: "the pod's service account".to_owned(),
            connector: connector(Some(&authority), None)?,
        })
    }

    fn by_kubeconfig(file: &Path, target: &Target) -> Result<Self, NoAccess> {
        let wrong = |error| NoAccess::Kubeconfig { file: file.to_owned(), error };
        let text = String::from_utf8(read(file)?);
        let text = text.map_err(|_| wrong(KubeconfigError::NotUtf8))?;
        let config =
            Kubeconfig::parse(&text, file.parent().unwrap_or(Path::new("."))).map_err(wrong)?;
        let chosen = config.context(target.context()).map_err(wrong)?;
        let authority = chosen.authority().map_err(wrong)?;
        let identity = chosen.client_certificate().map_err(wrong)?;
        Ok(Self {
            server: chosen.server.trim_end_matches('/').to_owned(),
            namespace: namespace(target, chosen.namespace.as_deref().or(Some("default")))?,
            credentials: match chosen.login {
                kubeconfig::Login::None => Credentials::None,
                kubeconfig::Login::Token(token) => Credentials::Token(token),
                kubeconfig::Login::TokenFile(file) => Credentials::TokenFile(file),
                kubeconfig::Login::Plugin(plugin) => Credentials::Plugin(plugin),
            },
            from: file.display().to_string(),
            connector: connector(authority.as_deref(), identity.as_ref())?,
        })
    }
}

impl Credentials {
    /// The token to send with the next request, if there is one. A program has this time to print it, and a file to
    /// be read: on another thread, because it may be on a network file system that hangs.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn token(&self, within: Duration) -> Result<Option<String>, NoAccess> {
        match self {
            Self::None => Ok(None),
            Self::Token(token) => Ok(Some(token.clone())),
            Self::TokenFile(file) => {
                let (path, silent) = (file.clone(), || NoAccess::Silent(file.clone()));
                let reading = tokio::task::spawn_blocking(move || read(&path));
                let read = tokio::time::timeout(within, reading).await.map_err(|_| silent())?;
                let text = String::from_utf8(read.map_err(|_| silent())??);
                let text = text.map_err(|_| NoAccess::NotText(file.clone()))?;
                Ok(Some(text.trim().to_owned()))
            }
            Self::Plugin(plugin) => Ok(Some(plugin.token(within).await?)),
        }
    }
}

fn namespace(target: &Target, own: Option<&str>) -> Result<String, NoAccess> {
    let found = target.namespace().or(own).filter(|name| is_label(name));
    found.map(str::to_owned).ok_or(NoAccess::NoNamespace)
}

/// A whole file.
pub fn read(file: &Path) -> Result<Vec<u8>, NoAccess> {
    small_file::read(file).map_err(|error| NoAccess::Unreadable { file: file.to_owned(), error })
}

/// HTTP/1 only, for the reason that is given at the AWS client: a connection that hangs is closed
/// together with its one request.
fn connector(
    authority: Option<&[u8]>,
    identity: Option<&Identity>,
) -> Result<HttpsConnector<Tcp>, BadCertificate> {
    let bad = BadCertificate::NotPem;
    let mut roots = RootCertStore::empty();
    match authority {
        None => roots.roots = webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| bad("the cluster's certificate"))?;
                roots.add(certificate).map_err(|_| bad("the cluster's certificate"))?;
            }
        }
    }
    if roots.is_empty() {
        return Err(BadCertificate::None);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(BadCertificate::Versions)?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
            let chain = chain.map_err(|_| bad("the client certificate"))?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| bad("the client key"))?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(BadCertificate::Client)?
        }
    };
    let mut tcp = Tcp::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_http1()
        .wrap_connector(tcp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_without_a_kubeconfig_is_not_ignored() {
        let target = Target::parse("kubernetes://shop?context=prod").unwrap();
        let refused = Access::in_pod("10.0.0.1", "443", &target).err().unwrap().to_string();
        assert!(refused.contains("the context 'prod'"), "{refused}");
        let other = Target::parse("kubernetes://shop").unwrap();
        let refused = Access::in_pod("10.0.0.1", "443", &other).err().map(|why| why.to_string());
        assert!(!refused.is_some_and(|why| why.contains("context")), "no context is named");
    }
}
