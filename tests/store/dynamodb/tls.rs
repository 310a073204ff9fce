//! The way to the service is encrypted, and its certificate is checked.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use support::dynamodb::Emulator;
use support::dynamodb::encrypted::{certificates, terminator};
use support::{Sidecar, eventually, with_credentials};

/// A proxy that connects through. Returns its port, and the number of its requests.
fn connecting_proxy() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, requests) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&requests);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            thread::spawn(move || connect(client, &counted));
        }
    });
    (port, requests)
}

fn connect(mut client: TcpStream, requests: &AtomicUsize) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let target = first.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    requests.fetch_add(1, Ordering::Relaxed);
    let server = TcpStream::connect(target).ok()?;
    client.write_all(b"HTTP/1.1 200 connected\r\n\r\n").ok()?;
    let (mut from, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
    thread::spawn(move || io::copy(&mut from, &mut to));
    io::copy(&mut client, &mut &server).ok()?;
    None
}

#[test]
fn a_proxy_of_the_environment_is_used_unless_it_is_to_be_left_out() {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let port = terminator(certificates(folder.path(), "IP:127.0.0.1"), emulator.port());
    let url = format!("dynamodb://leases?region=eu-west-1&endpoint=https://127.0.0.1:{port}");
    let (proxy, requests) = connecting_proxy();
    let init = |variables: &[(&str, &str)]| {
        let mut command = with_credentials();
        command.args(["init", "--store", &url]).env("AWS_CA_BUNDLE", folder.path().join("ca.pem"));
        command.envs(variables.iter().copied());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let named = format!("http://127.0.0.1:{proxy}");
    let (code, text) = init(&[("HTTPS_PROXY", &named)]);
    assert_eq!((code, requests.load(Ordering::Relaxed)), (Some(0), 1), "{text}");
    let (code, text) = init(&[("HTTPS_PROXY", &named), ("NO_PROXY", "127.0.0.1")]);
    assert_eq!((code, requests.load(Ordering::Relaxed)), (Some(0), 1), "{text}");
    let (code, text) = init(&[("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:1")]);
    assert_eq!(code, Some(69), "{text}");
    assert!(text.contains("127.0.0.1:1, which HTTPS_PROXY or ALL_PROXY names"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_certificate_is_trusted_by_the_bundle_alone() {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let port = terminator(certificates(folder.path(), "IP:127.0.0.1"), emulator.port());
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
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "# nothing yet\n").unwrap();
    let (code, text) = init(Some(&empty));
    assert_eq!(code, Some(69), "an empty bundle is no bundle");
    assert!(text.contains("empty.pem") && text.contains("there is none in it"), "{text}");
    let (code, text) = init(Some(Path::new("/nonexistent.pem")));
    assert_eq!(code, Some(69));
    assert!(text.contains("AWS_CA_BUNDLE"), "{text}");
}
