//! The chart against Helm, the schemas of Kubernetes, and files of what it should become.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::kubernetes::pods::{init_container, sidecar};
use support::chart::{
    HELMS, WHERE, chart, everything, example, example_with, matrix, refused, rendered, with,
};
use support::tools::{golden, must, project, tool, yaml};

/// The oldest Kubernetes that the chart says it is for, and the newest that the validator knows.
const VERSIONS: [&str; 2] = ["1.29.0", "1.37.0"];

#[test]
fn the_chart_renders_as_the_golden_files() {
    let folder = project().join("tests/deploy/kubernetes/golden");
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
    let mut files =
        ["postgres-to-try", "plain"].map(|name| deployed(&format!("{name}.yaml"))).to_vec();
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

fn deployed(name: &str) -> PathBuf {
    project().join("deploy/kubernetes").join(name)
}

#[test]
fn usual_mistakes_are_refused_in_words() {
    for (sets, words) in [
        (&["app.image=a", "store.url=dynamodb://t", "store.secret.name=s"][..], "not both"),
        (&["app.image=a", "store.url=sqlite:///leases.db"], "a SQLite file is for one host"),
        (&["app.image=a", "store.url=postgres://u:secret@h/d"], "put the URL into a Secret"),
        (&["app.image=a", "store.url=postgres://h/d?user=u&password=secret@"], "put the URL into"),
        (&["app.image=a", "store.secret.name=s", "election=a", "elections={a}"], "twice"),
        (&["app.image=a", "store.secret.name=s", "elections={B}"], "elections"),
        (&["podMonitor.enabled=true", "selector.app=web"], "needs 'expose: true'"),
        (&["podDisruptionBudget.enabled=true"], "name the labels of the pods"),
        (&["job.image=a", "store.secret.name=s"], "say what is to be done once"),
        (&["election=Shop"], "election"),
        (&["leaseDuration=15"], "leaseDuration"),
        (&["app.replicas=two"], "replicas"),
        (&["podDisruptionBudget.maxUnavailable=0"], "maxUnavailable"),
        (&["store.secret.nmae=s"], "nmae"),
    ] {
        let printed = refused(sets);
        assert!(printed.contains(words), "{sets:?}: {printed}");
        assert!(!printed.contains("secret@"), "{printed}");
    }
}

#[test]
fn without_values_it_deploys_nothing() {
    assert_eq!(with(&[]), Vec::<Value>::new());
}

/// Objects of two aliases once had one name, and Helm dropped the second without a message.
#[test]
fn dependencies_with_aliases_do_not_overwrite_each_other() {
    let mut sets = Vec::new();
    for alias in ["bellwether", "queue", "import"] {
        for value in [
            "podDisruptionBudget.enabled=true",
            "networkPolicy.enabled=true",
            "podMonitor.enabled=true",
            "expose=true",
            "selector.app=any",
        ] {
            sets.push(format!("{alias}.{value}"));
        }
    }
    let sets: Vec<_> = sets.iter().map(String::as_str).collect();
    let documents = yaml(&example_with("helm4/helm", &sets));
    let mut names = BTreeSet::new();
    for document in &documents {
        let name = (document["kind"].to_string(), document["metadata"]["name"].to_string());
        assert!(names.insert(name), "twice: {} {}", document["kind"], document["metadata"]["name"]);
    }
    for kind in ["PodDisruptionBudget", "NetworkPolicy", "PodMonitor"] {
        let of_kind = documents.iter().filter(|document| document["kind"] == kind);
        assert_eq!(of_kind.count(), 3, "{kind}");
    }
}

/// Helm refused the second release, and its job deleted the rights of the first one's.
#[test]
fn releases_with_one_name_and_one_namespace_of_leases_share_no_object() {
    // Helm allows 53 characters, and the chart cuts a name after 50.
    for release in [4, 45, 50, 53].map(|length| "d".repeat(length)) {
        let mut names = BTreeSet::new();
        // The Leases may also be in the namespace of one of the releases.
        for namespace in ["one", "two", "leases"] {
            let mut command = tool("helm4/helm");
            command.args(["template", &release, "--namespace", namespace]).arg(chart());
            let sets = "store.url=kubernetes://leases,app.image=a,job.image=a,job.command={b}";
            let documents = yaml(&must(command.args(["--set", sets])));
            for document in &documents {
                let meta = &document["metadata"];
                let within = meta["namespace"].as_str().unwrap_or(namespace).to_owned();
                let name = meta["name"].as_str().unwrap().to_owned();
                assert!(name.len() <= 63, "{name}");
                if document["kind"] == "RoleBinding" {
                    assert_eq!(document["roleRef"]["name"], name);
                }
                let kind = document["kind"].as_str().unwrap().to_owned();
                let object = (kind, within, name);
                assert!(names.insert(object.clone()), "twice: {object:?}");
            }
        }
        let roles = names.iter().filter(|(kind, within, _)| kind == "Role" && within == "leases");
        // Each has its own and the job's; one also has the right to its pod.
        assert_eq!(roles.count(), 7, "{names:?}");
    }
}

/// A test of the release `shop` once stood in the election of the release `shop-test`, as a candidate.
#[test]
fn a_test_of_helm_stands_in_the_election_of_no_release() {
    let elections = |release: &str| {
        let mut command = tool("helm4/helm");
        command.args(["template", release, "--namespace", "shop"]).arg(chart());
        let documents = yaml(&must(command.args(["--set", "app.image=a"])));
        let role = documents.iter().find(|document| document["kind"] == "Role").unwrap();
        let names = role["rules"][1]["resourceNames"].as_array().unwrap();
        let names: Vec<_> = names.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
        names
    };
    let long = "d".repeat(52);
    let releases = ["demo", "demo-test", &format!("{long}a"), &format!("{long}b")];
    let all: Vec<_> = releases.into_iter().flat_map(elections).collect();
    assert_eq!(BTreeSet::from_iter(&all).len(), 8, "{all:?}");
}

/// Pipelines set a number with `--set`, which was refused; large ones became 2.026e+09.
#[test]
fn numbers_that_grow_are_set_in_any_form() {
    let env = |order: &[&str], values: &str| {
        let mut command = tool("helm4/helm");
        command.arg("template").args(WHERE).arg(chart()).args(order);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, format!("app: {{image: a}}\n{values}")).unwrap();
        let documents = yaml(&must(command.arg("--values").arg(file.path())));
        let env = sidecar(&documents)["env"].as_array().unwrap().clone();
        let entry = env.into_iter().find(|entry| entry["name"] == "BELLWETHER_ORDER");
        entry.map(|entry| entry["value"].as_str().unwrap().to_owned())
    };
    for (flag, set, shown) in [
        ("--set", "order=2026112601", Some("2026112601")),
        ("--set", "order=20261126010203", Some("20261126010203")),
        ("--set", "order=0", Some("0")),
        // Not an octal number.
        ("--set", "order=010", Some("010")),
        ("--set-string", "order=2026112601", Some("2026112601")),
        ("--set-string", "order=0", Some("0")),
        ("--set", "order=", None),
        // It takes a default back.
        ("--set", "order=null", None),
    ] {
        assert_eq!(env(&[flag, set], "").as_deref(), shown, "{flag} {set}");
    }
    assert_eq!(env(&[], "order: 2026112601").as_deref(), Some("2026112601"));
    assert_eq!(env(&[], "").as_deref(), None);
    assert!(refused(&["app.image=a", "order=-1"]).contains("order"));
    for revision in ["0", "010", "2026112601"] {
        let rendered = example_with("helm4/helm", &[&format!("bellwether.revision={revision}")]);
        let once = init_container(&yaml(&rendered), "once");
        let env = once["env"].as_array().unwrap();
        let entry = env.iter().find(|entry| entry["name"] == "BELLWETHER_REVISION").unwrap();
        assert_eq!(entry["value"], revision);
    }
}

/// `--set` makes a number or a boolean of what Kubernetes takes as text only.
#[test]
fn a_number_or_a_boolean_is_text_where_kubernetes_wants_text() {
    let documents = with(&[
        "image.tag=0",
        "env[0].name=A,env[0].value=true",
        "serviceAccount.annotations.n=20261126",
        "app.image=a,app.command={sleep,5},app.args={true}",
        "app.env[0].name=PORT,app.env[0].value=20261126",
        "app.podLabels.n=0,app.podAnnotations.scrape=true,app.nodeSelector.ssd=true",
        "job.image=a,job.command={sleep,20261126},job.key=20261126,job.work=0",
        "job.env[0].name=DEBUG,job.env[0].value=false,job.annotations.n=1",
        "expose=true,podMonitor.enabled=true,podMonitor.labels.n=1,selector.n=1",
    ]);
    let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap();
    let last = |env: &Value| env.as_array().unwrap().last().unwrap()["value"].clone();
    let sidecar = sidecar(&documents);
    assert_eq!(sidecar["image"], "bellwether:0");
    assert_eq!(last(&sidecar["env"]), "true");
    assert_eq!(of("ServiceAccount")["metadata"]["annotations"]["n"], "20261126");
    let pod = &of("Deployment")["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"]["n"], "0");
    assert_eq!(pod["metadata"]["annotations"]["scrape"], "true");
    assert_eq!(pod["spec"]["nodeSelector"]["ssd"], "true");
    let app = &pod["spec"]["containers"][0];
    assert_eq!(app["command"], serde_json::json!(["sleep", "5"]));
    assert_eq!(app["args"], serde_json::json!(["true"]));
    assert_eq!(last(&app["env"]), "20261126");
    let job = of("Job");
    assert_eq!(job["metadata"]["annotations"]["n"], "1");
    let once = &job["spec"]["template"]["spec"]["containers"][0];
    let words: Vec<_> = once["command"].as_array().unwrap().iter().collect();
    assert_eq!(words[2..6], ["--work", "0", "--key", "20261126"]);
    assert_eq!(words[words.len() - 2..], ["sleep", "20261126"]);
    assert_eq!(last(&once["env"]), "false");
    let monitor = of("PodMonitor");
    assert_eq!(monitor["metadata"]["labels"]["n"], "1");
    assert_eq!(monitor["spec"]["selector"]["matchLabels"]["n"], "1");
    let null = ["image.tag", "order", "revision", "job.key", "job.work", "job.maxAttempts"];
    let null = null.map(|value| format!("{value}=null"));
    let job = ["app.image=a", "job.image=b", "job.command={true}"];
    let sets: Vec<_> = job.into_iter().chain(null.iter().map(String::as_str)).collect();
    let rendered = with(&sets).iter().map(ToString::to_string).collect::<String>();
    assert!(!rendered.contains("nil"), "{rendered}");
    // Helm would round it.
    let large = refused(&["app.image=a", "order=20261126010203999"]);
    assert!(large.contains("order"), "{large}");
}

/// With a policy that closes the rest, standbys reach the leader's sidecar where they listen to it.
#[test]
fn pods_reach_each_others_sidecars_if_they_follow_the_leaders_events() {
    let policy = |more: &[&str]| {
        let sets = ["networkPolicy.enabled=true", "selector.app=web"];
        let documents = with(&[&sets[..], more].concat());
        let policy = documents.into_iter().find(|document| document["kind"] == "NetworkPolicy");
        policy.unwrap()["spec"]["ingress"].clone()
    };
    let advertise = "advertise=http://{ip}:8000";
    let none = serde_json::json!([]);
    for off in [&[][..], &["expose=true"], &[advertise]] {
        assert_eq!(policy(off), none, "{off:?}");
    }
    let peers = serde_json::json!({
        "from": [{ "podSelector": { "matchLabels": { "app": "web" } } }],
        "ports": [{ "port": 4040 }],
    });
    assert_eq!(policy(&["expose=true", advertise]), serde_json::json!([peers]));
}

/// With a number, an upgrade fights an autoscaler, and fails under Helm 4.
#[test]
fn replicas_that_are_null_are_left_to_others() {
    let of = |replicas: &str| {
        let sets = ["app.image=a", "store.secret.name=s", replicas];
        let documents = with(&sets);
        let found = documents.iter().find(|document| document["kind"] == "Deployment");
        found.unwrap()["spec"]["replicas"].clone()
    };
    assert_eq!(of("app.replicas=null"), Value::Null);
    assert_eq!(of("app.replicas=0"), 0);
}

/// Helm allows build metadata in versions, Kubernetes no '+' in labels and registries none in tags.
#[test]
fn build_metadata_in_a_version_makes_valid_labels_and_tags() {
    let folder = tempfile::tempdir().unwrap();
    must(Command::new("cp").arg("-r").arg(chart()).arg(folder.path()));
    let copy = folder.path().join("bellwether");
    let file = copy.join("Chart.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let built = text.replace(&format!("ersion: {version}"), &format!("ersion: {version}+build.7"));
    assert_ne!(built, text);
    fs::write(&file, built).unwrap();
    let mut command = tool("helm4/helm");
    command.args(["template", "demo"]).arg(&copy);
    let documents = yaml(&must(command.args(["--set", "app.image=a,store.secret.name=s"])));
    assert!(!documents.is_empty());
    for document in &documents {
        let labels = document["metadata"]["labels"].as_object().unwrap();
        for value in labels.values().map(|value| value.as_str().unwrap()) {
            assert!(!value.contains('+'), "{value}");
        }
    }
    assert_eq!(sidecar(&documents)["image"], format!("bellwether:{version}-build.7"));
}

#[test]
fn a_sidecar_stands_in_several_elections() {
    let sets = ["app.image=a", "store.secret.name=s", "elections={cron,billing}"];
    let sidecar = sidecar(&with(&sets));
    let env = sidecar["env"].as_array().unwrap();
    let election = env.iter().find(|entry| entry["name"] == "BELLWETHER_ELECTION").unwrap();
    assert_eq!(election["value"], "shop.demo,cron,billing");
}

/// A pod that failed for good would otherwise be followed by three that fail for good.
#[test]
fn a_job_that_failed_for_good_starts_no_further_pod() {
    let sets = ["job.image=a", "job.command={b}", "store.secret.name=s", "job.annotations.a=b"];
    let documents = with(&sets);
    let job = documents.iter().find(|document| document["kind"] == "Job").unwrap();
    assert_eq!(job["metadata"]["annotations"]["a"], "b");
    let rules = job["spec"]["podFailurePolicy"]["rules"].as_array().unwrap();
    let fails = rules.iter().find(|rule| rule["action"] == "FailJob").unwrap();
    assert_eq!(fails["onExitCodes"]["operator"], "NotIn");
    let spared = fails["onExitCodes"]["values"].as_array().unwrap();
    let spares = |code: u64| spared.iter().any(|value| value == code);
    assert!(spares(69) && spares(75), "worth another try");
    assert!(!spares(1) && !spares(64), "the same again");
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
    for replicas in [0, 1] {
        let mut command = tool("helm4/helm");
        command.args(["install", "demo", "--namespace", "shop", "--dry-run=client"]).arg(chart());
        // No cluster, whatever the user of this machine has.
        command.env("KUBECONFIG", "/dev/null");
        let sets = format!("app.image=a,store.secret.name=s,app.replicas={replicas}");
        let printed = must(command.args(["--set", &sets]));
        let notes = printed.split("NOTES:").nth(1).unwrap_or_else(|| panic!("no notes: {printed}"));
        assert!(notes.contains(&format!("{replicas} of a with a sidecar each")), "{notes}");
        assert!(notes.contains("shop.demo"), "{notes}");
        assert_eq!(
            notes.contains("With one replica there is no standby"),
            replicas == 1,
            "{notes}"
        );
    }
}
