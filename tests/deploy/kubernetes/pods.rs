//! What is in every pod that a chart makes, and what is not.

use std::fs;

use serde_json::{Value, json};

use support::chart::{everything, example_with, with};
use support::tools::{project, yaml};

/// A pod, with the kind of what it stands in.
pub struct Pod<'a> {
    from: &'a str,
    kind: &'a str,
    spec: &'a Value,
}

impl<'a> Pod<'a> {
    fn init_containers(&self) -> &'a [Value] {
        self.spec["initContainers"].as_array().map_or(&[], Vec::as_slice)
    }

    fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.init_containers().iter().chain(self.spec["containers"].as_array().unwrap())
    }
}

fn pods<'a>(from: &'a str, documents: &'a [Value]) -> impl Iterator<Item = Pod<'a>> {
    documents.iter().filter_map(move |document| {
        let kind = document["kind"].as_str().unwrap();
        let spec = match kind {
            "Pod" => &document["spec"],
            "CronJob" => &document["spec"]["jobTemplate"]["spec"]["template"]["spec"],
            _ => &document["spec"]["template"]["spec"],
        };
        spec["containers"].is_array().then_some(Pod { from, kind, spec })
    })
}

fn all_pods<'a>() -> impl Iterator<Item = Pod<'a>> {
    everything().iter().flat_map(|rendered| pods(&rendered.name, &rendered.documents))
}

/// The sidecar of the first workload that has one.
pub fn sidecar(documents: &[Value]) -> Value {
    init_container(documents, "bellwether")
}

/// The first init container of a name.
pub fn init_container(documents: &[Value], name: &str) -> Value {
    let mut containers = pods("", documents).flat_map(|pod| pod.init_containers());
    containers.find(|container| container["name"] == name).unwrap().clone()
}

#[test]
fn a_sidecar_starts_first_ends_last_and_never_takes_its_pod_out_of_service() {
    let mut kinds = Vec::new();
    for pod in all_pods() {
        let (from, kind) = (pod.from, pod.kind);
        let containers = pod.init_containers();
        let Some(first) = containers.iter().position(|c| c["name"] == "bellwether") else {
            assert_eq!(kind, "Job", "{from}: only `once` goes without");
            continue;
        };
        kinds.push(kind);
        assert_eq!(first, 0, "{from} {kind}: what starts before it cannot ask it");
        let sidecar = &containers[0];
        // This makes it end after the main containers: see `ends`.
        assert_eq!(sidecar["restartPolicy"], "Always", "{from} {kind}");
        assert_eq!(sidecar["args"], json!(["serve"]), "{from} {kind}");
        assert!(sidecar["livenessProbe"].is_object(), "{from} {kind}");
        assert!(
            sidecar["startupProbe"].is_null(),
            "{from} {kind}: it may restart while the store is away"
        );
        assert!(sidecar["readinessProbe"].is_null(), "{from} {kind}");
        // The application starts after the first decision, at the start of its pod only.
        let waits = containers.iter().skip(1).any(|c| c["name"] == "bellwether-wait");
        assert_eq!(waits, from != "undecided-values", "{from} {kind}");
        // A hook at its end would only delay the hand-over.
        assert!(sidecar["lifecycle"].is_null(), "{from} {kind}");
        assert!(sidecar["resources"]["limits"]["cpu"].is_null(), "{from} {kind}");
    }
    for kind in ["Deployment", "StatefulSet", "CronJob", "Pod"] {
        assert!(kinds.contains(&kind), "no {kind} was looked at");
    }
}

fn has(container: &Value, variable: &str) -> bool {
    let env = container["env"].as_array().map_or(&[][..], Vec::as_slice);
    env.iter().any(|entry| entry["name"] == variable)
}

/// The pod of `helm test` stands in another election. It once took the label from the leader of the
/// application, whose Service then had no pod.
#[test]
fn only_the_application_labels_its_leader() {
    let leader = ["leaderService.enabled=true", "leaderService.ports[0].port=80"];
    let leases = with(&[&["app.image=a"][..], &leader].concat());
    let mut kinds = Vec::new();
    for pod in all_pods().chain(pods("leases", &leases)) {
        let (from, kind) = (pod.from, pod.kind);
        for container in pod.containers() {
            if has(container, "BELLWETHER_LEADER_LABEL") {
                kinds.push(kind);
                assert_eq!(pod.spec["automountServiceAccountToken"], true, "{from} {kind}");
            }
        }
    }
    // A pod without a workload is that of `helm test`.
    assert_eq!(kinds, ["Deployment", "Deployment"]);
}

/// The pod of `helm test` has no application, and its leadership is not that of the application.
#[test]
fn the_test_of_helm_runs_no_gate_and_no_hook() {
    let names = ["GATE_COMMAND", "ON_ELECTED", "ON_LOST", "LEADER_LABEL", "MAX_CLOCK_SKEW"];
    let names = names.map(|name| format!("BELLWETHER_{name}"));
    let env = |(at, name): (usize, &String)| format!("env[{at}].name={name},env[{at}].value=1s");
    let mut sets: Vec<_> = names.iter().enumerate().map(env).collect();
    sets.extend(["app.image=a".to_owned(), "gate.url=http://127.0.0.1/".to_owned()]);
    let documents = with(&sets.iter().map(String::as_str).collect::<Vec<_>>());
    for pod in pods("", &documents) {
        let sidecar = &pod.init_containers()[0];
        for name in names.iter().map(String::as_str).chain(["BELLWETHER_GATE_URL"]) {
            let expected = pod.kind != "Pod" || name == "BELLWETHER_MAX_CLOCK_SKEW";
            assert_eq!(has(sidecar, name), expected, "{}: {name}", pod.kind);
        }
    }
}

/// Without BELLWETHER_NAMESPACE, `once` would share its records with other environments.
#[test]
fn a_container_with_once_has_the_environment_of_the_sidecar() {
    let env = "env[0].name=BELLWETHER_NAMESPACE,env[0].value=staging";
    let job = with(&["store.secret.name=s", "job.image=a", "job.command={b}", env]);
    let env = env.replace("env[", "bellwether.env[");
    let example = yaml(&example_with("helm4/helm", &[&env]));
    for documents in [job, example] {
        let mut containers = pods("", &documents).flat_map(|pod| pod.containers());
        let once = containers.find(|container| container["name"] == "once").unwrap();
        assert!(has(once, "BELLWETHER_NAMESPACE"), "{once}");
    }
}

/// With BELLWETHER_LISTEN in `env`, the container that waits asked at the usual port, for 30 days.
#[test]
fn a_container_that_asks_the_sidecar_has_its_environment_and_files() {
    let documents = with(&[
        "app.image=a",
        "env[0].name=BELLWETHER_LISTEN,env[0].value=127.0.0.1:4041",
        "env[1].name=BELLWETHER_TOKEN_FILE,env[1].value=/token/token",
        "volumeMounts[0].name=token,volumeMounts[0].mountPath=/token",
    ]);
    let mut seen = Vec::new();
    for pod in pods("", &documents) {
        for container in pod.containers() {
            let name = container["name"].as_str().unwrap();
            if ["bellwether", "bellwether-wait", "wait"].contains(&name) {
                seen.push(name);
                for variable in ["BELLWETHER_LISTEN", "BELLWETHER_TOKEN_FILE"] {
                    assert!(has(container, variable), "{name}: {variable}");
                }
                assert_eq!(container["volumeMounts"][0]["mountPath"], "/token", "{name}");
            }
        }
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        ["bellwether", "bellwether", "bellwether-wait", "bellwether-wait", "wait"],
        "of the Deployment, and of the test"
    );
}

/// What the `restricted` profile of the Pod Security Standards demands of a container.
fn is_restricted(container: &Value) -> bool {
    let context = &container["securityContext"];
    context["runAsNonRoot"] == true
        && context["allowPrivilegeEscalation"] == false
        && context["capabilities"]["drop"] == json!(["ALL"])
        && context["capabilities"]["add"].is_null()
        && context["seccompProfile"]["type"] == "RuntimeDefault"
        && context["privileged"].is_null()
        && context["runAsUser"] != 0
}

#[test]
fn the_restricted_profile_admits_every_pod_of_the_chart() {
    let mut seen = 0;
    let plain = ["postgres-to-try", "plain"].map(|name| {
        let file = project().join("deploy/kubernetes").join(format!("{name}.yaml"));
        (name, yaml(&fs::read_to_string(file).unwrap()))
    });
    let plain = plain.iter().flat_map(|(name, documents)| pods(name, documents));
    for pod in all_pods().chain(plain) {
        let (from, kind) = (pod.from, pod.kind);
        for container in pod.containers() {
            seen += 1;
            // A setting of the pod holds for its containers.
            let not_root = |user: &Value| user.as_u64().is_none_or(|user| user != 0);
            assert!(not_root(&pod.spec["securityContext"]["runAsUser"]), "{from} {kind}");
            assert!(is_restricted(container), "{from} {kind}: {container}");
        }
        for host in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod.spec[host].is_null(), "{from} {kind}");
        }
        if !["example", "plain"].contains(&from) {
            let in_leases = ["leases-values", "try-values"].contains(&from);
            // For the label of the leader's pod.
            let needs_token = in_leases || (from == "leader-values" && kind == "Deployment");
            assert_eq!(pod.spec["automountServiceAccountToken"], needs_token, "{from} {kind}");
        }
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn a_candidate_is_named_after_its_pod_and_reads_the_store_from_a_secret() {
    let documents = with(&["app.image=a", "store.secret.name=s", "job.image=a", "job.command={b}"]);
    let once = documents.iter().find(|document| document["kind"] == "Job").unwrap();
    let once = &once["spec"]["template"]["spec"]["containers"][0];
    for container in [&sidecar(&documents), once] {
        let env = container["env"].as_array().unwrap();
        let of = |name: &str| &env.iter().find(|entry| entry["name"] == name).unwrap()["valueFrom"];
        assert_eq!(of("BELLWETHER_IDENTITY")["fieldRef"]["fieldPath"], "metadata.name");
        assert_eq!(of("BELLWETHER_STORE")["secretKeyRef"]["name"], "s");
    }
}

/// The entries of the reference for a command, with what is for all of them.
fn reference(command: &str) -> String {
    let whole = bellwether::cli::reference::configuration();
    let commands = ["*For all commands.*".to_owned(), format!("`{command}`")];
    let is_of_command = |entry: &&str| {
        let of = entry.rsplit("*For ").next().map(|of| format!("*For {of}"));
        of.is_some_and(|of| commands.iter().any(|command| of.contains(command)))
    };
    whole.split("\n- **").filter(is_of_command).collect()
}

#[test]
fn no_template_sets_what_the_program_does_not_know() {
    let page = fs::read_to_string(project().join("docs/once.md")).unwrap();
    let mut seen = 0;
    for pod in all_pods() {
        for container in pod.containers() {
            let command = match container["name"].as_str() {
                Some(name @ "once") => name,
                Some("bellwether-wait" | "wait") => "wait",
                _ => "serve",
            };
            let known = reference(command);
            let env = container["env"].as_array().map_or(&[][..], Vec::as_slice);
            let names = env.iter().map(|entry| entry["name"].as_str().unwrap());
            for name in names.filter(|name| name.starts_with("BELLWETHER_")) {
                seen += 1;
                // A value from the platform is no setting of its own: the page names it.
                let named = known.contains(&format!("`{name}`"))
                    || (command == "once" && page.contains(name));
                assert!(named, "{}: {name}", pod.from);
            }
        }
    }
    assert!(seen > 20, "{seen}");
}
