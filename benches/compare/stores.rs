//! The servers that candidates elect in: one of each, on loopback, for the whole run.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use aws_sdk_dynamodb::types::TimeToLiveSpecification;
use support::dynamodb::Emulator;
use support::kubernetes::ApiServer;
use support::postgres::{self, Server};
use support::watchdog::Watchdog;
use support::{Killed, Pasture, now};

use crate::candidate::Failure;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Sqlite,
    Postgres,
    /// The table of bellwether.
    DynamoDb,
    /// The table of the lock clients, whose key has another name.
    DynamoDbLocks,
    Kubernetes,
    Etcd,
}

const MARK: &str = "COMPARED_IN";

pub struct Stores {
    pasture: Pasture,
    /// Ends the candidates: after Ctrl-C, one that is stopped would stay so forever.
    _ends_all: Watchdog,
    pub postgres: Server,
    dynamodb: Emulator,
    dynamodb_locks: Emulator,
    kubernetes: ApiServer,
    etcd: Etcd,
}

impl Stores {
    pub fn start() -> Result<Self, Failure> {
        let dynamodb_locks = Emulator::start();
        block_on(async {
            dynamodb_locks.create_foreign_table("key", None).await;
            let ttl = TimeToLiveSpecification::builder();
            let ttl = ttl.attribute_name("lease_expiry").enabled(true).build().unwrap();
            let request = dynamodb_locks.client().update_time_to_live();
            request.table_name("leases").time_to_live_specification(ttl).send().await.unwrap();
        });
        let pasture = Pasture::new();
        Ok(Self {
            _ends_all: Watchdog::kills_all_with(MARK, pasture.folder()),
            pasture,
            // Commits wait for the disk, as they do where a lease matters.
            postgres: Server::start(&["fsync = on"]),
            dynamodb: Emulator::start(),
            dynamodb_locks,
            kubernetes: ApiServer::start(),
            etcd: Etcd::start()?,
        })
    }

    /// A variable that all candidates of this run have, and no other process.
    pub fn mark(&self) -> (&'static str, &Path) {
        (MARK, self.pasture.folder())
    }

    /// None for a file.
    pub fn port(&self, store: Store) -> Option<u16> {
        match store {
            Store::Sqlite => None,
            Store::Postgres => Some(self.postgres.port()),
            Store::DynamoDb => Some(self.dynamodb.port()),
            Store::DynamoDbLocks => Some(self.dynamodb_locks.port()),
            Store::Kubernetes => Some(self.kubernetes.port()),
            Store::Etcd => Some(self.etcd.port),
        }
    }

    /// The settings by which a candidate reaches it, at a port of this host.
    pub fn url(&self, store: Store, port: u16) -> String {
        match store {
            Store::Sqlite => self.pasture.store(),
            Store::Postgres => postgres::url(port, "postgres", "postgres"),
            Store::DynamoDb => support::dynamodb::url(port),
            Store::DynamoDbLocks => format!("http://127.0.0.1:{port}"),
            Store::Kubernetes => support::kubernetes::url("default", &self.kubeconfig(port)),
            Store::Etcd => format!("127.0.0.1:{port}"),
        }
    }

    pub fn kubeconfig(&self, port: u16) -> PathBuf {
        let text = fs::read_to_string(self.kubernetes.admin()).unwrap();
        let server = |port: u16| format!("https://127.0.0.1:{port}\n");
        let text = text.replace(&server(self.kubernetes.port()), &server(port));
        let file = self.pasture.folder().join(format!("kubeconfig-{port}"));
        fs::write(&file, text).unwrap();
        file
    }
}

struct Etcd {
    port: u16,
    _child: Killed,
    _folder: tempfile::TempDir,
}

impl Etcd {
    fn start() -> Result<Self, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let port = support::ports::free_port();
        let child = Killed(spawn(folder.path(), port)?);
        let give_up = now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if now() > give_up {
                return Err("etcd does not answer".to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { port, _child: child, _folder: folder })
    }
}

fn spawn(folder: &Path, port: u16) -> Result<Child, Failure> {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{}", support::ports::free_port());
    let mut etcd = Command::new("etcd");
    etcd.arg("--data-dir").arg(folder.join("data"));
    etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    etcd.args(["--initial-cluster", &format!("default={peer}")]);
    etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    etcd.spawn().map_err(|error| format!("etcd: {error}"))
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
