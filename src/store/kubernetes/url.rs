//! Which API server and namespace: `kubernetes://NAMESPACE?kubeconfig=FILE&context=NAME`.

use std::fmt;
use std::path::PathBuf;

use crate::election::text;

/// Where the Leases are. The server is determined at the first request.
#[derive(Clone, Debug)]
pub struct Target {
    namespace: Option<String>,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
}

/// Why a text does not name a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// It is no URL of this kind.
    #[error("the store URL is not of the form kubernetes://NAMESPACE")]
    Form,
    /// The namespace.
    #[error(
        "the store URL names no namespace; use kubernetes://NAMESPACE with 1 to 63 lower-case \
         letters, digits or '-', or kubernetes:// for the namespace of this pod"
    )]
    Namespace,
    /// A parameter that does not exist.
    #[error(
        "the store URL has an unknown parameter '{}': known are kubeconfig and context",
        text::given(.0)
    )]
    UnknownParameter(String),
    /// A parameter twice, or without a value.
    #[error("the store URL has the parameter '{0}' twice, or without a value")]
    BadParameter(&'static str),
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// See [`InvalidTarget`].
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        let url = url::Url::parse(text).map_err(|_| InvalidTarget::Form)?;
        let rest = [url.path(), url.username()].concat();
        let has_more = !matches!(rest.as_str(), "" | "/") || url.port().is_some();
        if has_more || url.password().is_some() || url.fragment().is_some() {
            return Err(InvalidTarget::Form);
        }
        let namespace = url.host_str().filter(|host| !host.is_empty());
        if !namespace.is_none_or(is_label) {
            return Err(InvalidTarget::Namespace);
        }
        let namespace = namespace.map(str::to_owned);
        let mut target = Self { namespace, kubeconfig: None, context: None };
        for (name, value) in url.query_pairs() {
            target.set(&name, &value)?;
        }
        Ok(target)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidTarget> {
        let (name, is_set) = match name {
            "kubeconfig" => ("kubeconfig", self.kubeconfig.is_some()),
            "context" => ("context", self.context.is_some()),
            _ => return Err(InvalidTarget::UnknownParameter(name.to_owned())),
        };
        if value.is_empty() || is_set {
            return Err(InvalidTarget::BadParameter(name));
        }
        match name {
            "kubeconfig" => self.kubeconfig = Some(PathBuf::from(value)),
            _ => self.context = Some(value.to_owned()),
        }
        Ok(())
    }

    /// The namespace that the URL names, if it names one.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// A file of the form that kubectl reads, if the URL names one.
    pub fn kubeconfig(&self) -> Option<&std::path::Path> {
        self.kubeconfig.as_deref()
    }

    /// Which context of that file, if the URL names one.
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }
}

/// What Kubernetes allows as a namespace, and as each part of the name of an object.
pub fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(|b| plain(*b))
        && bytes.last().is_some_and(|b| plain(*b))
        && bytes.iter().all(|&b| plain(b) || b == b'-')
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kubernetes://{}", self.namespace.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_namespace_or_leaves_it_to_the_pod() {
        let parsed = |text: &str| Target::parse(text).map(|target| target.to_string());
        assert_eq!(parsed("kubernetes://shop").unwrap(), "kubernetes://shop");
        assert_eq!(parsed("kubernetes://").unwrap(), "kubernetes://");
        let target = Target::parse("kubernetes://shop?kubeconfig=/k/config&context=prod").unwrap();
        assert_eq!(target.context(), Some("prod"));
        for bad in ["kubernetes://shop/x", "kubernetes://u:p@shop", "kubernetes://shop:1"] {
            assert_eq!(parsed(bad), Err(InvalidTarget::Form), "{bad}");
        }
        assert_eq!(parsed("kubernetes://Shop_1"), Err(InvalidTarget::Namespace));
        let unknown = parsed("kubernetes://shop?token=secret").unwrap_err().to_string();
        assert!(unknown.contains("'token'") && !unknown.contains("secret"), "{unknown}");
        let unknown = parsed("kubernetes://shop?u:hunter2@h").unwrap_err().to_string();
        assert!(unknown.contains("unknown parameter") && !unknown.contains("hunter2"), "{unknown}");
    }

    #[test]
    fn a_parameter_has_one_value() {
        for (query, name) in [
            ("kubeconfig=", "kubeconfig"),
            ("context", "context"),
            ("kubeconfig=/a&kubeconfig=/b", "kubeconfig"),
            ("context=a&kubeconfig=/k&context=a", "context"),
        ] {
            let refused = Target::parse(&format!("kubernetes://shop?{query}")).unwrap_err();
            assert_eq!(refused, InvalidTarget::BadParameter(name), "{query}");
        }
    }
}
