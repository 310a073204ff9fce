//! The chart against Helm, the schemas of Kubernetes, and files of what it should become.

use std::fs;

use serde_json::Value;

use crate::render::{HELMS, chart, everything, example, matrix, refused, rendered, with};
use crate::support::tools::{golden, must, project, tool, yaml};

/// The oldest Kubernetes that the chart says it is for, and the newest that the validator knows.
const VERSIONS: [&str; 2] = ["1.29.0", "1.37.0"];

#[test]
fn it_becomes_what_is_written_down() {
    let folder = project().join("tests/kubernetes/golden");
    for rendered in everything() {
        golden(&folder.join(format!("{}.yaml", rendered.name)), &rendered.text);
    }
}

#[test]
fn both_helms_accept_it_and_agree() {
    for values in matrix() {
        for helm in HELMS {
            must(tool(helm).args(["lint", "--strict"]).arg(chart()).arg("--values").arg(&values));
        }
        let [old, new] = HELMS.map(|helm| rendered(helm, &values));
        assert_eq!(old, new, "{}", values.display());
    }
    let [old, new] = HELMS.map(example);
    assert_eq!(old, new);
}

#[test]
fn kubernetes_knows_every_field_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = vec![project().join("deploy/kubernetes/postgres-to-try.yaml")];
    for rendered in everything() {
        for (at, document) in rendered.documents.iter().enumerate() {
            // The validator has no schemas of what an operator adds.
            if document["apiVersion"] == "monitoring.coreos.com/v1" {
                continue;
            }
            let file = folder.path().join(format!("{}-{at}.yaml", rendered.name));
            fs::write(&file, document.to_string()).unwrap();
            files.push(file);
        }
    }
    assert!(files.len() > 10, "{files:?}");
    for version in VERSIONS {
        let mut command = tool("kubernetes/bin/kubernetes-validate");
        must(command.args(["--strict", "--quiet", "-k", version]).args(&files));
    }
}

#[test]
fn usual_mistakes_are_refused_in_words() {
    for (sets, words) in [
        (&["app.image=a"][..], "say where the leases live"),
        (&["app.image=a", "store.url=dynamodb://t", "store.secret.name=s"], "not both"),
        (&["app.image=a", "store.url=sqlite:///leases.db"], "a SQLite file is for one host"),
        (&["app.image=a", "store.url=postgres://u:secret@h/d"], "put the URL into a Secret"),
        (&["podMonitor.enabled=true", "selector.app=web"], "needs 'expose: true'"),
        (&["podDisruptionBudget.enabled=true"], "name the labels of the pods"),
        (&["job.image=a", "store.secret.name=s"], "say what is to be done once"),
        (&["election=Shop"], "election"),
        (&["leaseDuration=15"], "leaseDuration"),
        (&["app.replicas=two"], "replicas"),
        (&["podDisruptionBudget.maxUnavailable=0"], "maxUnavailable"),
        (&["store.secret.nmae=s"], "nmae"),
    ] {
        let said = refused(sets);
        assert!(said.contains(words), "{sets:?}: {said}");
        assert!(!said.contains("secret@"), "{said}");
    }
}

#[test]
fn by_itself_it_deploys_nothing() {
    assert_eq!(with(&[]), Vec::<Value>::new());
}

#[test]
fn the_schema_knows_the_keys_of_the_values_and_no_others() {
    let values = yaml(&fs::read_to_string(chart().join("values.yaml")).unwrap());
    let schema = fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    compare("", &values[0], &schema);
}

fn compare(at: &str, values: &Value, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "{at}");
    let mut known: Vec<_> = properties.keys().filter(|key| *key != "global").collect();
    let mut given: Vec<_> = values.as_object().unwrap().keys().collect();
    known.sort();
    given.sort();
    assert_eq!(known, given, "{at}");
    for (key, value) in values.as_object().unwrap() {
        compare(&format!("{at}.{key}"), value, &properties[key]);
    }
}

/// Each key stands below words that explain it, or shares those of the key above it.
#[test]
fn every_value_is_explained() {
    let text = fs::read_to_string(chart().join("values.yaml")).unwrap();
    let is_key = |line: &str| line.contains(':') && !line.trim_start().starts_with(['#', '-']);
    let mut above = "";
    for line in text.lines() {
        if is_key(line) {
            let shares = is_key(above) && above.starts_with(' ') == line.starts_with(' ');
            let explained = above.trim_start().starts_with('#');
            // A group whose keys are explained one by one, or the inside of an explained default.
            let group = line.ends_with(':') || above.ends_with(':') || line.starts_with("    ");
            assert!(explained || shares || group, "not explained: {line}");
        }
        above = line;
    }
    assert!(text.matches("# Risk").count() >= 20, "keys without their risks");
}

#[test]
fn the_notes_say_how_to_see_who_leads() {
    let mut command = tool("helm4/helm");
    command.args(["install", "demo", "--namespace", "shop", "--dry-run=client"]).arg(chart());
    // No cluster, whatever the user of this machine has.
    command.env("KUBECONFIG", "/dev/null");
    let said = must(command.args(["--set", "app.image=a,store.secret.name=s,app.replicas=1"]));
    let notes = said.split("NOTES:").nth(1).unwrap_or_else(|| panic!("no notes: {said}"));
    assert!(notes.contains("shop.demo"), "{notes}");
    assert!(notes.contains("With one replica nobody stands by"), "{notes}");
}
