//! The figures of `docs/once.md`, measured on this machine: `make figures-once`.
//!
//! Eight instances do the work of one key, round after round. Measured is the time from the end of
//! the work, which the command writes down as the last thing it does, to the exit of each of the
//! seven that waited: what the release waits for after its migration.
//!
//! Names of stores as arguments measure these alone: `sqlite`, `postgres`, `dynamodb`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and fails by panicking"
)]

mod shown;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use shown::{print, spread};
use support::dynamodb::Emulator;
use support::postgres::Server;
use support::{Pasture, bellwether, now, with_credentials};

const INSTANCES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Seven waiters each: enough for a 99th percentile.
const ROUNDS: u32 = 30;

/// The shortest work. All instances are up and wait long before it ends.
const WORK: Duration = Duration::from_secs(3);

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let stores: [(&str, fn()); 3] =
        [("sqlite", sqlite), ("postgres", postgres), ("dynamodb", dynamodb)];
    for (name, measure) in stores {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            measure();
        }
    }
}

fn sqlite() {
    let pasture = Pasture::new();
    measure("SQLite", &pasture.store(), bellwether);
    // What is left without any wait for a disk.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = format!("sqlite://{}/leases.db", memory.path().display());
    measure("SQLite, the file in memory", &store, bellwether);
}

fn postgres() {
    // A server that keeps its promises: commits wait for the disk.
    let server = Server::start(&["fsync = on"]);
    measure("Postgres", &server.url("postgres"), bellwether);
}

fn dynamodb() {
    let emulator = Emulator::start();
    measure("DynamoDB, an emulator", &emulator.url(), with_credentials);
}

fn measure(store: &str, url: &str, program: impl Fn() -> Command) {
    let mut waited = Vec::new();
    let mut reruns = Vec::new();
    let mut limits = Vec::new();
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        let key = format!("release-{round}");
        // At another place in the period of the looks and renewals each time.
        let work = WORK + Duration::from_millis(71) * round;
        let instances = INSTANCES.map(|name| {
            let child = start(name, url, &key, work, folder.path(), program());
            thread::spawn(move || (name, exited(child)))
        });
        let exits = instances.map(|instance| instance.join().unwrap());
        let (runner, ended) = end_of_the_work(folder.path());
        let waiters = exits.into_iter().filter(|(name, _)| *name != runner);
        waited.extend(waiters.map(|(_, exited)| exited.saturating_sub(ended)));

        let started = now();
        exited(start("late", url, &key, work, folder.path(), program()));
        reruns.push(now().since(started));
        limits.push(small_write(folder.path()));
    }
    print(&format!("{store}: end of the work to a waiter's exit"), &spread(waited));
    print("beside it: one small write that waits for the disk", &spread(limits));
    print(&format!("{store}: a key that is done, start to exit"), &spread(reruns));
}

fn start(
    name: &str,
    store: &str,
    key: &str,
    work: Duration,
    folder: &Path,
    mut program: Command,
) -> Child {
    let script = format!(
        "sleep {}; echo $BELLWETHER_IDENTITY > runner; exec date +%s%N > ended",
        work.as_secs_f64()
    );
    program.args(["once", "--store", store, "--identity", name, "--key", key]);
    program.args(["--", "sh", "-c", &script]).current_dir(folder);
    program.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// When the instance exited, on the clock that `date` shows.
fn exited(mut instance: Child) -> Duration {
    assert!(instance.wait().unwrap().success());
    #[expect(clippy::disallowed_methods, reason = "the command can only tell the wall clock")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap()
}

/// Who did it, and when that ended.
fn end_of_the_work(folder: &Path) -> (String, Duration) {
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap().trim().to_owned();
    (read("runner"), Duration::from_nanos(read("ended").parse().unwrap()))
}

/// The physical limit of a store on this disk: no client learns of what is not durable yet.
fn small_write(folder: &Path) -> Duration {
    let started = now();
    let mut file = fs::File::create(folder.join("limit")).unwrap();
    file.write_all(&[0; 4096]).unwrap();
    file.sync_all().unwrap();
    now().since(started)
}
