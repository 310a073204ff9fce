//! Records in Lease objects of the Kubernetes API: for pods of one cluster, with no database, and in
//! one election with candidates of client-go.
//!
//! # Reads and writes
//!
//! One Lease per election ([`lease`]). A read is a GET, which the API server answers from a quorum
//! of etcd; every write is a PUT with the expected `resourceVersion`, or a POST. A PUT also
//! contains the `uid`: with a version alone it would create a Lease that was deleted in the
//! meantime. The object is never deleted.
//!
//! # What proves a write
//!
//! A write is won if the answer shows the Lease with the random mark of this very write. After a
//! refusal the store reads the Lease. If the Lease carries that mark, the write was won too: the
//! network path repeated the request. After any other answer the outcome is unknown.
//!
//! # Clock
//!
//! The API offers no clock, but its answers have a `Date`: see
//! [`service_clock`](super::service_clock). A Lease that client-go wrote is watched for its whole
//! duration.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hyper::{Method, StatusCode};
use uuid::Uuid;

use crate::election::continuity::ServiceTime;
use crate::election::elector::Swapped;
use crate::election::lease::{ElectionName, LeaseRecord, Observed, Version};
use crate::election::time::Clock;
use crate::store::contract::{Hints, Listing, Store, StoreError};

mod access;
mod api;
mod exec;
mod kubeconfig;
mod lease;
mod pod;
mod pods;
mod refusal;
mod url;
mod watch;

use api::{Api, ApiResponse};
use lease::{Draft, Kept, Lease, Unreadable, object_name};
pub use pod::has_grace_left;
pub use pods::{LabelledPod, Labels, Patched};
use refusal::Right;
pub use url::is_label as is_dns_label;
pub use url::{InvalidTarget, Target};

/// The store that keeps its records in Leases.
pub struct KubernetesStore {
    api: Arc<Api>,
    max_clock_skew: Option<Duration>,
    /// The last state of each Lease: a write keeps the data that other programs have put into it.
    seen: Mutex<HashMap<ElectionName, Lease>>,
}

/// Leases on one page of a list, or fewer where they are large.
const PAGE: u32 = 500;

impl KubernetesStore {
    /// A store at `target`. Nothing is opened yet. `patience` is how long callers wait for a call.
    pub fn new(target: Target, patience: Duration, clock: Arc<dyn Clock>) -> Self {
        let api = Arc::new(Api::new(target, patience, clock));
        Self { api, max_clock_skew: None, seen: Mutex::default() }
    }

    /// Judges leases by the Date of the server's answers, which may be off by this much; none, as at
    /// first: not at all.
    #[must_use]
    pub fn judged_within(self, max_clock_skew: Option<Duration>) -> Self {
        Self { max_clock_skew, ..self }
    }

    async fn get(&self, election: &ElectionName) -> Result<Option<Lease>, StoreError> {
        let path = format!("{}/{}", self.api.session().await?.leases(), object_name(election));
        let response = self.api.send(Method::GET, &path, None).await?;
        let found = match response.status {
            StatusCode::OK => Some(self.shown(&response)?),
            StatusCode::NOT_FOUND if response.failure().details.kind == "leases" => None,
            _ => return Err(self.refused(Right::Use(election), &response)),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &found {
            Some(lease) => seen.insert(election.clone(), lease.clone()),
            None => seen.remove(election),
        };
        Ok(found)
    }

    /// The Lease with the version `expected`, if that is still the last seen state.
    fn seen_as(&self, election: &ElectionName, expected: &Version) -> Option<Lease> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(election).filter(|lease| lease.version() == *expected).cloned()
    }

    fn shown(&self, response: &ApiResponse) -> Result<Lease, StoreError> {
        response.lease().ok_or_else(|| self.unavailable("its response is not a Lease"))
    }

    fn show(&self, election: &ElectionName, lease: &Lease) -> Result<Observed, StoreError> {
        let kept = lease.decode(election).map_err(|why| self.unreadable(election, &why))?;
        let remaining = self.remaining(&kept);
        let Kept { record, version, .. } = kept;
        // etcd keeps confirmed writes on a majority. The term reveals a restored backup.
        Ok(Observed { record, version, remaining, outlived: false })
    }

    /// The API server's judgement, read early, of a lease that was written from here.
    fn remaining(&self, kept: &Kept) -> Option<Duration> {
        let (now, skew) = (self.api.now(), self.max_clock_skew);
        let lease = kept.record.lease_duration;
        self.api.service_clock().remaining(now, kept.expires, lease, skew)
    }

    /// Writes `lease`. None if it was refused because the Lease is not as expected.
    async fn put(
        &self,
        election: &ElectionName,
        before: Option<&Lease>,
        lease: &Lease,
    ) -> Result<Option<Lease>, StoreError> {
        let leases = self.api.session().await?.leases();
        let response = match before {
            None => self.api.send(Method::POST, &leases, Some(lease)).await?,
            Some(_) => {
                let path = format!("{leases}/{}", object_name(election));
                self.api.send(Method::PUT, &path, Some(lease)).await?
            }
        };
        match response.status {
            StatusCode::OK | StatusCode::CREATED => Ok(Some(self.shown(&response)?)),
            // Another write came first, or the object is gone.
            StatusCode::CONFLICT => Ok(None),
            StatusCode::NOT_FOUND if response.failure().details.kind == "leases" => Ok(None),
            _ => {
                let right = if before.is_some() { Right::Use(election) } else { Right::Create };
                Err(self.refused(right, &response))
            }
        }
    }

    fn is_written(&self, lease: &Lease, election: &ElectionName, write: &str) -> bool {
        lease.decode(election).is_ok_and(|kept| kept.write.as_deref() == Some(write))
    }

    fn unavailable(&self, why: &str) -> StoreError {
        StoreError::Unavailable(format!("{}: {why}", self.api.target()))
    }

    fn unreadable(&self, election: &ElectionName, why: &Unreadable) -> StoreError {
        let name = object_name(election);
        StoreError::Misconfigured(format!("{}: the Lease '{name}' {why}", self.api.target()))
    }

    fn refused(&self, right: Right<'_>, response: &ApiResponse) -> StoreError {
        let session = self.api.opened();
        // Another call may have left the session since.
        let (namespace, from) = match &session {
            Some(session) => (session.namespace.as_str(), session.from.as_str()),
            None => (self.api.target().namespace().unwrap_or("?"), "the kubeconfig or the pod"),
        };
        refusal::explain(namespace, from, &right, response)
    }
}

#[async_trait]
impl Store for KubernetesStore {
    /// Leases need no table: the only check is whether this is a Kubernetes API that has them.
    async fn init(&self) -> Result<(), StoreError> {
        let response = self.api.send(Method::GET, "/apis/coordination.k8s.io/v1", None).await?;
        match response.status {
            StatusCode::OK => Ok(()),
            _ => Err(self.refused(Right::Discover, &response)),
        }
    }

    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError> {
        let found = self.get(election).await?;
        found.map(|lease| self.show(election, &lease)).transpose()
    }

    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError> {
        let before = match expected {
            None => None,
            Some(expected) => match self.seen_as(election, expected) {
                Some(lease) => Some(lease),
                // Another call has read in between: write over the current state, or not at all.
                None => match self.get(election).await? {
                    Some(lease) if lease.version() == *expected => Some(lease),
                    Some(lease) => return Ok(Swapped::Lost(Some(self.show(election, &lease)?))),
                    None => return Ok(Swapped::Lost(None)),
                },
            },
        };
        let write = Uuid::new_v4().simple().to_string();
        // Read after the elector's clock, so the lease ends later than the elector counts.
        let (now, skew) = (self.api.now(), self.max_clock_skew);
        let expires = self.api.service_clock().expires(now, record.lease_duration, skew);
        let draft = Draft { election, record, expires, write: &write };
        let lease = Lease::write(before.as_ref(), &draft);
        let lease = lease.map_err(|why| self.unreadable(election, &why))?;
        let found = match self.put(election, before.as_ref(), &lease).await? {
            Some(written) if !self.is_written(&written, election, &write) => {
                return Err(self.unavailable("its response does not show what was written"));
            }
            Some(written) => Some(written),
            None => self.get(election).await?,
        };
        match found {
            Some(lease) if self.is_written(&lease, election, &write) => {
                let version = lease.version();
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.insert(election.clone(), lease);
                Ok(Swapped::Won(version))
            }
            Some(lease) => Ok(Swapped::Lost(Some(self.show(election, &lease)?))),
            None => Ok(Swapped::Lost(None)),
        }
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        let leases = self.api.session().await?.leases();
        let (mut listing, mut next, mut limit) = (Listing::default(), String::new(), PAGE);
        loop {
            let path = match next.as_str() {
                "" => format!("{leases}?limit={limit}"),
                next => format!("{leases}?limit={limit}&continue={}", encoded(next)),
            };
            let Some(response) = self.api.page(&path).await? else {
                // One Lease fits: etcd takes none that is longer.
                if limit == 1 {
                    return Err(self.unavailable("its response for one Lease is longer than 2 MiB"));
                }
                limit /= 2;
                continue;
            };
            let page =
                (response.status == StatusCode::OK).then(|| lease::Page::parse(&response.body));
            let Some(page) = page else { return Err(self.refused(Right::List, &response)) };
            let page =
                page.ok_or_else(|| self.unavailable("its response is not a list of Leases"))?;
            for lease in &page.items {
                // A Lease that bellwether never wrote is another program's.
                let Some(election) = lease.election() else { continue };
                match self.show(&election, lease) {
                    Ok(observed) => listing.records.push((election, observed)),
                    Err(why) => listing.unreadable.push((election.as_str().to_owned(), why)),
                }
            }
            match page.next() {
                Some(token) => next = token.to_owned(),
                None => break,
            }
        }
        listing.records.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(listing)
    }

    fn service_time(&self) -> Option<ServiceTime> {
        self.api.service_clock().last()
    }

    fn hints(&self, election: &ElectionName) -> Hints {
        watch::hints(Arc::clone(&self.api), election.clone())
    }
}

/// A token of the API server in a query.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl fmt::Debug for KubernetesStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesStore").field("target", self.api.target()).finish_non_exhaustive()
    }
}
