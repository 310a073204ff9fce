//! A label on the pods of a namespace, and the term of the leader that set it.
//!
//! The term is in an annotation of the label's name. Every write that could take a label from its
//! rightful pod, or give it to a wrong one, contains the `resourceVersion` of the pod as it was seen,
//! and is refused if the pod has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::api::{Api, ApiResponse};
use super::encoded;
use super::refusal::is_missing_right;
use super::url::{Target, is_label};
use crate::election::term::Term;
use crate::election::text;
use crate::election::time::Clock;
use crate::store::contract::StoreError;

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Of pods that carry the label there is one, or a few in a moment of trouble.
const MOST: u32 = 100;

/// The label, in one namespace.
pub struct Labels {
    api: Api,
    namespace: String,
    key: String,
}

/// A pod that carries the label.
#[derive(Clone, Debug)]
pub struct LabelledPod {
    /// Its name.
    pub name: String,
    /// The label's value.
    pub value: String,
    /// The term of the leader that set it; none if something else did.
    pub term: Option<Term>,
    /// The pod's version.
    pub version: String,
}

/// The effect of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// The pod has this version now.
    Done(String),
    /// The pod is not as it was seen.
    Changed,
    /// There is no such pod.
    Gone,
}

#[derive(Deserialize)]
struct List {
    kind: String,
    #[serde(default)]
    items: Vec<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    resource_version: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Labels {
    /// The label `key` in a namespace of the cluster that the environment names: by `KUBECONFIG`, or
    /// by the service account of this pod. None if that is no namespace. Nothing is opened yet.
    pub fn new(namespace: &str, key: String, clock: Arc<dyn Clock>) -> Option<Self> {
        let target = Target::parse(&format!("kubernetes://{namespace}")).ok();
        let target = target.filter(|_| is_label(namespace))?;
        Some(Self { api: Api::new(target, LIMIT, clock), namespace: namespace.to_owned(), key })
    }

    /// The pods that carry it, with any value.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub async fn list(&self) -> Result<Vec<LabelledPod>, StoreError> {
        let path = format!("{}?labelSelector={}&limit={MOST}", self.pods(), encoded(&self.key));
        let response = self.send(Method::GET, &path, Vec::new()).await?;
        let list = (response.status == StatusCode::OK)
            .then(|| serde_json::from_slice::<List>(&response.body).ok());
        let list = list.ok_or_else(|| self.refused(&response))?;
        let list = list.filter(|list| list.kind == "PodList").ok_or_else(|| {
            StoreError::Unavailable("the API server's response is not a list of pods".to_owned())
        })?;
        Ok(list.items.into_iter().filter_map(|pod| self.seen(pod)).collect())
    }

    fn seen(&self, pod: Pod) -> Option<LabelledPod> {
        let Metadata { name, resource_version, mut labels, annotations } = pod.metadata;
        let value = labels.remove(&self.key)?;
        let term = annotations.get(&self.key).and_then(|term| term.parse().ok()).map(Term::new);
        Some(LabelledPod { name, value, term, version: resource_version })
    }

    /// Sets the label and the term, if the pod still has the version.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub async fn set(
        &self,
        pod: &str,
        value: &str,
        term: Term,
        version: Option<&str>,
    ) -> Result<Patched, StoreError> {
        let term = term.to_string();
        self.patch(pod, Some(value), Some(&term), version).await
    }

    /// Takes both away, if the pod still has the version.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub async fn remove(&self, pod: &str, version: Option<&str>) -> Result<Patched, StoreError> {
        self.patch(pod, None, None, version).await
    }

    async fn patch(
        &self,
        pod: &str,
        value: Option<&str>,
        term: Option<&str>,
        version: Option<&str>,
    ) -> Result<Patched, StoreError> {
        let mut metadata = json!({
            "labels": { &self.key: value },
            "annotations": { &self.key: term },
        });
        if let (Some(version), Some(metadata)) = (version, metadata.as_object_mut()) {
            metadata.insert("resourceVersion".to_owned(), version.into());
        }
        let body = json!({ "metadata": metadata }).to_string().into_bytes();
        let path = format!("{}/{pod}", self.pods());
        let response = self.send(Method::PATCH, &path, body).await?;
        match response.status {
            StatusCode::OK => match serde_json::from_slice::<Pod>(&response.body) {
                Ok(pod) => Ok(Patched::Done(pod.metadata.resource_version)),
                Err(_) => Err(StoreError::Unavailable(
                    "the API server's response is not a pod".to_owned(),
                )),
            },
            StatusCode::CONFLICT => Ok(Patched::Changed),
            StatusCode::NOT_FOUND if response.failure().details.kind == "pods" => Ok(Patched::Gone),
            _ => Err(self.refused(&response)),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<ApiResponse, StoreError> {
        let response = tokio::time::timeout(LIMIT, self.api.send_bytes(method, path, body)).await;
        response.unwrap_or_else(|_| {
            let limit = humantime::format_duration(LIMIT);
            let why = format!("no response from the API server within {limit}");
            Err(StoreError::Unavailable(why))
        })
    }

    fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    fn refused(&self, response: &ApiResponse) -> StoreError {
        let message = text::message(&response.failure().message);
        match response.status {
            StatusCode::FORBIDDEN if is_missing_right(&message) => {
                StoreError::Misconfigured(format!(
                    "a right is missing in the namespace '{}': {message}; grant it by this rule in \
                     a Role that is bound to the pod's service account: {{apiGroups: [''], \
                     resources: [pods], verbs: [list, patch]}}",
                    self.namespace
                ))
            }
            status => {
                StoreError::Unavailable(format!("the API server refuses ({status}): {message}"))
            }
        }
    }
}
