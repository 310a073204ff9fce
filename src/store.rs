//! Where lease records live.
//!
//! An election uses two calls, [`Store::observe`] and [`Store::swap`]. Every write is a
//! compare-and-swap. A store decides nothing. If it has a clock, it reports how much of a lease is
//! left by that clock. Otherwise it reports that it cannot tell.
//!
//! This file alone names the backends.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::election::lease::Namespace;
use crate::election::text::is_line;
use crate::election::time::Clock;
use dynamodb::DynamoDbStore;
use kubernetes::KubernetesStore;
use namespaced::Namespaced;
use postgres::PostgresStore;
use sqlite::SqliteStore;

pub mod aws;
mod certificate;
mod contract;
pub mod dynamodb;
mod format;
pub mod kubernetes;
pub mod memory;
pub mod namespaced;
mod notification;
pub mod postgres;
mod printed;
mod service_clock;
pub mod small_file;
pub mod sqlite;

pub use contract::{Hint, Hints, Listing, Notifier, Store, StoreError, no_thread};

pub use kubernetes::{LabelledPod, Labels, Patched, is_dns_label};

/// Which store, and where.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// A table of DynamoDB.
    DynamoDb(Box<dynamodb::Target>),
    /// Leases in a namespace of a Kubernetes cluster.
    Kubernetes(Box<kubernetes::Target>),
    /// A table of a Postgres database.
    Postgres(Box<postgres::Target>),
    /// A file on this host.
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// Whether its folder is created.
        create_folder: bool,
    },
}

/// Why a text does not name a store. The text itself may hold a password and is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStoreUrl {
    /// No known scheme.
    #[error(
        "the store URL has no known scheme; use sqlite:///PATH/leases.db, \
         postgres://USER:PASSWORD@HOST/DATABASE, dynamodb://TABLE?region=REGION or \
         kubernetes://NAMESPACE"
    )]
    UnknownScheme,
    /// See [`dynamodb::InvalidTarget`].
    #[error(transparent)]
    DynamoDb(#[from] dynamodb::InvalidTarget),
    /// See [`kubernetes::InvalidTarget`].
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::InvalidTarget),
    /// See [`postgres::InvalidTarget`].
    #[error(transparent)]
    Postgres(#[from] postgres::InvalidTarget),
    /// A password with a character in it that ends the login.
    #[error(
        "the store URL has an '@' behind a '/', '?' or '#'; write special characters in the user \
         and the password as %XX"
    )]
    BrokenLogin,
    /// Text after the URL, as from a file with several lines.
    #[error(
        "the store URL has a line break or another character that cannot be shown; write the URL alone, on one line"
    )]
    Unprintable,
    /// An SQLite URL without a usable path.
    #[error("the store URL names no file; use sqlite:///PATH/leases.db, with a path and no '?'")]
    NoPath,
}

impl StoreUrl {
    /// Reads a URL. What a Postgres URL leaves open comes from the `PG*` variables in `env`.
    ///
    /// # Errors
    ///
    /// See [`InvalidStoreUrl`].
    pub fn parse(
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidStoreUrl> {
        // A file of settings with Windows line ends leaves one at the end.
        let text = text.trim();
        // In a path it would be a part of the name: another file, with another leader.
        if !is_line(text) {
            return Err(InvalidStoreUrl::Unprintable);
        }
        if text.starts_with("dynamodb:") {
            return Ok(Self::DynamoDb(Box::new(dynamodb::Target::parse(text)?)));
        }
        if text.starts_with("kubernetes:") {
            return Ok(Self::Kubernetes(Box::new(kubernetes::Target::parse(text)?)));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            if has_broken_login(text) {
                return Err(InvalidStoreUrl::BrokenLogin);
            }
            let target = postgres::Target::parse(text, env)?;
            return Ok(Self::Postgres(Box::new(target)));
        }
        let path = text.strip_prefix("sqlite:").ok_or(InvalidStoreUrl::UnknownScheme)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        let is_file = !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '\0']);
        // A text that looks like a user and a password is no folder.
        let is_login = !path.starts_with('/') && path.contains('@');
        if !is_file || is_login || path.starts_with(':') {
            return Err(InvalidStoreUrl::NoPath);
        }
        // A relative path is another file in every working directory: the log shows which.
        let path = std::path::absolute(path).map_err(|_| InvalidStoreUrl::NoPath)?;
        Ok(Self::Sqlite { path, create_folder: false })
    }
}

/// Whether the rest of a login is in the path, or before the value of a parameter. A message that
/// shows it there, as the name of a database or a parameter, would reveal a part of the password.
fn has_broken_login(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.split_once(['/', '#']).map_or("", |(_, path)| path);
    let mut names = query.split('&').map(|part| part.split('=').next().unwrap_or_default());
    path.contains('@') || names.any(|name| name.contains('@'))
}

impl StoreUrl {
    /// The same, for a URL that was read from this file. The store notices a login that changes
    /// there.
    #[must_use]
    pub fn kept_in(self, file: &Path) -> Self {
        match self {
            Self::Postgres(target) => Self::Postgres(Box::new(target.kept_in(file))),
            Self::DynamoDb(_) | Self::Kubernetes(_) | Self::Sqlite { .. } => self,
        }
    }

    /// How many files each election keeps open for the store, without those that all share.
    pub fn files_of_an_election(&self) -> usize {
        match self {
            // A request that waits has a connection of its own; a watch as well.
            Self::DynamoDb(_) => 1,
            Self::Kubernetes(_) => 2,
            Self::Postgres(_) | Self::Sqlite { .. } => 0,
        }
    }

    /// Which kind of store it is, for metric labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DynamoDb(_) => "dynamodb",
            Self::Kubernetes(_) => "kubernetes",
            Self::Postgres(_) => "postgres",
            Self::Sqlite { .. } => "sqlite",
        }
    }

    /// Whether it is known without opening it that nothing was ever stored there.
    pub fn is_missing(&self) -> bool {
        // What cannot be seen may be there: opening it says why.
        matches!(self, Self::Sqlite { path, .. } if path.try_exists().is_ok_and(|exists| !exists))
    }
}

impl fmt::Display for StoreUrl {
    /// The URL without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DynamoDb(target) => target.fmt(f),
            Self::Kubernetes(target) => target.fmt(f),
            Self::Postgres(target) => f.write_str(&target.place()),
            Self::Sqlite { path, .. } => write!(f, "sqlite://{}", path.display()),
        }
    }
}

/// How a store is used.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// How long a call may take. Inside the store, it waits a little less than that for other
    /// processes.
    pub patience: Duration,
    /// How far the clock in a service's answers may be off for leases to be judged by it. None:
    /// they are not judged by it. Stores with a clock of their own do not need this.
    pub max_clock_skew: Option<Duration>,
}

/// The records of `namespace`, or those without one, in the store that `url` names. See [`open`].
pub fn open_namespace(
    url: &StoreUrl,
    namespace: Option<Namespace>,
    options: StoreOptions,
    clock: Arc<dyn Clock>,
) -> Arc<dyn Store> {
    Arc::new(Namespaced::new(open(url, options, clock), namespace))
}

/// The store that `url` names, which is not opened yet.
pub fn open(url: &StoreUrl, options: StoreOptions, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
    let StoreOptions { patience, max_clock_skew } = options;
    match url {
        StoreUrl::DynamoDb(target) => {
            let store = DynamoDbStore::new(target.as_ref().clone(), patience, clock);
            Arc::new(store.judged_within(max_clock_skew))
        }
        StoreUrl::Kubernetes(target) => {
            let store = KubernetesStore::new(target.as_ref().clone(), patience, clock);
            Arc::new(store.judged_within(max_clock_skew))
        }
        StoreUrl::Postgres(target) => {
            Arc::new(PostgresStore::new(target.as_ref().clone(), patience))
        }
        StoreUrl::Sqlite { path, create_folder } => {
            // The rest is for the call itself. So the store reports a lock that is not freed in
            // time as a lock, and not as a call that hung.
            let store = SqliteStore::new(path.clone(), patience.mul_f64(0.8), clock);
            Arc::new(if *create_folder { store.creating_folder() } else { store })
        }
    }
}

/// Whether a pod is being deleted and its grace is not over yet, if the store is the API of Kubernetes. See
/// [`kubernetes::has_grace_left`].
pub async fn pod_has_grace_left(
    url: &StoreUrl,
    clock: Arc<dyn Clock>,
    namespace: &str,
    name: &str,
) -> Option<Result<bool, StoreError>> {
    match url {
        StoreUrl::Kubernetes(target) => {
            Some(kubernetes::has_grace_left(target, clock, namespace, name).await)
        }
        StoreUrl::DynamoDb(_) | StoreUrl::Postgres(_) | StoreUrl::Sqlite { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_urls_are_checked_without_repeating_them() {
        let parsed = |text: &str| StoreUrl::parse(text, &|_| None).map(|url| url.to_string());
        assert_eq!(parsed("sqlite:///var/lib/leases.db").unwrap(), "sqlite:///var/lib/leases.db");
        let here = std::env::current_dir().unwrap();
        let whole = format!("sqlite://{}/leases.db", here.display());
        assert_eq!(parsed("sqlite://leases.db").unwrap(), whole, "the log shows which file it is");
        for bad in ["sqlite://", "sqlite::memory:", "sqlite:///", "sqlite:///a?mode=memory"] {
            assert_eq!(parsed(bad), Err(InvalidStoreUrl::NoPath), "{bad}");
        }
        for bad in [
            "sqlite:///a.db\n# shop",
            "sqlite:///a\u{1b}.db",
            "postgres://h/d\nb",
            "dynamodb://a\tb",
        ] {
            assert_eq!(parsed(bad), Err(InvalidStoreUrl::Unprintable), "{bad:?}");
        }
        for around in ["sqlite:///a.db\r", " sqlite:///a.db\n"] {
            assert_eq!(parsed(around).unwrap(), "sqlite:///a.db");
        }
        for bad in ["", "mysql://user:secret@host/db", "/var/lib/leases.db"] {
            let error = parsed(bad).unwrap_err();
            assert_eq!(error, InvalidStoreUrl::UnknownScheme);
            assert!(!error.to_string().contains("secret"));
        }
    }
}
