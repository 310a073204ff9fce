//! What SQLite's errors mean to a person and to the elector.

use std::io;
use std::path::Path;

use crate::store::contract::StoreError;

/// Why a call failed, before it is explained to a person.
#[derive(Debug)]
pub enum SqliteError {
    Sql(rusqlite::Error),
    Io(&'static str, io::Error),
    Explained(StoreError),
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl SqliteError {
    /// Whether another process's lock was in the way: nothing was changed.
    pub fn is_lock(&self) -> bool {
        matches!(self, Self::Sql(error) if is_locked(error))
    }

    /// Whether it is about the record that was asked for, and the connection can be used again.
    pub fn is_of_one_record(&self) -> bool {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
        };
        match self {
            Self::Explained(_) => true,
            Self::Sql(error) => matches!(
                error,
                FromSqlConversionFailure(..)
                    | IntegralValueOutOfRange(..)
                    | InvalidColumnType(..)
                    | Utf8Error(..)
            ),
            Self::Io(..) => false,
        }
    }
}

/// SQLite's extended result code.
fn code(error: &rusqlite::Error) -> Option<i32> {
    Some(error.sqlite_error()?.extended_code)
}

/// Its primary result code, the low byte of an extended one.
fn primary_code(error: &rusqlite::Error) -> Option<i32> {
    code(error).map(|code| code & 0xFF)
}

/// The index of the log could not grow (`SQLITE_IOERR_SHMSIZE`): on a full disk this comes first.
const INDEX_CANNOT_GROW: i32 = 4874;

/// Whether another process's lock is in the way.
pub fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6))
}

/// The error of a call that has waited for another process's lock for its whole time.
pub fn locked(path: &Path) -> StoreError {
    StoreError::Unavailable(format!(
        "store {}: another process keeps the file locked",
        path.display()
    ))
}

/// Says what happened, to which file, and what to do.
pub fn explain(path: &Path, failure: SqliteError) -> StoreError {
    let shown = path.display();
    let error = match failure {
        SqliteError::Explained(error) => return error,
        SqliteError::Io(what, error) => {
            return StoreError::Misconfigured(format!("store {shown}: cannot {what}: {error}"));
        }
        SqliteError::Sql(error) => error,
    };
    let unavailable = |what: &str| StoreError::Unavailable(format!("store {shown}: {what}"));
    let misconfigured = |what: &str| StoreError::Misconfigured(format!("store {shown}: {what}"));
    match primary_code(&error) {
        Some(5 | 6) => locked(path),
        Some(10) if code(&error) == Some(INDEX_CANNOT_GROW) => {
            unavailable("the disk is full, or reports an error; free some space")
        }
        Some(10) => unavailable(&format!(
            "the disk reports an error ({}); check the disk, and whether the file system is full",
            text(&error)
        )),
        Some(13) => unavailable("the disk is full; free some space"),
        Some(3 | 8 | 23) => misconfigured(
            "the file cannot be written; check its mode, and whether its file system is mounted \
             read-only",
        ),
        Some(14) => misconfigured("the file cannot be opened; check its folder, owner and mode"),
        Some(11 | 26) => misconfigured(
            "the file is damaged, or is not a SQLite database; stop every instance that uses it, \
             move it away and start them again (terms then restart at 1)",
        ),
        _ => unavailable(&text(&error)),
    }
}

/// What SQLite says, with the code that its documentation lists.
fn text(error: &rusqlite::Error) -> String {
    match error {
        // The statement is not for a person.
        rusqlite::Error::SqlInputError { error, msg, .. } => {
            format!("{msg} (SQLite error {})", error.extended_code)
        }
        error => match code(error) {
            Some(code) => format!("{error} (SQLite error {code})"),
            None => error.to_string(),
        },
    }
}
