//! The components for Kustomize put the chart's own containers into each kind of workload.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::kubernetes::pods::init_container;
use support::chart::with;
use support::tools::{golden, must, project, tool, yaml};

/// What a kustomization becomes.
fn built(folder: &Path) -> String {
    must(tool("helm4/kubectl").arg("kustomize").arg(folder))
}

fn components() -> std::path::PathBuf {
    project().join("deploy/kubernetes/kustomize")
}

/// A kustomization of its own, with the components beside it.
fn kustomization(text: &str, resources: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    must(std::process::Command::new("cp").arg("-r").arg(components()).arg(folder.path()));
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("kustomization.yaml"), text).unwrap();
    fs::write(own.join("resources.yaml"), resources).unwrap();
    fs::copy(components().join("example/settings.yaml"), own.join("settings.yaml")).unwrap();
    built(&own)
}

const OWN: &str = "
namespace: shops
namePrefix: one-
resources: [resources.yaml, settings.yaml]
components: [../kustomize/sidecar, ../kustomize/rights]
";

/// One workload of each kind; the first has an init container already.
const WORKLOADS: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: stateful}
spec:
  serviceName: stateful
  selector: {matchLabels: {app: stateful}}
  template:
    metadata: {labels: {app: stateful}}
    spec:
      initContainers: [{name: prepare, image: shop}]
      containers: [{name: main, image: shop}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: deployment}
spec:
  selector: {matchLabels: {app: deployment}}
  template:
    metadata: {labels: {app: deployment}}
    spec: {containers: [{name: main, image: shop}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: daemon}
spec:
  selector: {matchLabels: {app: daemon}}
  template:
    metadata: {labels: {app: daemon}}
    spec: {containers: [{name: main, image: shop}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: cron}
spec:
  schedule: '0 3 * * *'
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: Never, containers: [{name: main, image: shop}]}
";

#[test]
fn the_plain_manifests_are_what_the_example_becomes() {
    let text = built(&components().join("example"));
    let head = "# The application of kustomize/example with the sidecar, for `kubectl apply -f` without Kustomize.\n\
                # A test compares it with what `kubectl kustomize` makes of the example.\n";
    golden(&project().join("deploy/kubernetes/plain.yaml"), &format!("{head}{text}"));
}

#[test]
fn every_kind_of_workload_gets_the_containers_of_the_chart() {
    let chart = with(&["app.image=a", "election=shop"]);
    let documents = yaml(&kustomization(OWN, WORKLOADS));
    let mut kinds = Vec::new();
    for document in &documents {
        let kind = document["kind"].as_str().unwrap();
        let pod = match kind {
            "CronJob" => &document["spec"]["jobTemplate"]["spec"]["template"]["spec"],
            _ => &document["spec"]["template"]["spec"],
        };
        let Some(containers) = pod["initContainers"].as_array() else { continue };
        kinds.push(kind);
        for (at, name) in ["bellwether", "bellwether-wait"].into_iter().enumerate() {
            assert_eq!(containers[at], init_container(&chart, name), "{kind}");
        }
        let others = containers.len() - 2;
        assert_eq!(others, usize::from(kind == "StatefulSet"), "{kind} keeps what it has");
        assert_eq!(pod["serviceAccountName"], "one-bellwether", "{kind}");
    }
    kinds.sort_unstable();
    assert_eq!(kinds, ["CronJob", "DaemonSet", "Deployment", "StatefulSet"]);
}

#[test]
fn the_rights_are_those_to_the_lease_of_the_election() {
    let documents = yaml(&kustomization(OWN, WORKLOADS));
    let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap();
    let role = &of("Role")["rules"];
    let chart = with(&["app.image=a", "election=shop"]);
    let roles = chart.iter().filter(|document| document["kind"] == "Role");
    let rules = roles.flat_map(|role| role["rules"].as_array().unwrap());
    let mut expected: Vec<_> = rules.cloned().collect();
    // The chart's role has one more name, for `helm test`.
    expected[1]["resourceNames"].as_array_mut().unwrap().retain(|name| name == "shop");
    let expected = Value::Array(expected);
    assert_eq!(*role, expected);
    let binding = of("RoleBinding");
    assert_eq!(binding["roleRef"]["name"], "one-bellwether");
    assert_eq!(binding["subjects"][0]["name"], "one-bellwether");
    assert_eq!(binding["subjects"][0]["namespace"], "shops");
    // The settings of the components are not applied.
    assert!(documents.iter().all(|document: &Value| document["kind"] != "ConfigMap"));
}
