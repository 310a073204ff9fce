//! The URL at which a leader can be reached. Its record carries it, so that others can send clients
//! there.
//!
//! Beside it is the port of the leader's sidecar, if other candidates can reach that one. They listen there for the
//! end of the leadership.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The longest URL, in bytes: well within what any client, proxy or store takes.
const MAX_URL: usize = 512;

/// An `http://` or `https://` URL without a slash at its end, so that a path can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderUrl {
    url: Box<str>,
    /// Where the sidecar listens on the host of the URL.
    sidecar: Option<u16>,
}

/// Why a text is no such URL. The text is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHolderUrl {
    /// Another scheme, no host, or no URL at all.
    #[error("it is not an absolute http:// or https:// URL, such as http://10.0.0.7:8080")]
    Form,
    /// Everyone who may ask a sidecar sees it.
    #[error("it contains a login, which everyone could read; leave the login out")]
    Login,
    /// A path is added to it, and a query may be a secret.
    #[error("it contains a '?' or a '#'; leave them out, because paths are added to its end")]
    Query,
    /// It would not stay on one line.
    #[error("it contains a space or an unprintable character")]
    Unprintable,
    /// See [`MAX_URL`].
    #[error("it is longer than {MAX_URL} bytes")]
    TooLong,
}

impl FromStr for HolderUrl {
    type Err = InvalidHolderUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_URL {
            return Err(InvalidHolderUrl::TooLong);
        }
        // A parser would drop or encode these, and show another URL than the given one.
        if !super::text::is_line(text) || text.chars().any(char::is_whitespace) {
            return Err(InvalidHolderUrl::Unprintable);
        }
        // A parser repairs `http:host` and backslashes. A URL is read by many parsers.
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let rest = rest.filter(|rest| !rest.starts_with('/') && !rest.contains('\\'));
        let rest = rest.ok_or(InvalidHolderUrl::Form)?;
        // Also an empty login, and one that is hidden behind a slash.
        if rest.contains('@') {
            return Err(InvalidHolderUrl::Login);
        }
        if rest.contains(['?', '#']) {
            return Err(InvalidHolderUrl::Query);
        }
        let url = Url::parse(text).map_err(|_| InvalidHolderUrl::Form)?;
        let url = url.as_str().trim_end_matches('/');
        // Encoding makes it longer.
        if url.len() > MAX_URL {
            return Err(InvalidHolderUrl::TooLong);
        }
        Ok(Self { url: url.into(), sidecar: None })
    }
}

impl HolderUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The same, for a sidecar that listens on `port`, `near`: only on this host, by a loopback address. Others reach
    /// that one only if the URL is of this host as well. Behind `https` is most likely a proxy, and no sidecar.
    #[must_use]
    pub fn with_sidecar(self, port: u16, near: bool) -> Self {
        let is_near = self.host().is_some_and(|host| match host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => ip.is_loopback(),
        });
        let reached = self.url.starts_with("http://") && (is_near || !near);
        Self { sidecar: reached.then_some(port), ..self }
    }

    /// Where the holder's sidecar answers, if others can reach it: `http://HOST:PORT`.
    pub fn sidecar(&self) -> Option<String> {
        let (host, port) = self.host().zip(self.sidecar)?;
        Some(format!("http://{host}:{port}"))
    }

    fn host(&self) -> Option<Host<String>> {
        Some(Url::parse(&self.url).ok()?.host()?.to_owned())
    }

    /// The text in a record whose holder is of this incarnation.
    ///
    /// It names the incarnation. A candidate of an older version, which does not know the
    /// field, leaves it as it is when it takes over: so the URL of another holder is recognised.
    pub fn stored(&self, incarnation: &str) -> String {
        let sidecar = self.sidecar.map(|port| format!(" {port}")).unwrap_or_default();
        format!("{incarnation} {}{sidecar}", self.url)
    }

    /// Reads [`stored`](Self::stored) back. None if it is another holder's, or makes no sense.
    pub fn from_store(text: &str, incarnation: &str) -> Option<Self> {
        let text = text.strip_prefix(incarnation)?.strip_prefix(' ')?;
        let (url, port) =
            text.split_once(' ').map_or((text, None), |(url, port)| (url, Some(port)));
        let url: Self = url.parse().ok()?;
        let sidecar = port.and_then(|port| port.parse().ok()).filter(|port| *port != 0);
        Some(Self { sidecar: sidecar.filter(|_| url.url.starts_with("http://")), ..url })
    }
}

impl fmt::Display for HolderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_absolute_short_and_without_secrets() {
        let parsed = |text: &str| text.parse::<HolderUrl>().map(|url| url.to_string());
        for (given, shown) in [
            ("http://web-1:8080", "http://web-1:8080"),
            ("http://web-1:8080/", "http://web-1:8080"),
            ("https://Shop.example/app//", "https://shop.example/app"),
            ("http://[fd00::7]:80", "http://[fd00::7]"),
            ("http://größe.example/ä", "http://xn--gre-6ka8i.example/%C3%A4"),
        ] {
            assert_eq!(parsed(given).as_deref(), Ok(shown), "{given}");
            assert_eq!(parsed(shown).as_deref(), Ok(shown), "{given}");
        }
        use InvalidHolderUrl::{Form, Login, Query, TooLong, Unprintable};
        for (bad, why) in [
            ("", Form),
            ("web-1:8080", Form),
            ("//web-1", Form),
            ("ftp://web-1", Form),
            ("javascript:alert(1)", Form),
            ("http:web-1", Form),
            ("http:///web-1", Form),
            ("http://", Form),
            ("http://web-1:99999", Form),
            ("http://web-1\\evil", Form),
            ("http://u:hunter2@web-1", Login),
            ("http://@web-1", Login),
            ("http://web-1/?token=hunter2", Query),
            ("http://web-1/#x", Query),
            ("http://web-1/a b", Unprintable),
            ("http://web-1\n", Unprintable),
            ("http://web-1/\u{1b}[2J", Unprintable),
            ("http://web-1/\u{202e}", Unprintable),
        ] {
            assert_eq!(parsed(bad), Err(why), "{bad}");
            assert!(!why.to_string().contains("hunter2"));
        }
        let longest = format!("http://h/{}", "x".repeat(MAX_URL - "http://h/".len()));
        assert_eq!(parsed(&longest), Ok(longest));
        // One letter of two bytes becomes six.
        let encoded = format!("http://h/ä{}", "x".repeat(MAX_URL - "http://h/%C3%A4".len()));
        assert_eq!(parsed(&encoded).map(|url| url.len()), Ok(MAX_URL));
        assert_eq!(parsed(&format!("http://h/{}", "x".repeat(MAX_URL))), Err(TooLong));
        assert_eq!(parsed(&format!("http://h/{}", "ä".repeat(MAX_URL / 3))), Err(TooLong));
    }

    #[test]
    fn a_url_belongs_to_one_holder() {
        let url: HolderUrl = "http://web-1:8080".parse().unwrap();
        let stored = url.stored("a");
        assert_eq!(HolderUrl::from_store(&stored, "a"), Some(url));
        // `ab` and an empty incarnation, which client-go's candidates have.
        for other in ["ab", "", "b"] {
            assert_eq!(HolderUrl::from_store(&stored, other), None, "{other}");
        }
        for bad in ["", "a", "a ", "a javascript:alert(1)", "a http://u:p@h", "http://web-1:8080"] {
            assert_eq!(HolderUrl::from_store(bad, "a"), None, "{bad}");
        }
    }

    #[test]
    fn a_sidecar_that_others_reach_is_stored_beside_the_url() {
        let sidecar = |url: &str, near| {
            let url: HolderUrl = url.parse().unwrap();
            let url = url.with_sidecar(4040, near);
            assert_eq!(HolderUrl::from_store(&url.stored("a"), "a").as_ref(), Some(&url));
            url.sidecar()
        };
        let at = |text: &str| Some(text.to_owned());
        assert_eq!(sidecar("http://10.0.0.7:8080/app", false), at("http://10.0.0.7:4040"));
        assert_eq!(sidecar("http://[fd00::7]:80", false), at("http://[fd00::7]:4040"));
        assert_eq!(sidecar("http://localhost:80", true), at("http://localhost:4040"));
        assert_eq!(sidecar("http://127.0.0.1:1", true), at("http://127.0.0.1:4040"));
        assert_eq!(sidecar("http://10.0.0.7:8080", true), None, "of another host");
        assert_eq!(sidecar("https://shop.example", false), None, "a proxy");
        for (stored, shown) in [
            ("a http://h:1 0", "http://h:1"),
            ("a http://h:1 70000", "http://h:1"),
            ("a http://h:1 4040 5", "http://h:1"),
            ("a https://h:1 4040", "https://h:1"),
        ] {
            let read = HolderUrl::from_store(stored, "a").unwrap();
            assert_eq!((read.as_str(), read.sidecar()), (shown, None), "{stored}");
        }
    }
}
