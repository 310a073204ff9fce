//! How a pod ends: the kubelet's order of signals, played with real processes that are started as the
//! chart says.
//!
//! The kubelet sends SIGTERM to all main containers, waits until they have ended, and only then sends
//! SIGTERM to a native sidecar.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::kubernetes::pods::{init_container, sidecar};
use support::chart::with;
use support::postgres::{PASSWORD, Server, Stop};
use support::tools::must;
use support::{Answer, Log, bellwether, eventually, get, kill, now};

/// The chart does not set `--lease-duration`: this is its default.
const LEASE: Duration = Duration::from_secs(15);

/// Leader-only work that takes as long as the test wants, whatever signals come.
const APP: &str = r#"
trap 'ending=1' TERM
until "$BELLWETHER" is-leader --quiet; do
    [ -z "$ending" ] || exit 0
    sleep 0.05
done
echo "$POD begins" >>work
until [ -e "$POD.may-end" ]; do sleep 0.05; done
echo "$POD ends" >>work
until [ -n "$ending" ]; do sleep 0.05; done
"#;

/// A sidecar with the command line, the environment and the probes of the chart, and an application.
struct Pod {
    container: Value,
    sidecar: Child,
    log: Log,
    url: String,
    app: Child,
    name: String,
    folder: PathBuf,
}

impl Pod {
    fn start(container: &Value, name: &str, store: &str, folder: &Path) -> Self {
        let mut command = started(container, name, store);
        let mut sidecar = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(sidecar.stderr.take().unwrap());
        let url = eventually("the sidecar says where it answers", || log.address());
        wait(&url);
        // Only now does the kubelet start the application.
        let app = Command::new("sh")
            .args(["-c", APP])
            .env("BELLWETHER", env!("CARGO_BIN_EXE_bellwether"))
            .env("BELLWETHER_SIDECAR", &url)
            .env("POD", name)
            .current_dir(folder)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (container, folder, name) = (container.clone(), folder.to_owned(), name.to_owned());
        Self { container, sidecar, log, url, app, name, folder }
    }

    fn leader(&self) -> Answer {
        get(&format!("{}/leader", self.url)).expect("the sidecar answers")
    }

    fn let_work_end(&self) {
        fs::write(self.folder.join(format!("{}.may-end", self.name)), "").unwrap();
    }

    fn wait_for_app(&mut self) {
        let status = eventually("the application ends", || self.app.try_wait().unwrap());
        assert_eq!(status.code(), Some(0));
    }

    fn wait_for_sidecar(&mut self) {
        let status = self.log.exit_status(&mut self.sidecar);
        assert_eq!(status.code(), Some(0), "{}", self.log.text());
    }

    /// The whole end of a pod whose work may end.
    fn end(mut self) {
        self.let_work_end();
        kill("TERM", self.app.id());
        self.wait_for_app();
        kill("TERM", self.sidecar.id());
        self.wait_for_sidecar();
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for child in [&mut self.app, &mut self.sidecar] {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.name, self.log.text());
        }
    }
}

/// The program with the words and the variables of a container.
fn started(container: &Value, pod: &str, store: &str) -> Command {
    let mut command = bellwether();
    command.args(container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()));
    for variable in container["env"].as_array().unwrap() {
        let from = &variable["valueFrom"];
        let value = match variable["value"].as_str() {
            Some(value) => value,
            None if from["secretKeyRef"].is_object() => store,
            None => {
                assert_eq!(from["fieldRef"]["fieldPath"], "metadata.name");
                pod
            }
        };
        command.env(variable["name"].as_str().unwrap(), value);
    }
    // Pods have an address each; these processes share one.
    command.args(["--listen", "127.0.0.1:0"]);
    command
}

/// Runs the container between the sidecar and the application.
fn wait(sidecar: &str) {
    let documents = with(&["app.image=a", "store.secret.name=s"]);
    let container = init_container(&documents, "bellwether-wait");
    let mut command = bellwether();
    command.args(container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()));
    must(command.env("BELLWETHER_SIDECAR", sidecar));
}

/// Whether a probe of the container succeeds, as the kubelet would run it.
fn probe(container: &Value, name: &str, sidecar: &str) -> bool {
    let words = container[name]["exec"]["command"].as_array().unwrap();
    let mut words = words.iter().map(|word| word.as_str().unwrap());
    assert_eq!(words.next(), Some("/bellwether"));
    let mut command = bellwether();
    command.args(words).env("BELLWETHER_SIDECAR", sidecar).stderr(Stdio::null());
    command.status().unwrap().success()
}

/// A store, and the work that pods do.
struct Scene {
    _server: Arc<Server>,
    store: String,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn set() -> Self {
        let server = Server::shared();
        let (port, database) = (server.port(), server.database().await);
        let at = format!("127.0.0.1:{port}/{database}?sslmode=disable");
        let store = format!("postgres://postgres:{PASSWORD}@{at}");
        Self { _server: server, store, folder: tempfile::tempdir().unwrap() }
    }

    fn pod(&self, name: &str) -> Pod {
        let container = sidecar(&with(&["app.image=a", "store.secret.name=s"]));
        Pod::start(&container, name, &self.store, self.folder.path())
    }

    fn work(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("work")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn wait_for(&self, line: &str) {
        eventually(line, || self.work().iter().any(|l| l == line).then_some(()));
    }
}

#[tokio::test]
async fn the_work_ends_then_the_lease_is_free_then_the_sidecar_is_gone() {
    let scene = Scene::set().await;
    let mut a = scene.pod("a");
    scene.wait_for("a begins");
    let b = scene.pod("b");
    let term = a.leader().term();

    // The application gets SIGTERM, and its work continues: the sidecar, which got no signal,
    // keeps the lease for it.
    kill("TERM", a.app.id());
    let first = a.leader().body["renewTime"].clone();
    eventually("the lease is renewed", || (a.leader().body["renewTime"] != first).then_some(()));
    let during = a.leader();
    assert!(during.leads() && during.term() == term, "{during:?}");
    assert!(!b.leader().leads());
    assert_eq!(scene.work(), ["a begins"]);

    a.let_work_end();
    a.wait_for_app();
    let ended = now();
    kill("TERM", a.sidecar.id());
    scene.wait_for("b begins");
    let handed_over = now().since(ended);
    a.wait_for_sidecar();
    assert!(handed_over < LEASE / 2, "freed, not run out: {handed_over:?}");
    assert_eq!(b.leader().term(), term + 1);
    assert_eq!(scene.work(), ["a begins", "a ends", "b begins"]);

    // A night without pods, and the first one in the morning.
    b.end();
    let morning = now();
    let c = scene.pod("c");
    scene.wait_for("c begins");
    assert!(now().since(morning) < LEASE / 2, "at once, not after a lease");
    assert_eq!(c.leader().term(), term + 2);
    assert_eq!(scene.work(), ["a begins", "a ends", "b begins", "b ends", "c begins"]);
}

/// The reason for the order: an ordinary container would be sent SIGTERM together with the application.
#[tokio::test]
async fn the_other_way_round_two_pods_would_work_at_once() {
    let scene = Scene::set().await;
    let mut a = scene.pod("a");
    scene.wait_for("a begins");
    let _b = scene.pod("b");
    kill("TERM", a.sidecar.id());
    a.wait_for_sidecar();
    scene.wait_for("b begins");
    assert_eq!(scene.work(), ["a begins", "b begins"], "a still works");
}

/// No candidate stands before the application is healthy, and it does not start before the probe succeeds.
#[tokio::test]
async fn behind_a_gate_the_application_starts_before_any_instance_leads() {
    let scene = Scene::set().await;
    // No process listens there.
    let gate = "gate.url=http://127.0.0.1:9/healthz";
    let container = sidecar(&with(&["app.image=a", "store.secret.name=s", gate]));
    let pod = Pod::start(&container, "a", &scene.store, scene.folder.path());
    assert!(!pod.leader().leads());
    assert_eq!(pod.leader().body["gate"], "closed");
}

#[tokio::test]
async fn a_store_that_is_away_fails_no_probe_of_a_pod_in_service() {
    let server = Server::start(&[]);
    let database = server.database().await;
    let folder = tempfile::tempdir().unwrap();
    let quick = ["leaseDuration=3s", "renewDeadline=2s", "retryPeriod=300ms"];
    let sets = [&["app.image=a", "store.secret.name=s"][..], &quick].concat();
    let pod = Pod::start(&sidecar(&with(&sets)), "a", &server.url(&database), folder.path());
    eventually("it leads", || pod.leader().leads().then_some(()));
    server.stop(Stop::Immediate);
    eventually("it leads no more", || (!pod.leader().leads()).then_some(()));
    assert!(probe(&pod.container, "livenessProbe", &pod.url));
    server.start_again();
    eventually("it leads again", || pod.leader().leads().then_some(()));
}
