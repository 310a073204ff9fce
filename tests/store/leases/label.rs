//! The leader's label on real pods of a real API server. No kubelet runs them: a sidecar beside the
//! test stands for each.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use support::dynamodb::encrypted::{certificates, terminator};
use support::http_proxy::{Fault, Proxy};
use support::kubernetes::{ApiServer, USER_NAME};
use support::tools::must;
use support::{Killed, Pasture, QUICK_LEASE, Sidecar, bellwether, eventually, now};

const LABEL: &str = "bellwether/leads-default";

/// What must have happened: twice the promise, which is the lease and a second.
const LIMIT: Duration = Duration::from_secs(8);

/// One change of a pod or a Lease, in the order of the API server.
#[derive(Clone, Debug)]
struct Change {
    version: u64,
    name: String,
    /// Whether the pod has the label with its value, or the Lease has a holder.
    set: bool,
}

/// Every change since the start.
struct Changes {
    child: Child,
    seen: Arc<Mutex<Vec<Change>>>,
}

impl Changes {
    fn of(
        server: &ApiServer,
        namespace: &str,
        kind: &str,
        field: &str,
        sign: &'static str,
    ) -> Self {
        let mut command = server.kubectl();
        let template = format!(
            "{{.object.metadata.resourceVersion}} {{.object.metadata.name}} {{.object.{field}}}{{\"\\n\"}}"
        );
        command.args(["get", kind, "-n", namespace, "--watch", "--output-watch-events"]);
        command.arg("-o").arg(format!("jsonpath={template}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (seen, output) = (Arc::default(), child.stdout.take().unwrap());
        let into: Arc<Mutex<Vec<Change>>> = Arc::clone(&seen);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut parts = line.splitn(3, ' ');
                let version = parts.next().and_then(|version| version.parse().ok());
                let (Some(version), Some(name)) = (version, parts.next()) else { continue };
                let set = parts.next().is_some_and(|value| value.contains(sign));
                into.lock().unwrap().push(Change { version, name: name.to_owned(), set });
            }
        });
        Self { child, seen }
    }

    fn all(&self) -> Vec<Change> {
        self.seen.lock().unwrap().clone()
    }

    /// Those that carry the label now; fails if there were ever two at a time.
    #[track_caller]
    fn carriers(&self) -> Vec<String> {
        let mut carriers: Vec<String> = Vec::new();
        for Change { name, set, .. } in self.all() {
            carriers.retain(|carrier| *carrier != name);
            carriers.extend(set.then_some(name));
            assert!(carriers.len() < 2, "two pods carried it: {:?}", self.all());
        }
        carriers
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Scene {
    server: Arc<ApiServer>,
    namespace: String,
    pasture: Pasture,
    sidecars: Vec<Sidecar>,
    pods: Changes,
}

impl Scene {
    fn set(names: &[&str]) -> Self {
        Self::on(ApiServer::shared(), names)
    }

    /// Pods, and beside each a sidecar with a store of its own kind: any store will do.
    fn on(server: Arc<ApiServer>, names: &[&str]) -> Self {
        let namespace = server.namespace();
        for name in names {
            server.apply_in(&namespace, &pod(name));
        }
        let sign = "\"bellwether/leads-default\":\"true\"";
        let pods = Changes::of(&server, &namespace, "pods", "metadata.labels", sign);
        let pasture = Pasture::new();
        let mut scene = Self { server, namespace, pasture, sidecars: Vec::new(), pods };
        for name in names {
            scene.start(name, &[]);
        }
        scene
    }

    fn start(&mut self, name: &str, more: &[&str]) {
        let more = [&["--leader-label"], more].concat();
        let command = in_pod(name, &self.namespace, &self.server.admin());
        self.sidecars.push(Sidecar::start_as(name, &self.pasture.store(), &more, command));
    }

    /// Waits until some pod of these carries the label.
    #[track_caller]
    fn carried_by(&self, names: &[&str]) -> String {
        let start = now();
        let carrier = eventually("a pod carries the label", || {
            let carriers = self.pods.carriers();
            carriers.into_iter().find(|carrier| names.contains(&carrier.as_str()))
        });
        println!("the label came after {:?}, with a lease of {QUICK_LEASE:?}", now().since(start));
        carrier
    }

    fn sidecar(&mut self, name: &str) -> &mut Sidecar {
        self.sidecars.iter_mut().find(|sidecar| sidecar.name == name).unwrap()
    }

    /// Nothing is left on a pod, neither label nor annotation.
    fn is_clean(&self, name: &str) -> bool {
        let mut command = self.server.kubectl();
        command.args(["get", "pod", name, "-n", &self.namespace, "-o", "jsonpath={.metadata}"]);
        !must(&mut command).contains(&format!("\"{LABEL}\":"))
    }
}

fn pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: default}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: shop}}}}\nspec:\n  \
         containers: [{{name: app, image: none}}]\n"
    )
}

fn in_pod(name: &str, namespace: &str, kubeconfig: &Path) -> Command {
    let mut command = bellwether();
    command.env("POD_NAME", name).env("POD_NAMESPACE", namespace);
    command.env("KUBECONFIG", kubeconfig);
    command
}

#[test]
fn the_label_follows_a_crash() {
    let mut scene = Scene::set(&["a", "b", "c"]);
    let first = scene.carried_by(&["a", "b", "c"]);
    assert!(scene.sidecar(&first).leader().leads());
    scene.sidecar(&first).kill();
    let others: Vec<_> = ["a", "b", "c"].into_iter().filter(|name| *name != first).collect();
    let killed = now();
    let second = scene.carried_by(&others);
    assert!(now().since(killed) < LIMIT);
    assert!(scene.sidecar(&second).leader().leads());
    assert!(scene.is_clean(&first), "nothing is left behind");
}

#[test]
fn the_label_is_gone_before_the_lease_is_free() {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    let mut sidecars = Vec::new();
    for name in ["a", "b"] {
        server.apply_in(&namespace, &pod(name));
        let command = in_pod(name, &namespace, &server.admin());
        let store = server.url(&namespace);
        sidecars.push(Sidecar::start_as(name, &store, &["--leader-label"], command));
    }
    let sign = "\"bellwether/leads-default\":\"true\"";
    let pods = Changes::of(&server, &namespace, "pods", "metadata.labels", sign);
    let leases = Changes::of(&server, &namespace, "leases", "spec.holderIdentity", "");
    let first = eventually("labelled", || pods.carriers().into_iter().next());
    eventually("the lease is watched", || leases.all().pop().filter(|lease| lease.set));
    let sidecar = sidecars.iter_mut().find(|sidecar| sidecar.name == first).unwrap();
    sidecar.signal("TERM");
    assert!(sidecar.wait().success());
    eventually("the other is labelled", || {
        pods.carriers().into_iter().find(|carrier| *carrier != first)
    });
    let taken = pods.all().into_iter().rev().find(|change| change.name == first && !change.set);
    let given = pods.all().into_iter().rev().find(|change| change.name != first && change.set);
    let (taken, given) = (taken.unwrap().version, given.unwrap().version);
    let mut command = server.kubectl();
    command.args(["get", "lease", "default", "-n", &namespace, "-o"]);
    let transitions = must(command.arg("jsonpath={.spec.leaseTransitions}"));
    assert_eq!(transitions, "1", "handed over, not run out: {:?}", leases.all());
    // The etcd behind both counts every write.
    let between = |lease: &&Change| (taken..given).contains(&lease.version);
    eventually("vacated and acquired after the label was gone", || {
        (leases.all().iter().filter(between).count() >= 2).then_some(())
    });
}

#[test]
fn a_frozen_leader_does_not_get_the_label_back() {
    let mut scene = Scene::set(&["a", "b"]);
    let first = scene.carried_by(&["a", "b"]);
    let other = if first == "a" { "b" } else { "a" };
    scene.sidecar(&first).signal("STOP");
    assert_eq!(scene.carried_by(&[other]), other);
    scene.sidecar(&first).signal("CONT");
    eventually("it follows", || {
        scene.sidecars.iter().all(|one| one.leader().holder() == Some(other)).then_some(())
    });
    thread::sleep(QUICK_LEASE);
    assert_eq!(scene.pods.carriers(), [other]);
    assert!(scene.is_clean(&first));
}

/// The network keeps the write that gives the label, until another leader has it.
#[test]
fn a_late_write_of_a_dead_leader_labels_no_second_pod() {
    let mut scene = Scene::set(&[]);
    for name in ["a", "b"] {
        scene.server.apply_in(&scene.namespace, &pod(name));
    }
    let (api, port) = scene.server.without_tls();
    let _api = Killed(api);
    let proxy = Proxy::before(port);
    let (arrive, arrives) = mpsc::channel();
    let (release, released) = mpsc::channel();
    proxy.on(move |request| {
        let gives = format!("\"{LABEL}\":\"true\"");
        if request.operation == "PATCH" && request.body.contains(&gives) {
            let _ = arrive.send(());
            let _ = released.recv();
        }
        Fault::Pass
    });
    let folder = tempfile::tempdir().unwrap();
    let port = terminator(certificates(folder.path(), "IP:127.0.0.1"), proxy.port());
    let file = format!("{}-late", scene.namespace);
    let kubeconfig = scene.server.kubeconfig_by(&file, port, &folder.path().join("ca.pem"), "{}");
    let command = in_pod("a", &scene.namespace, &kubeconfig);
    let mut first = Sidecar::start_as("a", &scene.pasture.store(), &["--leader-label"], command);
    arrives.recv_timeout(support::LIMIT).unwrap();
    first.kill();
    scene.start("b", &[]);
    assert_eq!(scene.carried_by(&["b"]), "b");
    release.send(()).unwrap();
    thread::sleep(QUICK_LEASE);
    assert_eq!(scene.pods.carriers(), ["b"]);
    assert!(scene.is_clean("a"));
}

#[test]
fn a_standby_that_cannot_lead_takes_a_dead_leaders_label_away() {
    let mut scene = Scene::set(&["a"]);
    scene.server.apply_in(&scene.namespace, &pod("b"));
    scene.carried_by(&["a"]);
    scene.start("b", &["--gate-command", "false"]);
    eventually("it knows", || scene.sidecars[1].leader().holder().map(drop));
    scene.sidecar("a").kill();
    let killed = now();
    eventually("no pod carries it", || scene.pods.carriers().is_empty().then_some(()));
    assert!(now().since(killed) < LIMIT);
    assert!(scene.is_clean("a"));
}

#[test]
fn a_sidecar_that_starts_again_in_its_pod_takes_its_old_label_away() {
    let mut scene = Scene::set(&["a"]);
    scene.carried_by(&["a"]);
    scene.sidecar("a").kill();
    scene.sidecars.clear();
    scene.start("a", &["--gate-command", "test -e open"]);
    eventually("the label is gone", || scene.pods.carriers().is_empty().then_some(()));
}

#[test]
fn the_label_is_right_again_after_an_outage_of_the_api() {
    let mut scene = Scene::on(Arc::new(ApiServer::start()), &["a", "b"]);
    let first = scene.carried_by(&["a", "b"]);
    let other = if first == "a" { "b" } else { "a" };
    let outage = scene.server.freeze_etcd();
    scene.sidecar(&first).signal("TERM");
    // The election does not wait for the API of Kubernetes.
    eventually("the other leads", || scene.sidecar(other).leader().leads().then_some(()));
    thread::sleep(QUICK_LEASE);
    assert!(scene.sidecar(other).leader().leads());
    drop(outage);
    assert_eq!(scene.carried_by(&[other]), other);
    eventually("it is clean", || scene.is_clean(&first).then_some(()));
}

#[test]
fn a_label_that_another_client_moved_is_put_right() {
    let scene = Scene::set(&["a"]);
    scene.server.apply_in(&scene.namespace, &pod("b"));
    scene.carried_by(&["a"]);
    let kubectl = |words: &[&str]| {
        let mut command = scene.server.kubectl();
        must(command.args(["-n", &scene.namespace]).args(words));
    };
    kubectl(&["label", "pod", "a", "bellwether/leads-default-"]);
    kubectl(&["label", "pod", "b", "bellwether/leads-default=true"]);
    let carries = |name: &str| {
        let mut command = scene.server.kubectl();
        command.args(["get", "pod", "-n", &scene.namespace, "-l", "bellwether/leads-default=true"]);
        must(command.args(["-o", "name"])).trim() == format!("pod/{name}")
    };
    eventually("it is put right", || carries("a").then_some(()));
    // Of a record that was lost: a later term than that of the leader.
    kubectl(&["annotate", "pod", "b", "bellwether/leads-default=99"]);
    kubectl(&["label", "pod", "b", "bellwether/leads-default=old"]);
    eventually("it is taken away", || scene.is_clean("b").then_some(()));
}

#[test]
fn a_missing_right_to_pods_is_named_with_the_rule_that_grants_it() {
    let server = ApiServer::shared();
    let (namespace, pasture) = (server.namespace(), Pasture::new());
    server.apply_in(&namespace, &pod("a"));
    let command = in_pod("a", &namespace, &server.user());
    let mut sidecar = Sidecar::start_as("a", &pasture.store(), &["--leader-label"], command);
    let rule = "{apiGroups: [''], resources: [pods], verbs: [list, patch]}";
    eventually("it names the rule", || (sidecar.log().count(rule) > 0).then_some(()));
    // The first look at the pods may come before the first claim.
    eventually("it leads without the right", || sidecar.leader().leads().then_some(()));
    let command = in_pod("a", &namespace, &server.user());
    let store = Pasture::new();
    let mut leaves = Sidecar::start_as("b", &store.store(), &["--leader-label"], command);
    eventually("it leads, too", || leaves.leader().leads().then_some(()));
    leaves.signal("TERM");
    assert!(leaves.wait().success(), "it leaves without the right: {}", leaves.log().text());
    server.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: label, namespace: \
         {namespace}}}\nrules:\n- {rule}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: \
         RoleBinding\nmetadata: {{name: label, namespace: {namespace}}}\nroleRef: {{apiGroup: \
         rbac.authorization.k8s.io, kind: Role, name: label}}\nsubjects:\n- {{kind: User, name: \
         {USER_NAME}, apiGroup: rbac.authorization.k8s.io}}\n"
    ));
    eventually("it is right", || {
        (sidecar.log().count("the leader's label is right again") > 0).then_some(())
    });
    sidecar.signal("TERM");
    assert!(sidecar.wait().success(), "{}", sidecar.log().text());
}

#[test]
fn a_bad_label_ends_the_start() {
    let pasture = Pasture::new();
    let outside = |words: &[&str], pod: Option<&str>| {
        let mut command = bellwether();
        if let Some(pod) = pod {
            command.env("POD_NAME", pod).env("POD_NAMESPACE", "shop");
        }
        let output = command.args(["serve", "--store", &pasture.store()]).args(words).output();
        let output = output.unwrap();
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{words:?}: {printed}");
        assert!(printed.contains("--leader-label: "), "{words:?}: {printed}");
        printed
    };
    assert!(outside(&["--leader-label"], None).contains("POD_NAME and POD_NAMESPACE are not set"));
    for bad in ["leader", "=true", "leader=", "a/b/c=true", "Shop/x=true", "_x=true", "x=a b"] {
        outside(&["--leader-label", bad], Some("web-0"));
    }
    let long = format!("--election={}", "x".repeat(60));
    outside(&[&long, "--leader-label"], Some("web-0"));
    let two = ["--election=a,b", "--leader-label", "leader=true"];
    assert!(outside(&two, Some("web-0")).contains("{election}"));
    assert!(!pasture.path().exists(), "nothing was opened");
}
