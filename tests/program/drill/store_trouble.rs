//! The file of SQLite is damaged, or its disk is full or read-only: leadership ends by the deadline, no other
//! instance leads meanwhile, and all rejoin without help.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::tmpfs::{Bind, Tmpfs};
use support::{Flock, Pasture, Sidecar, bellwether, eventually, no_instance_leads_while};

#[test]
fn a_damaged_file_demotes_and_a_new_one_elects() {
    let pasture = Pasture::new();
    let flock = Flock::start(&["a", "b"], &pasture.store());
    let files = ["leases.db", "leases.db-wal", "leases.db-shm"].map(|f| pasture.folder().join(f));
    no_instance_leads_while(
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

#[test]
fn instances_meet_again_after_the_log_of_the_database_was_deleted_while_they_ran() {
    for endings in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        let pasture = Pasture::new();
        let mut flock = Flock::start(&["a", "b"], &pasture.store());
        flock.settled();
        for ending in endings {
            fs::remove_file(pasture.folder().join(format!("leases.db{ending}"))).unwrap();
        }
        // It opens what is there now.
        flock.members.push(Sidecar::start("c", &pasture.store()));
        for sidecar in &flock.members[..2] {
            let log = sidecar.log();
            // More than once, if another one opened the files at the same moment.
            let noticed = || (log.events("store_file_replaced") > 0).then_some(());
            eventually("it is noticed", noticed);
        }
        flock.settled();
    }
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
fn a_full_disk_demotes_and_all_rejoin() {
    let pasture = Pasture::new();
    let _disk = Tmpfs::over(pasture.folder(), "1m");
    let flock = Flock::start(&["a", "b"], &pasture.store());
    no_instance_leads_while(&flock, || Ballast::load(pasture.folder().join("ballast")), drop);
    let logs = flock.members.iter().map(|sidecar| sidecar.log().text()).collect::<String>();
    assert!(logs.contains("the disk is full"), "{logs}");
}

#[test]
fn a_volume_that_turns_read_only_demotes_and_all_rejoin() {
    let pasture = Pasture::new();
    let disk = Tmpfs::over(pasture.folder(), "1m");
    let flock = Flock::start(&["a", "b"], &pasture.store());
    no_instance_leads_while(&flock, || disk.mount("ro"), |()| disk.unmount());
    let log = flock.members[0].log().text();
    assert!(log.contains("mounted read-only"), "{log}");
}

#[test]
fn a_database_that_is_mounted_without_its_folder_is_refused() {
    let (pasture, container) = (Pasture::new(), Pasture::new());
    let init = |pasture: &Pasture| {
        let output = bellwether().args(["init", "--store", &pasture.store()]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(init(&pasture).0, Some(0));
    fs::write(container.path(), "").unwrap();
    let mount = Bind::of(&pasture.path(), &container.path());
    let (code, printed) = init(&container);
    assert_eq!(code, Some(69), "{printed}");
    assert!(printed.contains("mount its folder instead"), "{printed}");
    drop(mount);
    let _mount = Bind::of(pasture.folder(), container.folder());
    assert_eq!(init(&container).0, Some(0), "the folder may be mounted");
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
    let (code, printed) = init();
    assert_eq!(code, Some(69), "{printed}");
    assert!(printed.contains("mounted read-only; mount a volume there"), "{printed}");
    assert!(!printed.contains("owner or mode"), "{printed}");
}
