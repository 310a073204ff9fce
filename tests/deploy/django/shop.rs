//! The Django project of `examples/django-once`, and its database.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};
use tokio::runtime::Runtime;

use support::postgres::Server;

/// What every instance does before it serves.
pub const MIGRATE: [&str; 2] = ["manage.py", "migrate"];

/// A database of its own.
pub struct Shop {
    runtime: Runtime,
    server: Arc<Server>,
    database: String,
    url: String,
}

/// A transaction that is in the way until this is dropped.
pub struct Held<'a> {
    shop: &'a Shop,
    connection: Option<PgConnection>,
}

impl Shop {
    /// Nothing was ever migrated.
    pub fn empty() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = Server::shared();
        let database = runtime.block_on(server.database());
        let url = server.url(&database);
        Self { runtime, server, database, url }
    }

    /// Release 1 is there, with three customers. Release 2 brings the migration.
    pub fn at_release_1() -> Self {
        let shop = Self::empty();
        for args in [&["migrate", "accounts", "0001"][..], &["loaddata", "customers"]] {
            let output = shop.python(&[&["manage.py"], args].concat()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        shop
    }

    /// The store of the leases: the same database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `python ARGS` in the project.
    pub fn python(&self, args: &[&str]) -> Command {
        self.in_the_project(Command::new(python()), args)
    }

    /// The same, as the command of `bellwether once`.
    pub fn python_under(&self, mut once: Command, args: &[&str]) -> Command {
        once.arg("--").arg(python());
        self.in_the_project(once, args)
    }

    fn in_the_project(&self, mut command: Command, args: &[&str]) -> Command {
        command.args(args).current_dir(repository().join("examples/django-once"));
        command.env("DATABASE_URL", &self.url).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Keeps the row that the migration comes to last, as any long transaction may.
    pub fn hold_the_last_account(&self) -> Held<'_> {
        self.hold("SELECT FROM accounts_account WHERE id = 3 FOR UPDATE")
    }

    /// Keeps all others from creating tables, not from reading them.
    pub fn hold_the_catalog(&self) -> Held<'_> {
        self.hold("LOCK TABLE pg_catalog.pg_class IN SHARE MODE")
    }

    fn hold(&self, sql: &str) -> Held<'_> {
        let mut connection = self.runtime.block_on(self.server.connect(&self.database));
        let sql = AssertSqlSafe(format!("BEGIN; {sql}"));
        self.runtime.block_on(raw_sql(sql).execute(&mut connection)).unwrap();
        Held { shop: self, connection: Some(connection) }
    }

    /// How many sessions wait for another one's lock.
    pub fn waiting(&self) -> u64 {
        self.count(&format!(
            "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{}'",
            self.database
        ))
    }

    /// How often Django believes that it has applied the migration.
    pub fn times_recorded(&self) -> u64 {
        self.count("FROM django_migrations WHERE name = '0002_halve_the_credit'")
    }

    pub fn balances(&self) -> Vec<u64> {
        let balances = "SELECT string_agg(credits::text, ' ' ORDER BY id) FROM accounts_account";
        let text = self.ask(balances);
        text.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    fn count(&self, from: &str) -> u64 {
        self.ask(&format!("SELECT count(*) {from}")).parse().unwrap()
    }

    fn ask(&self, sql: &str) -> String {
        self.runtime.block_on(self.server.ask(&self.database, sql))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = self.shop.runtime.block_on(connection.close());
        }
    }
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Python that has what the project's requirements.txt names.
pub fn python() -> PathBuf {
    let python = repository().join("target/tools/django/bin/python");
    assert!(python.exists(), "{} is missing: make setup", python.display());
    python
}
