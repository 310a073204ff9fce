//! A Postgres server with TLS.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{PASSWORD, Server};
use crate::ports::free_port;

/// An authority, and a server with a certificate that it signed.
pub struct Signed {
    pub server: Server,
    folder: tempfile::TempDir,
}

impl Signed {
    /// For the host of this name.
    pub fn start(host: &str) -> Self {
        Self::start_at(host, "127.0.0.1")
    }

    /// The same, at this address.
    pub fn start_at(host: &str, address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        authority(folder.path(), "ca");
        authority(folder.path(), "stranger");
        certificate(folder.path(), "ca", host);
        let server = Server::start_at(address, free_port(), &[]);
        for (name, file) in [("server.crt", "server.crt"), ("server.key", "server.key")] {
            let to = server.path("data").join(name);
            std::fs::copy(folder.path().join(file), &to).unwrap();
            server.own(&to);
        }
        server.configure("ssl = on");
        Self { server, folder }
    }

    /// `ca.crt`, or `stranger.crt` of an authority that signed nothing.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn url(&self, host: &str, parameters: &str) -> String {
        let port = self.server.port();
        format!("postgres://postgres:{PASSWORD}@{host}:{port}/postgres?{parameters}")
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output();
    let output = output.expect("openssl is not installed: apt-get install openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const KEY: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

fn authority(folder: &Path, name: &str) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
    let subject = format!("/CN={name}");
    let mut arguments = vec!["req", "-x509", "-nodes", "-days", "2", "-subj", &subject];
    arguments.extend(KEY);
    arguments.extend(["-keyout", &key, "-out", &certificate]);
    openssl(folder, &arguments);
}

fn certificate(folder: &Path, authority: &str, host: &str) {
    std::fs::write(folder.join("names"), format!("subjectAltName=DNS:{host}\n")).unwrap();
    let mut request = vec!["req", "-nodes", "-subj", "/CN=server"];
    request.extend(KEY);
    request.extend(["-keyout", "server.key", "-out", "server.csr"]);
    openssl(folder, &request);
    let (ca, ca_key) = (format!("{authority}.crt"), format!("{authority}.key"));
    let mut sign = vec!["x509", "-req", "-in", "server.csr", "-out", "server.crt", "-days", "2"];
    sign.extend(["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-extfile", "names"]);
    openssl(folder, &sign);
}
