//! What a `dynamodb://` URL says.

use std::fmt;

use crate::election::lease::ElectionName;
use crate::election::text;
use crate::store::aws::{Choice, is_region};

/// The URL, in short, for messages.
pub const USE: &str = "use dynamodb://TABLE?region=REGION";

/// A table, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    table: String,
    prefix: Option<String>,
    endpoint: Option<String>,
    choice: Choice,
}

/// Why a text is not a `dynamodb://` URL. The text itself is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// No URL at all, or one with parts that mean nothing here.
    #[error("the store URL cannot be read: {USE}")]
    Malformed,
    /// A user or a password.
    #[error(
        "the store URL has a user or password in it, which DynamoDB does not know: credentials \
         come from the AWS environment, the instance or ?profile="
    )]
    Credentials,
    /// No table, or a name that no table has.
    #[error(
        "the store URL names no table: {USE}; a table's name has 3 to 255 letters, digits, '_', \
         '-' or '.'"
    )]
    Table,
    /// A parameter that does not exist.
    #[error(
        "the store URL has an unknown parameter '{}': known are region, endpoint, profile and \
         prefix",
        text::given(.0)
    )]
    UnknownParameter(String),
    /// A parameter twice, or without a value.
    #[error("the store URL has the parameter '{}' twice, or without a value", text::given(.0))]
    BadParameter(String),
    /// A text that is the name of no region.
    #[error("the region in the store URL is no name of a region, for example ?region=eu-west-1")]
    Region,
    /// An endpoint that is none.
    #[error(
        "the endpoint in the store URL must be http:// or https:// with a host, and no user or \
         password"
    )]
    Endpoint,
    /// A prefix that could be mistaken for another.
    #[error(
        "the prefix in the store URL must have 1 to 128 letters, digits, '_', '-' or '.', and must \
         not be 'once', for example ?prefix=billing"
    )]
    Prefix,
}

impl Target {
    /// Reads `dynamodb://TABLE?region=&endpoint=&profile=&prefix=`.
    ///
    /// # Errors
    ///
    /// The first part that is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        let url = url::Url::parse(text).map_err(|_| InvalidTarget::Malformed)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidTarget::Credentials);
        }
        let bare = matches!(url.path(), "" | "/") && url.fragment().is_none();
        if url.scheme() != "dynamodb" || !bare || url.port().is_some() {
            return Err(InvalidTarget::Malformed);
        }
        let table = url.host_str().unwrap_or_default().to_owned();
        if !(3..=255).contains(&table.len()) || !is_plain(&table) {
            return Err(InvalidTarget::Table);
        }
        let mut target = Self { table, prefix: None, endpoint: None, choice: Choice::default() };
        for (name, value) in url.query_pairs() {
            target.set(&name, value.into_owned())?;
        }
        Ok(target)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), InvalidTarget> {
        let slot = match name {
            "region" => &mut self.choice.region,
            "profile" => &mut self.choice.profile,
            "endpoint" => &mut self.endpoint,
            "prefix" => &mut self.prefix,
            _ => return Err(InvalidTarget::UnknownParameter(name.to_owned())),
        };
        if value.is_empty() || slot.is_some() {
            return Err(InvalidTarget::BadParameter(name.to_owned()));
        }
        if name == "region" && !is_region(&value) {
            return Err(InvalidTarget::Region);
        }
        if name == "endpoint" && !is_endpoint(&value) {
            return Err(InvalidTarget::Endpoint);
        }
        // Names of elections may begin with "once/".
        if name == "prefix" && (value.len() > 128 || !is_plain(&value) || value == "once") {
            return Err(InvalidTarget::Prefix);
        }
        *slot = Some(value);
        Ok(())
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Another place than the region's own.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// What the URL says of region and credentials.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The partition key of an election: its name, or `PREFIX/NAME`.
    ///
    /// Two elections never share a key. What comes before the first slash of a key is a prefix,
    /// which has no slash itself, or `once`, which no prefix is, or there is none.
    pub fn key(&self, election: &ElectionName) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{election}"),
            None => election.as_str().to_owned(),
        }
    }

    /// The election that a key belongs to; none if it is another prefix's, or of none.
    pub fn election(&self, key: &str) -> Option<ElectionName> {
        let name = match &self.prefix {
            Some(prefix) => key.strip_prefix(prefix.as_str())?.strip_prefix('/')?,
            None => key,
        };
        ElectionName::from_store(name)
    }

    /// What keys begin with.
    pub fn key_prefix(&self) -> Option<String> {
        self.prefix.as_ref().map(|prefix| format!("{prefix}/"))
    }
}

/// Letters, digits, '_', '-' and '.'.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Whether the SDK can send requests there. It reads the text as [`hyper`] does, which forgives less than the reader
/// of URLs.
pub fn is_endpoint(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && text.parse::<hyper::Uri>().is_ok()
}

impl fmt::Display for Target {
    /// The URL again. There are no secrets in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dynamodb://{}", self.table)?;
        let parameters = [
            ("region", &self.choice.region),
            ("endpoint", &self.endpoint),
            ("profile", &self.choice.profile),
            ("prefix", &self.prefix),
        ];
        let mut separator = '?';
        for (name, value) in parameters {
            if let Some(value) = value {
                write!(f, "{separator}{name}={value}")?;
                separator = '&';
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(url: &str, election: &str) -> String {
        Target::parse(url).unwrap().key(&election.parse().unwrap())
    }

    #[test]
    fn a_url_is_read_and_shown_again() {
        for url in [
            "dynamodb://leases",
            "dynamodb://Team_A.leases-2?region=eu-west-1",
            "dynamodb://leases?region=eu-west-1&endpoint=http://127.0.0.1:8000&profile=dev",
            "dynamodb://leases?prefix=billing",
        ] {
            assert_eq!(Target::parse(url).unwrap().to_string(), url);
        }
        let escaped = "dynamodb://leases?endpoint=http%3A%2F%2F127.0.0.1%3A8000";
        let target = Target::parse(escaped).unwrap();
        assert_eq!(target.endpoint(), Some("http://127.0.0.1:8000"));
    }

    #[test]
    fn an_error_does_not_repeat_the_url() {
        let refused = |url: &str| Target::parse(url).unwrap_err();
        for url in ["dynamodb:leases", "dynamodb://", "dynamodb://a?region=x", "dynamodb://b%20b"] {
            let error = refused(url);
            assert!(matches!(error, InvalidTarget::Table | InvalidTarget::Malformed), "{url}");
            assert!(error.to_string().contains("dynamodb://TABLE"), "{error}");
        }
        assert_eq!(refused("dynamodb://leases/x"), InvalidTarget::Malformed);
        assert_eq!(refused("dynamodb://AKIA:secret@leases"), InvalidTarget::Credentials);
        assert!(refused("dynamodb://leases?zone=a").to_string().contains("'zone'"));
        assert!(refused("dynamodb://leases?region=").to_string().contains("'region'"));
        assert!(refused("dynamodb://leases?region=a&region=b").to_string().contains("twice"));
        for region in ["eu%20west", "eu-west-1%0A", "eu.west", "eu_west"] {
            let url = format!("dynamodb://leases?region={region}");
            assert_eq!(refused(&url), InvalidTarget::Region, "{region}");
        }
        assert_eq!(refused("dynamodb://leases?endpoint=localhost:8000"), InvalidTarget::Endpoint);
        for endpoint in
            ["http://u:p@h", "http:/localhost:8000", "http://h%C3%B6st", "ftp://h", "http://"]
        {
            let url = format!("dynamodb://leases?endpoint={endpoint}");
            assert_eq!(refused(&url), InvalidTarget::Endpoint, "{endpoint}");
        }
        for prefix in ["a/b", "once", "ä"] {
            assert_eq!(refused(&format!("dynamodb://l.s?prefix={prefix}")), InvalidTarget::Prefix);
        }
    }

    #[test]
    fn keys_of_different_elections_never_collide() {
        assert_eq!(key("dynamodb://leases", "a.b"), "a.b");
        assert_eq!(key("dynamodb://leases?prefix=a", "b"), "a/b");
        assert_ne!(
            key("dynamodb://leases?prefix=a", "b.c"),
            key("dynamodb://leases?prefix=a.b", "c")
        );
        let once = ElectionName::of_work(&"b/c".parse().unwrap());
        let shared = Target::parse("dynamodb://leases?prefix=a").unwrap();
        assert_eq!(shared.key(&once), "a/once/b/c");
        assert_eq!(shared.election("a/once/b/c"), Some(once));
        assert_eq!(shared.election("a/b").unwrap().as_str(), "b");
        for foreign in ["b", "ab/c", "a.b/c", "a/", "a/B c"] {
            assert_eq!(shared.election(foreign), None, "{foreign}");
        }
        assert_eq!(Target::parse("dynamodb://leases").unwrap().election("a/b"), None);
    }
}
