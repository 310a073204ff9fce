//! Who may change something: ask to resign, or hold.
//!
//! A client on the same host may, or one that has the token. A web page in a browser on the host is on
//! the host, too, and must not: it gives itself away by its `Origin`, or, if its name was made to
//! point here, by the `Host` that it believes to talk to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use subtle::ConstantTimeEq as _;

use super::reply::problem;

/// Headers that proxies add. The client of a proxy on this host may be on any other host.
const FORWARDED: [&str; 9] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "x-envoy-external-address",
];

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Its address.
    pub(super) address: SocketAddr,
    /// The address of this end; none if the system does not say.
    pub(super) local: Option<SocketAddr>,
}

impl Peer {
    /// Whether it is on this host. A client on this host that connects to another address than the
    /// loopback comes from that same address. No connection from another host does: Linux drops IPv4
    /// packets from outside that have such a source, and what this host sends to its own address
    /// never leaves it. But a network can replace the source of a connection by an address of this
    /// host: see docs/security.md.
    fn is_this_host(self) -> bool {
        let canonical = |address: SocketAddr| address.ip().to_canonical();
        let address = canonical(self.address);
        address.is_loopback() || self.local.is_some_and(|local| canonical(local) == address)
    }
}

/// The rules of one sidecar.
#[derive(Clone, Debug)]
pub struct Access {
    listen: IpAddr,
    token: Option<Arc<str>>,
}

impl Access {
    /// For a sidecar that listens on `listen`. With a `token`, other hosts may bring it.
    pub fn new(listen: IpAddr, token: Option<String>) -> Self {
        Self { listen, token: token.map(Arc::from) }
    }

    fn check(&self, peer: Option<Peer>, headers: &HeaderMap) -> Result<(), Refusal> {
        if let Some(origin) = headers.get(header::ORIGIN) {
            check_origin(origin, headers.get(header::HOST))?;
        }
        let bearer = headers.get(header::AUTHORIZATION).and_then(bearer);
        if let (Some(token), Some(bearer)) = (&self.token, bearer)
            && bool::from(token.as_bytes().ct_eq(bearer))
        {
            return Ok(());
        }
        let forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
        if forwarded || !peer.is_some_and(Peer::is_this_host) {
            return Err(if self.token.is_some() { Refusal::Token } else { Refusal::OtherHost });
        }
        match headers.get(header::HOST) {
            Some(host) if !self.is_own_name(host) => Err(Refusal::Host),
            Some(_) | None => Ok(()),
        }
    }

    fn is_own_name(&self, host: &HeaderValue) -> bool {
        let Some(name) = host.to_str().ok().map(without_port) else { return false };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let own = |ip: IpAddr| ip.to_canonical().is_loopback() || ip == self.listen;
        name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(own)
    }
}

/// Why a request may not change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Origin,
    Host,
    OtherHost,
    Token,
}

impl Refusal {
    fn response(self) -> Response {
        let (status, words) = match self {
            Self::Origin => (StatusCode::FORBIDDEN, "a page of another origin may not do this"),
            Self::Host => (
                StatusCode::FORBIDDEN,
                "the Host header names neither this host's loopback address nor the address of \
                 --listen; use http://127.0.0.1:PORT",
            ),
            Self::OtherHost => (
                StatusCode::FORBIDDEN,
                "only this host may do this; start the sidecar with --token-file to allow other \
                 hosts",
            ),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "a request from another host needs 'Authorization: Bearer' with the sidecar's \
                 token",
            ),
        };
        let mut response = problem(status, words);
        if self == Self::Token {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// A request that may change something.
#[derive(Debug)]
pub(super) struct Permitted;

impl<S: Send + Sync> FromRequestParts<S> for Permitted
where
    Access: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &S) -> Result<Self, Response> {
        let peer = parts.extensions.get::<Peer>().copied();
        match Access::from_ref(app).check(peer, &parts.headers) {
            Ok(()) => Ok(Self),
            Err(refusal) => Err(refusal.response()),
        }
    }
}

/// A page that came from here may talk to here. Whether "here" is really here, `Host` tells.
fn check_origin(origin: &HeaderValue, host: Option<&HeaderValue>) -> Result<(), Refusal> {
    let origin = origin.as_bytes().strip_prefix(b"http://");
    match (origin, host) {
        (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host.as_bytes()) => Ok(()),
        _ => Err(Refusal::Origin),
    }
}

fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    /// On a connection to the address that [`access`] is for.
    fn checked(access: &Access, peer: &str, headers: &[(&'static str, &str)]) -> Option<Refusal> {
        checked_at(access, peer, Some("10.0.0.5"), headers)
    }

    fn checked_at(
        access: &Access,
        peer: &str,
        local: Option<&str>,
        headers: &[(&'static str, &str)],
    ) -> Option<Refusal> {
        let at = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
        let peer = Peer { address: at(peer, 40_000), local: local.map(|local| at(local, 4_040)) };
        let headers = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        access.check(Some(peer), &headers.collect()).err()
    }

    fn access(token: Option<&str>) -> Access {
        Access::new("10.0.0.5".parse().unwrap(), token.map(str::to_owned))
    }

    #[test]
    fn this_host_may_and_others_may_not() {
        let access = access(None);
        for host in ["127.0.0.1:4040", "localhost:4040", "LOCALHOST", "[::1]:4040", "10.0.0.5:1"] {
            assert_eq!(checked(&access, "127.0.0.1", &[("host", host)]), None, "{host}");
        }
        assert_eq!(checked(&access, "::ffff:127.0.0.1", &[]), None);
        for peer in ["10.0.0.4", "192.168.0.1", "::ffff:10.0.0.7"] {
            let refused = checked(&access, peer, &[("host", "127.0.0.1:4040")]);
            assert_eq!(refused, Some(Refusal::OtherHost), "{peer}");
        }
    }

    #[test]
    fn a_client_with_the_address_that_it_connects_to_is_on_this_host() {
        let access = access(None);
        let own = [("host", "10.0.0.5:4040")];
        for (peer, local) in [
            ("10.0.0.5", "10.0.0.5"),
            ("::ffff:10.0.0.5", "10.0.0.5"),
            ("10.0.0.5", "::ffff:10.0.0.5"),
            ("2001:db8::5", "2001:db8::5"),
        ] {
            assert_eq!(checked_at(&access, peer, Some(local), &own), None, "{peer} {local}");
        }
        for (peer, local) in [
            // Another address of this host is not known to be one.
            ("10.0.0.5", Some("10.0.0.6")),
            ("10.0.0.5", Some("127.0.0.1")),
            ("2001:db8::5", Some("2001:db8::6")),
            ("10.0.0.5", None),
        ] {
            let refused = checked_at(&access, peer, local, &own);
            assert_eq!(refused, Some(Refusal::OtherHost), "{peer} {local:?}");
        }
        assert_eq!(access.check(None, &HeaderMap::new()), Err(Refusal::OtherHost));
        // The rest holds for it as for the loopback.
        let here = |headers: &[(&'static str, &str)]| checked(&access, "10.0.0.5", headers);
        assert_eq!(here(&[("host", "evil.example:4040")]), Some(Refusal::Host));
        assert_eq!(here(&[own[0], ("origin", "https://evil.example")]), Some(Refusal::Origin));
        for name in FORWARDED {
            assert_eq!(here(&[own[0], (name, "10.0.0.9")]), Some(Refusal::OtherHost), "{name}");
        }
    }

    #[test]
    fn what_a_proxy_on_this_host_forwards_is_not_of_this_host() {
        for name in FORWARDED {
            let headers = [("host", "127.0.0.1:4040"), (name, "10.0.0.9")];
            let refused = checked(&access(None), "127.0.0.1", &headers);
            assert_eq!(refused, Some(Refusal::OtherHost), "{name}");
            let bearer = format!("Bearer {TOKEN}");
            let with_token = [&headers[..], &[("authorization", bearer.as_str())]].concat();
            assert_eq!(checked(&access(Some(TOKEN)), "127.0.0.1", &with_token), None, "{name}");
        }
    }

    #[test]
    fn the_token_lets_others_in_by_any_name() {
        let access = access(Some(TOKEN));
        let host = ("host", "web-0.web:4040");
        let with = |value: &str| checked(&access, "10.0.0.9", &[host, ("authorization", value)]);
        assert_eq!(with(&format!("Bearer {TOKEN}")), None);
        assert_eq!(with(&format!("bearer  {TOKEN}")), None);
        for wrong in ["Bearer", "Bearer ", "Basic x", "Bearer 0123456789abcdeX", "Bearer 01234567"]
        {
            assert_eq!(with(wrong), Some(Refusal::Token), "{wrong}");
        }
        let longer = format!("Bearer {TOKEN}0");
        assert_eq!(with(&longer), Some(Refusal::Token));
    }

    #[test]
    fn a_page_in_a_browser_on_this_host_may_not() {
        let access = access(None);
        let own = ("host", "127.0.0.1:4040");
        let from = |host, origin: &str| checked(&access, "127.0.0.1", &[host, ("origin", origin)]);
        for origin in ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:80"] {
            assert_eq!(from(own, origin), Some(Refusal::Origin), "{origin}");
        }
        assert_eq!(from(own, "http://127.0.0.1:4040"), None);
        // A name that was made to point here.
        let rebound = ("host", "evil.example:4040");
        assert_eq!(from(rebound, "http://evil.example:4040"), Some(Refusal::Host));
        assert_eq!(checked(&access, "127.0.0.1", &[rebound]), Some(Refusal::Host));
        for host in ["127.0.0.1.evil.example", "localhost.evil.example:4040", "[::2]", "10.0.0.6"] {
            let refused = checked(&access, "127.0.0.1", &[("host", host)]);
            assert_eq!(refused, Some(Refusal::Host), "{host}");
        }
    }
}
