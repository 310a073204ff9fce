//! The database file: how it is opened and checked, and what one call does to it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, ToSql, Transaction, TransactionBehavior};

use super::acquisition;
use super::bell;
use super::errors::SqliteError;
use super::files::{self, Files};
use super::folder::{self, FileId};
use super::mutex::lock;
use super::watching::{Place, Watcher};
use crate::election::elector::Swapped;
use crate::election::lease::{
    Candidate, ElectionName, LeaseRecord, Observed, Origin, Version, is_lease_duration,
};
use crate::election::pause::Pause;
use crate::election::term::Term;
use crate::election::time::{BootTime, Clock, WallTime};
use crate::store::contract::{Listing, StoreError};
use crate::store::format;
use crate::store::notification;
use crate::time::boot::Boot;

/// How long SQLite itself waits for another process's lock, in steps of 1 and 2 ms: the length of a
/// commit. It is short, so that reads can continue: the [`mod@super::worker`] waits for the rest.
const BUSY_TIMEOUT: Duration = Duration::from_millis(5);

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS leases (
        election          TEXT PRIMARY KEY NOT NULL,
        format            INTEGER NOT NULL,
        version           TEXT NOT NULL,
        term              INTEGER NOT NULL,
        holder            TEXT,
        incarnation       TEXT,
        lease_duration_ms INTEGER NOT NULL,
        acquire_time      TEXT NOT NULL,
        renew_time        TEXT NOT NULL,
        payload           TEXT,
        boot_id           TEXT NOT NULL,
        expires_boot_ms   INTEGER NOT NULL,
        origin            TEXT,
        holder_url        TEXT,
        pause             TEXT,
        handover          TEXT
    ) STRICT";

/// The columns that a table of an older version lacks.
const LATER: [(&str, &str); 4] = [
    ("origin", "ALTER TABLE leases ADD COLUMN origin TEXT"),
    ("holder_url", "ALTER TABLE leases ADD COLUMN holder_url TEXT"),
    ("pause", "ALTER TABLE leases ADD COLUMN pause TEXT"),
    ("handover", "ALTER TABLE leases ADD COLUMN handover TEXT"),
];
const LACKS: &str = "
    SELECT NOT EXISTS (SELECT 1 FROM pragma_table_info('leases') WHERE name = ?)";

/// The statements of one connection that are kept compiled: SELECT, and UPDATE or INSERT.
const STATEMENTS: usize = 4;

/// Each write is on the disk before it counts. The log is a quarter of a megabyte, not SQLite's four:
/// there is one small row.
const SETTINGS: [&str; 3] =
    ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA wal_autocheckpoint = 64"];

// Columns by name, never `*`: a newer version may add some while this one runs.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT election, format, version, term, holder, incarnation, lease_duration_ms, \
             acquire_time, renew_time, payload, boot_id, expires_boot_ms, origin, \
             holder_url, pause, handover FROM leases ",
            $which
        )
    };
}
const SELECT: &str = select!("WHERE election = ?");
const SELECT_ALL: &str = select!("ORDER BY election");

const INSERT: &str = "
    INSERT INTO leases (format, version, term, holder, incarnation, lease_duration_ms,
                        acquire_time, renew_time, payload, boot_id, expires_boot_ms, origin,
                        holder_url, pause, handover, election)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (election) DO NOTHING";

const UPDATE: &str = "
    UPDATE leases
    SET format = ?, version = ?, term = ?, holder = ?, incarnation = ?, lease_duration_ms = ?,
        acquire_time = ?, renew_time = ?, payload = ?, boot_id = ?, expires_boot_ms = ?,
        origin = ?, holder_url = ?, pause = ?, handover = ?
    WHERE election = ? AND version = ? AND format IN (1, 2)";

/// The file, and what this process knows of it.
pub struct DatabaseFile {
    /// Its name, which may be that of a link to it.
    pub path: PathBuf,
    /// Whether a missing folder is created: only the default one is.
    pub create_folder: bool,
    /// How long a call waits for another process's lock.
    pub patience: Duration,
    clock: Arc<dyn Clock>,
    host: Mutex<KnownBoot>,
    /// Follows it from the first successful open on.
    pub watcher: Watcher,
}

impl DatabaseFile {
    /// The file at `path`, which is not opened yet.
    pub fn new(path: PathBuf, patience: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            watcher: Watcher::new(&path),
            path,
            create_folder: false,
            patience,
            clock,
            host: Mutex::default(),
        }
    }

    /// Pretends that this process runs on another host or after another boot.
    pub fn pretend(&self, boot: Boot) {
        *self.known_host() = KnownBoot { known: Some(boot), pretended: true };
    }
}

/// The boot clock that this process reads.
#[derive(Default)]
struct KnownBoot {
    known: Option<Boot>,
    /// It is simulated, and not checked again.
    pretended: bool,
}

/// A connection, and the files that it is open on.
pub struct Open {
    /// The connection.
    pub database: Connection,
    path: PathBuf,
    files: Files,
}

impl Open {
    /// Closes it. That may wait for the disk.
    pub fn close(self) {
        files::close(self.database, &self.path, self.files);
    }
}

/// A swap.
#[derive(Clone)]
pub struct Write {
    /// The election.
    pub election: ElectionName,
    /// The version to replace.
    pub expected: Option<Version>,
    /// The new record.
    pub record: LeaseRecord,
}

/// Begins a transaction with the lock: one that has read cannot wait for it.
pub fn begin(database: &mut Connection) -> Result<Transaction<'_>, rusqlite::Error> {
    database.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn from_millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

impl DatabaseFile {
    pub fn select(
        &self,
        database: &Connection,
        election: &ElectionName,
    ) -> Result<Option<Observed>, SqliteError> {
        let mut statement = database.prepare_cached(SELECT)?;
        let mut rows = statement.query([election.as_str()])?;
        rows.next()?.map(|row| self.decode(election, row)).transpose()
    }

    pub fn select_all(&self, database: &Connection) -> Result<Listing, SqliteError> {
        let decode = |name: &str, row: &Row<'_>| {
            let election = ElectionName::from_store(name)
                .ok_or_else(|| self.unreadable(&name, &"it is not the name of an election"))?;
            let observed = self.decode(&election, row)?;
            Ok((election, observed))
        };
        let mut statement = database.prepare(SELECT_ALL)?;
        let mut rows = statement.query([])?;
        let mut listing = Listing::default();
        while let Some(row) = rows.next()? {
            let name: String = row.get("election")?;
            match decode(&name, row) {
                Ok(record) => listing.records.push(record),
                Err(SqliteError::Explained(why)) => listing.unreadable.push((name, why)),
                Err(failure) => return Err(failure),
            }
        }
        Ok(listing)
    }

    pub fn swap(&self, database: &Connection, write: &Write) -> Result<Swapped, SqliteError> {
        let Write { election, expected, record } = write;
        let version = notification::state(record);
        // The reading is from after the elector's, so the lease ends later than the elector counts.
        let expires = self.clock.now().boot + record.lease_duration;
        let (host, holder) = (self.host()?, record.holder.as_ref());
        let term = i64::try_from(record.term.get())
            .map_err(|_| self.unreadable(election, &"its term is the last one that fits"))?;
        let values: [&dyn ToSql; 16] = [
            &format::of(record),
            &version,
            &term,
            &holder.map(|holder| holder.identity.as_str()),
            &holder.map(|holder| holder.incarnation.as_str()),
            &millis(record.lease_duration),
            &record.acquire_time.to_string(),
            &record.renew_time.to_string(),
            &record.payload.as_deref(),
            &host.clock(),
            &millis(expires.as_duration()),
            &record.origin.as_ref().map(Origin::as_str),
            &record.stored_url(),
            &record.pause.as_ref().map(Pause::stored),
            &record.stored_handover(),
            &election.as_str(),
        ];
        let expected = expected.as_ref().map(Version::as_str);
        let mut statement = database.prepare_cached(expected.map_or(INSERT, |_| UPDATE))?;
        let expected = expected.iter().map(|version| version as &dyn ToSql);
        let values = values.into_iter().chain(expected);
        if statement.execute(rusqlite::params_from_iter(values))? == 0 {
            return Ok(Swapped::Lost(self.select(database, election)?));
        }
        Ok(Swapped::Won(Version::new(version)))
    }

    /// `idle` if it is still on the files that the names lead to, or a new connection.
    pub fn connect(&self, idle: Option<Open>) -> Result<Open, SqliteError> {
        self.look_at_host()?;
        let open = match idle {
            // Writing to a file that was moved away would elect a leader that no other process sees.
            Some(open) if self.is_in_place(&open) => open,
            Some(open) => {
                self.abandon(open);
                self.open()?
            }
            None => self.open()?,
        };
        self.watcher.start();
        Ok(open)
    }

    /// Whether the connection is still on the files that the names lead to.
    fn is_in_place(&self, open: &Open) -> bool {
        Files::at(&self.path, &open.path) == open.files
    }

    fn abandon(&self, open: Open) {
        let (path, files) = (open.path.clone(), open.files);
        tracing::warn!(
            store = %self.path.display(),
            event = "store_file_replaced",
            "a file of the database was moved, deleted or replaced while it was in use; opening it \
             again (before such a change, stop every instance)"
        );
        open.close();
        files::forget_lost_log(&path, Some(files));
    }

    fn open(&self) -> Result<Open, SqliteError> {
        let place = self.prepare_folder()?;
        // A connection is used by one thread at a time.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut database = Connection::open_with_flags(&place.path, flags)?;
        database.busy_timeout(BUSY_TIMEOUT)?;
        database.set_prepared_statement_cache_capacity(STATEMENTS);
        SETTINGS.iter().try_for_each(|setting| set(&database, setting))?;
        database.execute_batch(CREATE)?;
        add_later_columns(&mut database)?;
        let files = Files::at(&self.path, &place.path);
        let open = Open { database, path: place.path.clone(), files };
        if !files.are_open() {
            self.abandon(open);
            return Err(self.replaced("while it was opened"));
        }
        self.watcher.follow(place);
        Ok(open)
    }

    /// Makes sure that the folder exists and is local. Returns where the name of the database leads to.
    fn prepare_folder(&self) -> Result<Place, SqliteError> {
        if self.create_folder {
            folder::create(folder::of(&self.path))
                .map_err(|error| SqliteError::Io("create its folder", error))?;
        }
        let path = folder::resolve(&self.path);
        folder::check(&self.path, &path).map_err(SqliteError::Explained)?;
        files::forget_lost_log(&path, None);
        let folder = FileId::of(folder::of(&path)).ok();
        Ok(Place { path, folder })
    }

    /// Checked each time: a process that is restored from a checkpoint continues in another time
    /// namespace, or on another boot.
    fn look_at_host(&self) -> Result<(), SqliteError> {
        if self.known_host().pretended {
            return Ok(());
        }
        let host = Boot::this().map_err(|error| SqliteError::Io("read the boot id", error))?;
        let mut known = self.known_host();
        if known.known.as_ref().is_none_or(Boot::is_proven) && !host.is_proven() {
            tracing::info!(
                clock = host.clock(),
                event = "boot_id_unproven",
                "the boot id or the time namespace cannot be verified; a lease is watched for its \
                 whole duration before it is taken"
            );
        }
        known.known = Some(host);
        Ok(())
    }

    fn known_host(&self) -> MutexGuard<'_, KnownBoot> {
        lock(&self.host)
    }

    fn host(&self) -> Result<Boot, SqliteError> {
        let unknown = || StoreError::Unavailable(format!("{self}: the boot id is not known"));
        self.known_host().known.clone().ok_or_else(|| SqliteError::Explained(unknown()))
    }

    /// Notifies the other processes of what was written. It is an error if they do not see it: another process may
    /// have started another log meanwhile.
    pub fn notify(&self, open: &Open, written: &[Written]) -> Result<(), SqliteError> {
        if !self.is_in_place(open) {
            return Err(self.replaced("during a write"));
        }
        let readers = self.watcher.readers();
        // This process does not wait for its own renewals.
        let are_renewals = written.iter().all(|written| written.record.is_renewal());
        if readers == Some(1) && are_renewals {
            return Ok(());
        }
        let lines = lines(written, readers);
        self.watcher.rings(are_renewals.then_some(&lines));
        if let Err(error) = bell::ring(&bell::of(&open.path), &lines) {
            tracing::debug!(%error, "cannot write to the bell file; other instances notice changes by polling");
        }
        Ok(())
    }

    fn decode(&self, election: &ElectionName, row: &Row<'_>) -> Result<Observed, SqliteError> {
        let format: i64 = row.get("format")?;
        if !format::KNOWN.contains(&format) {
            return Err(SqliteError::Explained(StoreError::Misconfigured(format!(
                "{self}: the record of election '{election}' has format {format}, and this version \
                 of bellwether knows formats up to {}; upgrade this instance",
                format::NEWEST
            ))));
        }
        let lease_duration = from_millis(row.get("lease_duration_ms")?);
        if !is_lease_duration(lease_duration) {
            return Err(self.unreadable(election, &format!("lease duration {lease_duration:?}")));
        }
        let text = |column| row.get::<_, Option<String>>(column);
        let (holder, incarnation) = (text("holder")?, text("incarnation")?);
        let term: i64 = row.get("term")?;
        let term =
            u64::try_from(term).map_err(|_| self.unreadable(election, &format!("term {term}")))?;
        let holder = holder
            .map(|identity| Candidate { identity, incarnation: incarnation.unwrap_or_default() });
        let wall = |text: String| WallTime::parse(&text).unwrap_or(WallTime::EPOCH);
        let expires = BootTime::from_duration(from_millis(row.get("expires_boot_ms")?));
        let boot_id: String = row.get("boot_id")?;
        let now = self.clock.now().boot;
        Ok(Observed {
            record: LeaseRecord {
                holder,
                term: Term::new(term),
                lease_duration,
                acquire_time: wall(row.get("acquire_time")?),
                renew_time: wall(row.get("renew_time")?),
                payload: text("payload")?.map(Into::into),
                origin: text("origin")?.and_then(Origin::new),
                holder_url: None,
                pause: text("pause")?.as_deref().map(Pause::from_store),
                handover: None,
            }
            .with_stored_url(text("holder_url")?.as_deref())
            .with_stored_handover(text("handover")?.as_deref())
            .checked(),
            version: Version::new(row.get::<_, String>("version")?),
            remaining: self.host()?.remaining(&boot_id, expires, now),
            outlived: false,
        })
    }

    /// The error of a call that met files which were replaced.
    fn replaced(&self, when: &str) -> SqliteError {
        SqliteError::Explained(StoreError::Unavailable(format!(
            "{self}: a file of the database was replaced {when}"
        )))
    }

    fn unreadable(&self, election: &dyn fmt::Display, what: &dyn fmt::Display) -> SqliteError {
        SqliteError::Explained(StoreError::Misconfigured(format!(
            "{self}: the record of election '{election}' cannot be read: {what}; check whether it \
             was edited by hand"
        )))
    }
}

/// A write that was applied.
pub struct Written {
    /// The election.
    pub election: ElectionName,
    /// The record now.
    pub record: LeaseRecord,
    /// Its version.
    pub version: Version,
}

/// The lines of the bell for these, which so many processes read.
fn lines(written: &[Written], readers: Option<u32>) -> String {
    let readers = readers.map(|readers| format!(" {readers}")).unwrap_or_default();
    let line = |Written { election, record, version }: &Written| {
        if let Some(line) = acquisition::line(election, record, version) {
            return line + "\n";
        }
        let election = election.as_str();
        if record.is_renewal() {
            return notification::renewed(election, record.term, version) + &readers + "\n";
        }
        match notification::vacated(election, record) {
            Some((before, after)) => format!("{before}{}{after}\n", version.as_str()),
            None => format!("{election}\n"),
        }
    };
    written.iter().map(line).collect()
}

/// Carries out a setting to its end: only then is its error known.
fn set(database: &Connection, setting: &str) -> Result<(), rusqlite::Error> {
    let mut statement = database.prepare(setting)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Adds the missing columns to the table of an older version. Running processes of that version name
/// the columns that they know, and continue.
fn add_later_columns(database: &mut Connection) -> Result<(), rusqlite::Error> {
    for (name, add) in LATER {
        if !lacks(database, name)? {
            continue;
        }
        // The lock first: of two that find it missing, the second checks again.
        let transaction = begin(database)?;
        if lacks(&transaction, name)? {
            transaction.execute_batch(add)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

fn lacks(database: &Connection, column: &str) -> Result<bool, rusqlite::Error> {
    database.query_row(LACKS, [column], |row| row.get(0))
}

impl fmt::Display for DatabaseFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {}", self.path.display())
    }
}
