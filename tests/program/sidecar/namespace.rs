//! Two environments on one store: separate with namespaces, and warned without them.

use std::process::Output;

use serde_json::Value;

use support::{Pasture, QUICK, Sidecar, bellwether, eventually};

fn run(args: &[&str]) -> Output {
    bellwether().args(args).output().unwrap()
}

/// The namespaces and names that `status ARGS` shows.
fn shown(pasture: &Pasture, args: &[&str]) -> Vec<(Option<String>, String)> {
    let output = run(&[&["status", "--json", "--store", &pasture.store()], args].concat());
    assert!(output.status.success(), "{output:?}");
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    rows.iter().map(|row| (text(&row["namespace"]), text(&row["name"]).unwrap())).collect()
}

#[test]
fn two_environments_on_one_store_have_a_leader_each() {
    let pasture = Pasture::new();
    let alone = Sidecar::start("alone", &pasture.store());
    let staging = Sidecar::start_with("staging", &pasture.store(), &["--namespace", "staging"]);
    let mut command = bellwether();
    command.env("BELLWETHER_NAMESPACE", "prod");
    let prod = Sidecar::start_as("prod", &pasture.store(), &[], command);
    for sidecar in [&alone, &staging, &prod] {
        eventually("each leads", || sidecar.leader().leads().then_some(()));
        assert_eq!(sidecar.leader().body["election"], "default");
    }
    let second = Sidecar::start_with("second", &pasture.store(), &["--namespace", "prod"]);
    eventually("it follows", || (second.leader().holder() == Some("prod")).then_some(()));

    let named = |namespace: Option<&str>, name: &str| (namespace.map(str::to_owned), name.into());
    assert_eq!(shown(&pasture, &[]), [named(None, "default")]);
    let own = shown(&pasture, &["--namespace", "prod"]);
    assert_eq!(own, [named(Some("prod"), "default")]);
    let mut all = shown(&pasture, &["--all-namespaces"]);
    all.sort();
    let expected = [None, Some("prod"), Some("staging")];
    assert_eq!(all, expected.map(|namespace| named(namespace, "default")));
    let none = run(&["status", "--store", &pasture.store(), "--namespace", "test"]);
    let none = String::from_utf8(none.stdout).unwrap();
    assert!(
        none.starts_with("no instance has stood in an election in namespace test of"),
        "{none}"
    );
    let table = run(&["status", "--store", &pasture.store(), "--all-namespaces"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with("NAMESPACE") && table.contains("\nstaging"), "{table}");
}

#[test]
fn a_key_is_done_once_in_each_namespace() {
    let pasture = Pasture::new();
    let runs = pasture.folder().join("runs");
    let script = format!("echo run >> {}", runs.display());
    let store = pasture.store();
    // A key that looks like a record of the other namespace is not one.
    for (namespace, key) in [("prod", "v1"), ("once", "v1"), ("prod", "v1"), ("once", "prod:v1")] {
        let mut once = vec!["once", "--store", &store, "--namespace", namespace, "--key", key];
        once.extend(QUICK);
        once.extend(["--", "sh", "-c", &script]);
        assert!(run(&once).status.success());
    }
    let ran = std::fs::read_to_string(&runs).unwrap();
    assert_eq!(ran.lines().count(), 3, "v1 of prod was done already");
    let reset = run(&["once", "--store", &store, "--namespace", "prod", "--key", "v1", "--reset"]);
    let printed = String::from_utf8(reset.stderr).unwrap();
    assert!(reset.status.success() && printed.contains("can be done again"), "{printed}");
}

fn in_pod(namespace: &str) -> std::process::Command {
    let mut command = bellwether();
    command.env("POD_NAME", "web-0").env("POD_NAMESPACE", namespace);
    command
}

#[test]
fn a_standby_of_another_environment_warns_once() {
    let pasture = Pasture::new();
    let mut prod = Sidecar::start_as("prod", &pasture.store(), &[], in_pod("prod"));
    eventually("it leads", || prod.leader().leads().then_some(()));
    let friend = Sidecar::start_as("friend", &pasture.store(), &[], in_pod("prod"));
    let staging = Sidecar::start_as("staging", &pasture.store(), &[], in_pod("staging"));
    let warnings = |sidecar: &Sidecar| {
        let lines = sidecar.log().lines();
        lines
            .into_iter()
            .filter(|line| line.contains("\"event\":\"foreign_record\""))
            .collect::<Vec<_>>()
    };
    eventually("it warns", || (!warnings(&staging).is_empty()).then_some(()));
    // Whichever instance leads next, the staging instance does not warn a second time.
    prod.signal("TERM");
    prod.wait();
    eventually("another one leads", || {
        (friend.leader().leads() || staging.leader().leads()).then_some(())
    });
    let [line] = &warnings(&staging)[..] else { panic!("once: {}", staging.log().text()) };
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["origin"], "Kubernetes namespace prod");
    assert_eq!(line["own"], "Kubernetes namespace staging");
    assert_eq!(warnings(&prod).len(), 0);
}
