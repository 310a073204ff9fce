//! What is compared, and how each is started.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use support::tools::tool_path;
use support::without_settings;

use crate::candidate::{Candidate, Failure, Voice};
use crate::stores::{Store, Stores};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bellwether serve`, and an application that queries it.
    Serve,
    /// The same with `--advertise`: standbys follow the leader's own events.
    Advertised,
    /// `bellwether run`, with the work as its command.
    Run,
    ClientGo,
    EtcdctlElect,
    EtcdctlLock,
    DynamoDbLease,
    /// Amazon's own, in Java.
    DynamoDbLockClient,
    AdvisoryLock,
}

#[derive(Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    pub kind: Kind,
    pub store: Store,
    /// Whether a standby is notified, or waits in the store. The others look once in a while.
    pub is_pushed: bool,
}

pub const ROWS: [Row; 12] = [
    Row { name: "bellwether, SQLite", kind: Kind::Serve, store: Store::Sqlite, is_pushed: true },
    Row {
        name: "bellwether, Postgres",
        kind: Kind::Serve,
        store: Store::Postgres,
        is_pushed: true,
    },
    Row {
        name: "bellwether, DynamoDB",
        kind: Kind::Serve,
        store: Store::DynamoDb,
        is_pushed: false,
    },
    Row {
        name: "bellwether, DynamoDB, `--advertise`",
        kind: Kind::Advertised,
        store: Store::DynamoDb,
        is_pushed: true,
    },
    Row {
        name: "bellwether, Kubernetes",
        kind: Kind::Serve,
        store: Store::Kubernetes,
        is_pushed: true,
    },
    Row { name: "`bellwether run`", kind: Kind::Run, store: Store::Postgres, is_pushed: true },
    Row { name: "client-go", kind: Kind::ClientGo, store: Store::Kubernetes, is_pushed: false },
    Row { name: "`etcdctl elect`", kind: Kind::EtcdctlElect, store: Store::Etcd, is_pushed: true },
    Row { name: "`etcdctl lock`", kind: Kind::EtcdctlLock, store: Store::Etcd, is_pushed: true },
    Row {
        name: "dynamodb-lease",
        kind: Kind::DynamoDbLease,
        store: Store::DynamoDbLocks,
        is_pushed: false,
    },
    Row {
        name: "DynamoDB lock client",
        kind: Kind::DynamoDbLockClient,
        store: Store::DynamoDbLocks,
        is_pushed: false,
    },
    Row {
        name: "`pg_advisory_lock`",
        kind: Kind::AdvisoryLock,
        store: Store::Postgres,
        is_pushed: true,
    },
];

/// Peers that are not measured, and why.
pub const ABSENT: [(&str, &str); 3] = [
    ("`consul lock`", "Debian 12 has no package of Consul"),
    (
        "dynamolock",
        "the proxy of Go modules refuses `cirello.io/dynamolock/v2`. It is a port of the DynamoDB lock client",
    ),
    ("pglock", "the proxy of Go modules refuses `cirello.io/pglock`"),
];

/// What a candidate is started with.
pub struct Start<'a> {
    pub stores: &'a Stores,
    pub lease: Duration,
    pub election: &'a str,
    /// Whether it works while it leads.
    pub works: bool,
    /// Where it reaches its store, if not directly.
    pub port: Option<u16>,
    /// The processors that it may run on, for `taskset`.
    pub processor: Option<&'a str>,
    /// Where client-go serves `/leader`.
    pub listen: Option<&'a str>,
}

impl Row {
    pub fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Serve | Kind::Advertised | Kind::Run)
    }

    /// The lease, where it cannot be chosen.
    pub fn lease(&self, wanted: Duration) -> Duration {
        // `etcdctl elect` has no flag for it, and takes the default of etcd's client.
        if self.kind == Kind::EtcdctlElect { Duration::from_secs(60) } else { wanted }
    }

    pub fn program(&self) -> PathBuf {
        match self.kind {
            Kind::Serve | Kind::Advertised | Kind::Run => bellwether(),
            Kind::ClientGo => tool_path("compare/client-go"),
            Kind::EtcdctlElect | Kind::EtcdctlLock => PathBuf::from("/usr/bin/etcdctl"),
            Kind::DynamoDbLease => tool_path("compare/dynamodb-lease"),
            Kind::DynamoDbLockClient => PathBuf::from("java"),
            Kind::AdvisoryLock => tool_path("compare/advisory-lock"),
        }
    }

    pub fn start(&self, start: &Start<'_>) -> Result<Candidate, Failure> {
        let port = start.port.or(start.stores.port(self.store)).unwrap_or_default();
        let url = start.stores.url(self.store, port);
        let program = self.program();
        let mut command = match start.processor {
            None => Command::new(program),
            Some(processor) => {
                let mut command = Command::new("taskset");
                command.args(["-c", processor]).arg(program);
                command
            }
        };
        without_settings(&mut command);
        let (name, value) = start.stores.mark();
        command.env(name, value);
        let seconds = start.lease.as_secs();
        command.env("LEASE", format!("{seconds}s")).env("ELECTION", start.election);
        command.env("IDENTITY", uuid());
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_REGION", "eu-west-1");
        if start.works {
            command.env("WORK", "1");
        }
        match self.kind {
            Kind::Serve | Kind::Advertised | Kind::Run => {
                serve(&mut command, self.kind, &url, start)
            }
            Kind::ClientGo => {
                command.env("KUBECONFIG", start.stores.kubeconfig(port));
                command.env("LISTEN", start.listen.unwrap_or_default());
            }
            Kind::EtcdctlElect => {
                command.args(["--endpoints", &url, "elect", start.election, &uuid()]);
            }
            Kind::EtcdctlLock => {
                command.args(["--endpoints", &url, "lock", "--ttl", &seconds.to_string()]);
                command.arg(start.election).arg(worker());
            }
            Kind::DynamoDbLease => drop(command.env("AWS_ENDPOINT_URL", &url)),
            Kind::DynamoDbLockClient => {
                let folder = tool_path("compare/dynamodb-lock-client");
                let classes = format!("{0}/classes:{0}/jars/*", folder.display());
                command.args(["-cp", &classes, "Peer"]).env("AWS_ENDPOINT_URL", &url);
            }
            Kind::AdvisoryLock => drop(command.env("DATABASE_URL", &url)),
        }
        let voice = match self.kind {
            Kind::Serve | Kind::Advertised => Voice::Http { works: start.works },
            Kind::EtcdctlElect => Voice::Exit,
            _ => Voice::Lines,
        };
        Candidate::start(command, &voice)
    }
}

/// Our program with the durations of its defaults (15 s, 10 s, 2 s), in proportion.
fn serve(command: &mut Command, kind: Kind, url: &str, start: &Start<'_>) {
    let part = |fifteenths: u32| format!("{}ms", (start.lease * fifteenths / 15).as_millis());
    command.args(["--log-format", "json"]);
    command.arg(if kind == Kind::Run { "run" } else { "serve" });
    command.args(["--store", url, "--election", start.election, "--identity", &uuid()]);
    command.args(["--listen", "127.0.0.1:0"]);
    command.args(["--lease-duration", &part(15), "--renew-deadline", &part(10)]);
    command.args(["--retry-period", &part(2)]);
    if kind == Kind::Advertised {
        // Its host is what counts: nothing has to answer at the port.
        command.args(["--advertise", "http://127.0.0.1:1"]);
    }
    if kind == Kind::Run {
        command.arg("--").arg(worker());
    }
}

/// The static binary of releases, images and packages, not the program of the tests.
pub fn bellwether() -> PathBuf {
    std::env::var_os("COMPARED").expect("`make compare` names the program in COMPARED").into()
}

fn worker() -> PathBuf {
    tool_path("compare/worker")
}

/// A name that no other candidate and no other election has.
pub fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl Row {
    /// Bytes of what has to be installed beside an application. Of Java, without the JVM.
    pub fn size(&self) -> Option<u64> {
        if self.kind != Kind::DynamoDbLockClient {
            return std::fs::metadata(self.program()).ok().map(|file| file.len());
        }
        let jars = std::fs::read_dir(tool_path("compare/dynamodb-lock-client/jars")).ok()?;
        jars.map(|jar| jar.ok()?.metadata().ok().map(|file| file.len())).sum()
    }
}
