//! What is wrong with the settings of a connection.

use super::names::InvalidName;
use crate::election::text;

/// How a variable of the environment is looked up: the process's own, or a test's.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is wrong with a URL, for a person. Never contains the URL itself, which may hold a
/// password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Not a URL at all.
    #[error(
        "the store's postgres URL cannot be read ({0}); write it as \
         postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?sslmode=verify-full, with special \
         characters in the password written as %XX"
    )]
    Unreadable(String),
    /// A parameter that is not known.
    #[error(
        "the store's postgres URL, or its service, has a parameter '{}' that bellwether does not \
         know; remove it, or correct its name (known: sslmode, sslrootcert, sslcert, sslkey, \
         schema, table, auth, region, host, port, user, password, dbname, service, \
         application_name, target_session_attrs, load_balance_hosts)",
        text::given(.0)
    )]
    UnknownParameter(String),
    /// A parameter or a variable with a value that means nothing.
    #[error("{name} is '{}', but {expected}", text::given(value))]
    BadValue {
        /// The parameter of the URL, or the variable.
        name: String,
        /// As given.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// A service that no file has.
    #[error(
        "there is no service '{0}' in a pg_service.conf; correct the name (service= or PGSERVICE), \
         or name the file with PGSERVICEFILE"
    )]
    NoService(String),
    /// A line of a service file that is invalid.
    #[error("the service '{0}' in pg_service.conf has a line that is not NAME=VALUE; correct it")]
    BadService(String),
    /// A schema or a table that has to be quoted everywhere.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// A parameter with an invalid value.
pub fn bad(name: &str, value: &str, expected: &'static str) -> InvalidTarget {
    InvalidTarget::BadValue { name: name.to_owned(), value: value.to_owned(), expected }
}
