//! The cluster of one node that the tests of this process share: see node.sh.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, RwLock};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use support::image::Image;
use support::now;
use support::tools::{folder_of_this_process, must, project, tool, tool_path};

/// A limit for what takes long on a busy machine, such as a rollout, not a claim about speed.
pub const LIMIT: Duration = Duration::from_secs(240);

/// The address of the node, where pods reach what listens in the network of the node.
pub const ADDRESS: &str = "10.77.0.1";

/// The API without TLS, as the administrator, in the network of the node.
pub const API: &str = "http://127.0.0.1:8001";

pub struct Node {
    folder: PathBuf,
    /// The first process of the node's namespaces, as this host numbers it.
    first: u32,
    /// Most tests run beside each other; one that makes the API server unavailable runs alone.
    pub turns: RwLock<()>,
    /// The node lives as long as this pipe, so no longer than this process.
    _held: ChildStdin,
}

impl Node {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Node> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        static TRIED: AtomicBool = AtomicBool::new(false);
        assert!(
            !TRIED.swap(true, Ordering::Relaxed),
            "the node did not start: see the first failure"
        );
        let started = now();
        // Kept after the tests, for its logs.
        let folder =
            folder_of_this_process(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster"));
        let log = File::create(folder.join("node.log")).unwrap();
        let mut script = Command::new(project().join("tests/cluster/node.sh"));
        script.arg(&folder).stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        // A Ctrl-C ends the tests. The script cleans up then.
        std::os::unix::process::CommandExt::process_group(&mut script, 0);
        let mut script = script.spawn().unwrap();
        let held = script.stdin.take().unwrap();
        patiently("the node has started", || {
            let ended = script.try_wait().unwrap();
            let log = || fs::read_to_string(folder.join("node.log")).unwrap();
            assert!(ended.is_none(), "node.sh has ended: {}", log());
            folder.join("started").exists().then_some(())
        });
        let first = child_of(child_of(script.id()));
        enter_network_of(first);
        let node = Self { folder, first, turns: RwLock::new(()), _held: held };
        node.import_images();
        patiently("the node is ready", || {
            let mut ready = node.kubectl();
            let path = r#"-o=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#;
            let output = ready.args(["get", "nodes", path]).output().unwrap();
            (output.stdout == b"True").then_some(())
        });
        println!("the cluster has started in {:?}", now().since(started));
        node
    }

    /// Moves the calling thread, and what it starts from now on, into the network of the node.
    pub fn enter(&self) {
        enter_network_of(self.first);
    }

    fn import_images(&self) {
        let scratch = self.folder.join("images");
        let busybox = scratch.join("context/bin/busybox");
        fs::create_dir_all(busybox.parent().unwrap()).unwrap();
        fs::copy(tool_path("cluster/busybox"), &busybox).unwrap();
        let list = must(Command::new(&busybox).arg("--list"));
        for name in list.lines().filter(|name| *name != "busybox") {
            std::os::unix::fs::symlink("busybox", busybox.with_file_name(name)).unwrap();
        }
        let dockerfile = "FROM scratch\nCOPY . /\nCMD [\"sleep\", \"2000000000\"]\n";
        let busybox = Image::of(scratch, dockerfile);
        let version = env!("CARGO_PKG_VERSION");
        let ours = Image::shared();
        self.import(&ours.archive(&format!("docker.io/library/bellwether:{version}")));
        self.import(&busybox.archive("docker.io/library/busybox:1.37"));
        self.import(&busybox.archive("localhost/pause:1"));
    }

    fn import(&self, archive: &Path) {
        patiently("containerd imports an image", || {
            self.ctr()
                .args(["images", "import"])
                .arg(archive)
                .output()
                .unwrap()
                .status
                .success()
                .then_some(())
        });
        fs::remove_file(archive).unwrap();
    }

    /// The client of containerd.
    pub fn ctr(&self) -> Command {
        let mut command = tool("cluster/ctr");
        let socket = format!("/proc/{}/root/run/containerd/containerd.sock", self.first);
        command.args(["--address", &socket, "--namespace", "k8s.io"]);
        command
    }

    pub fn kubectl(&self) -> Command {
        let mut command = tool("helm4/kubectl");
        command.env("KUBECONFIG", self.folder.join("kubeconfig")).stdin(Stdio::null());
        command.arg("--cache-dir").arg(self.folder.join("cache"));
        command
    }

    pub fn helm(&self) -> Command {
        let mut command = tool("helm4/helm");
        command.envs(self.user()).stdin(Stdio::null());
        command
    }

    /// What a user has in the environment: the cluster, and folders for Helm.
    pub fn user(&self) -> Vec<(String, PathBuf)> {
        let mut variables = vec![("KUBECONFIG".to_owned(), self.folder.join("kubeconfig"))];
        for kind in ["CACHE", "CONFIG", "DATA"] {
            variables.push((format!("HELM_{kind}_HOME"), self.folder.join("helm").join(kind)));
        }
        variables
    }

    /// Sends a signal to one of the node's programs, such as `kube-apiserver`.
    pub fn signal(&self, signal: &str, service: &str) {
        let pid = fs::read_to_string(self.folder.join("pid").join(service)).unwrap();
        let mut kill = self.inside();
        must(kill.args(["kill", &format!("-{signal}"), pid.trim()]));
    }

    /// Runs a program in all namespaces of the node: its arguments are to follow.
    pub fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.to_string(), "--mount", "--net", "--pid", "--"]);
        command.stdin(Stdio::null());
        command
    }

    /// Kills one of the node's programs, and keeps it from starting until the returned value is dropped.
    pub fn without(&self, service: &str) -> Without {
        let file = self.folder.join("off").join(service);
        fs::write(&file, "").unwrap();
        self.signal("KILL", service);
        Without(file)
    }

    /// Stops one of the node's programs by SIGSTOP until the returned value is dropped.
    pub fn frozen(&'static self, service: &'static str) -> Frozen {
        self.signal("STOP", service);
        Frozen(self, service)
    }

    /// Where the logs of the node's programs lie.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }
}

/// One of the node's programs does not run.
pub struct Without(PathBuf);

impl Drop for Without {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// One of the node's programs is stopped.
pub struct Frozen(&'static Node, &'static str);

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.signal("CONT", self.1);
    }
}

/// Waits until `condition` gives something.
#[track_caller]
pub fn patiently<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let give_up = now() + LIMIT;
    while now() < give_up {
        if let Some(found) = condition() {
            return found;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("not within {LIMIT:?}: {what}");
}

fn enter_network_of(process: u32) {
    let network = File::open(format!("/proc/{process}/ns/net")).unwrap();
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(network.as_fd(), kind).expect("these tests run as root");
}

/// The only child of a process.
fn child_of(process: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}
