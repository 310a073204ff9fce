//! TLS before the emulator.

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

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' ')).stderr(Stdio::null());
    assert!(command.status().expect("openssl is installed (make setup)").success(), "{arguments}");
}

/// An authority, `ca.pem`, and a certificate of it for `IP:…` or `DNS:…`.
pub fn certificates(folder: &Path, name: &str) -> ServerConfig {
    let new = "req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
    openssl(folder, &format!("{new} -keyout ca.key -out ca.pem -subj /CN=authority"));
    let leaf = format!(
        "-CA ca.pem -CAkey ca.key -addext subjectAltName={name} \
         -addext basicConstraints=critical,CA:FALSE"
    );
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

/// Encrypts what is on port `upstream`. Returns the port where it does.
pub fn terminator(config: ServerConfig, upstream: u16) -> u16 {
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
