//! TLS, with an authority of the test's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether::store::Store as _;

use crate::server::{PASSWORD, Server};
use crate::stores::{acquired, misconfigured, observed, open, won};

/// An authority, and a server with a certificate for `localhost` that it signed.
struct Signed {
    server: Server,
    folder: tempfile::TempDir,
}

impl Signed {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        authority(folder.path(), "ca");
        authority(folder.path(), "stranger");
        certificate(folder.path(), "ca", "localhost");
        let server = Server::start(&[]);
        for (name, file) in [("server.crt", "server.crt"), ("server.key", "server.key")] {
            let to = server.path("data").join(name);
            std::fs::copy(folder.path().join(file), &to).unwrap();
            server.own(&to);
        }
        server.configure("ssl = on");
        Self { server, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self, host: &str, parameters: &str) -> String {
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

#[tokio::test]
async fn each_mode_demands_what_its_name_says() {
    let signed = Signed::start();
    signed.server.let_in("hostnossl all all 127.0.0.1/32 reject");
    let ca = format!("sslrootcert={}", signed.path("ca.crt").display());
    let stranger = format!("sslrootcert={}", signed.path("stranger.crt").display());
    for (host, parameters) in [
        ("localhost", "sslmode=prefer".to_owned()),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", format!("sslmode=verify-ca&{ca}")),
        ("localhost", format!("sslmode=verify-full&{ca}")),
    ] {
        let store = open(&signed.url(host, &parameters));
        store.init().await.unwrap_or_else(|error| panic!("{parameters}: {error}"));
    }
    for (host, parameters, part) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), "no encryption"),
        ("localhost", "sslmode=verify-full".to_owned(), "UnknownIssuer"),
        ("localhost", format!("sslmode=verify-full&{stranger}"), "UnknownIssuer"),
        ("localhost", format!("sslmode=verify-ca&{stranger}"), "UnknownIssuer"),
        ("127.0.0.1", format!("sslmode=require&{stranger}"), "UnknownIssuer"),
        ("127.0.0.1", format!("sslmode=verify-full&{ca}"), "not valid for name"),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(), "No such file"),
    ] {
        let store = open(&signed.url(host, &parameters));
        let message = misconfigured(store.init().await);
        assert!(message.contains(part), "{parameters}: {message}");
        assert!(!message.contains(PASSWORD), "{message}");
    }
}

#[tokio::test]
async fn a_lease_is_kept_and_pushed_over_tls() {
    let signed = Signed::start();
    let ca = signed.path("ca.crt");
    let store = open(
        &signed.url("localhost", &format!("sslmode=verify-full&sslrootcert={}", ca.display())),
    );
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    assert_eq!(observed(&store).await.record.term, 1);
    let encrypted = "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                     WHERE a.application_name = 'bellwether'";
    assert_eq!(signed.server.ask("postgres", encrypted).await, "true");
    crate::stores::eventually("the self-test passes", || async { store.pushes().then_some(()) })
        .await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let server = Server::shared();
    let port = server.port();
    let base = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    open(&format!("{base}?sslmode=prefer")).init().await.unwrap();
    let message = misconfigured(open(&format!("{base}?sslmode=require")).init().await);
    assert!(message.contains("server does not support TLS"), "{message}");
}
