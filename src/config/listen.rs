//! Where a sidecar listens: an address, or a name, and a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::election::text;

/// How long a resolver may take: glibc sends a request twice to a server that does not answer, for 5 s each.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the sidecar listens.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sidecar")]
pub struct ListenArgs {
    /// The address and port to listen on. Without an address, as in :4040, all IPv4 addresses
    /// of the host.
    #[arg(
        long,
        env = "BELLWETHER_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:4040"
    )]
    pub listen: ListenAddress,
}

/// An address and port to listen on, not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// The error for an address that cannot be listened on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidListen {
    /// The text is none.
    #[error(
        "'{0}' is not an address and port; use 127.0.0.1:4040 for this host alone, :4040 for all \
         IPv4 addresses, [::]:4040 for all addresses, or a name and a port such as localhost:4040"
    )]
    Form(String),
    /// The name is not known here.
    #[error(
        "the name '{name}' has no address here ({why}); write an address, such as 127.0.0.1:4040"
    )]
    UnknownName {
        /// As given.
        name: String,
        /// The resolver's error.
        why: String,
    },
}

impl FromStr for ListenAddress {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: Host::Address(address.ip()), port: address.port() });
        }
        let invalid = || InvalidListen::Form(text::given(text));
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let is_digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_digits).ok_or_else(invalid)?;
        let host = match host {
            "" => Host::Address(Ipv4Addr::UNSPECIFIED.into()),
            // RFC 6761: it is the loopback, whatever a resolver answers.
            _ if host.eq_ignore_ascii_case("localhost") => {
                Host::Address(Ipv4Addr::LOCALHOST.into())
            }
            _ if is_name(host) => Host::Name(host.to_owned()),
            _ => return Err(invalid()),
        };
        Ok(Self { host, port })
    }
}

/// A host's name, and not an address that is misspelt: the last label of a name is no number (RFC 1123).
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    text.bytes().all(is_part) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

impl ListenAddress {
    /// The address itself. Of a name's addresses the first of IPv4, as others write it, or else the first.
    ///
    /// # Errors
    ///
    /// When the name has no address.
    pub async fn resolve(&self) -> Result<SocketAddr, InvalidListen> {
        let name = match &self.host {
            Host::Address(ip) => return Ok(SocketAddr::new(*ip, self.port)),
            Host::Name(name) => name.as_str(),
        };
        let unknown = |why: &str| InvalidListen::UnknownName {
            name: text::given(name),
            why: text::line(why),
        };
        let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, self.port)));
        let found = found.await.map_err(|_| unknown("the resolver does not respond"))?;
        let found: Vec<_> = found.map_err(|error| unknown(&error.to_string()))?.collect();
        let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
        first.copied().ok_or_else(|| unknown("no address"))
    }

    /// The URL of a sidecar on this host that listens here. A sidecar that listens on all addresses also listens
    /// on the loopback.
    pub fn url(&self) -> String {
        let port = self.port;
        match &self.host {
            Host::Address(IpAddr::V4(ip)) if ip.is_unspecified() => {
                format!("http://{}:{port}", Ipv4Addr::LOCALHOST)
            }
            Host::Address(IpAddr::V6(ip)) if ip.is_unspecified() => {
                format!("http://[{}]:{port}", Ipv6Addr::LOCALHOST)
            }
            Host::Address(ip) => format!("http://{}", SocketAddr::new(*ip, port)),
            Host::Name(name) => format!("http://{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        for (text, url) in [
            ("127.0.0.1:4040", "http://127.0.0.1:4040"),
            (":4040", "http://127.0.0.1:4040"),
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            ("[::]:4040", "http://[::1]:4040"),
            ("[::1]:4040", "http://[::1]:4040"),
            ("localhost:4040", "http://127.0.0.1:4040"),
            ("LOCALHOST:4040", "http://127.0.0.1:4040"),
            ("sheep-1.example:80", "http://sheep-1.example:80"),
        ] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().url(), url, "{text}");
        }
        for bad in [
            "",
            "4040",
            ":",
            "localhost",
            "localhost:",
            ":+1",
            ":65536",
            "::1",
            "1.2.3:80",
            "1.2.3.4.:80",
            "http://localhost:4040",
            "u:hunter2@h:1",
            "a b:1",
            "[::1:4040",
            "localhost:4040/",
        ] {
            let refused = bad.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(refused.contains(":4040 for all"), "{bad}: {refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
