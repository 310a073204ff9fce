//! What Postgres's errors mean to a person and to the elector.

use std::io;
use std::sync::Arc;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::answer::Unusable;
use super::definition;
use super::hosts::Host;
use super::target::Target;
use crate::store::certificate::{OutOfTime, out_of_time};
use crate::store::contract::StoreError;

/// Why a call failed, before it is explained to a person.
///
/// Calls that were sent together fail with clones of it.
#[derive(Clone, Debug)]
pub enum PostgresError {
    /// The driver's or the server's error.
    Sql(Arc<sqlx::Error>),
    /// An answer that cannot be used.
    Answer(Unusable),
    /// No connection within the time for it.
    NoConnection,
    /// What answers is no Postgres server.
    Foreign,
    /// It closed the connection before it answered.
    Silent,
    /// The host's name has no address now.
    Unresolved(String, Arc<io::Error>),
    /// There is no socket at this path now.
    NoSocket(String),
    /// The failure of each of several servers, or addresses of one.
    Several(Vec<(String, PostgresError)>),
    /// The call waited in vain for a lock of these sessions, if they are known.
    Blocked(Option<String>),
    /// In words already.
    Explained(StoreError),
}

impl From<sqlx::Error> for PostgresError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

impl From<Unusable> for PostgresError {
    fn from(unusable: Unusable) -> Self {
        Self::Answer(unusable)
    }
}

impl PostgresError {
    /// The failure of a login, before which nothing shows what server this is.
    pub fn of_login(error: sqlx::Error) -> Self {
        match foreign(&error) {
            Some(true) => Self::Foreign,
            Some(false) => Self::Silent,
            None => error.into(),
        }
    }

    /// The failure at a Unix socket, where TLS has no part: what is not found is the socket.
    pub fn of_socket(self, host: &Host) -> Self {
        match &self {
            Self::Sql(error) if matches!(&**error, sqlx::Error::Io(why) if is_not_found(why)) => {
                Self::NoSocket(format!("{}/.s.PGSQL.{}", host.name, host.port))
            }
            _ => self,
        }
    }

    /// The failures of hosts or addresses.
    pub fn of_hosts(mut named: Vec<(String, Self)>) -> Self {
        if named.len() > 1 {
            return Self::Several(named);
        }
        named.pop().map_or(Self::NoConnection, |(_, failure)| failure)
    }

    /// The server's error code.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Sql(error) => Self::code_of(error),
            _ => None,
        }
    }

    /// The server's error code.
    pub fn code_of(error: &sqlx::Error) -> Option<&str> {
        server_error(error).map(PgDatabaseError::code)
    }

    /// Whether the table, or its schema, is not there.
    pub fn is_missing_table(&self) -> bool {
        matches!(self.code(), Some("42P01" | "3F000"))
    }

    /// Whether the server has no connection left, or none for this user.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Several(all) => all.iter().any(|(_, failure)| failure.is_full()),
            other => other.code() == Some("53300"),
        }
    }

    /// Whether the server is a replica or read-only.
    pub fn is_replica(&self) -> bool {
        matches!(self, Self::Answer(Unusable::Replica)) || self.code() == Some("25006")
    }

    /// Whether the table has fewer columns than were named.
    pub fn is_missing_column(&self) -> bool {
        self.code() == Some("42703")
    }

    /// Whether the server refused a write for its notification alone: the user may not execute the function, or the
    /// queue of all notifications is full.
    pub fn is_refused_notification(&self) -> bool {
        matches!(self, Self::Sql(error) if server_error(error).is_some_and(refuses_notification))
    }

    /// Whether the server refused a message, and can be sent another one in the same session. It
    /// has applied nothing of the message: that was one transaction.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Sql(error) if Self::leaves_session_usable(error))
    }

    /// Whether the server refused the login.
    pub fn is_refused_login(&self) -> bool {
        match self {
            Self::Several(all) => all.iter().any(|(_, failure)| failure.is_refused_login()),
            other => matches!(other.code(), Some("28P01" | "28000")),
        }
    }

    /// Whether another process created the same thing at the same moment.
    pub fn is_created_already(&self) -> bool {
        matches!(self.code(), Some("42P06" | "42P07" | "23505" | "42723"))
    }

    /// Whether the session can be used again: the server answered, did not close the session, and
    /// did not report that this session cannot write or is in another state than a new one (class
    /// 25).
    pub fn leaves_session_usable(error: &sqlx::Error) -> bool {
        server_error(error).is_some_and(|error| {
            error.severity() == PgSeverity::Error && !error.code().starts_with("25")
        })
    }
}

/// The function that notifies. The server names it to a user who may not execute it.
const NOTIFY: &str = "pg_notify";

fn refuses_notification(error: &PgDatabaseError) -> bool {
    match error.code() {
        "42501" => error.message().contains(NOTIFY),
        code => code == "54000",
    }
}

fn is_not_found(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Whether the answer to a login is none that a Postgres server gives; false if there is none.
fn foreign(error: &sqlx::Error) -> Option<bool> {
    match error {
        sqlx::Error::Protocol(what) => match what.split_once("SSLRequest: ") {
            // sqlx reads a closed connection as a zero.
            Some((_, byte)) if byte.starts_with("0x00") => Some(false),
            // 'E': a server that cannot start another process.
            Some((_, byte)) if byte.starts_with("0x45") => None,
            _ => Some(true),
        },
        sqlx::Error::Io(reason) if reason.kind() == io::ErrorKind::UnexpectedEof => {
            let what = reason.to_string();
            let length =
                what.strip_prefix("expected to read ").and_then(|rest| rest.split(' ').next());
            let length = length.and_then(|length| length.parse::<u64>().ok());
            Some(length.is_some_and(|length| length > MAX_LOGIN_MESSAGE))
        }
        sqlx::Error::Io(reason) => {
            let reason = reason.get_ref()?.downcast_ref::<rustls::Error>()?;
            matches!(reason, rustls::Error::InvalidMessage(_)).then_some(true)
        }
        _ => None,
    }
}

/// The longest message of a login: libpq takes a longer one for another protocol.
const MAX_LOGIN_MESSAGE: u64 = 30_000;

fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// What happened, on which server, and what to do. Never shows a password, nor text that changes
/// from one attempt to the next: a log shows only what changed.
pub fn explain(target: &Target, failure: PostgresError) -> StoreError {
    explain_at(&target.place(), target, failure)
}

fn explain_at(place: &str, target: &Target, failure: PostgresError) -> StoreError {
    let unavailable = |what: &str| StoreError::Unavailable(format!("store {place}: {what}"));
    match failure {
        PostgresError::Explained(error) => error,
        PostgresError::Answer(unusable) => explain_answer(place, target, unusable),
        PostgresError::NoConnection => unavailable("no connection could be made in time"),
        PostgresError::Foreign => StoreError::Misconfigured(format!(
            "store {place}: the server at this address does not speak Postgres; check host and \
             port in the URL"
        )),
        PostgresError::Silent => unavailable(
            "the server closed the connection without a response; it is starting or ending, or \
             does not speak Postgres (check host and port in the URL)",
        ),
        PostgresError::Unresolved(name, error) => {
            unavailable(&format!("the name {name} has no address now: {error}"))
        }
        PostgresError::NoSocket(path) => unavailable(&format!(
            "there is no socket {path}; the server is not there yet, or host or port in the URL \
             are wrong"
        )),
        PostgresError::Several(failures) => explain_several(place, target, failures),
        PostgresError::Blocked(pids) => unavailable(&blocked(pids.as_deref())),
        PostgresError::Sql(error) => explain_sql(place, target, error),
    }
}

/// It passes when one of them recovers: a fail-over looks like this while it lasts.
fn explain_several(
    place: &str,
    target: &Target,
    failures: Vec<(String, PostgresError)>,
) -> StoreError {
    let mut reasons: Vec<String> = Vec::new();
    let mut may_pass = false;
    for (name, failure) in failures {
        may_pass |= matches!(failure, PostgresError::Answer(Unusable::Replica));
        let error = explain_at(&name, target, failure);
        may_pass |= matches!(error, StoreError::Unavailable(_));
        let reason = error.to_string();
        reasons.push(reason.strip_prefix("store ").unwrap_or(&reason).to_owned());
    }
    let text = format!("store {place}: no server can be used: {}", reasons.join("; "));
    if may_pass { StoreError::Unavailable(text) } else { StoreError::Misconfigured(text) }
}

fn blocked(pids: Option<&str>) -> String {
    match pids {
        Some(pids) => format!(
            "timed out waiting for a lock on the record, which another session holds (pid {pids}, \
             see pg_stat_activity); end its transaction, for example with pg_terminate_backend"
        ),
        None => {
            "timed out waiting for a lock on the record, which another session holds; look for it \
             in pg_locks, and end its transaction"
                .to_owned()
        }
    }
}

fn explain_sql(place: &str, target: &Target, error: Arc<sqlx::Error>) -> StoreError {
    if let Some(server) = server_error(&error) {
        return explain_code(place, target, server);
    }
    match &*error {
        sqlx::Error::Tls(reason) => tls_trouble(place, reason),
        sqlx::Error::Io(reason) if is_tls(reason) => tls_trouble(place, &tls_reason(reason)),
        // A certificate: a socket that is not there is [`PostgresError::NoSocket`].
        sqlx::Error::Io(reason) if is_not_found(reason) && target.reads_files() => {
            tls_trouble(place, reason)
        }
        sqlx::Error::Io(reason) => StoreError::Unavailable(format!("store {place}: {reason}")),
        sqlx::Error::Configuration(reason) => {
            StoreError::Misconfigured(format!("store {place}: {reason}"))
        }
        sqlx::Error::ColumnNotFound(_) | sqlx::Error::ColumnDecode { .. } => {
            explain_answer(place, target, Unusable::Shape(error))
        }
        other => StoreError::Unavailable(format!("store {place}: {other}")),
    }
}

/// rustls hands its errors on as input and output errors.
fn is_tls(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

/// Without the time of the check, which would be another error each time.
fn tls_reason(error: &io::Error) -> String {
    match out_of_time(error) {
        Some(OutOfTime::Expired) => "the server's certificate has expired".to_owned(),
        Some(OutOfTime::NotYetValid) => {
            "the server's certificate is not valid yet, or the clock here is wrong".to_owned()
        }
        None => error.to_string(),
    }
}

fn tls_trouble(place: &str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Misconfigured(format!(
        "store {place}: no TLS connection: {reason}; check sslmode, and that sslrootcert names the \
         certificate of the authority that signed the server's, for the host name in the URL"
    ))
}

fn explain_answer(place: &str, target: &Target, unusable: Unusable) -> StoreError {
    let table = target.names().table();
    StoreError::Misconfigured(match unusable {
        Unusable::Replica => replica(place),
        Unusable::Newer { election, format } => format!(
            "store {place}: the record of election '{election}' in {table} has format {format}, \
             and this version of bellwether knows formats up to {}; upgrade this instance",
            crate::store::format::NEWEST
        ),
        Unusable::Nonsense { election, what } => format!(
            "store {place}: the record of election '{election}' in {table} cannot be read: {what}; \
             check whether it was edited by hand"
        ),
        Unusable::Shape(error) => format!(
            "store {place}: the table {table} was not made by bellwether ({error}); name another \
             ?table= or ?schema="
        ),
        Unusable::Ignored => format!(
            "store {place}: the server accepted a write to {table} and did not carry it out; look \
             for a trigger on the table that returns NULL, and for row-level security"
        ),
        Unusable::NoPause => format!(
            "store {place}: the table {table} has no column for a pause, and user {} may not add \
             it; let its owner run: ALTER TABLE {table} ADD COLUMN IF NOT EXISTS pause text;",
            target.user()
        ),
        Unusable::Altered => format!(
            "store {place}: a row of {table} is not as it was written; look for a trigger on the \
             table that changes rows or returns the old one, and drop it"
        ),
    })
}

fn replica(place: &str) -> String {
    format!(
        "store {place}: this server is a replica or read-only, and only the primary can keep a \
         lease; point the URL at the primary (the writer endpoint)"
    )
}

fn explain_code(place: &str, target: &Target, error: &PgDatabaseError) -> StoreError {
    let message = format!("{} (SQLSTATE {})", checked(error.message()), error.code());
    let unavailable =
        |what: &str| StoreError::Unavailable(format!("store {place}: {what}: {message}"));
    let misconfigured =
        |what: &str| StoreError::Misconfigured(format!("store {place}: {message}; {what}"));
    match error.code() {
        "28P01" | "28000" => misconfigured(
            "the server refused the login; check user, password and pg_hba.conf (a server that \
             demands TLS needs sslmode=require or stricter), a changed password is read at the \
             next attempt",
        ),
        "3D000" => misconfigured("create the database, or correct its name in the URL"),
        // PostgreSQL has one code for both.
        "42501" if error.routine() == Some("ExecWithCheckOptions") => misconfigured(
            "row-level security keeps this user from writing; add a policy for it, or switch \
             row-level security off for this table",
        ),
        _ if refuses_notification(error) => {
            unavailable("the server refuses notifications, and the next write has none")
        }
        "42501" => misconfigured(&format!("let an owner run: {}", definition::grants(target))),
        "42P01" | "3F000" => misconfigured(&format!(
            "the table is missing; run `bellwether init` as a user who may create it, or this SQL: \
             {}",
            definition::create(target)
        )),
        "42703" | "42804" => misconfigured(&format!(
            "the table {} was not made by bellwether; name another ?table= or ?schema=",
            target.names().table()
        )),
        "22003" => misconfigured(
            "a number of the record, such as its term, is the largest that fits; check whether it was edited by hand",
        ),
        "25006" => StoreError::Misconfigured(replica(place)),
        // A take-over; any other call that waited in vain is [`PostgresError::Blocked`].
        "55P03" => unavailable(
            "timed out waiting for a lock on the record; end the application's transaction that \
             called the fence, because a take-over waits for it",
        ),
        "22P05" | "22021" => misconfigured(
            "the database's encoding has no such character; use a database with the encoding UTF8, \
             or names in plain ASCII",
        ),
        "53300" => unavailable("the server has no connection left"),
        "53100" => unavailable("the server's disk is full"),
        "57P01" | "57P02" | "57P03" => unavailable("the server is shutting down or starting up"),
        "57014" => unavailable("the server cancelled the statement; check statement_timeout"),
        _ => unavailable("the server reports an error"),
    }
}

/// The longest part of a server's message to show: the beginning matters most.
const MAX_MESSAGE: usize = 500;

/// A message in a form that is safe to log: a trigger's `RAISE` may contain any text.
fn checked(message: &str) -> String {
    let shown = message.chars().take(MAX_MESSAGE);
    shown.map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::CertificateError;
    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn a_certificate_that_expired_is_the_same_trouble_at_every_attempt() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = |now| {
            let context = CertificateError::ExpiredContext { time: at(now), not_after: at(1) };
            let error = rustls::Error::InvalidCertificate(context);
            tls_reason(&io::Error::new(io::ErrorKind::InvalidData, error))
        };
        assert_eq!(expired(100), expired(101));
        assert!(expired(100).contains("has expired"), "{}", expired(100));
    }

    #[test]
    fn what_a_server_says_moves_no_cursor_and_has_an_end() {
        assert_eq!(checked("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(checked(&"x".repeat(1000)).len(), MAX_MESSAGE);
    }
}
