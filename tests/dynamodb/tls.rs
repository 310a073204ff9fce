//! The way to the service is encrypted, and its certificate is checked.

use std::path::Path;

use crate::emulator::Emulator;
use crate::encrypted::{certificates, terminator};
use crate::support::{Sidecar, eventually, with_credentials};

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
