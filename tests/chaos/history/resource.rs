//! What leader-only work changes: one row that refuses the writes of an earlier term, as docs/fencing.md
//! shows it. It is a database of its own, which no fault touches.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

pub struct Resource(Connection);

/// What a read returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub term: u64,
    pub owner: String,
    pub value: u64,
}

impl Resource {
    pub fn create(folder: &Path) {
        let create = "CREATE TABLE resource (term INTEGER NOT NULL, owner TEXT NOT NULL, value INTEGER NOT NULL); \
                      INSERT INTO resource VALUES (0, '', 0)";
        Self::open(folder).0.execute_batch(create).unwrap();
    }

    pub fn open(folder: &Path) -> Self {
        let connection = Connection::open(folder.join("resource.db")).expect("the resource opens");
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        Self(connection)
    }

    /// Whether the write was accepted.
    pub fn write(&self, term: u64, owner: &str, value: u64) -> rusqlite::Result<bool> {
        let update = "UPDATE resource SET term = ?1, owner = ?2, value = ?3 WHERE term <= ?1";
        let signed = |number: u64| i64::try_from(number).expect("half the range is enough");
        let mut update = self.0.prepare_cached(update)?;
        Ok(update.execute((signed(term), owner, signed(value)))? == 1)
    }

    pub fn read(&self) -> rusqlite::Result<Row> {
        let unsigned = |number: i64| number.unsigned_abs();
        self.0.query_row("SELECT term, owner, value FROM resource", [], |row| {
            let (term, owner, value) = row.try_into()?;
            Ok(Row { term: unsigned(term), owner, value: unsigned(value) })
        })
    }
}
