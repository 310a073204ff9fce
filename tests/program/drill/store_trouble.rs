//! The store hangs, fills up, breaks or disappears: leadership ends by the deadline, nobody else
//! leads meanwhile, and everybody comes back by themselves.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::lock::Lock;
use support::tmpfs::Tmpfs;
use support::{Flock, Pasture, Sidecar, Witness, bellwether, eventually};

/// Breaks the store, waits until nobody leads, puts it right and waits until somebody leads again.
fn nobody_leads_while<T>(flock: &Flock, breaking: impl FnOnce() -> T, mending: impl FnOnce(T)) {
    flock.settled();
    let witness = Witness::of(flock);
    let broken = breaking();
    eventually("nobody leads", || {
        flock.members.iter().all(|sidecar| !sidecar.leader().leads()).then_some(())
    });
    for sidecar in &flock.members {
        assert_eq!(sidecar.status("/started"), 200, "an outage must not get the app killed");
        assert_eq!(sidecar.status("/livez"), 200, "an outage must not get the app killed");
    }
    eventually("nobody claims to know", || {
        flock.members.iter().all(|sidecar| sidecar.status("/ready") == 503).then_some(())
    });
    mending(broken);
    flock.settled();
    witness.saw_never_two();
}

#[test]
fn a_store_that_hangs_demotes_and_everybody_rejoins() {
    let pasture = Pasture::new();
    let flock = Flock::start(&["a", "b", "c"], &pasture.store());
    nobody_leads_while(&flock, || Lock::take(&pasture), drop);
    let log = flock.members[0].log().text();
    assert!(log.contains("keeps the file locked"), "{log}");
    assert!(log.contains("\"event\":\"store_answers\""), "{log}");
}

#[test]
fn a_short_hang_demotes_nobody() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start_with(
        "a",
        &pasture.store(),
        &["--lease-duration", "60s", "--renew-deadline", "40s", "--retry-period", "1s"],
    );
    let before = eventually("it leads", || Some(sidecar.leader()).filter(|a| a.leads()));
    let lock = Lock::take(&pasture);
    let renewed = sidecar.leader().body["renewTime"].clone();
    thread::sleep(Duration::from_secs(3));
    drop(lock);
    let after = eventually("it renews again", || {
        Some(sidecar.leader()).filter(|answer| answer.body["renewTime"] != renewed)
    });
    assert_eq!((after.leads(), after.term()), (true, before.term()));
    assert_eq!(sidecar.log().events("lost"), 0);
}

#[test]
fn a_damaged_file_demotes_and_a_new_one_elects() {
    let pasture = Pasture::new();
    let flock = Flock::start(&["a", "b"], &pasture.store());
    let files = ["leases.db", "leases.db-wal", "leases.db-shm"].map(|f| pasture.folder().join(f));
    nobody_leads_while(
        &flock,
        || {
            // The file is replaced, as by a restore gone wrong.
            let _ = fs::remove_file(&files[1]);
            let _ = fs::remove_file(&files[2]);
            fs::write(pasture.folder().join("junk"), vec![b'x'; 16384]).unwrap();
            fs::rename(pasture.folder().join("junk"), &files[0]).unwrap();
        },
        |()| fs::remove_file(&files[0]).unwrap(),
    );
    let log = flock.members[0].log().text();
    assert!(log.contains("move it away"), "{log}");
}

/// Fills a disk, and keeps it full, until dropped.
struct Ballast {
    path: std::path::PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ballast {
    fn load(path: std::path::PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut file = fs::File::create(&path).unwrap();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                while file.write_all(&[0; 512]).is_ok() {}
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self { path, stop, thread: Some(thread) }
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(thread::JoinHandle::join);
        let _ = fs::remove_file(&self.path);
    }
}

#[test]
fn a_full_disk_demotes_and_everybody_rejoins() {
    let pasture = Pasture::new();
    let _disk = Tmpfs::over(pasture.folder(), "1m");
    let flock = Flock::start(&["a", "b"], &pasture.store());
    nobody_leads_while(&flock, || Ballast::load(pasture.folder().join("ballast")), drop);
    let logs = flock.members.iter().map(|sidecar| sidecar.log().text()).collect::<String>();
    assert!(logs.contains("the disk is full"), "{logs}");
}

#[test]
fn a_volume_that_turns_read_only_demotes_and_everybody_rejoins() {
    let pasture = Pasture::new();
    let disk = Tmpfs::over(pasture.folder(), "1m");
    let flock = Flock::start(&["a", "b"], &pasture.store());
    nobody_leads_while(&flock, || disk.mount("ro"), |()| disk.unmount());
    let log = flock.members[0].log().text();
    assert!(log.contains("mounted read-only"), "{log}");
}

#[test]
fn a_file_system_that_is_mounted_read_only_is_called_that() {
    let pasture = Pasture::new();
    let disk = Tmpfs::over(pasture.folder(), "1m");
    let init = || {
        let output = bellwether().args(["init", "--store", &pasture.store()]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(init().0, Some(0));
    disk.make_read_only();
    let (code, said) = init();
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("mounted read-only: mount a volume there"), "{said}");
    assert!(!said.contains("owner or mode"), "{said}");
}
