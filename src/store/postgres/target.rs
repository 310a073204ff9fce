//! The servers, the login and the table that a URL names, and the options of a new connection.
//!
//! # Read again
//!
//! Secrets are rotated while this program runs. So the URL's file, the service file, the password
//! file and the certificates are read again for every connection. Only the login is taken from
//! them. Another server, database or table in the same file would be another store, which a
//! candidate must not move to while others still use the first; and the login of another store is
//! not sent to this one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::time::timeout;

use super::hosts::Host;
use super::iam;
use super::invalid::{Env, InvalidTarget};
use super::names::Names;
use super::url::{Login, Settings};
use crate::store::contract::StoreError;
use crate::store::small_file;

/// Every variable that is read. They are kept, because the URL is read again.
const VARIABLES: [&str; 19] = [
    "HOME",
    "PGAPPNAME",
    "PGDATABASE",
    "PGHOST",
    "PGHOSTADDR",
    "PGLOADBALANCEHOSTS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSYSCONFDIR",
    "PGTARGETSESSIONATTRS",
    "PGUSER",
    "USER",
];

/// Servers, a database, a login and a table. Its `Debug` and [`Target::place`] never show the
/// password.
#[derive(Clone)]
pub struct Target {
    /// As read at the start.
    settings: Arc<Settings>,
    origin: Arc<Origin>,
}

/// Where the settings came from.
struct Origin {
    url: String,
    file: Option<PathBuf>,
    variables: BTreeMap<&'static str, String>,
    known: Mutex<Known>,
    /// Held by the task that reads the files.
    reading: Arc<tokio::sync::Mutex<()>>,
}

/// The result of reading the settings again.
#[derive(Default)]
struct Known {
    /// The last usable settings; none: those of the start.
    settings: Option<Arc<Settings>>,
    /// Why newer ones are not usable; logged once per change.
    trouble: Option<String>,
}

/// Why the settings as they are now are of no use.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// The URL's file cannot be read.
    #[error("{} cannot be read: {error}", file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    /// There is a mistake in them.
    #[error(transparent)]
    Invalid(#[from] InvalidTarget),
    /// They belong to another store.
    #[error(
        "they name another server, database, table or way to log in; restart every instance for \
         that"
    )]
    Elsewhere,
}

impl Target {
    /// Reads a URL. Values that it does not set come from the service, if one is named, then from
    /// the `PG*` variables, then from libpq's defaults.
    ///
    /// # Errors
    ///
    /// The first error.
    pub fn parse(url: &str, env: Env<'_>) -> Result<Self, InvalidTarget> {
        let settings = Settings::read(url, env)?;
        if settings.names.schema() == "public" {
            tracing::warn!(
                event = "table_in_public_schema",
                "the lease's table is in the schema 'public' with the application's tables; remove \
                 ?schema=public to use the schema 'bellwether', unless that is intended"
            );
        }
        let variables = VARIABLES.iter().filter_map(|name| Some((*name, env(name)?))).collect();
        let (known, reading) = (Mutex::default(), Arc::default());
        let origin = Origin { url: url.to_owned(), file: None, variables, known, reading };
        Ok(Self { settings: Arc::new(settings), origin: Arc::new(origin) })
    }

    /// The same, with the URL in this file: it is read again for every connection.
    #[must_use]
    pub fn kept_in(self, file: &Path) -> Self {
        let Origin { url, variables, .. } = &*self.origin;
        let origin = Origin {
            url: url.clone(),
            file: Some(file.to_owned()),
            variables: variables.clone(),
            known: Mutex::default(),
            reading: Arc::default(),
        };
        Self { origin: Arc::new(origin), ..self }
    }

    /// The schema and the table.
    pub fn names(&self) -> &Names {
        &self.settings.names
    }

    /// The user that logs in, as it was at the start.
    pub fn user(&self) -> &str {
        &self.settings.user
    }

    /// Whether a connection reads certificates or keys from files.
    pub fn reads_files(&self) -> bool {
        self.settings.ssl_root_cert.is_some() || self.settings.client_cert.is_some()
    }

    /// For messages: the URL without the password and the parameters.
    pub fn place(&self) -> String {
        let Settings { hosts, user, database, .. } = &*self.settings;
        if let [Host { name, port }] = &hosts[..]
            && name.starts_with('/')
        {
            return format!("postgres://{user}@/{database}?host={name}&port={port}");
        }
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        format!("postgres://{user}@{}/{database}", hosts.join(","))
    }

    /// The settings with the login as it is now; as it was before, if the files do not answer
    /// `within` this time: they may be on a network.
    pub async fn now(&self, within: Duration) -> Arc<Settings> {
        let target = self.clone();
        let reading = async {
            // One at a time: a read that hangs in the kernel cannot be cancelled.
            let alone = Arc::clone(&self.origin.reading).lock_owned().await;
            let read = tokio::task::spawn_blocking(move || {
                target.read_now();
                drop(alone);
            });
            read.await
        };
        let _ = timeout(within, reading).await;
        let known = self.known();
        Arc::clone(known.settings.as_ref().unwrap_or(&self.settings))
    }

    fn read_now(&self) {
        let read = self.read_again().and_then(|now| self.with_login_of(now));
        let mut known = self.known();
        let trouble = match read {
            Ok(settings) => {
                known.settings = Some(Arc::new(settings));
                None
            }
            Err(why) => Some(why.to_string()),
        };
        if known.trouble != trouble {
            if let Some(why) = &trouble {
                tracing::warn!(
                    store = %self.place(), why,
                    event = "settings_kept",
                    "the store's settings have changed and cannot be used; keeping the old ones"
                );
            }
            known.trouble = trouble;
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.origin.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_again(&self) -> Result<Settings, Unusable> {
        let Origin { url, file, .. } = &*self.origin;
        let read;
        let url = match file {
            None => url,
            Some(file) => {
                read = small_file::read_text(file)
                    .map_err(|error| Unusable::Unreadable { file: file.clone(), error })?;
                read.trim()
            }
        };
        Ok(Settings::read(url, &|name| self.variable(name))?)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.origin.variables.get(name).cloned()
    }

    fn with_login_of(&self, now: Settings) -> Result<Settings, Unusable> {
        let first = &*self.settings;
        let login = match (now.login, &first.login) {
            (Login::Passwords(now), Login::Passwords(_)) => Some(Login::Passwords(now)),
            // It keeps credentials that are still good.
            (Login::Iam(_), Login::Iam(iam)) => Some(Login::Iam(Arc::clone(iam))),
            _ => None,
        };
        let is_here =
            now.hosts == first.hosts && now.database == first.database && now.names == first.names;
        match login.filter(|_| is_here) {
            Some(login) => Ok(Settings {
                user: now.user,
                login,
                ssl_root_cert: now.ssl_root_cert,
                client_cert: now.client_cert,
                ..first.clone()
            }),
            None => Err(Unusable::Elsewhere),
        }
    }

    /// The options of a connection to `host`.
    ///
    /// # Errors
    ///
    /// When there are no AWS credentials to log in with.
    pub async fn options(
        &self,
        settings: &Settings,
        host: &Host,
    ) -> Result<PgConnectOptions, StoreError> {
        // Postgres speaks no TLS over Unix sockets, and libpq ignores the mode there.
        let ssl_mode = if host.is_socket() { PgSslMode::Disable } else { settings.ssl_mode };
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&host.name)
            .port(host.port)
            .username(&settings.user)
            .database(&settings.database)
            .ssl_mode(ssl_mode)
            .application_name(&settings.application_name)
            // PgBouncer refuses this startup parameter, and there are no floats here.
            .extra_float_digits(None)
            // Statements are never prepared: see `statement`.
            .statement_cache_capacity(0);
        // Always set, so that exactly the values decided here are sent.
        options = options.password(&self.password(settings, host).await?);
        if let Some(path) = &settings.ssl_root_cert {
            options = options.ssl_root_cert(path);
        }
        if let Some((cert, key)) = &settings.client_cert {
            options = options.ssl_client_cert(cert).ssl_client_key(key);
        }
        // Our own log reports on elections; a log of every statement does not help.
        Ok(options.disable_statement_logging())
    }

    async fn password(&self, settings: &Settings, host: &Host) -> Result<String, StoreError> {
        match &settings.login {
            Login::Passwords(passwords) => {
                let at = settings.hosts.iter().position(|known| known == host);
                Ok(at.and_then(|at| passwords.get(at)).cloned().unwrap_or_default())
            }
            Login::Iam(iam) => {
                let login = iam::Login { host: &host.name, port: host.port, user: &settings.user };
                iam.token(login).await.map_err(|reason| {
                    StoreError::Unavailable(format!("store {}: {reason}", self.place()))
                })
            }
        }
    }

    /// A server refused the login: its parts are fetched again for the next one.
    pub fn refused(&self) {
        if let Login::Iam(iam) = &self.settings.login {
            iam.refused();
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("place", &self.place())
            .field("names", &self.settings.names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(settings: &Settings) -> Option<&str> {
        match &settings.login {
            Login::Passwords(passwords) => passwords.first().map(String::as_str),
            Login::Iam(_) => None,
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let target = Target::parse("postgres://me:hunter2@db,db2/app", &|_| None).unwrap();
        assert_eq!(target.place(), "postgres://me@db:5432,db2:5432/app");
        assert!(!format!("{target:?} {}", target.place()).contains("hunter2"));
    }

    #[test]
    fn why_settings_are_of_no_use_is_in_the_words() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("url");
        let first = "postgres://me:hunter2@db/app";
        let target = Target::parse(first, &|_| None).unwrap().kept_in(&file);
        let trouble = || {
            target.read_now();
            target.known().trouble.clone().unwrap()
        };
        let missing = format!("{} cannot be read: No such file", file.display());
        assert!(trouble().starts_with(&missing), "{}", trouble());
        std::fs::write(&file, "postgres://me:hunter2@elsewhere/app").unwrap();
        let moved = "they name another server, database, table or way to log in; restart every \
                     instance for that";
        assert_eq!(trouble(), moved);
        std::fs::write(&file, "postgres://me:hunter2@db/app?colour=red").unwrap();
        assert!(trouble().contains("'colour'") && !trouble().contains("hunter2"), "{}", trouble());
    }

    #[test]
    fn a_file_that_hangs_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("url");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let target = Target::parse("postgres://me:old@db/app", &|_| None).unwrap().kept_in(&pipe);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for _ in 0..3 {
            let now = runtime.block_on(target.now(Duration::from_millis(20)));
            assert_eq!(password(&now), Some("old"));
        }
        // The thread that reads is left behind, as at the end of the program.
        runtime.shutdown_background();
    }

    #[tokio::test]
    async fn a_rotated_login_is_taken_from_the_file_and_another_store_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("url");
        let first = "postgres://me:old@db/app";
        let target = Target::parse(first, &|_| None).unwrap().kept_in(&file);
        for (text, user, expected) in [
            (Some("postgres://me:new@db/app\n"), "me", "new"),
            (Some("postgres://me2:newer@db/app"), "me2", "newer"),
            (Some("postgres://me:moved@elsewhere/app"), "me2", "newer"),
            (Some("postgres://me:moved@db/app?table=t"), "me2", "newer"),
            (Some("half"), "me2", "newer"),
            (None, "me2", "newer"),
        ] {
            match text {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            let now = target.now(Duration::from_secs(60)).await;
            assert_eq!((now.user.as_str(), password(&now)), (user, Some(expected)), "{text:?}");
            assert_eq!(now.hosts, target.settings.hosts, "{text:?}");
            assert_eq!((&now.database, &now.names), (&"app".to_owned(), target.names()));
        }
    }
}
