//! What leader-only work changes: one row that refuses the writes of an earlier term, as docs/fencing.md
//! shows it. It is a database of its own, which no fault touches.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Row as _};
use tokio::runtime::Runtime;

pub struct Resource {
    runtime: Runtime,
    connection: SqliteConnection,
}

/// What a read returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub term: u64,
    pub owner: String,
    pub value: u64,
}

impl Resource {
    pub fn create(folder: &Path) {
        let mut resource = Self::open(folder);
        let create = "CREATE TABLE resource (term INTEGER NOT NULL, owner TEXT NOT NULL, value INTEGER NOT NULL); \
                      INSERT INTO resource VALUES (0, '', 0)";
        let made = sqlx::raw_sql(create).execute(&mut resource.connection);
        resource.runtime.block_on(made).unwrap();
    }

    pub fn open(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.join("resource.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(10));
        let connection = runtime.block_on(options.connect()).expect("the resource opens");
        Self { runtime, connection }
    }

    /// Whether the write was accepted.
    pub fn write(&mut self, term: u64, owner: &str, value: u64) -> Result<bool, sqlx::Error> {
        let update = "UPDATE resource SET term = $1, owner = $2, value = $3 WHERE term <= $1";
        let signed = |number: u64| i64::try_from(number).expect("half the range is enough");
        let query = sqlx::query(update).bind(signed(term)).bind(owner).bind(signed(value));
        let done = self.runtime.block_on(query.execute(&mut self.connection))?;
        Ok(done.rows_affected() == 1)
    }

    pub fn read(&mut self) -> Result<Row, sqlx::Error> {
        let query = sqlx::query("SELECT term, owner, value FROM resource");
        let row = self.runtime.block_on(query.fetch_one(&mut self.connection))?;
        let unsigned = |column: usize| row.get::<i64, _>(column).unsigned_abs();
        Ok(Row { term: unsigned(0), owner: row.get(1), value: unsigned(2) })
    }
}
