//! The Kubernetes store, on a real API server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether::election::lease::ElectionName;
use bellwether::store::Store;
use bellwether::store::kubernetes::{KubernetesStore, Target};
use bellwether::time::clock::HostClock;
use serde_json::Value;

use crate::conformance::subject::Subject;
use support::dynamodb::{PATIENCE, SKEW};
use support::kubernetes::ApiServer;
use support::tools::must;

struct Kubernetes {
    server: Arc<ApiServer>,
    namespace: String,
    skew: Option<Duration>,
}

async fn kubernetes(skew: Option<Duration>) -> Kubernetes {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    Kubernetes { server, namespace, skew }
}

impl Kubernetes {
    fn leases(&self) -> Vec<Value> {
        let mut command = self.server.kubectl();
        let text = must(command.args(["get", "leases", "-o", "json", "-n", &self.namespace]));
        let list: Value = serde_json::from_str(&text).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    fn annotate(&self, lease: &str, annotation: &str, value: &str) {
        let set = format!("bellwether/{annotation}={value}");
        let mut command = self.server.kubectl();
        must(command.args([
            "annotate",
            "--overwrite",
            "-n",
            &self.namespace,
            "lease",
            lease,
            &set,
        ]));
    }
}

#[async_trait]
impl Subject for Kubernetes {
    fn shows_records(&self) -> bool {
        true
    }

    fn store(&self) -> Arc<dyn Store> {
        self.from_another_process()
    }

    fn from_another_process(&self) -> Arc<dyn Store> {
        let target = Target::parse(&self.server.url(&self.namespace)).unwrap();
        Arc::new(
            KubernetesStore::new(target, PATIENCE, Arc::new(HostClock)).judged_within(self.skew),
        )
    }

    fn has_a_clock(&self) -> bool {
        self.skew.is_some()
    }

    /// The skew, the whole second that a date cuts off, and the request on its way.
    fn judges_late_by(&self) -> Duration {
        self.skew.unwrap_or_default() + Duration::from_secs(2)
    }

    /// The clock is the server's: instead of it, the end of every lease is moved.
    async fn let_pass(&self, time: Duration) {
        for lease in self.leases() {
            let expires = lease["metadata"]["annotations"]["bellwether/expires"].as_str().unwrap();
            let expires = humantime::parse_rfc3339(expires).unwrap() - time;
            let expires = humantime::format_rfc3339_millis(expires).to_string();
            self.annotate(lease["metadata"]["name"].as_str().unwrap(), "expires", &expires);
        }
    }

    async fn write_future_shape(&self, election: &ElectionName) -> Option<String> {
        self.annotate(election.as_str(), "format", "99");
        Some(self.raw(election).await)
    }

    async fn write_as_older_version(&self, election: &ElectionName, incarnation: &str) -> bool {
        self.annotate(election.as_str(), "incarnation", incarnation);
        true
    }

    async fn forget_later_columns(&self) {
        for lease in self.leases() {
            let name = lease["metadata"]["name"].as_str().unwrap();
            let mut command = self.server.kubectl();
            command.args(["annotate", "-n", &self.namespace, "lease", name]);
            must(command.args([
                "bellwether/origin-",
                "bellwether/holder-url-",
                "bellwether/pause-",
            ]));
        }
    }

    async fn raw(&self, election: &ElectionName) -> String {
        let mut command = self.server.kubectl();
        command.args(["get", "lease", "-o", "json", "-n", &self.namespace, election.as_str()]);
        must(&mut command)
    }
}

mod with_the_servers_date {
    crate::conformance::conformance!(super::kubernetes(Some(super::SKEW)));
}

mod without_a_clock {
    crate::conformance::conformance!(super::kubernetes(None));
}
