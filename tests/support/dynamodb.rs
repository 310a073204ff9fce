//! A DynamoDB of the test's own: dynoxide, as a program.
//!
//! Real processes have to reach it. And in process, where a program has only one SQLite, it would
//! decide with which one bellwether is shipped.

pub mod encrypted;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, SharedHttpClient,
};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use bellwether::store::aws::http::Http;
use bellwether::store::dynamodb::{DynamoDbStore, Target};
use bellwether::time::clock::HostClock;

use crate::ports::free_port;

/// Long enough for a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What `--max-clock-skew` is by default.
pub const SKEW: Duration = Duration::from_secs(10);

/// An empty DynamoDB, gone when dropped.
pub struct Emulator {
    child: Child,
    port: u16,
}

fn program() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let installed = home.map(|home| home.join("bin/dynoxide")).filter(|path| path.exists());
    installed.unwrap_or_else(|| PathBuf::from("dynoxide"))
}

impl Emulator {
    pub fn start() -> Self {
        // Another process may take the port in between: then it is tried again with another.
        (0..5).find_map(|_| Self::try_start()).expect("dynoxide answers")
    }

    fn try_start() -> Option<Self> {
        let port = free_port();
        let child = Command::new(program())
            .args(["serve", "--log", "quiet", "--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dynoxide is installed (make setup)");
        let mut emulator = Self { child, port };
        for _ in 0..1_000 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return emulator.child.try_wait().unwrap().is_none().then_some(emulator);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        url(self.port)
    }

    /// The SDK's own client, for looking behind the store's back.
    pub fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .endpoint_url(format!("http://127.0.0.1:{}", self.port))
            .credentials_provider(credentials())
            .http_client(SharedHttpClient::new(Http::new(PATIENCE).unwrap()));
        Client::from_conf(config.build())
    }

    /// The item of an election, one line an attribute, in order.
    pub async fn item(&self, key: &str) -> String {
        let request = self.client().get_item().table_name("leases").consistent_read(true);
        let answer = request.key("election", AttributeValue::S(key.to_owned())).send().await;
        let mut lines: Vec<_> = answer
            .unwrap()
            .item
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| format!("{name} = {value:?}"))
            .collect();
        lines.sort();
        lines.join("\n")
    }

    /// A table with another partition key.
    pub async fn create_foreign_table(&self, key: &str, sort: Option<&str>) {
        let names = [(key, KeyType::Hash)].into_iter().chain(sort.map(|s| (s, KeyType::Range)));
        let mut request = self.client().create_table().table_name("leases");
        for (name, kind) in names {
            let attribute = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S);
            let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
            request = request
                .attribute_definitions(attribute.build().unwrap())
                .key_schema(key.build().unwrap());
        }
        request.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The store URL of whatever answers on a port.
pub fn url(port: u16) -> String {
    format!("dynamodb://leases?region=eu-west-1&endpoint=http://127.0.0.1:{port}")
}

pub fn credentials() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test"))
}

/// A store as one process has it.
pub fn open(url: &str, patience: Duration, skew: Option<Duration>) -> Arc<DynamoDbStore> {
    let target = Target::parse(url).unwrap();
    let store = DynamoDbStore::new(target, patience, Arc::new(HostClock)).judged_within(skew);
    Arc::new(store.with_credentials(credentials()))
}
