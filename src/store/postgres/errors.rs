//! What Postgres's errors mean to a person and to the elector.

use std::io;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::super::StoreError;
use super::schema;
use super::statement::Unusable;
use super::url::Target;

/// Why a call failed, before it is explained to a person.
#[derive(Debug)]
pub enum Failure {
    /// The driver's or the server's error.
    Sql(sqlx::Error),
    /// An answer that cannot be used.
    Answer(Unusable),
    /// In words already.
    Explained(StoreError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Unusable> for Failure {
    fn from(unusable: Unusable) -> Self {
        Self::Answer(unusable)
    }
}

impl Failure {
    /// The server's error code.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Sql(error) => server_error(error).map(PgDatabaseError::code),
            Self::Answer(_) | Self::Explained(_) => None,
        }
    }

    /// Whether the table, or its schema, is not there.
    pub fn is_missing_table(&self) -> bool {
        matches!(self.code(), Some("42P01" | "3F000"))
    }

    /// Whether the table has fewer columns than were named.
    pub fn is_missing_column(&self) -> bool {
        self.code() == Some("42703")
    }

    /// Whether another process created the same thing at the same moment.
    pub fn is_created_already(&self) -> bool {
        matches!(self.code(), Some("42P06" | "42P07" | "23505" | "42723"))
    }

    /// Whether the connection can be used again: the server answered, and did not say goodbye.
    pub fn leaves_connection_usable(error: &sqlx::Error) -> bool {
        server_error(error).is_some_and(|error| error.severity() == PgSeverity::Error)
    }
}

fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// Says what happened, on which server, and what to do. Never shows a password.
pub fn explain(target: &Target, failure: Failure) -> StoreError {
    let error = match failure {
        Failure::Explained(error) => return error,
        Failure::Answer(unusable) => return explain_answer(target, unusable),
        Failure::Sql(error) => error,
    };
    let place = target.place();
    if let Some(server) = server_error(&error) {
        return explain_code(target, server);
    }
    match &error {
        sqlx::Error::Tls(reason) => tls_trouble(&place, reason),
        sqlx::Error::Io(reason) if is_tls(reason) => tls_trouble(&place, reason),
        // A socket that is not there may come; a certificate that is not there was mistyped.
        sqlx::Error::Io(reason)
            if reason.kind() == io::ErrorKind::NotFound && target.reads_files() =>
        {
            tls_trouble(&place, reason)
        }
        sqlx::Error::Io(reason) => StoreError::Unavailable(format!("store {place}: {reason}")),
        sqlx::Error::Configuration(reason) => {
            StoreError::Misconfigured(format!("store {place}: {reason}"))
        }
        sqlx::Error::PoolTimedOut => {
            StoreError::Unavailable(format!("store {place}: no connection could be made in time"))
        }
        sqlx::Error::ColumnNotFound(_) | sqlx::Error::ColumnDecode { .. } => {
            explain_answer(target, Unusable::Shape(error))
        }
        other => StoreError::Unavailable(format!("store {place}: {other}")),
    }
}

/// rustls hands its errors on as input and output errors.
fn is_tls(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

fn tls_trouble(place: &str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Misconfigured(format!(
        "store {place}: no TLS connection: {reason}. Check sslmode, and that sslrootcert names the \
         certificate of the authority that signed the server's, for the host name in the URL"
    ))
}

fn explain_answer(target: &Target, unusable: Unusable) -> StoreError {
    let place = target.place();
    let table = target.names().table();
    StoreError::Misconfigured(match unusable {
        Unusable::Replica => replica(&place),
        Unusable::Newer { election, format } => format!(
            "store {place}: the record of election '{election}' in {table} has format {format}, \
             and this version of bellwether knows only format {}: upgrade this instance",
            super::statement::FORMAT
        ),
        Unusable::Nonsense { election, what } => format!(
            "store {place}: the record of election '{election}' in {table} cannot be read: {what}. \
             Was it edited by hand?"
        ),
        Unusable::Shape(error) => format!(
            "store {place}: the table {table} is not one that bellwether made ({error}): give \
             another ?table= or ?schema="
        ),
    })
}

fn replica(place: &str) -> String {
    format!(
        "store {place}: this server is a replica or read-only, and a lease can be kept on the \
         primary alone: point the URL at the primary (the writer endpoint)"
    )
}

fn explain_code(target: &Target, error: &PgDatabaseError) -> StoreError {
    let place = target.place();
    let said = format!("{} (SQLSTATE {})", error.message(), error.code());
    let unavailable =
        |what: &str| StoreError::Unavailable(format!("store {place}: {what}: {said}"));
    let misconfigured =
        |what: &str| StoreError::Misconfigured(format!("store {place}: {said}. {what}"));
    match error.code() {
        "28P01" | "28000" => misconfigured(
            "The server refused the login: check user, password and pg_hba.conf (a server that \
             demands TLS needs sslmode=require or stricter)",
        ),
        "3D000" => misconfigured("Create the database, or correct its name in the URL"),
        "42501" => misconfigured(&format!("Let an owner run: {}", schema::grants(target))),
        "42P01" | "3F000" => misconfigured(&format!(
            "The table is missing: run `bellwether init` as a user who may create it, or this SQL: {}",
            schema::create(target)
        )),
        "42703" | "42804" => misconfigured(&format!(
            "The table {} is not one that bellwether made: give another ?table= or ?schema=",
            target.names().table()
        )),
        "25006" => StoreError::Misconfigured(replica(&place)),
        "55P03" => unavailable(
            "waited in vain for a lock on the record; the likely cause is a transaction of the \
             application that called the fence and has not ended, which a take-over has to wait for",
        ),
        "53300" => unavailable("the server has no connection left"),
        "53100" => unavailable("the server's disk is full"),
        "57P01" | "57P02" | "57P03" => unavailable("the server is shutting down or starting up"),
        "57014" => unavailable("the server cancelled the statement (statement_timeout?)"),
        _ => unavailable("the server reports an error"),
    }
}
