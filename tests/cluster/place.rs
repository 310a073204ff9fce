//! A namespace of one test's own, in which the restricted profile is enforced.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;

use crate::node::{API, Node, patiently};
use crate::world::World;
use support::tools::{must, project};
use support::{Answer, get};

pub struct Place {
    pub node: &'static Node,
    pub name: String,
    pub world: World,
    _turn: Turn,
}

#[expect(dead_code, reason = "held, never read")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Place {
    /// A new namespace, and the calling thread in the network of the node.
    pub fn new() -> Self {
        let node = Node::shared();
        Self::with(node, Turn::Shared(node.turns.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The same, while no other test runs.
    pub fn alone() -> Self {
        let node = Node::shared();
        Self::with(node, Turn::Alone(node.turns.write().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The namespace `default`, which a user gets without naming one. For one test at a time.
    pub fn default_one() -> Self {
        let node = Node::shared();
        let turn = Turn::Shared(node.turns.read().unwrap_or_else(PoisonError::into_inner));
        Self::named("default", node, turn)
    }

    fn named(name: &str, node: &'static Node, turn: Turn) -> Self {
        node.enter();
        Self { node, name: name.to_owned(), world: World::new(), _turn: turn }
    }

    fn with(node: &'static Node, turn: Turn) -> Self {
        static PLACES: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}", PLACES.fetch_add(1, Ordering::Relaxed));
        let place = Self::named(&name, node, turn);
        must(node.kubectl().args(["create", "namespace", &place.name]));
        let level = |mode: &str| format!("pod-security.kubernetes.io/{mode}=restricted");
        must(
            node.kubectl()
                .args(["label", "namespace", &place.name])
                .args(["enforce", "warn"].map(level)),
        );
        patiently("the namespace has a service account", || {
            place.api("serviceaccounts/default")["metadata"]["name"].is_string().then_some(())
        });
        place
    }

    /// kubectl in the namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.node.kubectl();
        command.args(["--namespace", &self.name]).args(arguments);
        command
    }

    /// Helm in the namespace.
    pub fn helm(&self, arguments: &[&str]) -> Command {
        let mut command = self.node.helm();
        command.args(["--namespace", &self.name]).args(arguments);
        command
    }

    /// `helm install` or `helm upgrade` of the chart, with the application of app.yaml.
    pub fn chart(&self, verb: &str, release: &str, sets: &[&str]) -> Command {
        let mut command = self.helm(&[verb, release]);
        command.arg(project().join("charts/bellwether"));
        command.arg("--values").arg(project().join("tests/cluster/app.yaml"));
        command
            .args(["--set", &format!("app.env[0].name=WORLD,app.env[0].value={}", self.world.url)]);
        for set in sets {
            command.args(["--set", set]);
        }
        command
    }

    /// Installs the chart and waits until one instance works.
    #[track_caller]
    pub fn installed(&self, release: &str, sets: &[&str]) {
        must(&mut self.chart("install", release, sets));
        self.rolled_out(release);
        self.world.sees("one works", |report| report.what == "works");
    }

    /// Waits until a Deployment is as it should be.
    #[track_caller]
    pub fn rolled_out(&self, name: &str) {
        must(&mut self.kubectl(&[
            "rollout",
            "status",
            "--timeout=240s",
            &format!("deployment/{name}"),
        ]));
    }

    /// An object, or a list of them, from the core API group in this namespace; null if there is none.
    pub fn api(&self, path: &str) -> Value {
        let answer = get(&format!("{API}/api/v1/namespaces/{}/{path}", self.name));
        answer.filter(|answer| answer.status == 200).map_or(Value::Null, |answer| answer.body)
    }

    /// The pods that are not being deleted.
    pub fn pods(&self) -> Vec<Pod> {
        let list = self.api("pods");
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let pods = items.into_iter().map(Pod);
        pods.filter(|pod| pod.0["metadata"]["deletionTimestamp"].is_null()).collect()
    }

    /// A pod by its name.
    #[track_caller]
    pub fn pod(&self, name: &str) -> Pod {
        let pod = self.api(&format!("pods/{name}"));
        assert!(pod.is_object(), "there is no pod {name}");
        Pod(pod)
    }

    /// The pod that leads by its sidecar's own answer.
    #[track_caller]
    pub fn leader(&self) -> Pod {
        patiently("one leads", || self.pods().into_iter().find(Pod::leads))
    }

    /// Kills the first process of a container with SIGKILL.
    pub fn kill(&self, pod: &Pod, container: &str) {
        let status = pod.container(container);
        let id =
            status["containerID"].as_str().unwrap().trim_start_matches("containerd://").to_owned();
        must(self.node.ctr().args(["tasks", "kill", "--signal", "SIGKILL", &id]));
    }

    fn explain(&self) {
        for arguments in [
            &["get", "pods", "-o", "wide"][..],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["describe", "pods"],
            &[
                "logs",
                "--all-containers",
                "--prefix",
                "--tail=40",
                "--selector",
                "app.kubernetes.io/name",
            ],
        ] {
            let output = self.kubectl(arguments).output();
            let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            eprintln!("--- {arguments:?}\n{}", text.unwrap_or_default());
        }
        for report in self.world.reports().iter().rev().take(60).rev() {
            eprintln!("{report:?}");
        }
        eprintln!("--- the logs of the node: {}", self.node.logs().display());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.explain();
        }
        if self.name != "default" {
            let delete = ["delete", "namespace", &self.name, "--wait=false"];
            let _ = self.node.kubectl().args(delete).output();
        }
    }
}

/// A pod as the API describes it.
#[derive(Clone, Debug)]
pub struct Pod(pub Value);

impl Pod {
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap()
    }

    /// What its sidecar answers to a path, if it does.
    pub fn get(&self, path: &str) -> Option<Answer> {
        get(&format!("http://{}:4040{path}", self.0["status"]["podIP"].as_str()?))
    }

    pub fn leads(&self) -> bool {
        self.get("/leader").is_some_and(|answer| answer.leads())
    }

    /// Since when it is ready, by the second; none if it is not.
    pub fn ready_since(&self) -> Option<String> {
        let conditions = self.0["status"]["conditions"].as_array()?;
        let ready =
            conditions.iter().find(|one| one["type"] == "Ready" && one["status"] == "True")?;
        Some(ready["lastTransitionTime"].as_str()?.to_owned())
    }

    /// The state of a container.
    pub fn container(&self, name: &str) -> Value {
        let lists = ["containerStatuses", "initContainerStatuses"];
        let all = lists.iter().filter_map(|list| self.0["status"][list].as_array()).flatten();
        all.clone().find(|status| status["name"] == name).cloned().unwrap_or(Value::Null)
    }

    pub fn restarts(&self, container: &str) -> u64 {
        self.container(container)["restartCount"].as_u64().unwrap_or(0)
    }
}
