//! Credentials that are slow, that expire, and that are changed, all without a restart.

use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::dynamodb::issuer::{Files, Issuer, printed};
use support::dynamodb::Emulator;
use support::http_proxy::{Fault, Proxy};
use support::{Sidecar, bellwether, eventually};

const HOUR: Duration = Duration::from_secs(3600);

/// What an issuer takes that is slower than a call may be.
const SLOW: Duration = Duration::from_millis(2500);

/// A call may take 0.7 s.
const BRISK: [&str; 6] =
    ["--lease-duration", "5s", "--renew-deadline", "3s", "--retry-period", "900ms"];

/// A proxy that notes by which key each request is signed.
fn noting(emulator: &Emulator) -> (Proxy, Arc<Mutex<String>>) {
    let (proxy, last) = (Proxy::before(emulator.port()), Arc::new(Mutex::new(String::new())));
    let noted = Arc::clone(&last);
    proxy.on(move |request| {
        noted.lock().unwrap().clone_from(&request.key);
        Fault::Pass
    });
    (proxy, last)
}

fn leads(sidecar: &Sidecar) {
    eventually("it leads", || sidecar.leader().leads().then_some(()));
}

/// How many processes have this in their command line.
fn running(part: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(part)).count()
}

#[test]
fn a_container_endpoint_slower_than_a_call_elects_and_is_named() {
    let (emulator, issuer) = (Emulator::start(), Issuer::new(SLOW, HOUR));
    let sidecar = Sidecar::start_as("a", &emulator.url(), &BRISK, issuer.of_a_container());
    leads(&sidecar);
    let log = sidecar.log();
    assert!(log.count("waiting for AWS credentials from the container credentials endpoint") > 0);
    assert_eq!((issuer.requests(), issuer.most_at_once()), (1, 1), "{}", log.text());
}

#[test]
fn a_refresh_slower_than_a_call_costs_no_leadership() {
    let (emulator, issuer) = (Emulator::start(), Issuer::new(SLOW, Duration::from_secs(10)));
    let sidecar = Sidecar::start_as("a", &emulator.url(), &BRISK, issuer.of_a_container());
    leads(&sidecar);
    let term = sidecar.leader().term();
    eventually("they were renewed", || (issuer.requests() >= 5).then_some(()));
    assert!(sidecar.leader().leads());
    assert_eq!(sidecar.leader().term(), term);
    assert_eq!(sidecar.log().events("lost"), 0, "{}", sidecar.log().text());
    assert_eq!(issuer.most_at_once(), 1);
}

#[test]
fn an_issuer_that_fails_is_named_and_comes_back() {
    let (emulator, issuer) = (Emulator::start(), Issuer::new(Duration::ZERO, HOUR));
    issuer.change(|manner| manner.fails = true);
    let sidecar = Sidecar::start_as("a", &emulator.url(), &BRISK, issuer.of_a_container());
    eventually("it is named", || {
        let named = sidecar.log().count("AWS credentials from the container credentials endpoint");
        (named > 0 && issuer.requests() > 4).then_some(())
    });
    let lines = sidecar.log().count("credentials");
    assert!(lines <= 4, "once per change: {}", sidecar.log().text());
    issuer.change(|manner| manner.fails = false);
    leads(&sidecar);
}

#[test]
fn a_credential_process_slower_than_a_call_elects() {
    let emulator = Emulator::start();
    let print = format!("echo x >> runs; sleep 2.5; echo '{}'", printed("command", None));
    let files = Files::with_command(&print);
    let mut command = files.program();
    command.current_dir(files.path());
    let (proxy, last) = noting(&emulator);
    let sidecar = Sidecar::start_as("a", &proxy.url(), &BRISK, command);
    leads(&sidecar);
    assert_eq!(*last.lock().unwrap(), "command");
    let log = sidecar.log();
    let named = "waiting for AWS credentials from the credential_process of profile 'default'";
    assert!(log.count(named) > 0, "{}", log.text());
    let runs = fs::read_to_string(files.join("runs")).unwrap();
    assert_eq!(runs.lines().count(), 1, "{}", log.text());
}

#[test]
fn at_most_one_command_hangs_and_none_outlives_the_sidecar() {
    let emulator = Emulator::start();
    let seconds = format!("1{:05}", emulator.port());
    let files = Files::with_command(&format!("sleep {seconds}"));
    let mut sidecar = Sidecar::start_as("a", &emulator.url(), &BRISK, files.program());
    let hung = format!("sleep\0{seconds}");
    eventually("it runs", || (running(&hung) == 1).then_some(()));
    for _ in 0..30 {
        thread::sleep(Duration::from_millis(200));
        assert!(running(&hung) <= 1);
    }
    sidecar.signal("TERM");
    assert!(sidecar.wait().success());
    eventually("it is gone", || (running(&hung) == 0).then_some(()));
}

fn profile(key: &str) -> String {
    format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n")
}

#[test]
fn a_changed_file_is_read_before_the_old_key_is_refused() {
    let (emulator, files) = (Emulator::start(), Files::new(&profile("old")));
    let (proxy, last) = noting(&emulator);
    let sidecar = Sidecar::start_as("a", &proxy.url(), &[], files.program());
    leads(&sidecar);
    assert_eq!(*last.lock().unwrap(), "old");
    files.write(&profile("new"));
    eventually("the new key signs", || (*last.lock().unwrap() == "new").then_some(()));
    assert_eq!(sidecar.log().events("lost"), 0);
}

/// Every answer that reports an invalid key, each with a key that replaces it.
#[test]
fn a_refused_key_is_fetched_again_from_its_issuer() {
    for (code, message) in [
        ("UnrecognizedClientException", "The security token included in the request is invalid."),
        ("ExpiredTokenException", "The security token included in the request is expired"),
        ("InvalidSignatureException", "The request signature we calculated does not match"),
        ("AccessDeniedException", "User: u is not authorized to perform: dynamodb:PutItem"),
    ] {
        let (emulator, issuer) = (Emulator::start(), Issuer::new(Duration::ZERO, HOUR));
        let proxy = Proxy::before(emulator.port());
        let sidecar = Sidecar::start_as("a", &proxy.url(), &[], issuer.of_a_container());
        leads(&sidecar);
        proxy.on(move |request| match request.key.as_str() {
            "first" => Fault::Refuse(400, code, message),
            _ => Fault::Pass,
        });
        eventually("it notices", || (!sidecar.leader().leads()).then_some(()));
        issuer.change(|manner| manner.key = "second");
        leads(&sidecar);
        let requests = issuer.requests();
        assert!(requests < 12, "{requests} for {code}: there are pauses");
        let lines = sidecar.log().count("the store");
        assert!(lines < 6, "{}", sidecar.log().text());
    }
}

#[test]
fn a_metadata_service_that_is_slow_is_not_one_that_is_not_there() {
    let (emulator, issuer) = (Emulator::start(), Issuer::new(Duration::from_millis(1500), HOUR));
    let (proxy, last) = noting(&emulator);
    let url = format!("dynamodb://leases?endpoint=http://127.0.0.1:{}", proxy.port());
    let mut sidecar = Sidecar::start_as("a", &url, &BRISK, issuer.of_an_instance());
    leads(&sidecar);
    assert_eq!(*last.lock().unwrap(), "first");
    let log = sidecar.log();
    assert!(log.count("instance metadata service") > 0, "{}", log.text());
    sidecar.signal("TERM");
    assert!(sidecar.wait().success());
    // A missing service is still reported at once.
    let mut without_any = bellwether();
    without_any.args(["init", "--store", &emulator.url()]).env("HOME", "/nonexistent");
    without_any.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    let output = without_any.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{text}");
    assert!(text.contains("there are no AWS credentials"), "{text}");
}
