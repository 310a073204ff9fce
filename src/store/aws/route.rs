//! The route to a service: direct, or through the proxy of `HTTPS_PROXY` and `NO_PROXY`.
//!
//! Only encrypted requests go through a proxy, which sees only the host name. Plain HTTP is for
//! metadata services and emulators, which are near and never behind a proxy.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

type Failed = Box<dyn Error + Send + Sync>;

/// See the module.
#[derive(Clone)]
pub struct Route {
    tcp: Tcp,
    proxies: Arc<Matcher>,
}

/// The proxy did not let the connection through.
#[derive(Debug, thiserror::Error)]
#[error("the proxy at {proxy}, which HTTPS_PROXY or ALL_PROXY names, {what}")]
pub struct NoWay {
    proxy: String,
    what: String,
}

impl Route {
    /// By `tcp`, or through the proxy that the environment names.
    pub fn new(tcp: Tcp) -> Self {
        Self { tcp, proxies: Arc::new(Matcher::from_env()) }
    }

    fn proxy(&self, target: &Uri) -> Option<Intercept> {
        let encrypted = target.scheme_str() == Some("https");
        encrypted.then(|| self.proxies.intercept(target)).flatten()
    }
}

impl Service<Uri> for Route {
    type Response = TokioIo<TcpStream>;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failed>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let (mut tcp, proxy) = (self.tcp.clone(), self.proxy(&target));
        Box::pin(async move {
            match proxy {
                Some(proxy) => through(&proxy, tcp, target).await.map_err(Into::into),
                None => tcp.call(target).await.map_err(Into::into),
            }
        })
    }
}

async fn through(proxy: &Intercept, tcp: Tcp, target: Uri) -> Result<TokioIo<TcpStream>, NoWay> {
    // Without the password that may be in the variable.
    let host = proxy.uri().host().unwrap_or_default();
    let port = proxy.uri().port().map_or_else(String::new, |port| format!(":{port}"));
    let no_way = |what| NoWay { proxy: format!("{host}{port}"), what };
    if proxy.uri().scheme_str() != Some("http") {
        return Err(no_way("supports only http://".to_owned()));
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
    if let Some(login) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(login.clone());
    }
    let connected = tunnel.call(target).await;
    connected
        .map_err(|error| no_way(format!("does not connect: {}", super::causes::innermost(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encrypted_requests_go_through_a_proxy() {
        let proxies = Matcher::builder().all("http://u:p@proxy:3128").no("near.example,10.0.0.0/8");
        let route = Route { tcp: Tcp::new(), proxies: Arc::new(proxies.build()) };
        let proxied = |target: &'static str| route.proxy(&Uri::from_static(target)).is_some();
        assert!(proxied("https://dynamodb.eu-west-1.amazonaws.com/"));
        for target in [
            "http://169.254.170.2/v2/credentials",
            "http://127.0.0.1:8000/",
            "https://near.example/",
            "https://a.near.example/",
            "https://10.1.2.3/",
        ] {
            assert!(!proxied(target), "{target}");
        }
    }

    #[tokio::test]
    async fn a_proxy_that_is_not_there_is_named_without_its_password() {
        let proxies = Matcher::builder().all("http://user:hunter2@127.0.0.1:1").build();
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        let mut route = Route { tcp, proxies: Arc::new(proxies) };
        let refused = route.call(Uri::from_static("https://dynamodb.example/")).await;
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("127.0.0.1:1, which HTTPS_PROXY or ALL_PROXY names, does not connect"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}
