//! Every container of the chart's pods, run by a container runtime: runc, as the kubelet starts it.
//!
//! A rendered mount can be valid YAML and still never start, for example a volume at a path where
//! the image has a file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use support::chart::{example, with};
use support::image::Image;
use support::tools::{must, printed, yaml};
use support::{Killed, Log, eventually};

/// What the chart calls its own image.
const IMAGE: &str = "bellwether:";

/// The key of the Secret in these tests: a file in a volume that the containers of a pod share.
const STORE: &str = "sqlite:///state/leases.db";

/// The containers of one pod, on one host, with one network.
struct Pod {
    spec: Value,
    name: String,
    place: tempfile::TempDir,
    /// Holds the network namespace, as the kubelet's pause container does.
    network: Killed,
    sidecars: Vec<(String, Child, Log)>,
}

impl Pod {
    fn new(spec: &Value) -> Self {
        static PODS: AtomicU32 = AtomicU32::new(0);
        let at = PODS.fetch_add(1, Ordering::Relaxed);
        let name = format!("bellwether-test-{}-{at}", std::process::id());
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let pause = "ip link set lo up && touch \"$1\" && exec sleep infinity";
        let up = place.path().join("up");
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--", "sh", "-c", pause, "sh"]).arg(&up);
        let network = Killed(unshare.stdin(Stdio::null()).spawn().unwrap());
        eventually("the pod has a network", || up.exists().then_some(()));
        Self { spec: spec.clone(), name, place, network, sidecars: Vec::new() }
    }

    fn containers(&self, list: &str) -> Vec<Value> {
        self.spec[list].as_array().cloned().unwrap_or_default()
    }

    /// Starts the init containers in order, as the kubelet does: it continues when a sidecar runs, and when any
    /// other container has succeeded.
    fn init(&mut self) {
        for container in self.containers("initContainers") {
            if container["restartPolicy"] == "Always" {
                self.start_sidecar(&container);
            } else {
                let output = self.run(&container);
                assert!(output.status.success(), "{}: {}", container["name"], printed(&output));
            }
        }
    }

    fn start_sidecar(&mut self, container: &Value) {
        let id = self.id(container);
        let mut child = self.runc_run(container).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        eventually("the liveness probe succeeds", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{id} exited with {status}: {}", log.text());
            }
            self.probe(container, "livenessProbe").then_some(())
        });
        self.sidecars.push((id, child, log));
    }

    fn probe(&self, container: &Value, probe: &str) -> bool {
        let words = container[probe]["exec"]["command"].as_array().unwrap();
        let mut exec = self.runc();
        exec.arg("exec").arg(self.id(container)).args(words.iter().map(|w| w.as_str().unwrap()));
        exec.output().unwrap().status.success()
    }

    /// Runs a container to its end.
    fn run(&self, container: &Value) -> Output {
        self.runc_run(container).output().unwrap()
    }

    fn runc_run(&self, container: &Value) -> Command {
        let bundle = self.bundle(container);
        let mut run = self.runc();
        run.args(["run", "--bundle"]).arg(bundle).arg(self.id(container));
        run
    }

    fn runc(&self) -> Command {
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(self.place.path().join("runc")).stdin(Stdio::null());
        runc
    }

    fn id(&self, container: &Value) -> String {
        format!("{}-{}", self.name, container["name"].as_str().unwrap())
    }

    /// The folder that the runtime gets: the image's files, and the container's specification.
    fn bundle(&self, container: &Value) -> PathBuf {
        let bundle = self.place.path().join(container["name"].as_str().unwrap());
        let root = bundle.join("rootfs");
        fs::create_dir_all(&root).unwrap();
        let is_own = container["image"].as_str().unwrap().starts_with(IMAGE);
        if is_own {
            let files = Image::shared().files().join(".");
            must(Command::new("cp").arg("-a").arg(files).arg(&root));
            fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        } else {
            for folder in ["bin", "lib", "lib64"] {
                symlink(Path::new("usr").join(folder), root.join(folder)).unwrap();
            }
        }
        let config = self.config(container, is_own);
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        bundle
    }

    fn config(&self, container: &Value, is_own: bool) -> Value {
        let context = &container["securityContext"];
        let user = context["runAsUser"].as_u64().unwrap_or(0);
        let entrypoint = if is_own { json!(["/bellwether"]) } else { json!([]) };
        let command =
            if container["command"].is_array() { &container["command"] } else { &entrypoint };
        let words = |list: &Value| list.as_array().cloned().unwrap_or_default();
        let args = [words(command), words(&container["args"])].concat();
        let namespace = |kind: &str| json!({ "type": kind });
        let network = format!("/proc/{}/ns/net", self.network.0.id());
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": user, "gid": user },
                "args": args,
                "env": self.environment(container),
                "cwd": "/",
                "capabilities": {},
                "noNewPrivileges": true,
            },
            "root": { "path": "rootfs", "readonly": context["readOnlyRootFilesystem"] == true },
            "mounts": self.mounts(container, is_own),
            "linux": { "namespaces": [
                namespace("pid"), namespace("ipc"), namespace("uts"), namespace("mount"),
                { "type": "network", "path": network },
            ] },
        })
    }

    fn environment(&self, container: &Value) -> Vec<String> {
        let mut environment = vec!["PATH=/usr/bin:/bin".to_owned()];
        for variable in container["env"].as_array().into_iter().flatten() {
            let from = &variable["valueFrom"];
            let value = match variable["value"].as_str() {
                Some(value) => value,
                None if from["secretKeyRef"].is_object() => STORE,
                None => &self.name,
            };
            environment.push(format!("{}={value}", variable["name"].as_str().unwrap()));
        }
        environment
    }

    fn mounts(&self, container: &Value, is_own: bool) -> Vec<Value> {
        let mut mounts = vec![
            json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
            json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                    "options": ["nosuid", "mode=755"] }),
        ];
        if !is_own {
            // An image with a shell: the host's programs.
            mounts.push(json!({ "destination": "/usr", "type": "bind", "source": "/usr",
                                "options": ["rbind", "ro"] }));
        }
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let volume = self.place.path().join("volumes").join(mount["name"].as_str().unwrap());
            fs::create_dir_all(&volume).unwrap();
            // As an emptyDir is.
            fs::set_permissions(&volume, fs::Permissions::from_mode(0o777)).unwrap();
            let access = if mount["readOnly"] == true { "ro" } else { "rw" };
            mounts.push(json!({ "destination": mount["mountPath"], "type": "bind",
                                "source": volume, "options": ["rbind", access] }));
        }
        mounts
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let sidecars = std::mem::take(&mut self.sidecars);
        for (id, mut child, log) in sidecars {
            let _ = self.runc().args(["kill", &id, "KILL"]).output();
            let _ = child.wait();
            let _ = self.runc().args(["delete", "--force", &id]).output();
            if std::thread::panicking() {
                eprintln!("--- log of {id}:\n{}", log.text());
            }
        }
    }
}

/// The pod of the first object of a kind.
fn pod_of(documents: &[Value], kind: &str) -> Value {
    let found = documents.iter().find(|document| document["kind"] == kind);
    let spec = &found.unwrap_or_else(|| panic!("no {kind} is rendered"))["spec"];
    let spec = if kind == "CronJob" { &spec["jobTemplate"]["spec"] } else { spec };
    spec["template"]["spec"].clone()
}

/// The chart with the volume of [`STORE`] and a few values, for one of its forms.
fn with_volume(form: &str, sets: &[&str]) -> Vec<Value> {
    let name = format!("{form}.volumes[0].name=state");
    let medium = format!("{form}.volumes[0].emptyDir.medium=Memory");
    let mounts = ["volumeMounts[0].name=state", "volumeMounts[0].mountPath=/state"];
    with(&[sets, &mounts, &[&name, &medium, "store.secret.name=s"]].concat())
}

/// Replaces what the main container of a rendered pod runs.
fn runs(pod: &mut Value, script: &str) {
    pod["containers"][0]["command"] = json!(["sh", "-c", script]);
}

#[test]
fn the_job_runs_its_command_once() {
    let sets = ["job.image=shop", "job.command={sh,-c,echo migrated}"];
    let documents = with_volume("job", &sets);
    let mut pod = Pod::new(&pod_of(&documents, "Job"));
    pod.init();
    let [once] = &pod.containers("containers")[..] else { panic!("one container") };
    let output = pod.run(once);
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "migrated");
}

#[test]
fn the_application_finds_the_installed_program_and_its_sidecar() {
    let documents = with_volume("app", &["app.image=shop", "app.installBinary=true"]);
    let mut spec = pod_of(&documents, "Deployment");
    runs(&mut spec, "exec /opt/bellwether/bellwether wait --leading --timeout 60s");
    let mut pod = Pod::new(&spec);
    pod.init();
    let [app] = &pod.containers("containers")[..] else { panic!("one container") };
    let output = pod.run(app);
    assert!(output.status.success(), "{}", printed(&output));
}

/// The example's job uses a store that is missing here: its program starts, and reports it.
#[test]
fn the_example_starts_the_program_that_it_installs() {
    let mut spec = pod_of(&yaml(&example("helm4/helm")), "CronJob");
    let sidecars = spec["initContainers"].as_array_mut().unwrap();
    // Without the sidecar, nothing may wait for it.
    sidecars.retain(|container| container["name"] == "bellwether-install");
    for container in sidecars {
        container["image"] = json!(format!("{IMAGE}test"));
    }
    let command = spec["containers"][0]["command"].clone();
    let program = command[0].as_str().unwrap().to_owned();
    runs(&mut spec, &format!("exec {program} --version"));
    let mut pod = Pod::new(&spec);
    pod.init();
    let [import] = &pod.containers("containers")[..] else { panic!("one container") };
    let output = pod.run(import);
    assert!(printed(&output).starts_with("bellwether "), "{}", printed(&output));
}
