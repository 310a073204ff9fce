//! The database file: how it is opened and checked, and what one call does to it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::watch;

use super::acquisition;
use super::bell;
use super::blocking::lock;
use super::errors::SqliteError;
use super::files::{self, Files};
use super::folder::{self, FileId};
use super::readers::Presence;
use super::watching::{self, Place};
use crate::election::elector::Swapped;
use crate::election::lease::{
    Candidate, ElectionName, LeaseRecord, Observed, Origin, Version, is_lease_duration,
};
use crate::election::pause::Pause;
use crate::election::term::Term;
use crate::election::time::{BootTime, Clock, WallTime};
use crate::store::contract::{Listing, StoreError};
use crate::store::format;
use crate::store::notification::{self, Notifiers};
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

// Columns by name, never `*`: a newer version may add some while this one runs, and sqlx panics
// when a statement that it has cached returns more columns than it was prepared with.
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
    /// Send the hints.
    pub notifiers: Arc<Notifiers>,
    /// Where it was when it was opened last.
    place: watch::Sender<Place>,
    watching: OnceLock<()>,
    /// Shows this process to those that count.
    presence: Arc<Mutex<Presence>>,
}

impl DatabaseFile {
    /// The file at `path`, which is not opened yet.
    pub fn new(path: PathBuf, patience: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            presence: Arc::new(Mutex::new(Presence::new(&path))),
            place: watch::Sender::new(Place { path: path.clone(), folder: None }),
            path,
            create_folder: false,
            patience,
            clock,
            host: Mutex::default(),
            notifiers: Arc::default(),
            watching: OnceLock::new(),
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
    pub database: SqliteConnection,
    path: PathBuf,
    files: Files,
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

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn from_millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

impl DatabaseFile {
    pub async fn select(
        &self,
        database: &mut SqliteConnection,
        election: &ElectionName,
    ) -> Result<Option<Observed>, SqliteError> {
        let row = sqlx::query(SELECT).bind(election.as_str()).fetch_all(database).await?.pop();
        row.map(|row| self.decode(election, &row)).transpose()
    }

    pub async fn select_all(
        &self,
        database: &mut SqliteConnection,
    ) -> Result<Listing, SqliteError> {
        let rows = sqlx::query(SELECT_ALL).fetch_all(database).await?;
        let decode = |name: &str, row: &SqliteRow| {
            let election = ElectionName::from_store(name)
                .ok_or_else(|| self.unreadable(&name, &"it is not the name of an election"))?;
            let observed = self.decode(&election, row)?;
            Ok((election, observed))
        };
        let mut listing = Listing::default();
        for row in &rows {
            let name: String = row.try_get("election")?;
            match decode(&name, row) {
                Ok(record) => listing.records.push(record),
                Err(SqliteError::Explained(why)) => listing.unreadable.push((name, why)),
                Err(failure) => return Err(failure),
            }
        }
        Ok(listing)
    }

    pub async fn swap(
        &self,
        database: &mut SqliteConnection,
        write: &Write,
    ) -> Result<Swapped, SqliteError> {
        let Write { election, expected, record } = write;
        let version = notification::state(record);
        // The reading is from after the elector's, so the lease ends later than the elector counts.
        let expires = self.clock.now().boot + record.lease_duration;
        let (host, holder) = (self.host()?, record.holder.as_ref());
        let term = i64::try_from(record.term.get())
            .map_err(|_| self.unreadable(election, &"its term is the last one that fits"))?;
        let mut query = sqlx::query(if expected.is_some() { UPDATE } else { INSERT })
            .bind(format::of(record))
            .bind(&version)
            .bind(term)
            .bind(holder.map(|holder| holder.identity.as_str()))
            .bind(holder.map(|holder| holder.incarnation.as_str()))
            .bind(millis(record.lease_duration))
            .bind(record.acquire_time.to_string())
            .bind(record.renew_time.to_string())
            .bind(record.payload.as_deref())
            .bind(host.clock().to_owned())
            .bind(millis(expires.as_duration()))
            .bind(record.origin.as_ref().map(Origin::as_str))
            .bind(record.stored_url())
            .bind(record.pause.as_ref().map(Pause::stored))
            .bind(record.stored_handover())
            .bind(election.as_str());
        if let Some(expected) = expected {
            query = query.bind(expected.as_str());
        }
        let written = query.execute(&mut *database).await?.rows_affected();
        if written == 0 {
            return Ok(Swapped::Lost(self.select(database, election).await?));
        }
        Ok(Swapped::Won(Version::new(version)))
    }

    /// `idle` if it is still on the files that the names lead to, or a new connection.
    pub async fn connect(&self, idle: Option<Open>) -> Result<Open, SqliteError> {
        self.look_at_host()?;
        match idle {
            // Writing to a file that was moved away would elect a leader that no other process sees.
            Some(open) if self.is_in_place(&open) => return Ok(open),
            Some(open) => self.abandon(open).await,
            None => {}
        }
        self.open().await
    }

    /// Whether the connection is still on the files that the names lead to.
    fn is_in_place(&self, open: &Open) -> bool {
        Files::at(&self.path, &open.path) == open.files
    }

    async fn abandon(&self, open: Open) {
        let Open { database, path, files } = open;
        tracing::warn!(
            store = %self.path.display(),
            event = "store_file_replaced",
            "a file of the database was moved, deleted or replaced while it was in use; opening it \
             again (before such a change, stop every instance)"
        );
        files::close(database, &path, files).await;
        files::forget_lost_log(&path, Some(files));
    }

    async fn open(&self) -> Result<Open, SqliteError> {
        let place = self.prepare_folder()?;
        let options = SqliteConnectOptions::new()
            .filename(&place.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            // A quarter of a megabyte of log, not SQLite's four: there is one small row.
            .pragma("wal_autocheckpoint", "64")
            .statement_cache_capacity(4)
            .row_buffer_size(4)
            .command_buffer_size(4)
            .disable_statement_logging();
        let mut database = SqliteConnection::connect_with(&options).await?;
        sqlx::query(CREATE).execute(&mut database).await?;
        add_later_columns(&mut database).await?;
        let files = Files::at(&self.path, &place.path);
        let open = Open { database, path: place.path.clone(), files };
        if !files.are_open() {
            self.abandon(open).await;
            return Err(self.replaced("while it was opened"));
        }
        self.took(place);
        self.watch_folder();
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

    /// The other files are beside the database from now on.
    fn took(&self, place: Place) {
        self.place.send_if_modified(|last| {
            let is_another = *last != place;
            if is_another {
                lock(&self.presence).follow(&place.path);
                *last = place;
            }
            is_another
        });
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

    /// Turns changes in the folder into hints, from the first successful open on.
    fn watch_folder(&self) {
        if self.watching.set(()).is_err() {
            return;
        }
        let (place, presence) = (self.place.subscribe(), Arc::clone(&self.presence));
        tokio::spawn(watching::watch(place, presence, Arc::downgrade(&self.notifiers)));
    }

    /// Notifies the other processes of what was written. It is an error if they do not see it: another process may
    /// have started another log meanwhile.
    pub fn notify(&self, open: &Open, written: &[Written]) -> Result<(), SqliteError> {
        if !self.is_in_place(open) {
            return Err(self.replaced("during a write"));
        }
        let readers = lock(&self.presence).count();
        // This process does not wait for its own renewals.
        if readers == Some(1) && written.iter().all(|written| written.record.is_renewal()) {
            return Ok(());
        }
        if let Err(error) = bell::ring(&bell::of(&open.path), &lines(written, readers)) {
            tracing::debug!(%error, "cannot write to the bell file; other instances notice changes by polling");
        }
        Ok(())
    }

    fn decode(&self, election: &ElectionName, row: &SqliteRow) -> Result<Observed, SqliteError> {
        let format: i64 = row.try_get("format")?;
        if !format::KNOWN.contains(&format) {
            return Err(SqliteError::Explained(StoreError::Misconfigured(format!(
                "{self}: the record of election '{election}' has format {format}, and this version \
                 of bellwether knows formats up to {}; upgrade this instance",
                format::NEWEST
            ))));
        }
        let lease_duration = from_millis(row.try_get("lease_duration_ms")?);
        if !is_lease_duration(lease_duration) {
            return Err(self.unreadable(election, &format!("lease duration {lease_duration:?}")));
        }
        let holder: Option<String> = row.try_get("holder")?;
        let incarnation: Option<String> = row.try_get("incarnation")?;
        let term: i64 = row.try_get("term")?;
        let term =
            u64::try_from(term).map_err(|_| self.unreadable(election, &format!("term {term}")))?;
        let holder = holder
            .map(|identity| Candidate { identity, incarnation: incarnation.unwrap_or_default() });
        let wall = |text: String| WallTime::parse(&text).unwrap_or(WallTime::EPOCH);
        let expires = BootTime::from_duration(from_millis(row.try_get("expires_boot_ms")?));
        let boot_id: String = row.try_get("boot_id")?;
        let now = self.clock.now().boot;
        Ok(Observed {
            record: LeaseRecord {
                holder,
                term: Term::new(term),
                lease_duration,
                acquire_time: wall(row.try_get("acquire_time")?),
                renew_time: wall(row.try_get("renew_time")?),
                payload: row.try_get::<Option<String>, _>("payload")?.map(Into::into),
                origin: row.try_get::<Option<String>, _>("origin")?.and_then(Origin::new),
                holder_url: None,
                pause: row.try_get::<Option<&str>, _>("pause")?.map(Pause::from_store),
                handover: None,
            }
            .with_stored_url(row.try_get("holder_url")?)
            .with_stored_handover(row.try_get("handover")?)
            .checked(),
            version: Version::new(row.try_get::<String, _>("version")?),
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

/// Adds the missing columns to the table of an older version. Running processes of that version name
/// the columns that they know, and continue.
async fn add_later_columns(database: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    for (name, add) in LATER {
        if !lacks(database, name).await? {
            continue;
        }
        // The lock first: of two that find it missing, the second checks again.
        let mut transaction = database.begin_with("BEGIN IMMEDIATE").await?;
        if lacks(&mut transaction, name).await? {
            sqlx::query(add).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}

async fn lacks(database: &mut SqliteConnection, column: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(LACKS).bind(column).fetch_one(database).await
}

impl fmt::Display for DatabaseFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {}", self.path.display())
    }
}
