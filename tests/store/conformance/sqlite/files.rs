//! The files of an open database are moved, deleted, replaced or reached by other names.

use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use bellwether::store::Hints;
use support::tmpfs::Tmpfs;

use super::*;

#[tokio::test]
async fn processes_that_name_the_database_by_a_link_share_its_bell_and_count_each_other() {
    let sqlite = sqlite().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    symlink(sqlite.path(), &link).unwrap();
    let other = open(link, &sqlite.clock);
    other.init().await.unwrap();
    acquire(&sqlite.store).await;
    let mut version = sqlite.store.observe(&default()).await.unwrap().unwrap().version;
    let mut hints = other.hints(&default());
    let renew_time = WallTime::from_unix(Duration::from_secs(2));
    let renewed = LeaseRecord { renew_time, ..held() };
    // It watches the folder soon after it has opened the file.
    let announced = async {
        loop {
            let hint = tokio::time::timeout(Duration::from_millis(200), hints.next()).await;
            if let Ok(Hint::Renewed(news)) = hint
                && news.listeners == Listeners::Sessions(2)
            {
                return;
            }
            let swapped = sqlite.store.swap(&default(), Some(&version), &renewed).await.unwrap();
            let Swapped::Won(written) = swapped else { panic!("{swapped:?}") };
            version = written;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), announced).await.expect("it is announced");
    let names = std::fs::read_dir(elsewhere.path()).unwrap().count();
    assert_eq!(names, 1, "all files are beside the database");
}

/// What a process of its own reads or writes: processes do not share what SQLite keeps in memory.
fn in_another_process(sqlite: &Sqlite, sql: &str) -> String {
    const RUN: &str = "import sqlite3, sys\n\
        database = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
        for sql in sys.argv[2].split(';'):\n    rows = database.execute(sql).fetchall()\n\
        print(rows)";
    let mut python = Command::new("/usr/bin/python3");
    let output = python.args(["-c", RUN]).arg(sqlite.path()).arg(sql).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn delete(sqlite: &Sqlite, endings: &[&str]) {
    for ending in endings {
        std::fs::remove_file(sqlite.folder.path().join(format!("leases.db{ending}"))).unwrap();
    }
}

async fn acquire_above(store: &SqliteStore, term: u64) {
    let found = store.observe(&default()).await.unwrap().map(|found| found.version);
    let record = LeaseRecord { term: Term::new(term), ..held() };
    let swapped = store.swap(&default(), found.as_ref(), &record).await.unwrap();
    assert!(matches!(swapped, Swapped::Won(_)), "{swapped:?}");
}

#[tokio::test]
async fn a_log_that_was_deleted_is_noticed_before_the_next_write() {
    const TERM: &str = "SELECT term FROM leases";
    for (endings, is_lost) in [(&["-wal"][..], true), (&["-shm"], false), (&["-wal", "-shm"], true)]
    {
        let sqlite = sqlite().await;
        acquire(&sqlite.store).await;
        let before = sqlite.store.observe(&default()).await.unwrap().unwrap();
        delete(&sqlite, endings);
        let swapped = sqlite.store.swap(&default(), Some(&before.version), &held()).await.unwrap();
        if is_lost {
            assert!(matches!(swapped, Swapped::Lost(None)), "{endings:?}: {swapped:?}");
        } else {
            assert!(matches!(swapped, Swapped::Won(_)), "{endings:?}: {swapped:?}");
        }
        acquire_above(&sqlite.store, 7).await;
        assert_eq!(in_another_process(&sqlite, TERM), "[(7,)]", "{endings:?}");
    }
}

#[tokio::test]
async fn a_log_that_was_replaced_is_noticed_before_the_next_write() {
    let sqlite = sqlite().await;
    acquire(&sqlite.store).await;
    let before = sqlite.store.observe(&default()).await.unwrap().unwrap();
    // As a restore of a single file does. The copy has an inode of its own, and the same text.
    let log = sqlite.folder.path().join("leases.db-wal");
    std::fs::copy(&log, sqlite.folder.path().join("copy")).unwrap();
    std::fs::rename(sqlite.folder.path().join("copy"), &log).unwrap();
    let swapped = sqlite.store.swap(&default(), Some(&before.version), &held()).await.unwrap();
    assert!(matches!(swapped, Swapped::Won(_)), "the copy has the record: {swapped:?}");
    acquire_above(&sqlite.store, 7).await;
    assert_eq!(in_another_process(&sqlite, "SELECT term FROM leases"), "[(7,)]");
}

#[tokio::test]
async fn a_lost_log_destroys_nothing_that_another_process_wrote_since() {
    const WRITE: &str = "CREATE TABLE IF NOT EXISTS meanwhile (wrote TEXT); \
                         INSERT INTO meanwhile VALUES ('another')";
    for endings in [&["-shm"][..], &["-wal", "-shm"]] {
        let sqlite = sqlite().await;
        acquire(&sqlite.store).await;
        delete(&sqlite, endings);
        in_another_process(&sqlite, WRITE);
        // It was the last to close, but for the one whose log or index is lost.
        let log = std::fs::metadata(sqlite.folder.path().join("leases.db-wal")).unwrap().len();
        assert!(log > 0, "{endings:?}");
        let found = sqlite.store.observe(&default()).await.unwrap();
        assert_eq!(found.is_some(), endings.len() == 1, "{endings:?}: {found:?}");
        acquire_above(&sqlite.store, 7).await;
        let read = "SELECT wrote, (SELECT term FROM leases) FROM meanwhile";
        assert_eq!(in_another_process(&sqlite, read), "[('another', 7)]", "{endings:?}");
    }
}

/// A process that has written to the database and has it open, until it is dropped.
struct Holder(std::process::Child);

impl Holder {
    fn of(sqlite: &Sqlite) -> Self {
        const HOLD: &str = "import sqlite3, sys\n\
            database = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
            database.execute('PRAGMA journal_mode = WAL')\n\
            database.execute('CREATE TABLE lost (row TEXT)')\n\
            print(flush=True)\n\
            sys.stdin.read()";
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", HOLD]).arg(sqlite.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is installed (make setup)");
        let mut ready = [0];
        child.stdout.take().unwrap().read_exact(&mut ready).expect("it has the database open");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.stdin = None;
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_index_of_a_log_that_was_deleted_keeps_no_process_from_the_database() {
    let sqlite = sqlite().await;
    let _holder = Holder::of(&sqlite);
    delete(&sqlite, &["-wal"]);
    // It opens the database for the first time, and would look in a new log for what the index lists.
    acquire(&sqlite.store).await;
    assert_eq!(in_another_process(&sqlite, "SELECT term FROM leases"), "[(1,)]");
}

#[tokio::test]
async fn a_connection_that_still_has_a_lost_log_open_keeps_no_other_one_on_it() {
    let sqlite = sqlite().await;
    acquire(&sqlite.store).await;
    // Both are of one process, as one is that was left behind: SQLite lets them share the index of the log.
    let other = sqlite.from_another_process();
    other.init().await.unwrap();
    // Without it, SQLite itself fails to find in the new log what the index of the lost one has.
    in_another_process(&sqlite, "PRAGMA wal_checkpoint");
    delete(&sqlite, &["-wal", "-shm"]);
    let error = sqlite.store.observe(&default()).await.unwrap_err();
    assert!(error.to_string().contains("was replaced while it was opened"), "{error}");
    // Only now it leaves the lost log, and may itself meet the rest of the first one.
    while other.observe(&default()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    acquire_above(&sqlite.store, 7).await;
    assert_eq!(in_another_process(&sqlite, "SELECT term FROM leases"), "[(7,)]");
    assert_eq!(other.observe(&default()).await.unwrap().unwrap().record.term, Term::new(7));
}

#[tokio::test]
async fn a_folder_that_was_replaced_is_watched_again() {
    type Replace = fn(&Path) -> Option<Tmpfs>;
    let replacements: [(&str, Replace); 3] = [
        ("moved", |folder| {
            std::fs::rename(folder, folder.with_extension("moved")).unwrap();
            std::fs::create_dir(folder).unwrap();
            None
        }),
        ("deleted", |folder| {
            // A process that watches it may write to its bell again in the meantime.
            let is_filled = |error: &io::Error| error.kind() == io::ErrorKind::DirectoryNotEmpty;
            let mut attempts = (0..100).map(|_| std::fs::remove_dir_all(folder));
            let last = attempts.find(|deleted| !deleted.as_ref().is_err_and(is_filled));
            last.expect("it is empty in the end").unwrap();
            std::fs::create_dir(folder).unwrap();
            None
        }),
        ("hidden by a mount", |folder| Some(Tmpfs::over(folder, "1m"))),
    ];
    for (case, replace) in replacements {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        let clock = ManualClock::at(BootTime::from_duration(Duration::from_secs(100)));
        let [writer, reader] = [0, 1].map(|_| open(folder.join("leases.db"), &clock));
        writer.init().await.unwrap();
        reader.init().await.unwrap();
        let mut hints = reader.hints(&default());
        let mut term = 0;
        receive_an_acquisition(&writer, &mut hints, &mut term, case).await;
        let disk = replace(&folder);
        if case != "moved" {
            // The kernel announces no mount, and no end of a folder of which a file is open: the next read meets it.
            while reader.observe(&default()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        receive_an_acquisition(&writer, &mut hints, &mut term, case).await;
        drop((writer, reader, disk));
    }
}

/// Acquires the lease again and again, until a hint shows the record.
async fn receive_an_acquisition(
    writer: &SqliteStore,
    hints: &mut Hints,
    term: &mut u64,
    case: &str,
) {
    let shown = async {
        loop {
            *term += 1;
            let found = writer.observe(&default()).await.ok().flatten().map(|found| found.version);
            let record = LeaseRecord { term: Term::new(*term), ..held() };
            // Where both are of one process, one may meet what the other has still open.
            let _ = writer.swap(&default(), found.as_ref(), &record).await;
            let hint = tokio::time::timeout(Duration::from_millis(200), hints.next()).await;
            if let Ok(Hint::Acquired(shown)) = hint
                && shown.record.term == Term::new(*term)
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), shown).await.expect(case);
}
