//! The statements for the server.
//!
//! Every call is one message of the simple query protocol: one round trip, one implicit
//! transaction, and nothing prepared, so that no pooler can tear it apart. The values in it are
//! therefore quoted here, by [`literal`], and nowhere else.
//!
//! The message begins with settings that last for its own transaction only:
//!
//! - `lock_timeout`, so that a call that its caller has given up does not wait in the server
//!   without end, one server process for each;
//! - for a write, `synchronous_commit`, if it is off: a term that was handed out must survive a
//!   crash of the server. A stricter setting than `on` is left alone.
//!
//! A swap that lost does not show the record that it lost to: its statement reads a snapshot from
//! before it waited. A look, in another message, shows it. A swap that won does not need the look,
//! and nearly every renewal is one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::columns::LaterColumns;
use super::names::Names;
use crate::election::lease::{ElectionName, LeaseRecord, MAX_LEASE_DURATION, Origin, Version};
use crate::election::pause::Pause;
use crate::election::time::WallTime;
use crate::store::{format, notification};

/// The WAL timeline that the server writes: another one after every fail-over or restore.
const TIMELINE: &str = "CASE WHEN pg_is_in_recovery() THEN NULL \
                        ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END";

/// The server's clock, which reveals a boot clock that stood still.
const CLOCK_US: &str = "(floor(extract(epoch FROM clock_timestamp()) * 1000000))::bigint::text";

/// The seconds until a lease is over. Postgres has no difference of `infinity`, which a person may
/// have written: one such row would make the statement fail for all.
const LEFT: &str = "CASE WHEN isfinite(l.expires_at) \
                    THEN extract(epoch FROM l.expires_at - clock_timestamp()) \
                    ELSE extract(epoch FROM l.expires_at) END";

/// How long these wait for a lock, at most:
///
/// - A take-over. Another candidate that is just taking the row holds it for a commit, which is
///   milliseconds, or tens of them on a slow disk. A session that holds it for longer is a
///   transaction of the application that called the fence, and may do so for minutes; all elections
///   of this process share the connection, and want it meanwhile.
/// - Writes that are sent together. They leave locked rows out, so they wait only for a lock on
///   the table, or for one that a trigger takes. Then each is sent alone, and waits longer.
/// - The rehearsal, which calls wait for.
/// - An announcement, for the lock of the notifications. If that takes longer, it is left out.
const SHORT_PATIENCE: Duration = Duration::from_millis(100);

/// The most looks in one statement: with names of 40 bytes, a message of 6 KB.
const LOOKS_TOGETHER: usize = 100;

/// The most writes in one message. Each is about 1.2 KB of text, and RDS Proxy gives a session
/// that sends more than 16 KB at once a connection to the server of its own.
const WRITES_TOGETHER: usize = 10;

/// For a server that does not tell it.
const NO_TIMELINE: &str = "NULL::text";

/// Queries the state of a server, first in each session: see [`super::dial`].
pub fn server_query(with_timeline: bool) -> String {
    let timeline = timeline(with_timeline);
    format!(
        "SELECT 'server' AS kind, pg_is_in_recovery()::text AS replica, \
         current_setting('transaction_read_only') AS read_only, \
         pg_backend_pid()::text AS pid, {timeline} AS timeline"
    )
}

/// Queries, in another session, which sessions that one waits for.
pub fn blockers_query(pid: u32) -> String {
    format!("SELECT array_to_string(pg_blocking_pids({pid}), ', ') AS pids")
}

fn timeline(reports_timeline: bool) -> &'static str {
    if reports_timeline { TIMELINE } else { NO_TIMELINE }
}

/// A call to the store.
#[derive(Clone, Debug)]
pub enum Statement {
    /// Reads one record.
    Observe(ElectionName),
    /// Reads all of them.
    List,
    /// Compares and swaps.
    Swap {
        /// Whose record.
        election: ElectionName,
        /// The version to replace; none if there is no record.
        expected: Option<Version>,
        /// The new record.
        record: Box<LeaseRecord>,
        /// Names the new state of the record: random.
        state: String,
    },
}

/// A take-over that changes nothing, sent once for each connection. The server looks up tables,
/// indexes and functions when a session first needs them. Without this rehearsal that would delay a
/// standby's first write, for which all other instances wait.
pub fn rehearsal(dialect: &Dialect, reports_timeline: bool) -> String {
    let vacant = LeaseRecord::without_holder(MAX_LEASE_DURATION, WallTime::EPOCH);
    let timeline = timeline(reports_timeline);
    let columns = dialect.columns(&vacant, "", timeline);
    // Election names are never empty, so there is no such row.
    let write = dialect.update("", &Version::new(""), &vacant, &columns, timeline, "");
    format!("{}; {write}", dialect.settings(dialect.short_patience(), true))
}

/// What the texts depend on.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// What the table is called.
    pub names: Names,
    /// How long the server waits for a lock; see also [`SHORT_PATIENCE`].
    pub lock_timeout: Duration,
    /// Which columns the table has that one of an older version lacks.
    pub columns: Arc<LaterColumns>,
    /// Whether writes notify other candidates. A server that refuses that would refuse the whole write.
    pub notifies: Arc<AtomicBool>,
}

impl Statement {
    /// Whether it writes.
    pub fn writes(&self) -> bool {
        matches!(self, Self::Swap { .. })
    }

    /// Whether it makes a candidate the leader: the only call that the application's fence delays.
    pub fn takes_over(&self) -> bool {
        match self {
            Self::Observe(_) | Self::List => false,
            Self::Swap { record, .. } => {
                record.holder.is_some() && record.pause.is_none() && record.changes_leader()
            }
        }
    }

    /// Whose record it reads or writes; none if it is every record.
    pub fn election(&self) -> Option<&ElectionName> {
        match self {
            Self::Observe(election) | Self::Swap { election, .. } => Some(election),
            Self::List => None,
        }
    }

    /// Whether it renews or vacates a lease: the calls that many elections make at the same moment,
    /// and whose row no other candidate wants.
    fn renews_or_vacates(&self) -> bool {
        matches!(self, Self::Swap { expected: Some(_), .. }) && !self.takes_over()
    }
}

/// Whether a message that carries these statements can carry another one.
pub fn go_together(statements: &[&Statement], other: &Statement) -> bool {
    let alike = |is: fn(&Statement) -> bool| is(other) && statements.iter().all(|one| is(one));
    if alike(|one| matches!(one, Statement::Observe(_))) {
        return statements.len() < LOOKS_TOGETHER;
    }
    let is_other_election = |one: &&Statement| one.election() != other.election();
    alike(Statement::renews_or_vacates)
        && statements.len() < WRITES_TOGETHER
        && statements.iter().all(is_other_election)
}

/// Whether the message that carries these statements waits for a lock for as long as its callers
/// wait.
pub fn is_patient(statements: &[&Statement]) -> bool {
    match statements {
        [one] => !one.takes_over(),
        several => !several.iter().any(|one| one.writes()),
    }
}

/// The message that carries these statements: one, or some that [`go_together`].
/// `reports_timeline` is the answer of the session's server to [`server_query`].
pub fn message(statements: &[&Statement], dialect: &Dialect, reports_timeline: bool) -> String {
    let timeline = timeline(reports_timeline);
    let writes = statements.iter().any(|one| one.writes());
    let patience = match is_patient(statements) {
        true => dialect.lock_timeout,
        false => dialect.short_patience(),
    };
    let mut texts = vec![dialect.settings(patience, writes)];
    let mut looks = BTreeSet::new();
    for statement in statements {
        match statement {
            Statement::Observe(election) => drop(looks.insert(election.as_str())),
            Statement::List => texts.push(dialect.list(timeline)),
            Statement::Swap { election, expected, record, state } => {
                let columns = dialect.columns(record, state, timeline);
                let election = election.as_str();
                texts.push(match expected {
                    None => dialect.insert(election, record, &columns),
                    Some(expected) => {
                        let are_together = statements.len() > 1;
                        let condition = are_together.then(|| dialect.unless_locked(election));
                        let condition = condition.unwrap_or_default();
                        dialect.update(election, expected, record, &columns, timeline, &condition)
                    }
                });
            }
        }
    }
    if !looks.is_empty() {
        texts.push(dialect.look(timeline, &looks));
    }
    texts.join("; ")
}

/// Sets how long the rest of the message waits for each lock. Every message begins with it that may
/// wait for one: a call that its caller has given up must end in the server too.
pub fn lock_timeout(patience: Duration) -> String {
    format!("SELECT set_config('lock_timeout', '{}ms', true)", patience.as_millis().max(1))
}

impl Dialect {
    pub fn short_patience(&self) -> Duration {
        self.lock_timeout.min(SHORT_PATIENCE)
    }

    pub fn settings(&self, lock_timeout: Duration, writes: bool) -> String {
        let lock = self::lock_timeout(lock_timeout);
        if !writes {
            return lock;
        }
        format!(
            "{lock}, set_config('synchronous_commit', \
             CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' \
             ELSE current_setting('synchronous_commit') END, true)"
        )
    }

    /// Answers with a row for each election, also where there is no record: a missing row is never
    /// taken for a missing record.
    fn look(&self, timeline: &str, elections: &BTreeSet<&str>) -> String {
        let wanted: Vec<_> = elections.iter().map(|name| format!("({})", literal(name))).collect();
        format!(
            "{}{} FROM (VALUES {}) AS wanted (election) \
             CROSS JOIN (SELECT {timeline} AS timeline) AS server \
             LEFT JOIN {} AS l ON l.election = wanted.election",
            record_of("wanted.election"),
            self.column_names(),
            wanted.join(", "),
            self.names.table()
        )
    }

    /// What a look selects beside the record, until all later columns are known to exist: the names of the columns.
    fn column_names(&self) -> String {
        if self.columns.are_complete() {
            return String::new();
        }
        format!(
            ", (SELECT string_agg(a.attname, ' ') FROM pg_catalog.pg_attribute a \
             WHERE a.attrelid = {}::regclass AND NOT a.attisdropped) AS columns",
            literal(&self.names.table())
        )
    }

    /// Always answers with a row, so that a replica is recognised where there is no record too.
    fn list(&self, timeline: &str) -> String {
        format!(
            "{} FROM (SELECT {timeline} AS timeline) AS server LEFT JOIN {} AS l ON true \
             ORDER BY l.election",
            record_of("l.election"),
            self.names.table()
        )
    }

    fn insert(&self, election: &str, record: &LeaseRecord, columns: &[(&str, String)]) -> String {
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        let values: Vec<_> = columns.iter().map(|(_, value)| value.as_str()).collect();
        format!(
            "INSERT INTO {} (election, {}) VALUES ({}, {}) ON CONFLICT DO NOTHING {}",
            self.names.table(),
            names.join(", "),
            literal(election),
            values.join(", "),
            self.returning(election, record)
        )
    }

    fn update(
        &self,
        election: &str,
        expected: &Version,
        record: &LeaseRecord,
        columns: &[(&str, String)],
        timeline: &str,
        condition: &str,
    ) -> String {
        let set: Vec<_> = columns.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let (version, seen_on) = split(expected);
        format!(
            "UPDATE {} SET {} WHERE election = {} AND version = {} AND format IN ({}) \
             AND coalesce({timeline}, '') = {} {condition} {}",
            self.names.table(),
            set.join(", "),
            literal(election),
            literal(version),
            format::KNOWN.map(|known| known.to_string()).join(", "),
            literal(seen_on),
            self.returning(election, record)
        )
    }

    /// A condition of a write: it finds the row, and locks it without waiting. A write locks the row
    /// as a renewal does, so the application's fence is no obstacle.
    fn unless_locked(&self, election: &str) -> String {
        let (table, election) = (self.names.table(), literal(election));
        format!(
            "AND election = (SELECT election FROM {table} WHERE election = {election} \
             FOR NO KEY UPDATE SKIP LOCKED)"
        )
    }

    /// The values of a write for every column but the key.
    fn columns(
        &self,
        record: &LeaseRecord,
        state: &str,
        timeline: &str,
    ) -> Vec<(&'static str, String)> {
        let holder = record.holder.as_ref();
        let or_null = |text: Option<&str>| text.map_or_else(|| "NULL".to_owned(), literal);
        let lease_ms = record.lease_duration.as_millis();
        // By the server's clock at the moment of the write, not at the start of the transaction,
        // which may have waited for a lock.
        let expires_at = match holder {
            Some(_) => format!("clock_timestamp() + interval '{lease_ms} milliseconds'"),
            None => "clock_timestamp()".to_owned(),
        };
        let mut columns = vec![
            ("format", format::of(record).to_string()),
            ("version", literal(state)),
            ("term", record.term.to_string()),
            ("holder", or_null(holder.map(|h| h.identity.as_str()))),
            ("incarnation", or_null(holder.map(|h| h.incarnation.as_str()))),
            ("lease_duration_ms", lease_ms.to_string()),
            ("acquire_time", timestamp(record.acquire_time)),
            ("renew_time", timestamp(record.renew_time)),
            ("payload", or_null(record.payload.as_deref())),
            ("expires_at", expires_at),
            ("timeline", timeline.to_owned()),
        ];
        let origin = or_null(record.origin.as_ref().map(Origin::as_str));
        let holder_url = or_null(record.stored_url().as_deref());
        let pause = or_null(record.pause.as_ref().map(Pause::stored).as_deref());
        let handover = or_null(record.stored_handover().as_deref());
        columns.extend(self.columns.existing([origin, holder_url, pause, handover]));
        columns
    }

    /// Returns the current content of the row: a trigger may have prevented the write.
    ///
    /// The notification is part of the write: it goes out at its commit, or not at all.
    fn returning(&self, election: &str, record: &LeaseRecord) -> String {
        let notify = if record.changes_leader() && self.notifies.load(Ordering::Relaxed) {
            let channel = literal(&self.names.channel());
            format!(", pg_notify({channel}, {})::text", notification(election, record))
        } else {
            String::new()
        };
        format!(
            "RETURNING 'won' AS kind, election AS for_election, timeline, version, term::text AS term, incarnation, \
             {CLOCK_US} AS clock_us{notify}"
        )
    }
}

/// The [`mod@notification`] of a change, as an expression.
fn notification(election: &str, record: &LeaseRecord) -> String {
    let Some((before, after)) = notification::vacated(election, record) else {
        return literal(election);
    };
    format!(
        "{} || version || '@' || coalesce(timeline, '') || {}",
        literal(&before),
        literal(&after)
    )
}

/// The handle for a state of the record as it is shown by a server on this timeline. After a
/// fail-over the same state has another handle, so that a write that was meant for the old server
/// and reaches the new one, as out of a pooler's queue, is refused.
pub fn version(state: &str, timeline: Option<&str>) -> Version {
    Version::new(format!("{state}@{}", timeline.unwrap_or_default()))
}

/// The state, and the timeline that it was seen on.
fn split(version: &Version) -> (&str, &str) {
    version.as_str().rsplit_once('@').unwrap_or((version.as_str(), ""))
}

/// Selects a record, for the call about this election.
fn record_of(election: &str) -> String {
    format!(
        "SELECT 'record' AS kind, pg_is_in_recovery()::text AS replica, \
         {election} AS for_election, l.election, \
         l.format::text, l.version, l.term::text, l.holder, l.incarnation, \
         l.lease_duration_ms::text, {} AS acquire_time, {} AS renew_time, l.payload, \
         to_jsonb(l) ->> 'origin' AS origin, to_jsonb(l) ->> 'holder_url' AS holder_url, \
         to_jsonb(l) ->> 'pause' AS pause, \
         to_jsonb(l) ->> 'handover' AS handover, \
         least(greatest(ceil(1000 * {LEFT}), 0), 1e12)::bigint::text AS remaining_ms, \
         {CLOCK_US} AS clock_us, \
         (l.timeline <> server.timeline)::text AS outlived, server.timeline",
        rfc_3339("l.acquire_time"),
        rfc_3339("l.renew_time"),
    )
}

fn timestamp(time: WallTime) -> String {
    format!("{}::timestamptz", literal(&time.to_string()))
}

fn rfc_3339(column: &str) -> String {
    format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
}

/// A text as SQL writes it, whatever `standard_conforming_strings` says. There is no way to write
/// a zero byte in Postgres: it becomes the replacement character.
pub fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 3);
    quoted.push_str("E'");
    for c in text.chars() {
        match c {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\0' => quoted.push('\u{FFFD}'),
            plain => quoted.push(plain),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests;
