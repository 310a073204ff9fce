//! The announcements of renewals to the standbys: rule `announced-renewal`.
//!
//! Each is sent in a transaction of its own. A transaction that notifies takes a lock at its end, of the
//! whole server, and keeps it until its commit is on the disk and on the replicas. Renewals would wait
//! for each other, and for those of the application. An announcement writes nothing, so its commit does
//! not wait for the disk.

use sqlx::postgres::PgRow;

use super::answer;
use super::statement::{Dialect, Statement, literal};
use crate::store::notification;

/// The message that announces the renewals among these statements, once `rows` show that they were
/// applied. None if there are none.
pub fn message(statements: &[&Statement], rows: &[PgRow], dialect: &Dialect) -> Option<String> {
    let renewals = statements.iter().filter_map(|statement| announcement(statement, rows));
    let channel = literal(&dialect.names.renewals_channel());
    let notify = |renewal: String| {
        format!(", pg_notify({channel}, {} || listeners)::text", literal(&(renewal + " ")))
    };
    let all: String = renewals.map(notify).collect();
    let settings = dialect.settings(dialect.short_patience(), false);
    (!all.is_empty()).then(|| format!("{settings}{all} FROM {LISTENERS}"))
}

/// About how many instances wait for notifications: each has one connection, and any user of the database may
/// see its application name. Instances with names of their own are not counted; then standbys look as few would.
const LISTENERS: &str = "(SELECT count(*) AS listeners FROM pg_stat_activity \
                         WHERE datname = current_database() \
                         AND application_name = current_setting('application_name')) AS sessions";

fn announcement(statement: &Statement, rows: &[PgRow]) -> Option<String> {
    let Statement::Swap { election, record, state, .. } = statement else { return None };
    let won = || answer::read_won(rows, election, state, record).ok().flatten();
    let version = record.is_renewal().then(won).flatten()?;
    Some(notification::renewed(election.as_str(), record.term, &version))
}
