//! The files of an open database, and others that were put in their places.
//!
//! A process keeps the files that it has open, whatever happens to their names. SQLite does not notice when the names
//! of the write-ahead log and its index (`-wal`, `-shm`) are gone, or lead to other files. The process would then
//! continue in a log of its own, and the next one to open the database would start another: two leaders with one term.
//! So each call compares the files that the names lead to with those that are open.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::folder::{self, FileId};

/// The database, the log and the index of the log, as far as they exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    database: Option<FileId>,
    log: Option<FileId>,
    index: Option<FileId>,
}

/// The write-ahead log of the database at `path`.
pub fn log_of(path: &Path) -> PathBuf {
    folder::beside(path, "-wal")
}

/// The index of its write-ahead log.
pub fn index_of(path: &Path) -> PathBuf {
    folder::beside(path, "-shm")
}

impl Files {
    /// Those that the names lead to now: `given` to the database, which was opened as `path`.
    ///
    /// They are not opened for that: to close one again would free every lock that this process has on it.
    pub fn at(given: &Path, path: &Path) -> Self {
        let id = |path: &Path| FileId::of(path).ok();
        Self { database: id(given), log: id(&log_of(path)), index: id(&index_of(path)) }
    }

    /// Whether this process has all of them open, as after a successful open. They may have been replaced meanwhile.
    /// And a connection that hangs shares its index with every later connection of the process, even a lost one.
    pub fn are_open(&self) -> bool {
        let Self { database: Some(database), log: Some(log), index: Some(index) } = self else {
            return false;
        };
        // Where this cannot be read, the next call compares.
        let Ok(open) = open_files() else { return true };
        [database, log, index].iter().all(|id| open.contains(id))
    }
}

fn open_files() -> io::Result<Vec<FileId>> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    Ok(entries.filter_map(|entry| FileId::of(&entry.ok()?.path()).ok()).collect())
}

/// Closes a connection to the database at `path` that had these files open. What was written only to a log that is
/// lost is lost.
pub fn close(database: Connection, path: &Path, files: Files) {
    let now = Files::at(path, path);
    // SQLite compares the database itself before it writes to it.
    let is_log_lost = now.database == files.database && now != files;
    let doorstop = if is_log_lost { doorstop(path) } else { None };
    drop(database);
    drop(doorstop);
}

/// A connection that has the shared lock of the database, and no log. The last connection that closes copies its log
/// into the database and deletes the log by its name. A lost log must not be copied over what other processes wrote
/// meanwhile, and theirs must not be deleted. With this lock, the other connection is not the last.
fn doorstop(path: &Path) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let doorstop = Connection::open_with_flags(path, flags).ok()?;
    doorstop.busy_timeout(Duration::ZERO).ok()?;
    // It takes the shared lock and keeps it. It is refused the exclusive one, without which it opens no log.
    let _ = doorstop.execute_batch("PRAGMA locking_mode = EXCLUSIVE; SELECT 1 FROM sqlite_schema");
    Some(doorstop)
}

/// Deletes the index of a log that is lost: `files` were open before. With it, the next connection would search the
/// new log for what the lost one had, as long as another process keeps the index open. SQLite itself creates the
/// index after the log, and deletes it before.
pub fn forget_lost_log(path: &Path, files: Option<Files>) {
    let index_of_lost_log = || {
        let index = FileId::of(&index_of(path)).ok();
        let log = FileId::of(&log_of(path)).ok();
        index.filter(|_| match files {
            Some(files) => index == files.index && log != files.log,
            None => log.is_none(),
        })
    };
    // Between the two looks of the first time, another process may have closed the database: then the index is gone
    // now, or there is a log again.
    let found = index_of_lost_log();
    if found.is_some() && index_of_lost_log() == found {
        let _ = std::fs::remove_file(index_of(path));
    }
}
