//! How the server's answers to the statements are read.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::statement::version;
use crate::election::lease::{
    Candidate, ElectionName, LeaseRecord, Observed, Origin, Version, is_lease_duration,
};
use crate::election::pause::Pause;
use crate::election::term::Term;
use crate::election::time::WallTime;
use crate::store::format;

/// The server's time that came with an answer, in whole microseconds.
pub fn read_time(rows: &[PgRow]) -> Option<Duration> {
    let text = rows.iter().find_map(|row| row.try_get::<&str, _>("clock_us").ok())?;
    text.parse().ok().map(Duration::from_micros)
}

/// The names of the table's columns, where a look was to find them.
pub fn read_columns(rows: &[PgRow]) -> Option<&str> {
    rows.iter().find_map(|row| row.try_get::<Option<&str>, _>("columns").ok()?)
}

/// Reads the answer to [`Statement::Observe`](super::statement::Statement::Observe).
pub fn read_one(rows: &[PgRow], election: &ElectionName) -> Result<Option<Observed>, Unusable> {
    let row = row_for(rows, election).ok_or(sqlx::Error::RowNotFound)?;
    if row.try_get::<&str, _>("replica")? == "true" {
        return Err(Unusable::Replica);
    }
    let name = row.try_get::<Option<&str>, _>("election")?;
    name.map(|name| read(name, row)).transpose()
}

/// Reads the answer to [`Statement::Swap`](super::statement::Statement::Swap), which wrote `record`
/// as `state`: the new version, or none if the swap lost. It was won if the row *is* as written:
/// after a trigger that returns the old row the server answers as if it were.
pub fn read_won(
    rows: &[PgRow],
    election: &ElectionName,
    state: &str,
    record: &LeaseRecord,
) -> Result<Option<Version>, Unusable> {
    let Some(row) = row_for(rows, election) else { return Ok(None) };
    let text = |column: &str| row.try_get::<Option<&str>, _>(column);
    let term = text("term")?.and_then(|term| term.parse().ok());
    let incarnation = record.holder.as_ref().map(|holder| holder.incarnation.as_str());
    let is_as_written = text("version")? == Some(state)
        && term == Some(record.term)
        && text("incarnation")? == incarnation;
    if !is_as_written {
        return Err(Unusable::Altered);
    }
    Ok(Some(version(state, text("timeline")?)))
}

/// The row that answers a look at a record, or a swap of it. Other rows may answer other calls.
pub fn row_for<'a>(rows: &'a [PgRow], election: &ElectionName) -> Option<&'a PgRow> {
    rows.iter().find(|row| {
        row.try_get::<Option<&str>, _>("for_election").ok().flatten() == Some(election.as_str())
    })
}

/// Whether an answer shows that the server is a replica.
pub fn shows_replica(rows: &[PgRow]) -> bool {
    rows.iter().any(|row| matches!(row.try_get::<Option<&str>, _>("replica"), Ok(Some("true"))))
}

/// A record of the table, or why it cannot be read.
pub type Read = Result<(ElectionName, Observed), Unusable>;

/// Reads the answer to [`Statement::List`](super::statement::Statement::List): each record with its name in the table.
pub fn read_all(rows: &[PgRow]) -> Result<Vec<(String, Read)>, Unusable> {
    let mut all = Vec::new();
    for row in rows.iter().filter(|row| kind(row) == Some("record")) {
        if row.try_get::<&str, _>("replica")? == "true" {
            return Err(Unusable::Replica);
        }
        if let Some(name) = row.try_get::<Option<String>, _>("election")? {
            let record = match ElectionName::from_store(&name) {
                Some(election) => read(&name, row).map(|observed| (election, observed)),
                None => Err(Unusable::Nonsense {
                    election: name.clone(),
                    what: "its name is not one of an election".to_owned(),
                }),
            };
            all.push((name, record));
        }
    }
    Ok(all)
}

fn kind(row: &PgRow) -> Option<&str> {
    row.try_get("kind").ok()
}

fn read(election: &str, row: &PgRow) -> Result<Observed, Unusable> {
    let text = |column: &str| row.try_get::<Option<String>, _>(column);
    let format = text("format")?.unwrap_or_default();
    if !format::is_known(&format) {
        return Err(Unusable::Newer { election: election.to_owned(), format });
    }
    let nonsense = |what: String| Unusable::Nonsense { election: election.to_owned(), what };
    let number = |column: &str| {
        let value = text(column)?.unwrap_or_default();
        value.parse::<u64>().map_err(|_| nonsense(format!("{column} is '{value}'")))
    };
    let lease_duration = Duration::from_millis(number("lease_duration_ms")?);
    if !is_lease_duration(lease_duration) {
        return Err(nonsense(format!("lease_duration_ms is {}", lease_duration.as_millis())));
    }
    let incarnation = text("incarnation")?.unwrap_or_default();
    let holder = text("holder")?.map(|identity| Candidate { identity, incarnation });
    let wall = |text: Option<String>| {
        text.and_then(|text| WallTime::parse(&text)).unwrap_or(WallTime::EPOCH)
    };
    let term = Term::new(number("term")?);
    let outlived = text("outlived")?.as_deref() == Some("true");
    let remaining = Duration::from_millis(number("remaining_ms")?);
    Ok(Observed {
        record: LeaseRecord {
            holder,
            term,
            lease_duration,
            acquire_time: wall(text("acquire_time")?),
            renew_time: wall(text("renew_time")?),
            payload: text("payload")?.map(Into::into),
            origin: text("origin")?.and_then(Origin::new),
            holder_url: None,
            pause: text("pause")?.as_deref().map(Pause::from_store),
            handover: None,
        }
        .with_stored_url(text("holder_url")?.as_deref())
        .with_stored_handover(text("handover")?.as_deref())
        .checked(),
        version: version(&text("version")?.unwrap_or_default(), text("timeline")?.as_deref()),
        // The clock of another server is not what wrote this expiry.
        remaining: (!outlived).then_some(remaining),
        outlived,
    })
}

/// Why an answer could not be used.
#[derive(Clone, Debug)]
pub enum Unusable {
    /// The server is a replica.
    Replica,
    /// Written by a newer version.
    Newer {
        /// Whose record.
        election: String,
        /// Its format.
        format: String,
    },
    /// Makes no sense.
    Nonsense {
        /// Whose record.
        election: String,
        /// What does not.
        what: String,
    },
    /// Not the columns that were asked for.
    Shape(Arc<sqlx::Error>),
    /// A swap of the expected version that found it, and changed nothing.
    Ignored,
    /// A swap after which the row is not as it was written.
    Altered,
    /// The table has no column for the pause to write.
    NoPause,
}

impl From<sqlx::Error> for Unusable {
    fn from(error: sqlx::Error) -> Self {
        Self::Shape(Arc::new(error))
    }
}
