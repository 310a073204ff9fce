//! The way to the service is encrypted, and its certificate is checked.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::emulator::Emulator;
use crate::support::{Sidecar, eventually, with_credentials};

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' ')).stderr(Stdio::null());
    assert!(command.status().expect("openssl is installed (make setup)").success(), "{arguments}");
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certificates(folder: &Path) -> ServerConfig {
    let new = "req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
    openssl(folder, &format!("{new} -keyout ca.key -out ca.pem -subj /CN=authority"));
    let leaf = "-CA ca.pem -CAkey ca.key -addext subjectAltName=IP:127.0.0.1 \
                -addext basicConstraints=critical,CA:FALSE";
    openssl(folder, &format!("{new} -keyout key.pem -out cert.pem -subj /CN=service {leaf}"));
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

/// Decrypts for the emulator: one request and one answer after the other, in chunks.
fn serve(client: TcpStream, config: Arc<ServerConfig>, upstream: u16) -> Option<()> {
    let mut client = StreamOwned::new(ServerConnection::new(config).ok()?, client);
    let mut upstream = TcpStream::connect(("127.0.0.1", upstream)).ok()?;
    upstream.set_read_timeout(Some(Duration::from_millis(100))).ok()?;
    let mut buffer = vec![0; 65_536];
    loop {
        let read = client.read(&mut buffer).ok().filter(|read| *read > 0)?;
        upstream.write_all(&buffer[..read]).ok()?;
        // Nothing within the time means that the request is not complete yet.
        if let Ok(read) = upstream.read(&mut buffer) {
            client.write_all(&buffer[..read]).ok()?;
        }
    }
}

fn terminator(config: ServerConfig, upstream: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            thread::spawn(move || serve(client, config, upstream));
        }
    });
    port
}

#[test]
fn a_certificate_is_trusted_by_the_bundle_alone() {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let port = terminator(certificates(folder.path()), emulator.port());
    let url = format!("dynamodb://leases?region=eu-west-1&endpoint=https://127.0.0.1:{port}");
    let bundle = folder.path().join("ca.pem");

    let mut trusting = with_credentials();
    trusting.env("AWS_CA_BUNDLE", &bundle);
    let sidecar = Sidecar::start_as("a", &url, &[], trusting);
    eventually("it leads", || sidecar.leader().leads().then_some(()));

    let init = |bundle: Option<&Path>| {
        let mut command = with_credentials();
        bundle.map(|bundle| command.env("AWS_CA_BUNDLE", bundle));
        let output = command.args(["init", "--store", &url]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(init(Some(&bundle)).0, Some(0));
    let (code, text) = init(None);
    assert_eq!(code, Some(69));
    assert!(text.contains("cannot be reached: invalid peer certificate"), "{text}");
    let (code, text) = init(Some(Path::new("/nonexistent.pem")));
    assert_eq!(code, Some(69));
    assert!(text.contains("AWS_CA_BUNDLE"), "{text}");
}
