//! What is in the database: a schema, a table, a unique index and the function of the fence.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::answer::Unusable;
use super::columns::LATER;
use super::definition::{
    FENCE, create, create_fence, create_index, create_schema, create_table, grants,
};
use super::errors::PostgresError;
use super::session::Session;
use super::statement::{literal, lock_timeout};
use super::target::Target;
use crate::store::contract::StoreError;

/// What the server said is there, and what this user may do with it.
#[derive(Debug)]
struct Inspection {
    has_schema: bool,
    has_table: bool,
    has_index: bool,
    has_fence: bool,
    has_later: [bool; LATER.len()],
    may_use: bool,
}

/// Creates what is missing, or checks the existing table. Safe when many do it at once. No statement
/// waits for a lock for longer than `patience`. Returns which of the columns the table has that one
/// of an older version lacks.
pub async fn ensure(
    target: &Target,
    session: &mut Session,
    patience: Duration,
) -> Result<[bool; LATER.len()], PostgresError> {
    let mut found = inspect(target, session, patience).await?;
    if !(found.has_schema && found.has_table && found.has_index && found.has_fence) {
        match create_missing(target, session, &found, patience).await {
            Ok(()) => {}
            Err(failure) if failure.code() == Some("55P03") => {
                return Err(PostgresError::Explained(is_locked(target)));
            }
            // Another instance was faster, in the blink between two statements.
            Err(failure) if failure.is_created_already() => {}
            // Elections work without a fence; only the application's fencing does not.
            Err(failure) if failure.code() == Some("42501") && found.has_table => {
                warn_of_parts(target, &found);
            }
            Err(failure) if failure.code() == Some("42501") => {
                return Err(PostgresError::Explained(may_not_create(target, &failure)));
            }
            Err(failure) => return Err(failure),
        }
        found = inspect(target, session, patience).await?;
    }
    if found.has_table && !found.may_use {
        return Err(PostgresError::Explained(StoreError::Misconfigured(format!(
            "store {}: user {} may not read and write the table; let its owner run: {}",
            target.place(),
            target.user(),
            grants(target)
        ))));
    }
    for (name, has) in LATER.into_iter().zip(&mut found.has_later) {
        *has = *has || add_column(target, session, name).await;
    }
    Ok(found.has_later)
}

/// A waiter for the table's lock makes all others wait: so this is shorter than any call's time.
const COLUMN_PATIENCE: Duration = Duration::from_millis(100);

/// Adds a missing column to the table of an older version. Elections work without it, so this
/// neither waits for a lock nor complains about a missing right.
async fn add_column(target: &Target, session: &mut Session, name: &str) -> bool {
    let text = format!(
        "{}; ALTER TABLE {} ADD COLUMN IF NOT EXISTS {name} text",
        lock_timeout(COLUMN_PATIENCE),
        target.names().table()
    );
    let added = session.query(text).await;
    if let Err(error) = &added {
        tracing::debug!(%error, column = name, "the table has no such column");
    }
    added.is_ok()
}

fn is_locked(target: &Target) -> StoreError {
    StoreError::Unavailable(format!(
        "store {}: timed out waiting for a lock while creating what is missing of the table {}; \
         another session holds it: look for that in pg_locks, and end its transaction",
        target.place(),
        target.names().table()
    ))
}

fn may_not_create(target: &Target, failure: &PostgresError) -> StoreError {
    let reason = match failure {
        PostgresError::Sql(error) => error.to_string(),
        other => format!("{other:?}"),
    };
    StoreError::Misconfigured(format!(
        "store {}: user {} may not create the table ({reason}); let a user who may run:\n{}\n{}",
        target.place(),
        target.user(),
        create(target),
        grants(target)
    ))
}

fn warn_of_parts(target: &Target, found: &Inspection) {
    tracing::warn!(
        store = %target.place(),
        index = found.has_index,
        fence = found.has_fence,
        sql = %create(target),
        event = "fence_missing",
        "elections work, but applications cannot fence with SQL, because a part of the schema is \
         missing; let the owner of the table run the SQL"
    );
}

async fn inspect(
    target: &Target,
    session: &mut Session,
    patience: Duration,
) -> Result<Inspection, PostgresError> {
    let text = format!("{}; {}", lock_timeout(patience), inspection(target));
    let rows = session.query(text).await?;
    let row = rows.last().ok_or(sqlx::Error::RowNotFound)?;
    if flag(row, "replica")? {
        return Err(PostgresError::Answer(Unusable::Replica));
    }
    let mut has_later = [false; LATER.len()];
    for (name, has) in LATER.into_iter().zip(&mut has_later) {
        *has = flag(row, &format!("has_{name}"))?;
    }
    Ok(Inspection {
        has_schema: flag(row, "has_schema")?,
        has_table: flag(row, "has_table")?,
        has_index: flag(row, "has_index")?,
        has_fence: flag(row, "has_fence")?,
        has_later,
        may_use: flag(row, "may_use")?,
    })
}

fn flag(row: &PgRow, column: &str) -> Result<bool, sqlx::Error> {
    Ok(row.try_get::<Option<&str>, _>(column)? == Some("true"))
}

/// From the catalogs, which every user may read: names that this user may not use would be errors.
fn inspection(target: &Target) -> String {
    let names = target.names();
    let later = LATER.map(|name| {
        format!(
            "EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid \
             AND a.attname = '{name}' AND NOT a.attisdropped)::text AS has_{name},"
        )
    });
    let later = later.join(" ");
    format!(
        "SELECT pg_is_in_recovery()::text AS replica, \
         (n.oid IS NOT NULL)::text AS has_schema, \
         (c.oid IS NOT NULL)::text AS has_table, \
         EXISTS (SELECT FROM pg_catalog.pg_index i \
         WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate \
         AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = 2 \
         AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey)) = ARRAY['election', 'term'] \
         )::text AS has_index, \
         EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid \
         AND p.proname = {fence} AND p.proargtypes::text = '25 20' \
         AND substring(p.prosrc FROM 'bellwether fence ([0-9]{{1,9}})')::integer >= {FENCE}\
         )::text AS has_fence, \
         {later} \
         (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
         AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') \
         )::text AS may_use \
         FROM (SELECT 1) AS one \
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = {schema} \
         LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = {table} \
         AND c.relkind IN ('r', 'p')",
        fence = literal(&names.fence_name()),
        schema = literal(names.schema()),
        table = literal(names.table_name()),
    )
}

async fn create_missing(
    target: &Target,
    session: &mut Session,
    found: &Inspection,
    patience: Duration,
) -> Result<(), PostgresError> {
    let mut parts = vec![
        lock_timeout(patience),
        // For this transaction only. Two first starts at once wait for each other here: `IF NOT
        // EXISTS` alone is not safe against itself.
        format!(
            "SELECT pg_advisory_xact_lock(hashtext({}))",
            literal(&format!("bellwether init {}", target.names().table()))
        ),
    ];
    if !found.has_schema {
        parts.push(create_schema(target));
    }
    if !found.has_table {
        parts.push(create_table(target));
    }
    if !found.has_index {
        parts.push(create_index(target));
    }
    if !found.has_fence {
        parts.extend(create_fence(target));
    }
    session.query(parts.join(";\n")).await?;
    let (store, table) = (target.place(), target.names().table());
    if found.has_table {
        tracing::info!(
            store,
            table,
            index = !found.has_index,
            fence = !found.has_fence,
            event = "table_completed",
            "created what the table lacked"
        );
    } else {
        tracing::info!(store, table, event = "table_created", "created the table");
    }
    Ok(())
}
