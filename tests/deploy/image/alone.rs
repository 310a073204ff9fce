//! The binary in the image, where nothing else is: every store, names, certificates, its own folder.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;

use crate::image::container::{Container, Files, STATE};
use support::dynamodb::Emulator;
use support::dynamodb::encrypted::{certificates, terminator};
use support::eventually;
use support::postgres::signed::Signed;
use support::static_binary::is_shipped;
use support::tools::must;

/// What the chart requests for the sidecar: its figure is to stay true.
const REQUESTED: u64 = 16 * 1024 * 1024;

/// Names are looked up without what a host's configuration may ask for, a module of another C
/// library: with it, nothing at all would be found here.
const NSSWITCH: &str = "hosts: module-that-is-not-there\npasswd: module-that-is-not-there\n";

/// In the folder that the image has for a volume.
const SHARED: &str = "sqlite:///var/lib/bellwether/leases.db";

fn checked(container: &Container, store: &str) {
    container.leads();
    let memory = container.memory();
    eprintln!("{store}: {} kB resident at most", memory / 1024);
    assert!(memory <= REQUESTED || !is_shipped(), "{store}: {memory} bytes");
}

#[test]
fn sqlite_lies_in_the_state_directory_that_containers_share() {
    let volume = tempfile::tempdir().unwrap();
    let files = Files::new().with_volume(volume.path());
    let first = files.serve(&["--identity", "first", "--store", SHARED]);
    checked(&first, "sqlite");
    assert_eq!(fs::metadata(volume.path().join("leases.db")).unwrap().uid(), 65532);

    // The image's health check.
    let healthy = files.run(&["healthcheck", "--sidecar", &first.url]);
    assert!(healthy.status.success(), "{healthy:?}");

    let second = Files::new().with_volume(volume.path());
    let second = second.serve(&["--identity", "second", "--store", SHARED]);
    eventually("it knows who leads", || (second.leader().holder() == Some("first")).then_some(()));
    assert!(first.stop().success());
    second.leads();
    assert!(second.stop().success());
}

#[test]
fn without_a_volume_on_a_read_only_file_system_it_says_so() {
    let output = Files::new().run(&["serve", "--listen", "127.0.0.1:0", "--store", SHARED]);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{printed}");
    assert!(printed.contains(STATE), "{printed}");
}

#[test]
fn without_a_store_it_does_not_lead_alone() {
    let volume = tempfile::tempdir().unwrap();
    let output = Files::new().with_volume(volume.path()).run(&["serve", "--listen", "127.0.0.1:0"]);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{printed}");
    assert!(
        printed.contains("this is a container") && printed.contains("BELLWETHER_STORE"),
        "{printed}"
    );
    assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn postgres_is_reached_by_name_over_tls() {
    let signed = Signed::start("db.flock.test");
    let files = Files::new();
    files.write("etc/nsswitch.conf", NSSWITCH);
    files.write("etc/hosts", "127.0.0.1 localhost\n127.0.0.1 db.flock.test\n");
    files.write("ca.pem", &fs::read_to_string(signed.path("ca.crt")).unwrap());

    let url = signed.url("db.flock.test", "sslmode=verify-full&sslrootcert=/ca.pem");
    let container = files.serve(&["--store", &url]);
    checked(&container, "postgres");
    assert!(container.stop().success());

    // The public roots are inside, and this server's authority is none of them.
    let url = signed.url("db.flock.test", "sslmode=verify-full");
    let output = files.run(&["init", "--store", &url]);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.contains("UnknownIssuer"), "{printed}");
}

#[test]
fn dynamodb_is_found_by_dns_over_tls() {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let port = terminator(certificates(folder.path(), "DNS:dynamodb.flock.test"), emulator.port());
    let files = Files::new()
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CA_BUNDLE", "/ca.pem");
    files.write("etc/nsswitch.conf", NSSWITCH);
    files.write("etc/resolv.conf", &format!("nameserver {}\n", name_server().ip()));
    files.write("ca.pem", &fs::read_to_string(folder.path().join("ca.pem")).unwrap());
    let endpoint = format!("https://dynamodb.flock.test:{port}");
    let url = format!("dynamodb://leases?region=eu-west-1&endpoint={endpoint}");
    let container = files.serve(&["--store", &url]);
    checked(&container, "dynamodb");
    assert!(container.stop().success());
}

#[test]
fn it_installs_itself_into_a_shared_folder() {
    let volume = tempfile::tempdir().unwrap();
    let output = Files::new().with_volume(volume.path()).run(&["install", STATE]);
    assert!(output.status.success(), "{output:?}");
    let printed = must(Command::new(volume.path().join("bellwether")).arg("--version"));
    assert_eq!(printed.trim(), format!("bellwether {}", env!("CARGO_PKG_VERSION")));
}

/// A name server that knows one address: every name is 127.0.0.1. It ends with this process.
fn name_server() -> SocketAddr {
    // Any address of the loopback network; the port cannot be chosen in resolv.conf.
    let socket = UdpSocket::bind("127.53.53.53:53").expect("port 53 of 127.53.53.53, as root");
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..length]), from);
        }
    });
    address
}

/// RFC 1035: the question again, and for an A record one answer.
fn answer(question: &[u8]) -> Vec<u8> {
    // A header of 12 bytes, the name, its type and its class; what follows is not for this server.
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let is_a = question[name_end..name_end + 2] == [0, 1];
    let mut message = question[..2].to_vec();
    // A response, without error; one question, as many answers as there are, nothing more.
    message.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    message.extend(&question[12..name_end + 4]);
    if is_a {
        // The name is the one at byte 12; type A, class IN, ten seconds, four bytes.
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 127, 0, 0, 1]);
    }
    message
}
