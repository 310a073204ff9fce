//! The SQL that creates what is needed in the database.

use super::target::Target;

/// The version of the function of the fence: an older one is replaced, a newer one is left alone, so
/// that instances of two versions do not take turns. Goes up with every change of its text.
pub const FENCE: u32 = 1;

/// All the SQL that creates what is needed, for a person to run.
pub fn create(target: &Target) -> String {
    let mut parts = vec![create_schema(target), create_table(target), create_index(target)];
    parts.extend(create_fence(target));
    parts.join(";\n") + ";"
}

/// The least that an instance needs, for a person to run.
pub fn grants(target: &Target) -> String {
    let (schema, table, user) =
        (target.names().schema(), target.names().table(), target.user().replace('"', "\"\""));
    format!(
        "GRANT USAGE ON SCHEMA \"{schema}\" TO \"{user}\"; \
         GRANT SELECT, INSERT, UPDATE ON {table} TO \"{user}\";"
    )
}

/// The schema.
pub fn create_schema(target: &Target) -> String {
    format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", target.names().schema())
}

/// The table.
pub fn create_table(target: &Target) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (
  election text PRIMARY KEY,
  format integer NOT NULL,
  version text NOT NULL,
  term bigint NOT NULL,
  holder text,
  incarnation text,
  lease_duration_ms bigint NOT NULL,
  acquire_time timestamptz NOT NULL,
  renew_time timestamptz NOT NULL,
  payload text,
  expires_at timestamptz NOT NULL,
  timeline text,
  origin text,
  holder_url text,
  pause text,
  handover text
)",
        target.names().table()
    )
}

/// With this index the term is a key of the row. A take-over changes the term, so it waits for a
/// session that holds the row `FOR KEY SHARE`. A renewal does not change it, and passes.
pub fn create_index(target: &Target) -> String {
    format!(
        "CREATE UNIQUE INDEX IF NOT EXISTS \"{}\" ON {} (election, term)",
        target.names().index_name(),
        target.names().table()
    )
}

/// Its comment does not end with the line, because an error shows the whole text on one line, to be run from there.
///
/// The fence runs with the rights of its owner, so that an application needs no right to the table;
/// who may call it is granted, not presumed.
pub fn create_fence(target: &Target) -> [String; 2] {
    let (fence, table) = (target.names().fence(), target.names().table());
    [
        format!(
            "CREATE OR REPLACE FUNCTION {fence}(election text, term bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fence$
/* bellwether fence {FENCE} */
DECLARE
  now_term bigint;
  over boolean;
BEGIN
  SELECT l.term, l.holder IS NULL OR l.expires_at <= clock_timestamp() INTO now_term, over
    FROM {table} AS l WHERE l.election = $1 AND l.term = $2 FOR KEY SHARE;
  IF NOT FOUND THEN
    SELECT l.term INTO now_term FROM {table} AS l WHERE l.election = $1;
    RAISE EXCEPTION 'term % of election \"%\" is over', $2, $1
      USING ERRCODE = 'BW001', DETAIL = CASE WHEN now_term IS NULL THEN 'There is no such election.'
        ELSE format('The term of its record is %s.', now_term) END,
        HINT = 'Stop leader-only work and ask bellwether who leads.';
  ELSIF over THEN
    RAISE EXCEPTION 'term % of election \"%\" is over', $2, $1
      USING ERRCODE = 'BW001', DETAIL = 'Its lease was vacated or ran out.',
        HINT = 'Stop leader-only work and ask bellwether who leads.';
  END IF;
END
$fence$"
        ),
        format!("REVOKE ALL ON FUNCTION {fence}(text, bigint) FROM PUBLIC"),
    ]
}
