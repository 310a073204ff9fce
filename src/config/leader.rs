//! How others find the leader.

use clap::Args;

use super::InvalidConfig;
use crate::election::holder_url::HolderUrl;
use crate::election::lease::ElectionName;
use crate::election::text;
use crate::leader_label::LabelConfig;
use crate::platform::{address, identity, kubernetes, surroundings};
use crate::store::is_dns_label;

/// In a URL, stands for the address of this instance.
const IP: &str = "{ip}";

/// How others find this instance while it leads.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Election")]
pub struct LeaderArgs {
    /// Where this instance can be reached while it leads: an http:// or https:// URL of its
    /// application, such as http://10.0.0.7:8080 or http://{ip}:8080.
    ///
    /// It is in the record, and the responses of all candidates show it as holderUrl while this
    /// instance is known to lead. So a standby can send clients there. {ip} stands for the address
    /// of this host, pod or task on the network of its default route.
    ///
    /// If --listen is not a loopback address, standbys with --advertise also receive the events of the leader's
    /// sidecar, on the host of this URL. So a hand-over needs no push from the store.
    #[arg(long, env = "BELLWETHER_ADVERTISE", value_name = "URL")]
    advertise: Option<String>,

    /// On Kubernetes, keep this label on the leader's pod and on no other, for a Service to select.
    /// Without a value it is bellwether/leads-{election}=true.
    ///
    /// {election} stands for the name of the election: pods of one namespace that stand in different
    /// elections need different labels. The service account of the pod needs list and patch on pods.
    #[arg(
        long,
        env = "BELLWETHER_LEADER_LABEL",
        value_name = "KEY=VALUE",
        num_args = 0..=1,
        default_missing_value = DEFAULT_LABEL
    )]
    leader_label: Option<String>,
}

/// The label that is meant without a value: its name is the election's, so that no two elections of a
/// namespace take it from each other.
const DEFAULT_LABEL: &str = "bellwether/leads-{election}=true";

/// In a label, stands for the name of the election.
const ELECTION: &str = "{election}";

/// The error for a label.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLabel {
    /// Kubernetes would refuse it.
    #[error(
        "'{0}' is not KEY=VALUE of a label; use at most 63 letters, digits, '-', '_' or '.' for \
         the value and for the key, which may have a domain and a '/' before it"
    )]
    Form(String),
    /// The elections would take the label from each other.
    #[error("with several elections the key needs {{election}} in it, as in {DEFAULT_LABEL}")]
    Shared,
    /// There is nothing to put it on.
    #[error(
        "POD_NAME and POD_NAMESPACE are not set; set them in the manifest by the downward API, or \
         leave the label out"
    )]
    NoPod,
}

/// A label of the leader's pod, for any election.
#[derive(Clone, Debug)]
pub struct LeaderLabel {
    text: String,
    pod: String,
    namespace: String,
}

impl LeaderLabel {
    /// The label of one election.
    ///
    /// # Errors
    ///
    /// When Kubernetes would refuse it.
    pub fn of(&self, election: &ElectionName) -> Result<LabelConfig, InvalidLabel> {
        let text = self.text.replace(ELECTION, election.as_str());
        let invalid = || InvalidLabel::Form(text::given(&text));
        let (key, value) = text.split_once('=').ok_or_else(invalid)?;
        let (domain, name) = key.split_once('/').map_or((None, key), |(d, n)| (Some(d), n));
        let is_domain = |text: &str| text.len() <= 253 && text.split('.').all(is_dns_label);
        if !domain.is_none_or(is_domain) || !is_label_text(name) || !is_label_text(value) {
            return Err(invalid());
        }
        let (pod, namespace) = (self.pod.clone(), self.namespace.clone());
        Ok(LabelConfig { key: key.to_owned(), value: value.to_owned(), pod, namespace })
    }

    fn shows_election(&self) -> bool {
        self.text.split('=').next().is_some_and(|key| key.contains(ELECTION))
    }
}

/// What Kubernetes allows as the value of a label, and as its name. An empty value is bellwether's own.
fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends_plain = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = ends_plain(bytes.first()) && ends_plain(bytes.last());
    bytes.len() <= 63 && ends && bytes.iter().all(inner)
}

impl LeaderArgs {
    /// Checks the label.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check_label(
        &self,
        elections: &[&ElectionName],
    ) -> Result<Option<LeaderLabel>, InvalidConfig> {
        let Some(text) = self.leader_label.clone().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let pod = kubernetes::pod(surroundings::here(), &identity::hostname());
        let is_name = |name: &str| name.len() <= 253 && name.split('.').all(is_dns_label);
        let pod = pod.filter(|pod| is_name(&pod.name)).ok_or(InvalidLabel::NoPod)?;
        let namespace = pod.namespace.filter(|name| is_dns_label(name));
        let namespace = namespace.ok_or(InvalidLabel::NoPod)?;
        let label = LeaderLabel { text, pod: pod.name, namespace };
        if elections.len() > 1 && !label.shows_election() {
            return Err(InvalidLabel::Shared.into());
        }
        for election in elections {
            label.of(election)?;
        }
        Ok(Some(label))
    }

    /// Checks the URL.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check_url(&self) -> Result<Option<HolderUrl>, InvalidConfig> {
        let Some(url) = self.advertise.as_deref().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        if url.replace(IP, "").contains(['{', '}']) {
            return Err(InvalidConfig::UnknownPlaceholder);
        }
        if !url.contains(IP) {
            return Ok(Some(url.parse()?));
        }
        let own = address::own().ok_or(InvalidConfig::NoAddress)?;
        let own = if own.is_ipv6() { format!("[{own}]") } else { own.to_string() };
        Ok(Some(url.replace(IP, &own).parse()?))
    }
}
