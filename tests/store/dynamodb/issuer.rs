//! An issuer of credentials: a container endpoint or a metadata service of the test's own, which is
//! as slow as the test needs, and shared files that are rewritten.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};

use support::bellwether;

/// What it does.
#[derive(Clone, Debug)]
pub struct Manner {
    pub key: &'static str,
    /// How long an answer takes.
    pub delay: Duration,
    /// For how long the credentials are good.
    pub lifetime: Duration,
    pub fails: bool,
}

#[derive(Default)]
struct Seen {
    requests: usize,
    at_once: usize,
    most_at_once: usize,
}

/// See the module.
#[derive(Clone)]
pub struct Issuer {
    port: u16,
    manner: Arc<Mutex<Manner>>,
    seen: Arc<Mutex<Seen>>,
}

impl Issuer {
    pub fn new(delay: Duration, lifetime: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let manner = Manner { key: "first", delay, lifetime, fails: false };
        let issuer = Self { port, manner: Arc::new(Mutex::new(manner)), seen: Arc::default() };
        let served = issuer.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let served = served.clone();
                thread::spawn(move || served.serve(client));
            }
        });
        issuer
    }

    pub fn change(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.manner.lock().unwrap());
    }

    /// How many requests it got.
    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests
    }

    /// How many requests it got at the same time at most.
    pub fn most_at_once(&self) -> usize {
        self.seen.lock().unwrap().most_at_once
    }

    /// A program that has its credentials from this as from ECS.
    pub fn of_a_container(&self) -> Command {
        let mut command = without_credentials();
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        let url = format!("http://127.0.0.1:{}/container", self.port);
        command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
        command
    }

    /// A program on an instance of EC2, whose metadata service this is.
    pub fn of_an_instance(&self) -> Command {
        let mut command = without_credentials();
        let url = format!("http://127.0.0.1:{}", self.port);
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
        command
    }

    fn serve(&self, client: TcpStream) -> Option<()> {
        let mut to_client = client.try_clone().ok()?;
        let mut lines = BufReader::new(client).lines();
        while let Some(Ok(first)) = lines.next() {
            while lines.next()?.ok()?.is_empty().eq(&false) {}
            self.count(|seen| {
                seen.requests += 1;
                seen.at_once += 1;
                seen.most_at_once = seen.most_at_once.max(seen.at_once);
            });
            let manner = self.manner.lock().unwrap().clone();
            thread::sleep(manner.delay);
            self.count(|seen| seen.at_once -= 1);
            let answer = manner.answer(first.split(' ').nth(1)?);
            to_client.write_all(answer.as_bytes()).ok()?;
        }
        None
    }

    fn count(&self, count: impl FnOnce(&mut Seen)) {
        count(&mut self.seen.lock().unwrap());
    }
}

impl Manner {
    fn answer(&self, path: &str) -> String {
        let body = match path {
            "/latest/api/token" => "token".to_owned(),
            "/latest/meta-data/placement/region" => "eu-west-1".to_owned(),
            "/latest/meta-data/instance-id" => "i-0abcdef1234567890".to_owned(),
            "/latest/meta-data/iam/security-credentials/" => "role".to_owned(),
            _ => printed(self.key, Some(self.lifetime)),
        };
        let status = if self.fails { "500 out of order" } else { "200 OK" };
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
             x-aws-ec2-metadata-token-ttl-seconds: 21600\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }
}

/// Credentials as a command prints them, and services answer them.
pub fn printed(key: &str, lifetime: Option<Duration>) -> String {
    let mut json = serde_json::json!({
        "Version": 1, "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
        "AccessKeyId": key, "SecretAccessKey": "secret", "SessionToken": "token", "Token": "token",
    });
    if let Some(lifetime) = lifetime {
        let now = Command::new("date").arg("+%s").output().unwrap();
        let now: i64 = String::from_utf8(now.stdout).unwrap().trim().parse().unwrap();
        let end = DateTime::from_secs(now + i64::try_from(lifetime.as_secs()).unwrap());
        json["Expiration"] = end.fmt(DateTimeFormat::DateTime).unwrap().into();
    }
    json.to_string()
}

fn without_credentials() -> Command {
    let mut command = bellwether();
    command.env("HOME", "/nonexistent");
    command
}

/// The shared files in a folder, and the program that reads them.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new(text: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write(text);
        files
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Replaces the credentials file as editors do: by another file of that name.
    pub fn write(&self, text: &str) {
        fs::write(self.path().join("next"), text).unwrap();
        fs::rename(self.path().join("next"), self.path().join("credentials")).unwrap();
    }

    /// A command, and the profile that names it.
    pub fn with_command(script: &str) -> Self {
        let files = Self::new("");
        let path = files.path().join("issue");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        files.write(&format!("[default]\ncredential_process = {}\n", path.display()));
        files
    }

    pub fn program(&self) -> Command {
        let mut command = bellwether();
        command.env("HOME", self.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_SHARED_CREDENTIALS_FILE", self.path().join("credentials"));
        command
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}
