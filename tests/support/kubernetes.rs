//! An API server of the test's own: Kubernetes' kube-apiserver on an etcd, gone at the end.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bellwether::time::clock::HostClock;

use crate::ports::free_port;
use crate::tools::{must, project, tool_path};
use crate::watchdog::Watchdog;

/// May do anything.
const ADMIN: &str = "token-of-the-administrator";

/// A user without rights, until a test grants some.
const USER: &str = "token-of-an-ordinary-user";
pub const USER_NAME: &str = "ordinary";

/// Longer than a start takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A running API server.
pub struct ApiServer {
    folder: tempfile::TempDir,
    port: u16,
    etcd_port: u16,
    etcd: Mutex<Child>,
    server: Mutex<Child>,
    namespaces: AtomicU32,
}

impl ApiServer {
    /// The server that the tests of this process share, for as long as one of them uses it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<ApiServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, etcd_port) = (free_port(), free_port());
        let path = folder.path();
        must(Command::new("openssl").args(["genrsa", "-out"]).arg(path.join("key")).arg("2048"));
        let tokens = format!("{ADMIN},admin,1,system:masters\n{USER},{USER_NAME},2,\n");
        fs::write(path.join("tokens.csv"), tokens).unwrap();
        let etcd = Mutex::new(start_etcd(path, etcd_port));
        let server = Mutex::new(start_server(path, port, etcd_port));
        let server = Self { folder, port, etcd_port, etcd, server, namespaces: AtomicU32::new(0) };
        server.write_kubeconfig("admin", ADMIN);
        server.write_kubeconfig("user", USER);
        server.wait_until_ready();
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificates that it presents.
    pub fn authority(&self) -> PathBuf {
        self.path("certificates/apiserver.crt")
    }

    fn write_kubeconfig(&self, name: &str, token: &str) {
        self.kubeconfig_for(name, self.port, &format!("token: {token}"));
    }

    /// A kubeconfig to reach the server, or a proxy before it, at a port of this host.
    pub fn kubeconfig_for(&self, name: &str, port: u16, user: &str) -> PathBuf {
        self.kubeconfig_by(name, port, &self.authority(), user)
    }

    /// The same, with another authority.
    pub fn kubeconfig_by(&self, name: &str, port: u16, authority: &Path, user: &str) -> PathBuf {
        let file = self.path(name);
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\ncontexts:\n\
             - name: test\n  context: {{cluster: test, user: test}}\nclusters:\n\
             - name: test\n  cluster:\n    server: https://127.0.0.1:{port}\n    \
             certificate-authority: {}\nusers:\n- name: test\n  user:\n    {user}\n",
            authority.display()
        );
        fs::write(&file, text).unwrap();
        file
    }

    /// The kubeconfig of the administrator.
    pub fn admin(&self) -> PathBuf {
        self.path("admin")
    }

    /// The same by a proxy at a port, for a namespace.
    pub fn admin_by(&self, port: u16, namespace: &str) -> PathBuf {
        let direct = std::fs::read_to_string(self.admin()).unwrap();
        let (from, to) = (format!("127.0.0.1:{}", self.port()), format!("127.0.0.1:{port}"));
        assert!(direct.contains(&from), "{direct}");
        let kubeconfig = self.admin().with_file_name(format!("by-{port}-{namespace}"));
        std::fs::write(&kubeconfig, direct.replace(&from, &to)).unwrap();
        kubeconfig
    }

    /// The kubeconfig of the ordinary user.
    pub fn user(&self) -> PathBuf {
        self.path("user")
    }

    fn wait_until_ready(&self) {
        let give_up = HostClock::boot() + LIMIT;
        loop {
            let mut ready = self.kubectl();
            let ready = ready.args(["get", "--raw", "/readyz"]).output().unwrap();
            if ready.status.success() {
                return;
            }
            if HostClock::boot() > give_up {
                let log = fs::read_to_string(self.path("server.log")).unwrap_or_default();
                panic!("the API server is not ready: {log}");
            }
            self.start_what_ended();
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Another process may have had the port: it was free when it was chosen.
    fn start_what_ended(&self) {
        let (path, mut etcd, mut server) =
            (self.folder.path(), self.etcd.lock().unwrap(), self.server.lock().unwrap());
        if etcd.try_wait().unwrap().is_some() {
            *etcd = start_etcd(path, self.etcd_port);
        }
        if server.try_wait().unwrap().is_some() {
            *server = start_server(path, self.port, self.etcd_port);
        }
    }

    /// kubectl as the administrator.
    pub fn kubectl(&self) -> Command {
        let program = tool_path("helm4/kubectl");
        let mut command = Command::new(program);
        command.arg("--kubeconfig").arg(self.admin()).arg("--cache-dir").arg(self.path("cache"));
        command.stdin(Stdio::null());
        command
    }

    /// A new namespace.
    pub fn namespace(&self) -> String {
        let name = format!("test-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        must(self.kubectl().args(["create", "namespace", &name]));
        name
    }

    /// Applies a text of YAML.
    pub fn apply(&self, yaml: &str) {
        self.apply_with(&[], yaml);
    }

    /// The same, in a namespace where the text names none.
    pub fn apply_in(&self, namespace: &str, yaml: &str) {
        self.apply_with(&["--namespace", namespace], yaml);
    }

    fn apply_with(&self, more: &[&str], yaml: &str) {
        let mut command = self.kubectl();
        command.args(["apply", "-f", "-"]).args(more);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{yaml}");
    }

    /// The store URL of a namespace, as the administrator.
    pub fn url(&self, namespace: &str) -> String {
        url(namespace, &self.admin())
    }

    /// Ends the API server as a crash does, and starts it again.
    pub fn restart(&self) {
        let mut server = self.server.lock().unwrap();
        end(&mut server);
        *server = start_server(self.folder.path(), self.port, self.etcd_port);
        drop(server);
        self.wait_until_ready();
    }

    /// `kubectl proxy`: the API without TLS, as the administrator, on the port that is returned.
    pub fn without_tls(&self) -> (Child, u16) {
        let mut command = self.kubectl();
        command.args(["proxy", "--port=0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        (child, port.unwrap_or_else(|| panic!("kubectl proxy: {line}")))
    }

    /// Freezes etcd until the returned value is dropped: the API server answers no request then.
    pub fn freeze_etcd(&self) -> Frozen {
        Frozen::new(self.etcd.lock().unwrap().id())
    }
}

/// The store URL of a namespace, by a kubeconfig.
pub fn url(namespace: &str, kubeconfig: &Path) -> String {
    format!("kubernetes://{namespace}?kubeconfig={}", kubeconfig.display())
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        end(&mut self.server.lock().unwrap_or_else(PoisonError::into_inner));
        end(&mut self.etcd.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A process that is stopped by SIGSTOP. It continues when this is dropped, or when this process ends: one that stays
/// stopped does not even end by Ctrl-C.
pub struct Frozen {
    _continues: Watchdog,
}

impl Frozen {
    pub fn new(pid: u32) -> Self {
        let pid = pid.to_string();
        let continues = Watchdog::new("kill -CONT \"$1\"", &[&pid]);
        must(Command::new("kill").args(["-STOP", &pid]));
        Self { _continues: continues }
    }
}

fn start_etcd(folder: &Path, port: u16) -> Child {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), free_port());
    let peer = format!("http://127.0.0.1:{peer}");
    let mut etcd = Command::new("etcd");
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    etcd.args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync"]);
    spawn(etcd, &folder.join("etcd.log"))
}

fn start_server(folder: &Path, port: u16, etcd_port: u16) -> Child {
    let tools = project().join("target/tools/leases");
    let mut server = Command::new(tools.join("kube-apiserver"));
    let file = |name: &str| folder.join(name).display().to_string();
    server.args([
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("key")),
        format!("--service-account-signing-key-file={}", file("key")),
        format!("--cert-dir={}", file("certificates")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
    ]);
    spawn(server, &folder.join("server.log"))
}

fn spawn(mut command: Command, log: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}: run `make setup`"))
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
