//! What the chart renders, before a real API server: every object is accepted in a namespace of the
//! restricted profile, and the rights that it grants are those that the program needs.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use support::chart::{everything, with};
use support::kubernetes::{ApiServer, url};
use support::tools::must;
use support::tools::{project, yaml};
use support::{Sidecar, bellwether, eventually};

/// The namespace that the charts are rendered for.
const NAMESPACE: &str = "shop";

fn server() -> ApiServer {
    let server = ApiServer::start();
    let level = |mode: &str| format!("pod-security.kubernetes.io/{mode}: restricted");
    server.apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    {}\n    {}\n",
        level("enforce"),
        level("warn")
    ));
    server
}

/// What a user applies, as one text of JSON documents.
fn list(documents: &[Value]) -> String {
    // The Prometheus operator's kinds are not the API server's own.
    let known = documents.iter().filter(|document| document["kind"] != "PodMonitor");
    let known: Vec<_> = known.cloned().collect();
    serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": known }).to_string()
}

#[test]
fn the_api_server_accepts_every_object_without_a_warning() {
    let server = server();
    let file = server.admin().with_file_name("objects.json");
    // A controller makes the first in every namespace; the second is a value of the matrix.
    for account in ["default", "shop", "demo"] {
        let mut command = server.kubectl();
        command.args(["create", "serviceaccount", account, "--namespace", NAMESPACE]);
        // So that `apply` takes it for its own.
        must(command.arg("--save-config"));
    }
    let plain = ["postgres-to-try", "plain"].map(|name| {
        let file = project().join("deploy/kubernetes").join(format!("{name}.yaml"));
        let text = fs::read_to_string(file).unwrap();
        (name, yaml(&text.replace("namespace: default", &format!("namespace: {NAMESPACE}"))))
    });
    let rendered = everything().iter().map(|one| (one.name.as_str(), &one.documents));
    let mut seen = 0;
    for (name, documents) in rendered.chain(plain.iter().map(|(name, all)| (*name, all))) {
        fs::write(&file, list(documents)).unwrap();
        let mut command = server.kubectl();
        command.args(["apply", "--dry-run=server", "--namespace", NAMESPACE, "-f"]).arg(&file);
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && printed.is_empty(), "{name}: {printed}");
        seen += documents.len();
    }
    assert!(seen > 20, "{seen}");
}

/// A kubeconfig of a service account that the chart made.
fn kubeconfig_of(server: &ApiServer, account: &str) -> std::path::PathBuf {
    let mut command = server.kubectl();
    let token = must(command.args(["create", "token", account, "--namespace", NAMESPACE]));
    server.kubeconfig_for(account, server.port(), &format!("token: {}", token.trim()))
}

fn of_kinds(documents: &[Value], kinds: &[&str]) -> Vec<Value> {
    let is_one = |document: &&Value| kinds.iter().any(|kind| document["kind"] == *kind);
    documents.iter().filter(is_one).cloned().collect()
}

#[test]
fn the_rights_of_the_chart_are_those_that_the_program_needs() {
    let server = server();
    let sets = ["app.image=a", "job.image=shop:7", "job.command={/bin/true}", "elections={cron}"];
    let documents = with(&sets);
    let granted = of_kinds(&documents, &["ServiceAccount", "Role", "RoleBinding"]);
    assert_eq!(granted.len(), 8, "for the pods and for the job");
    server.apply_in(NAMESPACE, &list(&granted));

    let app = kubeconfig_of(&server, "demo");
    let more = ["--election", "shop.demo", "--election", "cron"];
    let sidecar = Sidecar::start_with("demo-0", &url(NAMESPACE, &app), &more);
    for path in ["/elections/shop.demo/leader", "/elections/cron/leader"] {
        eventually(path, || (sidecar.status(path) == 200).then_some(()));
    }
    assert_eq!(sidecar.log().count("a right is missing"), 0);

    // The job, with the words of its container.
    let job = of_kinds(&documents, &["Job"]);
    let container = &job[0]["spec"]["template"]["spec"]["containers"][0];
    let words = container["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let words: Vec<_> = words.skip(1).collect();
    let run = |account: &str| {
        let store = url(NAMESPACE, &kubeconfig_of(&server, account));
        let mut once: Command = bellwether();
        once.args(&words).env("BELLWETHER_STORE", store).env("BELLWETHER_TIMEOUT", "20s");
        once.stdin(Stdio::null()).output().unwrap()
    };
    let output = run("demo-once");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The pods have no right to the job's key.
    let refused = run("demo");
    assert!(!refused.status.success());
    let printed = String::from_utf8_lossy(&refused.stderr);
    assert!(printed.contains("a right is missing"), "{printed}");
}
