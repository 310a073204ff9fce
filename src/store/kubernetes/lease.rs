//! The Lease object of an election: its shape, written and read.
//!
//! The object is shared with candidates of client-go's `leaderelection`, which use only its `spec`.
//! Data that has no field there is in annotations:
//!
//! | annotation | what |
//! | --- | --- |
//! | `bellwether/format` | the shape of these annotations: 1, or 2 with a pause |
//! | `bellwether/election` | the plain name, where the object's name is a checksum of it |
//! | `bellwether/term` | the fencing token |
//! | `bellwether/incarnation` | of the process that holds the lease; absent when it is vacated |
//! | `bellwether/lease-duration` | how long rivals wait for this holder, in milliseconds |
//! | `bellwether/payload` | the history of a work, as JSON; absent in a lease |
//! | `bellwether/origin` | where the holder runs, for display; absent if unknown |
//! | `bellwether/holder-url` | the holder's incarnation and its URL; absent if it has none |
//! | `bellwether/pause` | a pause of the election, as JSON; absent if there is none |
//! | `bellwether/expires` | by the API server's clock; absent if that was unknown |
//! | `bellwether/write` | random, new with every write: shows whose write it was |
//! | `bellwether/spec` | the `spec` that was written together with these annotations |
//!
//! client-go keeps unknown annotations. So they may be older than the `spec`: they count only if
//! `bellwether/spec` still fits, and later changes are read from the `spec`.
//!
//! # Terms
//!
//! client-go counts acquisitions by another holder in `leaseTransitions`, from 0. Each of them is a
//! term: with T and L the term and the transitions of the last write from here, the term of a record
//! with transitions M is T + (M - L), or M + 1 if there was no such write. Every acquisition from
//! here raises both, so a term is never below `leaseTransitions`, and is never used twice.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::url::is_label;
use crate::election::lease::{
    Candidate, ElectionName, LeaseRecord, Origin, Version, is_lease_duration,
};
use crate::election::pause::Pause;
use crate::election::term::Term;
use crate::election::time::WallTime;
use crate::store::format;
use crate::store::service_clock::ServiceTime;

/// The kind of the objects.
const API_VERSION: &str = "coordination.k8s.io/v1";
const KIND: &str = "Lease";

/// The longest name of an object.
const MAX_NAME: usize = 253;

/// The prefix of the names of the annotations.
const ANNOTATION: &str = "bellwether/";

/// A Lease, including every unknown field.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    api_version: String,
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    resource_version: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder_identity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease_duration_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acquire_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renew_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease_transitions: Option<i64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Spec {
    fn transitions(&self) -> u64 {
        self.lease_transitions.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
    }

    /// The form in `bellwether/spec`: the fields that every writer changes, and no unknown ones.
    fn seal(&self) -> String {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        format!(
            "{} {} {} {}",
            self.transitions(),
            text(&self.acquire_time),
            text(&self.renew_time),
            text(&self.holder_identity),
        )
    }
}

/// The content of a Lease.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The record.
    pub record: LeaseRecord,
    /// Its version.
    pub version: Version,
    /// When the lease ends at the latest, by the API server's clock.
    pub expires: Option<ServiceTime>,
    /// The mark of the write, if a bellwether wrote it.
    pub write: Option<String>,
}

/// Why a Lease cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its annotations have another format.
    Format(String),
    /// It belongs to another election.
    Election(String),
    /// This field or annotation is missing or invalid.
    Field(&'static str),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(format) => write!(
                f,
                "has annotations of format '{}', and this version of bellwether knows formats up \
                 to {}; upgrade this instance",
                format.escape_debug(),
                format::NEWEST
            ),
            Self::Election(other) => {
                write!(f, "belongs to the election '{}'", other.escape_debug())
            }
            Self::Field(name) => {
                write!(
                    f,
                    "cannot be read: {name} makes no sense; check whether it was edited by \
                           hand"
                )
            }
        }
    }
}

/// One page of a list of Leases.
#[derive(Deserialize)]
pub struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    /// The Leases. The API server leaves out their kind.
    #[serde(skip)]
    pub items: Vec<Lease>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue", default)]
    next: String,
}

impl Page {
    /// Reads an answer, if it is one.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut answer: Value = serde_json::from_slice(body).ok()?;
        if answer.get("kind")? != "LeaseList" {
            return None;
        }
        let items = answer.get_mut("items").map(Value::take).unwrap_or_default();
        let items = match items {
            Value::Array(items) => items.into_iter().map(|mut item| {
                let fields = item.as_object_mut()?;
                fields.insert("apiVersion".to_owned(), API_VERSION.into());
                fields.insert("kind".to_owned(), KIND.into());
                serde_json::from_value(item).ok()
            }),
            _ => return None,
        };
        let items = items.collect::<Option<Vec<_>>>()?;
        let page: Self = serde_json::from_value(answer).ok()?;
        Some(Self { items, ..page })
    }

    /// The token to request the next page with, if there is one.
    pub fn next(&self) -> Option<&str> {
        Some(self.metadata.next.as_str()).filter(|next| !next.is_empty())
    }
}

/// The data to write: the record, its end by the API server's clock, and the write's mark.
pub struct Draft<'a> {
    pub election: &'a ElectionName,
    pub record: &'a LeaseRecord,
    pub expires: Option<ServiceTime>,
    pub write: &'a str,
}

/// The name of the object of an election. One that Kubernetes does not allow becomes a checksum.
pub fn object_name(election: &ElectionName) -> String {
    use sha2::{Digest as _, Sha256};
    let name = election.as_str();
    if name.len() <= MAX_NAME && name.split('.').all(is_label) {
        return name.to_owned();
    }
    let digest = Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("bellwether-{hex}")
}

impl Lease {
    /// Whether an answer is a Lease, with the fields that every stored object has.
    pub fn is_stored(&self) -> bool {
        let Metadata { uid, resource_version, .. } = &self.metadata;
        self.kind == KIND && !uid.is_empty() && !resource_version.is_empty()
    }

    /// The handle of this state. The uid too: a deleted and created object is another one.
    pub fn version(&self) -> Version {
        Version::new(format!("{} {}", self.metadata.uid, self.metadata.resource_version))
    }

    /// The election whose record it is; none if bellwether never wrote it.
    pub fn election(&self) -> Option<ElectionName> {
        self.annotation("format")?;
        let name = self.annotation("election").unwrap_or(&self.metadata.name);
        ElectionName::from_store(name)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.get(&format!("{ANNOTATION}{name}")).map(String::as_str)
    }

    /// Reads it as the record of `election`.
    ///
    /// # Errors
    ///
    /// See [`Unreadable`].
    pub fn decode(&self, election: &ElectionName) -> Result<Kept, Unreadable> {
        if let Some(other) = self.annotation("election").filter(|name| *name != election.as_str()) {
            return Err(Unreadable::Election(other.to_owned()));
        }
        match self.annotation("format") {
            Some(format) if !format::is_known(format) => {
                return Err(Unreadable::Format(format.to_owned()));
            }
            Some(_) | None => {}
        }
        let is_own = self.annotation("spec").is_some_and(|seal| seal == self.spec.seal());
        let wall = |text: &Option<String>| {
            text.as_deref().and_then(WallTime::parse).unwrap_or(WallTime::EPOCH)
        };
        let expires = self.annotation("expires").filter(|_| is_own);
        let origin = self.annotation("origin").filter(|_| is_own);
        Ok(Kept {
            record: LeaseRecord {
                holder: self.holder(is_own)?,
                term: self.term()?,
                lease_duration: self.lease_duration(is_own)?,
                acquire_time: wall(&self.spec.acquire_time),
                renew_time: wall(&self.spec.renew_time),
                payload: self.annotation("payload").map(Into::into),
                origin: origin.and_then(Origin::new),
                holder_url: None,
                // client-go's candidates keep it, and know nothing of it.
                pause: self.annotation("pause").map(Pause::from_store),
                handover: None,
            }
            .with_stored_url(self.annotation("holder-url"))
            .with_stored_handover(self.annotation("handover").filter(|_| is_own))
            .checked(),
            version: self.version(),
            expires: expires.and_then(ServiceTime::from_rfc3339),
            write: self.annotation("write").filter(|_| is_own).map(str::to_owned),
        })
    }

    fn holder(&self, is_own: bool) -> Result<Option<Candidate>, Unreadable> {
        let Some(identity) = self.spec.holder_identity.clone().filter(|name| !name.is_empty())
        else {
            return Ok(None);
        };
        let incarnation = match self.annotation("incarnation") {
            Some(incarnation) if is_own => incarnation.to_owned(),
            None if is_own => return Err(Unreadable::Field("annotation bellwether/incarnation")),
            // A candidate of client-go: it has only its identity.
            _ => String::new(),
        };
        Ok(Some(Candidate { identity, incarnation }))
    }

    fn term(&self) -> Result<Term, Unreadable> {
        let transitions = self.spec.transitions();
        let Some(term) = self.annotation("term") else {
            return Ok(Term::new(transitions).after(1));
        };
        let unreadable = Unreadable::Field("annotation bellwether/term");
        let Ok(term) = term.parse::<Term>() else { return Err(unreadable) };
        let seal = self.annotation("spec").and_then(|seal| seal.split(' ').next());
        let sealed: u64 = seal
            .and_then(|count| count.parse().ok())
            .ok_or(Unreadable::Field("annotation bellwether/spec"))?;
        let term = term.after(transitions.saturating_sub(sealed));
        // Above the limit of the other stores there is no next one either.
        if i64::try_from(term.get()).is_err() {
            return Err(unreadable);
        }
        Ok(term)
    }

    fn lease_duration(&self, is_own: bool) -> Result<Duration, Unreadable> {
        let duration = if is_own {
            let bad = Unreadable::Field("annotation bellwether/lease-duration");
            let text = self.annotation("lease-duration").and_then(|text| text.parse().ok());
            Duration::from_millis(text.ok_or(bad)?)
        } else {
            // An object without any write so far, such as one from a manifest, has none.
            let seconds = self.spec.lease_duration_seconds.unwrap_or(1);
            let bad = Unreadable::Field("spec.leaseDurationSeconds");
            Duration::from_secs(u64::try_from(seconds).map_err(|_| bad)?)
        };
        if !is_lease_duration(duration) {
            return Err(Unreadable::Field("the duration of the lease"));
        }
        Ok(duration)
    }

    /// The object that replaces `before`, or the first one.
    ///
    /// # Errors
    ///
    /// When `before` cannot be read.
    pub fn write(before: Option<&Self>, draft: &Draft<'_>) -> Result<Self, Unreadable> {
        let Draft { election, record, expires, write } = draft;
        let mut lease = match before {
            Some(before) => before.clone(),
            None => Self::new(election),
        };
        let transitions = lease.spec.transitions();
        let acquires = match before {
            Some(before) => before.term()? != record.term,
            None => false,
        };
        let holder = record.holder.as_ref();
        let spec = Spec {
            holder_identity: Some(holder.map(|h| h.identity.clone()).unwrap_or_default()),
            // client-go leaves 1 when it releases, too.
            lease_duration_seconds: Some(
                holder.map_or(1, |_| whole_seconds(record.lease_duration)),
            ),
            acquire_time: Some(micro_time(record.acquire_time)),
            renew_time: Some(another_time(record.renew_time, lease.spec.renew_time.as_deref())),
            // The API has no higher number. The term counts on in its annotation.
            lease_transitions: Some(
                i32::try_from(transitions + u64::from(acquires)).unwrap_or(i32::MAX).into(),
            ),
            rest: std::mem::take(&mut lease.spec.rest),
        };
        let named =
            (lease.metadata.name != election.as_str()).then(|| election.as_str().to_owned());
        for (name, value) in [
            ("format", Some(format::of(record).to_string())),
            ("election", named),
            ("term", Some(record.term.to_string())),
            ("incarnation", holder.map(|holder| holder.incarnation.clone())),
            ("lease-duration", Some(record.lease_duration.as_millis().to_string())),
            ("payload", record.payload.as_deref().map(str::to_owned)),
            ("origin", record.origin.as_ref().map(|origin| origin.as_str().to_owned())),
            ("holder-url", record.stored_url()),
            ("pause", record.pause.as_ref().map(Pause::stored)),
            ("handover", record.stored_handover()),
            ("expires", expires.and_then(ServiceTime::to_rfc3339)),
            ("write", Some((*write).to_owned())),
            ("spec", Some(spec.seal())),
        ] {
            let name = format!("{ANNOTATION}{name}");
            match value {
                Some(value) => lease.metadata.annotations.insert(name, value),
                None => lease.metadata.annotations.remove(&name),
            };
        }
        // Only the API server writes it, and it is as long as the rest.
        lease.metadata.rest.remove("managedFields");
        lease.spec = spec;
        Ok(lease)
    }

    fn new(election: &ElectionName) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: Metadata { name: object_name(election), ..Metadata::default() },
            spec: Spec::default(),
            rest: Map::new(),
        }
    }
}

/// Rounded up: a rival of client-go waits for whole seconds.
fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// As the API requires it: with exactly six decimals.
fn micro_time(time: WallTime) -> String {
    let text = time.to_string();
    text.strip_suffix('Z').map_or_else(|| text.clone(), |text| format!("{text}000Z"))
}

/// Never the same as `before`: rivals of client-go detect by this field that the holder is alive,
/// and a wall clock that was set back may show a time twice.
fn another_time(time: WallTime, before: Option<&str>) -> String {
    let text = micro_time(time);
    if before != Some(text.as_str()) {
        return text;
    }
    text.strip_suffix("000Z").map_or_else(|| text.clone(), |text| format!("{text}001Z"))
}

#[cfg(test)]
mod tests;
