//! `bellwether once` on a store that has no clock to judge by.

use std::fs;
use std::process::{Output, Stdio};

use support::dynamodb::Emulator;
use support::http_proxy::{Fault, Proxy};
use support::releases::Releases;
use support::{Killed, Log, QUICK, eventually, with_credentials};

const KEY: [&str; 4] = ["--key", "k", "--max-clock-skew", "off"];

fn runner(store: &str, folder: &std::path::Path) -> Killed {
    let mut command = with_credentials();
    command.args(["once", "--identity", "a", "--store", store]).args(KEY).args(QUICK);
    command.args(["--", "sh", "-c", "echo run >> runs; sleep 60"]).current_dir(folder);
    let runner = Killed(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    eventually("it runs", || folder.join("runs").exists().then_some(()));
    runner
}

fn reset(store: &str) -> (Option<i32>, String) {
    let mut command = with_credentials();
    command.args(["once", "--reset", "--store", store]).args(KEY);
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_reset_that_cannot_be_judged_by_a_clock_watches_for_a_lease() {
    let (emulator, folder) = (Emulator::start(), tempfile::tempdir().unwrap());
    let store = emulator.url();
    let living = runner(&store, folder.path());
    let (code, printed) = reset(&store);
    assert_eq!(code, Some(75), "it was seen to renew: {printed}");
    assert!(
        printed.contains("watching for one lease") && printed.contains("a runs an attempt now"),
        "{printed}"
    );
    drop(living);
    let (code, printed) = reset(&store);
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("watching for one lease") && printed.contains("can be done again"),
        "{printed}"
    );
    fs::remove_file(folder.path().join("runs")).unwrap();
    let _again = runner(&store, folder.path());
}

fn home() -> (Emulator, Releases) {
    let emulator = Emulator::start();
    let releases = Releases::on(&emulator.url(), with_credentials);
    (emulator, releases)
}

support::releases_follow_each_other!(home());

#[test]
fn a_key_that_is_done_costs_one_read_and_no_write() {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    let once = || {
        let mut command = with_credentials();
        command.args(["once", "--store", &proxy.url(), "--key", "k", "--", "true"]);
        assert_eq!(command.output().unwrap().status.code(), Some(0));
    };
    once();
    let before = proxy.counts();
    once();
    let since = |operation: &str| {
        proxy.count(operation) - before.get(operation).copied().unwrap_or_default()
    };
    let all = proxy.total() - before.values().sum::<usize>();
    // The table is looked at, which costs nothing.
    assert_eq!((since("GetItem"), since("DescribeTable"), all), (1, 1, 2), "{:?}", proxy.counts());
}

/// A call may take eight minutes with these: longer than a test waits.
const PATIENT: [&str; 6] =
    ["--lease-duration", "1h", "--renew-deadline", "40m", "--retry-period", "15m"];

/// From the start, while another instance runs, and while it writes that its command begins.
#[test]
fn a_store_that_hangs_is_waited_for_no_longer_than_the_timeout() {
    let (emulator, folder) = (Emulator::start(), tempfile::tempdir().unwrap());
    let proxy = Proxy::before(emulator.port());
    let start = |args: &[&str]| {
        let mut command = with_credentials();
        command.args(["once", "--store", &proxy.url(), "--timeout", "6s"]).args(PATIENT).args(args);
        command.args(["--", "true"]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = Killed(command.spawn().unwrap());
        (Log::of(child.0.stderr.take().unwrap()), child)
    };
    let gives_up = |mut child: Killed| {
        let status = eventually("it exits", || child.0.try_wait().unwrap());
        assert_eq!(status.code(), Some(75));
    };
    let runner = runner(&emulator.url(), folder.path());
    let (waiter_log, waiter) = start(&["--key", "k"]);
    eventually("it waits", || (waiter_log.events("following") > 0).then_some(()));
    proxy.always(Fault::Hang);
    gives_up(waiter);
    gives_up(start(&["--key", "k"]).1);
    drop(runner);
    // Of another work the lease is free: the second write is the begin of the command.
    let mut writes = 0;
    proxy.on(move |request| {
        writes += usize::from(request.operation == "PutItem");
        if writes < 2 { Fault::Pass } else { Fault::Hang }
    });
    let (log, child) = start(&["--work", "other", "--key", "k"]);
    eventually("it leads", || (log.events("elected") > 0).then_some(()));
    gives_up(child);
}
