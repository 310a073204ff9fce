//! `promtool`, and a Prometheus that scrapes; what else comes with them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use support::{LIMIT, Log, Sidecar, eventually};

/// The job that every sidecar here is scraped as.
pub const JOB: &str = "app";

/// The labels that it gives to every target, as a Prometheus of Kubernetes does.
pub const NAMESPACE: &str = "prod";
pub const CLUSTER: &str = "east";

/// A file of this repository.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A program that `tests/program/metrics/setup.sh` installed.
pub fn tool(name: &str) -> Command {
    let path = file("target/tools").join(name);
    assert!(path.exists(), "{} is missing: make setup", path.display());
    Command::new(path)
}

/// Runs `promtool`. Returns its output, of both streams, as an error if it failed.
pub fn promtool(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = tool("prometheus/promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_owned();
    // Beside reading what it says: either side may fill its pipe.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let Output { status, stdout, stderr } = child.wait_with_output().expect("promtool ends");
    writer.join().expect("it wrote");
    let printed = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    if status.success() { Ok(printed.into_owned()) } else { Err(printed.into_owned()) }
}

/// A Prometheus of its own, killed when dropped.
pub struct Prometheus {
    url: String,
    child: Child,
    log: Log,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes every second, and evaluates the alert rules of this repository as often.
    pub fn of(sidecars: &[&Sidecar]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let targets: Vec<_> =
            sidecars.iter().map(|sidecar| sidecar.url.trim_start_matches("http://")).collect();
        let config = serde_json::json!({
            "global": {
                "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"
            },
            "rule_files": [file("deploy/grafana/alerts.yaml")],
            "scrape_configs": [{ "job_name": JOB, "static_configs": [
                { "targets": targets, "labels": { "namespace": NAMESPACE, "cluster": CLUSTER } }
            ] }],
        });
        // JSON is YAML.
        std::fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap();
        let mut command = tool("prometheus/prometheus");
        command.current_dir(folder.path());
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.args(["--web.listen-address=127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("prometheus starts");
        let log = Log::of(child.stderr.take().expect("stderr is piped"));
        let url = eventually("prometheus says where it answers", || {
            if let Some(status) = child.try_wait().expect("a child") {
                panic!("prometheus exited with {status}: {}", log.text());
            }
            let lines = log.lines();
            let line = lines.iter().find(|line| line.contains("\"Listening on\""))?;
            Some(format!("http://{}", line.split_once("address=")?.1))
        });
        let prometheus = Self { url, child, log, _folder: folder };
        eventually("prometheus is ready", || prometheus.get("/-/ready", None));
        prometheus
    }

    /// The result of a query at this moment.
    pub fn query(&self, query: &str) -> Vec<Value> {
        let answer = self.get("/api/v1/query", Some(query)).unwrap_or_default();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// The alert rules as Prometheus read and evaluated them.
    pub fn rules(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/rules", None).expect("the rules");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let groups = answer["data"]["groups"].as_array().expect("groups");
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap()).collect()
    }

    fn get(&self, path: &str, query: Option<&str>) -> Option<String> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).build().new_agent();
        let request = agent.get(format!("{}{path}", self.url));
        let request = query.into_iter().fold(request, |request, q| request.query("query", q));
        let mut response = request.config().http_status_as_error(false).build().call().ok()?;
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).ok()?;
        // A query that is refused is an answer; a server that is not ready is not.
        (response.status() != 503).then_some(text)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of prometheus:\n{}", self.log.text());
        }
    }
}
