//! The SQLite store, on a file in a temporary folder.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether::election::elector::Swapped;
use bellwether::election::holder_url::HolderUrl;
use bellwether::election::lease::{Candidate, ElectionName, LeaseRecord, Listeners};
use bellwether::election::term::Term;
use bellwether::election::time::{BootTime, Clock, ManualClock, WallTime};
use bellwether::store::sqlite::{Boot, SqliteStore};
use bellwether::store::{Hint, Store};
use futures_util::FutureExt as _;
use rusqlite::Connection;

use crate::conformance::conformance;
use crate::conformance::subject::Subject;

mod files;

struct Sqlite {
    clock: ManualClock,
    folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
}

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.folder.path().join("leases.db")
    }

    fn open_on(&self, host: &Boot) -> SqliteStore {
        open(self.path(), &self.clock).on_boot(host.clone())
    }

    fn connection(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

fn open(path: PathBuf, clock: &ManualClock) -> SqliteStore {
    SqliteStore::new(path, Duration::from_secs(60), Arc::new(clock.clone()))
}

async fn sqlite() -> Sqlite {
    let clock = ManualClock::at(BootTime::from_duration(Duration::from_secs(100)));
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path().join("leases.db"), &clock));
    Sqlite { clock, folder, store }
}

#[async_trait]
impl Subject for Sqlite {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn from_another_process(&self) -> Arc<dyn Store> {
        Arc::new(open(self.path(), &self.clock))
    }

    fn shows_records(&self) -> bool {
        true
    }

    async fn let_pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    async fn write_future_shape(&self, election: &ElectionName) -> Option<String> {
        let change = "ALTER TABLE leases ADD COLUMN more TEXT; \
                      UPDATE leases SET format = 99, more = 'of the future'";
        self.connection().execute_batch(change).unwrap();
        Some(self.raw(election).await)
    }

    async fn forget_later_columns(&self) {
        let change = "ALTER TABLE leases DROP COLUMN origin; \
                      ALTER TABLE leases DROP COLUMN holder_url; \
                      ALTER TABLE leases DROP COLUMN pause; \
                      ALTER TABLE leases DROP COLUMN handover";
        self.connection().execute_batch(change).unwrap();
    }

    async fn write_as_older_version(&self, election: &ElectionName, incarnation: &str) -> bool {
        let change = format!(
            "UPDATE leases SET incarnation = '{incarnation}' WHERE election = '{election}'"
        );
        self.connection().execute_batch(&change).unwrap();
        true
    }

    async fn raw(&self, election: &ElectionName) -> String {
        let query = format!(
            "SELECT json_group_array(json_array(election, format, version, term, holder, \
             incarnation, lease_duration_ms, acquire_time, renew_time, payload, boot_id, expires_boot_ms, \
             more)) FROM leases WHERE election = '{election}'"
        );
        self.connection().query_row(&query, [], |row| row.get(0)).unwrap()
    }
}

conformance!(sqlite());

const LEASE: Duration = Duration::from_secs(15);

fn default() -> ElectionName {
    "default".parse().unwrap()
}

fn held() -> LeaseRecord {
    LeaseRecord {
        holder: Some(Candidate { identity: "a".to_owned(), incarnation: "1".to_owned() }),
        term: Term::new(1),
        ..LeaseRecord::without_holder(LEASE, WallTime::EPOCH)
    }
}

#[tokio::test]
async fn what_is_no_url_is_not_shown() {
    let sqlite = sqlite().await;
    acquire(&sqlite.store).await;
    for (text, shown) in [
        ("1 http://a:8080", Some("http://a:8080")),
        ("1 javascript:alert(1)", None),
        ("1 http://user:hunter2@a", None),
        ("1 http://a/\u{1b}[2J", None),
        ("1 http://a/\u{202e}", None),
        ("http://a:8080", None),
        ("2 http://a:8080", None),
        ("", None),
    ] {
        sqlite.connection().execute("UPDATE leases SET holder_url = ?", [text]).unwrap();
        let found = sqlite.store.observe(&default()).await.unwrap().unwrap().record;
        assert_eq!(found.holder_url.as_ref().map(HolderUrl::as_str), shown, "{text}");
    }
}

async fn acquire(store: &SqliteStore) {
    let outcome = store.swap(&default(), None, &held()).await.unwrap();
    assert!(matches!(outcome, Swapped::Won(_)), "{outcome:?}");
}

async fn remaining(store: &SqliteStore) -> Option<Duration> {
    store.observe(&default()).await.unwrap().unwrap().remaining
}

#[tokio::test]
async fn a_lease_is_over_after_a_reboot() {
    let sqlite = sqlite().await;
    acquire(&sqlite.open_on(&Boot::proven("boot-1", "0.0"))).await;
    let rebooted = sqlite.open_on(&Boot::proven("boot-2", "0.0"));
    assert_eq!(remaining(&rebooted).await, Some(Duration::ZERO));
}

#[tokio::test]
async fn a_changed_wall_clock_changes_nothing() {
    let sqlite = sqlite().await;
    let store = sqlite.open_on(&Boot::proven("boot-1", "0.0"));
    acquire(&store).await;
    for wall in ["1980-01-01T00:00:00Z", "2100-01-01T00:00:00Z"] {
        sqlite.clock.set_wall(WallTime::parse(wall).unwrap());
        assert_eq!(remaining(&store).await, Some(LEASE));
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_noticed_before_the_next_write() {
    let sqlite = sqlite().await;
    acquire(&sqlite.store).await;
    let before = sqlite.store.observe(&default()).await.unwrap().unwrap();
    for file in ["leases.db", "leases.db-wal", "leases.db-shm"] {
        let _ = std::fs::rename(sqlite.folder.path().join(file), sqlite.folder.path().join("away"));
    }
    let outcome = sqlite.store.swap(&default(), Some(&before.version), &held()).await.unwrap();
    assert!(matches!(outcome, Swapped::Lost(None)), "{outcome:?}");
}

#[tokio::test]
async fn a_lock_held_by_another_process_is_unavailable_and_passes() {
    let sqlite = sqlite().await;
    let patience = Duration::from_millis(50);
    let clock: Arc<dyn Clock> = Arc::new(sqlite.clock.clone());
    let store = SqliteStore::new(sqlite.path(), patience, clock);
    acquire(&store).await;
    let seen = store.observe(&default()).await.unwrap().unwrap();
    let locker = sqlite.connection();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = store.swap(&default(), Some(&seen.version), &held()).await.unwrap_err();
    assert!(error.to_string().contains("keeps the file locked"), "{error}");
    locker.execute_batch("ROLLBACK").unwrap();
    let outcome = store.swap(&default(), Some(&seen.version), &held()).await.unwrap();
    assert!(matches!(outcome, Swapped::Won(_)), "{outcome:?}");
}

#[tokio::test]
async fn an_announced_renewal_says_how_many_processes_have_the_file_open() {
    let sqlite = sqlite().await;
    acquire(&sqlite.store).await;
    let mut version = sqlite.store.observe(&default()).await.unwrap().unwrap().version;
    let others: Vec<_> = (0..3).map(|_| sqlite.from_another_process()).collect();
    for other in &others {
        other.init().await.unwrap();
    }
    let mut hints = others[0].hints(&default());
    let renew_time = WallTime::from_unix(Duration::from_secs(2));
    let renewed = LeaseRecord { renew_time, ..held() };
    let mut seen = Vec::new();
    // They watch the file soon after they have opened it.
    for _ in 0..100 {
        let swapped = sqlite.store.swap(&default(), Some(&version), &renewed).await.unwrap();
        let Swapped::Won(written) = swapped else { panic!("{swapped:?}") };
        version = written;
        let hint = tokio::time::timeout(Duration::from_millis(200), hints.next()).await;
        let Ok(Hint::Renewed(news)) = hint else { continue };
        if news.listeners == Listeners::Sessions(4) {
            return;
        }
        seen.push(news.listeners);
    }
    panic!("four have it open: {seen:?}");
}

/// An idle leader would wake for each of its renewals.
#[tokio::test]
async fn a_process_is_not_notified_of_its_own_renewals() {
    let sqlite = sqlite().await;
    let other = sqlite.from_another_process();
    other.init().await.unwrap();
    acquire(&sqlite.store).await;
    let length = || std::fs::metadata(sqlite.folder.path().join("leases.db.bell")).unwrap().len();
    let mut hints = sqlite.store.hints(&default());
    let mut version = sqlite.store.observe(&default()).await.unwrap().unwrap().version;
    let mut announced = 0;
    for round in 0.. {
        let (renew_time, before) = (WallTime::from_unix(Duration::from_secs(2)), length());
        let renewed = LeaseRecord { renew_time, ..held() };
        let swapped = sqlite.store.swap(&default(), Some(&version), &renewed).await.unwrap();
        let Swapped::Won(written) = swapped else { panic!("{swapped:?}") };
        version = written;
        if length() == before {
            assert!(round < 1000, "it never sees the other process");
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        // Lines are read in their order: this one is read after it.
        let election: ElectionName = format!("after-{round}").parse().unwrap();
        let mut after = sqlite.store.hints(&election);
        other.swap(&election, None, &held()).await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), after.next()).await.expect("a hint");
        while let Some(hint) = hints.next().now_or_never() {
            assert!(!matches!(hint, Hint::Renewed(_)), "{hint:?}");
        }
        announced += 1;
        if announced == 5 {
            return;
        }
    }
}

#[tokio::test]
async fn a_process_that_is_alone_announces_no_renewal() {
    let sqlite = sqlite().await;
    acquire(&sqlite.store).await;
    let bell = sqlite.folder.path().join("leases.db.bell");
    let length = || std::fs::metadata(&bell).map_or(0, |file| file.len());
    let mut version = sqlite.store.observe(&default()).await.unwrap().unwrap().version;
    let renew_time = WallTime::from_unix(Duration::from_secs(2));
    let renewed = LeaseRecord { renew_time, ..held() };
    for _ in 0..10 {
        let before = length();
        let swapped = sqlite.store.swap(&default(), Some(&version), &renewed).await.unwrap();
        let Swapped::Won(written) = swapped else { panic!("{swapped:?}") };
        version = written;
        assert_eq!(length(), before, "no other process reads the bell");
    }
    let vacated = LeaseRecord { holder: None, ..held() };
    let before = length();
    sqlite.store.swap(&default(), Some(&version), &vacated).await.unwrap();
    assert!(length() > before, "a change of the leader is announced");
}

/// A process that keeps every other process that opens the file waiting in the kernel, as a disk that
/// hangs does, until it is dropped.
struct Hang(std::process::Child);

impl Hang {
    fn at(file: &std::path::Path) -> Self {
        const LEASE: &str = "import fcntl, os, signal, sys\n\
            signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
            file = os.open(sys.argv[1], os.O_RDWR)\n\
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
            print(flush=True)\n\
            sys.stdin.read()";
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", LEASE]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is installed (make setup)");
        let mut ready = [0];
        child.stdout.take().unwrap().read_exact(&mut ready).expect("the file system has leases");
        Self(child)
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        self.0.stdin = None;
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_call_that_was_given_up_does_not_block_the_next_ones_forever() {
    let mut sqlite = sqlite().await;
    acquire(&sqlite.store).await;
    let seen = sqlite.store.observe(&default()).await.unwrap().unwrap();
    // Without a connection, so that the next call has to open the file.
    sqlite.store = Arc::new(open(sqlite.path(), &sqlite.clock));
    let hang = eventually_hangs(&sqlite).await;
    let mut refused = None;
    for _ in 0..8 {
        let (election, record) = (default(), held());
        let hung = sqlite.store.swap(&election, Some(&seen.version), &record);
        let given_up = tokio::time::timeout(Duration::from_millis(50), hung).await;
        refused = given_up.ok().or(refused);
    }
    let error = refused.expect("calls beyond the bound fail at once").unwrap_err();
    assert!(error.to_string().contains("earlier calls still hang"), "{error}");
    drop(hang);
    let found = loop {
        match sqlite.store.observe(&default()).await {
            Ok(found) => break found.unwrap(),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let swapped = sqlite.store.swap(&default(), Some(&found.version), &held()).await.unwrap();
    assert!(matches!(swapped, Swapped::Won(_)), "it works as before: {swapped:?}");
}

/// The connection of the store that was dropped is closed by a thread of its own.
async fn eventually_hangs(sqlite: &Sqlite) -> Hang {
    let is_open = |fd: std::io::Result<std::fs::DirEntry>| {
        fd.ok().and_then(|fd| std::fs::read_link(fd.path()).ok()) == Some(sqlite.path())
    };
    while std::fs::read_dir("/proc/self/fd").unwrap().any(is_open) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Hang::at(&sqlite.path())
}

#[tokio::test]
async fn a_write_that_waits_for_a_lock_holds_up_no_look_and_can_be_withdrawn() {
    let sqlite = sqlite().await;
    acquire(&sqlite.store).await;
    let seen = sqlite.store.observe(&default()).await.unwrap().unwrap();
    let locker = sqlite.connection();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for _ in 0..8 {
        let (election, record) = (default(), held());
        let waiting = sqlite.store.swap(&election, Some(&seen.version), &record);
        let looking = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            sqlite.store.observe(&election).await
        };
        tokio::select! {
            swapped = waiting => panic!("it did not wait for the lock: {swapped:?}"),
            looked = looking => assert_eq!(looked.unwrap().unwrap().version, seen.version),
        }
    }
    locker.execute_batch("ROLLBACK").unwrap();
    let swapped = sqlite.store.swap(&default(), Some(&seen.version), &held()).await.unwrap();
    assert!(matches!(swapped, Swapped::Won(_)), "none was made that was given up: {swapped:?}");
}

#[tokio::test]
async fn a_damaged_file_says_what_to_do() {
    let sqlite = sqlite().await;
    std::fs::write(sqlite.path(), vec![b'x'; 8192]).unwrap();
    let error = sqlite.store.init().await.unwrap_err();
    assert!(error.to_string().contains("move it away"), "{error}");
    std::fs::remove_file(sqlite.path()).unwrap();
    sqlite.store.init().await.unwrap();
}

/// A fence has seen every term that a wrong one may lead to.
#[tokio::test]
async fn a_term_that_is_none_or_the_last_is_refused() {
    let subject = sqlite().await;
    subject.store.init().await.unwrap();
    let (election, record) = (
        "default".parse().unwrap(),
        LeaseRecord {
            holder: Some(Candidate { identity: "a".to_owned(), incarnation: "1".to_owned() }),
            term: Term::new(1),
            ..LeaseRecord::without_holder(Duration::from_secs(15), WallTime::EPOCH)
        },
    );
    let won = subject.store.swap(&election, None, &record).await.unwrap();
    let Swapped::Won(version) = won else { panic!("lost") };
    let last = LeaseRecord { term: Term::new(1 << 63), ..record };
    let refused = subject.store.swap(&election, Some(&version), &last).await.unwrap_err();
    assert!(refused.to_string().contains("its term is the last one"), "{refused}");
    let seen = subject.store.observe(&election).await.unwrap().unwrap();
    assert_eq!((seen.record.term, &seen.version), (Term::new(1), &version));
    subject.connection().execute_batch("UPDATE leases SET term = -5").unwrap();
    let refused = subject.store.observe(&election).await.unwrap_err();
    assert!(refused.to_string().contains("cannot be read: term -5"), "{refused}");
}
