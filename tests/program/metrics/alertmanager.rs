//! The example for Alertmanager, in a real one: a store that is away is one message, however many
//! elections there are.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::metrics::tools::{file, tool};
use support::{Log, eventually};

/// An Alertmanager with the example as its configuration, killed when dropped.
struct Alertmanager {
    url: String,
    child: Child,
    log: Log,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = tool("alertmanager/prometheus-alertmanager");
        let config = file("deploy/grafana/alertmanager.yaml");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", folder.path().display()));
        command.arg("--web.listen-address=127.0.0.1:0");
        // One of its own, and no port for others.
        command.arg("--cluster.listen-address=").stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let log = Log::of(child.stderr.take().expect("stderr is piped"));
        let url = eventually("it says where it answers", || {
            let lines = log.lines();
            let line = lines.iter().find(|line| line.contains("\"Listening on\""))?;
            Some(format!("http://{}", line.split_once("address=")?.1))
        });
        let started = Self { url, child, log, _folder: folder };
        eventually("it is ready", || {
            ureq::get(format!("{}/-/ready", started.url)).call().ok().map(|_| ())
        });
        started
    }

    fn post(&self, alerts: &[Value]) {
        let body = json!(alerts).to_string();
        let request = ureq::post(format!("{}/api/v2/alerts", self.url));
        request.header("content-type", "application/json").send(body).expect("it takes alerts");
    }

    /// The labels of the alerts of which messages are sent.
    fn sent(&self) -> Vec<Value> {
        let url = format!("{}/api/v2/alerts?active=true&inhibited=false", self.url);
        let body = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
        let alerts: Vec<Value> = serde_json::from_str(&body).unwrap();
        let mut labels: Vec<_> = alerts.into_iter().map(|alert| alert["labels"].clone()).collect();
        labels.sort_by_key(ToString::to_string);
        labels
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of alertmanager:\n{}", self.log.text());
        }
    }
}

fn alert(name: &str, namespace: &str, more: &[(&str, &str)]) -> Value {
    let mut labels = json!({"alertname": name, "namespace": namespace, "job": "app"});
    for (label, value) in more {
        labels[*label] = (*value).into();
    }
    json!({ "labels": labels })
}

#[test]
fn a_store_outage_over_forty_elections_is_one_message_and_hides_nothing_of_others() {
    let alertmanager = Alertmanager::start();
    let outage = alert("BellwetherStoreSilentEverywhere", "prod", &[]);
    let elsewhere = alert("BellwetherNoLeader", "staging", &[("election", "e0")]);
    // What an outage does not explain stays.
    let split = alert("BellwetherTwoLeaders", "prod", &[("election", "e1")]);
    let mut alerts = vec![outage.clone(), elsewhere.clone(), split.clone()];
    for election in (0..40).map(|number| format!("e{number}")) {
        let of = [("election", election.as_str())];
        alerts.push(alert("BellwetherNoLeader", "prod", &of));
        alerts.push(alert("BellwetherNoStandby", "prod", &of));
        for instance in ["a", "b"] {
            let of = [("election", election.as_str()), ("instance", instance)];
            alerts.push(alert("BellwetherRenewalsLate", "prod", &of));
        }
    }
    for instance in ["a", "b"] {
        alerts.push(alert("BellwetherStoreSilent", "prod", &[("instance", instance)]));
        alerts.push(alert("BellwetherStoreErrors", "prod", &[("instance", instance)]));
    }
    alertmanager.post(&alerts);
    let mut expected = [outage, elsewhere, split].map(|alert| alert["labels"].clone());
    expected.sort_by_key(ToString::to_string);
    eventually("only what a person has to know is sent", || {
        (alertmanager.sent() == expected).then_some(())
    });
    // The outage over, each of the others counts again.
    let mut over = alerts[0].clone();
    over["endsAt"] = "2020-01-01T00:00:00Z".into();
    over["startsAt"] = "2020-01-01T00:00:00Z".into();
    alertmanager.post(&[over]);
    eventually("what is still wrong is sent", || {
        (alertmanager.sent().len() == alerts.len() - 1).then_some(())
    });
}

#[test]
fn every_alert_that_it_names_is_a_rule() {
    let rules = std::fs::read_to_string(file("deploy/grafana/alerts.yaml")).unwrap();
    let text = std::fs::read_to_string(file("deploy/grafana/alertmanager.yaml")).unwrap();
    let lines = text.lines().filter(|line| line.contains("alertname =") || line.contains("=~"));
    let words = lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()));
    let names: Vec<_> = words.filter(|word| word.starts_with("Bellwether")).collect();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        assert!(rules.contains(&format!("- alert: {name}\n")), "{name} is no alert");
    }
}
