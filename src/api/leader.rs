//! What `/leader` answers, and so do `/events`, `/elections` and a refused `/hold`: written by the
//! sidecar, read by the commands beside an application.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::election::holder_url::HolderUrl;
use crate::election::leadership::HolderIs;
use crate::election::term::Term;
use crate::election::text;

/// The header by which a candidate that asks for events can be told from other readers.
pub const CANDIDATE: &str = "bellwether-candidate";

/// Who leads, as one sidecar knows it now. A reader needs only the first four fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leader<'a> {
    /// Which election.
    pub election: Cow<'a, str>,
    /// The sidecar's own name.
    pub identity: Cow<'a, str>,
    /// Whether its instance leads.
    pub leader: bool,
    /// The instance that leads, if one is known to.
    pub holder_identity: Option<Cow<'a, str>>,
    /// Where that instance is reached, if it says so: see [`HolderUrl`].
    #[serde(default)]
    pub holder_url: Option<Cow<'a, str>>,
    /// Where that instance runs, if known: on ECS the task's whole ARN.
    #[serde(default)]
    pub holder_origin: Option<Cow<'a, str>>,
    /// While no instance leads: the one that the last leader named to lead next.
    #[serde(default)]
    pub successor: Option<Cow<'a, str>>,
    /// The highest term that is known.
    #[serde(default)]
    pub term: Option<Term>,
    /// For how long the answer stays true without another renewal, in milliseconds. A sidecar always says it.
    #[serde(default)]
    pub valid_for_ms: Option<u64>,
    /// The holder's lease duration, or without one the own.
    #[serde(default, serialize_with = "seconds", deserialize_with = "from_seconds")]
    pub lease_duration_seconds: Duration,
    /// When the holder acquired the lease, by its wall clock.
    #[serde(default)]
    pub acquire_time: Option<String>,
    /// When it renewed the lease last, by its wall clock.
    #[serde(default)]
    pub renew_time: Option<String>,
    /// For another instance that leads: when its lease can be over if it does not renew it, in
    /// milliseconds.
    #[serde(default)]
    pub holder_lease_ends_in_ms: Option<u64>,
    /// How many holds there are.
    #[serde(default)]
    pub holds: usize,
    /// `open` or `closed`; none if there is no gate.
    #[serde(default)]
    pub gate: Option<Cow<'a, str>>,
    /// How long ago the store answered last, in milliseconds.
    #[serde(default)]
    pub store_answered_ms_ago: Option<u64>,
    /// Whether the instance stands in the election.
    #[serde(default)]
    pub standing: bool,
    /// Whether the election is paused: no instance stands.
    #[serde(default)]
    pub paused: bool,
    /// Why it does not lead. None if it does.
    #[serde(default)]
    pub reason: Option<String>,
    /// How the present state came about: see [`Cause`](crate::election::change::Cause).
    #[serde(default)]
    pub cause: Option<Cow<'a, str>>,
    /// Since when no instance led, until now or until the present leader. By the sidecar's wall clock.
    #[serde(default)]
    pub no_leader_since: Option<String>,
    /// Since when it was not known who leads, until now or until the present leader. Likewise.
    #[serde(default)]
    pub unknown_since: Option<String>,
    /// What the holder is to this instance: see [`HolderIs`].
    #[serde(default)]
    pub holder_is: Option<Cow<'a, str>>,
    /// How long ago the holder's last renewal was, as far as was seen, in milliseconds.
    #[serde(default)]
    pub last_renewal_ms_ago: Option<u64>,
    /// When this instance can take over if the lease is not renewed, in milliseconds.
    #[serde(default)]
    pub takes_over_in_ms: Option<u64>,
    /// The error of the store, while there is one.
    #[serde(default)]
    pub store_error: Option<String>,
}

impl Leader<'_> {
    /// How long another instance that leads has not been seen to renew its lease, if that is longer
    /// than half of the lease: it has missed renewals, and may be gone.
    pub fn overdue(&self) -> Option<Duration> {
        let left = Duration::from_millis(self.holder_lease_ends_in_ms?);
        // Where that is not known, it is as long as its lease was watched.
        let watched = self.lease_duration_seconds.saturating_sub(left);
        let silent = self.last_renewal_ms_ago.map_or(watched, Duration::from_millis);
        (silent > self.lease_duration_seconds / 2).then_some(silent)
    }

    /// Why the instance does not lead, in words. A sidecar of an older version says less.
    pub fn why_not(&self) -> String {
        match (&self.reason, &self.holder_identity) {
            (Some(reason), _) => reason.clone(),
            (None, Some(holder)) => format!("{holder} leads"),
            (None, None) => "no instance is known to lead".to_owned(),
        }
    }

    /// Whether the lease is that of an earlier run of the same instance.
    pub fn is_earlier_run(&self) -> bool {
        self.holder_is.as_deref() == Some(HolderIs::EarlierRun.as_str())
    }

    /// The form that is safe to show, whatever program answered.
    #[must_use]
    pub fn checked(self) -> Self {
        let holder_identity = self.holder_identity.as_deref().map(text::name).map(Cow::Owned);
        let holder_url = self.holder_url.filter(|url| url.parse::<HolderUrl>().is_ok());
        let holder_origin = self.holder_origin.filter(|origin| text::is_line(origin));
        let election = text::line(&self.election).into();
        let identity = text::name(&self.identity).into();
        let successor = self.successor.as_deref().map(text::name).map(Cow::Owned);
        let reason = self.reason.as_deref().map(text::message);
        let store_error = self.store_error.as_deref().map(text::message);
        Self {
            election,
            identity,
            holder_identity,
            holder_url,
            holder_origin,
            successor,
            reason,
            store_error,
            ..self
        }
    }
}

/// `{"name", "last_update"}`, as the sidecars that came before answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Name<'a> {
    /// The leader, or nothing.
    pub name: &'a str,
    /// When that was noted.
    pub last_update: &'a str,
}

/// Whole seconds as Kubernetes writes them, fractions only where there are some.
///
/// # Errors
///
/// When the serializer fails.
pub fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    if duration.subsec_nanos() == 0 {
        serializer.serialize_u64(duration.as_secs())
    } else {
        serializer.serialize_f64(duration.as_secs_f64())
    }
}

fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fields_are_enough_for_a_reader_and_all_come_back() {
        let short =
            r#"{"election":"a","identity":"b","leader":false,"holderIdentity":null,"new":1}"#;
        let read: Leader<'static> = serde_json::from_str(short).unwrap();
        assert_eq!((read.leader, read.holder_identity, read.term), (false, None, None));
        let whole = Leader {
            election: "a".into(),
            identity: "b".into(),
            leader: true,
            holder_identity: Some("b".into()),
            holder_url: Some("http://b".into()),
            holder_origin: Some("Kubernetes namespace b".into()),
            successor: None,
            term: Some(Term::new(3)),
            valid_for_ms: Some(900),
            lease_duration_seconds: Duration::from_millis(1500),
            acquire_time: None,
            renew_time: None,
            holder_lease_ends_in_ms: Some(400),
            holds: 1,
            gate: Some("open".into()),
            store_answered_ms_ago: Some(5),
            standing: true,
            paused: false,
            reason: None,
            cause: Some("first".into()),
            no_leader_since: None,
            unknown_since: Some("2026-11-26T22:00:00.000Z".to_owned()),
            holder_is: Some("this_instance".into()),
            last_renewal_ms_ago: Some(7),
            takes_over_in_ms: None,
            store_error: None,
        };
        let text = serde_json::to_string(&whole).unwrap();
        let read: Leader<'static> = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(read.lease_duration_seconds, whole.lease_duration_seconds);
    }

    #[test]
    fn nothing_of_a_response_reaches_a_terminal_unchecked() {
        let text = r#"{"election":"a\u001b[2J","identity":"b\n","leader":false,"holderIdentity":"c\u0007","holderUrl":"http://c\u0007","successor":"f\u0007","reason":"d\u001b[2J","storeError":"e\u0007"}"#;
        let read: Leader<'static> = serde_json::from_str(text).unwrap();
        let read = read.checked();
        assert_eq!(read.holder_url, None);
        let (reason, error) = (read.reason.unwrap().into(), read.store_error.unwrap().into());
        let names = [read.holder_identity.unwrap(), read.successor.unwrap()];
        for shown in [read.election, read.identity, reason, error].into_iter().chain(names) {
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
    }
}
