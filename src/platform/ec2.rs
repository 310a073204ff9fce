//! EC2: the instance metadata service, version 2.
//!
//! Two questions by our own bounded client: the SDK's has retries of its own, and no way to give
//! one lookup a deadline.

use std::fs;

use hyper::{Method, StatusCode};

use super::surroundings::Surroundings;
use crate::http_client::{self, FullResponse, HttpError, HttpUrl, InvalidUrl};

/// The service's address on every instance; the AWS SDKs' variables name another.
const ADDRESS: &str = "http://169.254.169.254";
const ADDRESS_V6: &str = "http://[fd00:ec2::254]";

/// For how many seconds the token is wanted. It is used at once.
const TOKEN_SECONDS: &str = "60";

/// A token is 56 bytes, an instance id 19.
const MAX_ANSWER: usize = 4 * 1024;

/// Where the kernel shows who made this machine, from the root of the file system, and what an
/// instance says there. Nitro, Xen, and Xen without DMI.
const TRACES: [(&str, &str); 3] = [
    ("sys/class/dmi/id/sys_vendor", "amazon ec2"),
    ("sys/class/dmi/id/bios_version", "amazon"),
    ("sys/hypervisor/uuid", "ec2"),
];

/// The metadata service of this instance.
#[derive(Clone, Debug)]
pub struct Metadata(HttpUrl);

/// Why the service does not say.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The environment names an address that is no URL.
    #[error("{0} that can be used; check AWS_EC2_METADATA_SERVICE_ENDPOINT")]
    Address(#[source] InvalidUrl),
    /// It does not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It answers with this status.
    #[error("status {0}")]
    Status(StatusCode),
    /// Its answer has bytes that no text has.
    #[error("its response is not text")]
    NotText,
    /// Its answer, of which this is the beginning, is something else.
    #[error("'{}' is not an instance id", .0.escape_debug())]
    NotAnId(String),
}

impl Metadata {
    /// The service, if this is an instance, or the environment names one. Elsewhere nothing answers
    /// at that address, and asking would only cost time.
    ///
    /// # Errors
    ///
    /// When the environment names one that cannot be asked.
    pub fn here(surroundings: Surroundings<'_>) -> Option<Result<Self, MetadataError>> {
        let is = |name: &str, value: &str| {
            surroundings.var(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
        };
        if is("AWS_EC2_METADATA_DISABLED", "true") {
            return None;
        }
        let named = surroundings.var("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        if named.is_none() && !is_instance(surroundings) {
            return None;
        }
        let v6 = is("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6");
        let usual = if v6 { ADDRESS_V6 } else { ADDRESS };
        let url = named.unwrap_or_else(|| usual.to_owned());
        Some(url.parse().map(Self).map_err(MetadataError::Address))
    }

    /// Asks for the instance's id.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub async fn instance_id(&self) -> Result<String, MetadataError> {
        let request = http_client::request(Method::PUT, &self.0.below("/latest/api/token"))
            .header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
        let token = self.send(request).await?;
        let request =
            http_client::request(Method::GET, &self.0.below("/latest/meta-data/instance-id"))
                .header("x-aws-ec2-metadata-token", token);
        let id = self.send(request).await?;
        if is_instance_id(&id) {
            Ok(id)
        } else {
            Err(MetadataError::NotAnId(id.chars().take(40).collect()))
        }
    }

    async fn send(&self, request: hyper::http::request::Builder) -> Result<String, MetadataError> {
        let response = http_client::fetch(&self.0, request, String::new(), MAX_ANSWER).await?;
        let FullResponse { status, body } = response;
        if !status.is_success() {
            return Err(MetadataError::Status(status));
        }
        let text = String::from_utf8(body).map_err(|_| MetadataError::NotText)?;
        Ok(text.trim().to_owned())
    }
}

fn is_instance(surroundings: Surroundings<'_>) -> bool {
    TRACES.iter().any(|(file, word)| {
        let text = fs::read_to_string(surroundings.root.join(file)).unwrap_or_default();
        text.to_ascii_lowercase().contains(word)
    })
}

/// `i-` and 8 or 17 hexadecimal digits.
fn is_instance_id(text: &str) -> bool {
    let digits = text.strip_prefix("i-").unwrap_or_default();
    matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], trace: Option<(&str, &str)>) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        if let Some((file, text)) = trace {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let env = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let here = Metadata::here(Surroundings { env: &env, root: root.path() })?;
        Some(here.map_or_else(|error| error.to_string(), |Metadata(url)| url.to_string()))
    }

    #[test]
    fn only_an_instance_is_queried_or_what_the_environment_names() {
        let nitro = Some(("sys/class/dmi/id/sys_vendor", "Amazon EC2\n"));
        assert_eq!(found(&[], None), None);
        assert_eq!(found(&[], Some(("sys/class/dmi/id/sys_vendor", "LENOVO\n"))), None);
        assert_eq!(found(&[], nitro).unwrap(), ADDRESS);
        for xen in [
            ("sys/class/dmi/id/bios_version", "4.11.amazon\n"),
            ("sys/hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef\n"),
        ] {
            assert_eq!(found(&[], Some(xen)).unwrap(), ADDRESS);
        }
        let named = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1338/");
        assert_eq!(found(&[named], None).unwrap(), "http://127.0.0.1:1338");
        let v6 = ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6");
        assert_eq!(found(&[v6], nitro).unwrap(), ADDRESS_V6);
        assert_eq!(found(&[v6], None), None);
        let disabled = ("AWS_EC2_METADATA_DISABLED", "True");
        assert_eq!(found(&[disabled, named], nitro), None);
        let bad = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254");
        assert!(found(&[bad], None).unwrap().contains("AWS_EC2_METADATA_SERVICE_ENDPOINT"));
    }

    #[test]
    fn instance_ids_look_like_instance_ids() {
        assert!(is_instance_id("i-0abcdef1234567890") && is_instance_id("i-1234abcd"));
        for bad in ["", "i-", "i-0abcdef123456789", "i-0abcdef123456789z", "<html>", "I-1234abcd"] {
            assert!(!is_instance_id(bad), "{bad}");
        }
    }
}
