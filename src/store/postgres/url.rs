//! Where the server is and how to log in: a `postgres://` URL, with libpq's `PG*` variables
//! filling the gaps. Read once, whole, before anything is opened.

use std::fmt;
use std::path::Path;

use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use super::names::{InvalidName, Names};
use super::pgpass;

/// How a variable of the environment is looked up: the process's own, or a test's.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A server, a database, a login and a table. Its `Debug` and [`Target::place`] never show the
/// password.
#[derive(Clone)]
pub struct Target {
    host: String,
    port: u16,
    user: String,
    database: String,
    login: Login,
    ssl_mode: PgSslMode,
    ssl_root_cert: Option<String>,
    client_cert: Option<(String, String)>,
    application_name: String,
    names: Names,
}

/// How to prove who we are.
#[derive(Clone)]
enum Login {
    /// A fixed password; none for `trust`, `peer` and client certificates.
    Password(Option<String>),
}

/// What is wrong with a URL, for a person. Never contains the URL itself, which may hold a
/// password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Not a URL at all, or with more than one host.
    #[error(
        "the store's postgres URL cannot be read ({0}): write it as \
         postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full, with special characters \
         in the password written as %XX, and one host only"
    )]
    Unreadable(String),
    /// A parameter that nobody reads.
    #[error(
        "the store's postgres URL has a parameter '{0}' that bellwether does not know: remove it, \
         or correct its name (known: sslmode, sslrootcert, sslcert, sslkey, schema, table, auth, \
         host, port, user, password, dbname, application_name)"
    )]
    UnknownParameter(String),
    /// A parameter or a variable with a value that means nothing.
    #[error("{name} is '{value}', but {expected}")]
    BadValue {
        /// The parameter of the URL, or the variable.
        name: String,
        /// As given.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// A schema or a table that has to be quoted everywhere.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// Parameters of libpq that change nothing here: a server that accepts writes is always demanded,
/// and every call has a deadline of its own.
const HARMLESS: [&str; 11] = [
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "sslcompression",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// The parameters of a URL as they are found.
#[derive(Default)]
struct Found {
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    ssl_mode: Option<String>,
    ssl_root_cert: Option<String>,
    ssl_cert: Option<String>,
    ssl_key: Option<String>,
    application_name: Option<String>,
    schema: Option<String>,
    table: Option<String>,
    auth: Option<String>,
}

impl Target {
    /// Reads a URL; what it leaves open comes from the `PG*` variables, then from libpq's defaults.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn parse(url: &str, env: Env<'_>) -> Result<Self, InvalidTarget> {
        let found = Found::in_url(url)?;
        let or_env = |value: &Option<String>, names: &[&str]| {
            let given = value.clone().filter(|value| !value.is_empty());
            given.or_else(|| names.iter().find_map(|name| env(name)).filter(|v| !v.is_empty()))
        };
        let port = read_port(or_env(&found.port, &["PGPORT"]))?;
        let host =
            or_env(&found.host, &["PGHOST", "PGHOSTADDR"]).unwrap_or_else(|| default_host(port));
        if host.contains(',') {
            return Err(bad("the host", &host, "one host only can be given"));
        }
        let user = or_env(&found.user, &["PGUSER"])
            .or_else(|| env("USER"))
            .unwrap_or_else(|| "postgres".to_owned());
        let database = or_env(&found.database, &["PGDATABASE"]).unwrap_or_else(|| user.clone());
        let ssl_root_cert = or_env(&found.ssl_root_cert, &["PGSSLROOTCERT"]);
        let mode = or_env(&found.ssl_mode, &["PGSSLMODE"]);
        let ssl_mode = read_ssl_mode(mode.as_deref(), ssl_root_cert.as_deref(), &host)?;
        let password = or_env(&found.password, &["PGPASSWORD"])
            .or_else(|| pgpass::look_up(env, &host, port, &database, &user));
        let login = read_login(found.auth.as_deref(), password)?;
        let client_cert =
            or_env(&found.ssl_cert, &["PGSSLCERT"]).zip(or_env(&found.ssl_key, &["PGSSLKEY"]));
        let application_name = or_env(&found.application_name, &["PGAPPNAME"])
            .unwrap_or_else(|| "bellwether".to_owned());
        let names = Names::new(found.schema.as_deref(), found.table.as_deref())?;
        Ok(Self {
            host,
            port,
            user,
            database,
            login,
            ssl_mode,
            ssl_root_cert: ssl_root_cert.filter(|path| path != "system"),
            client_cert,
            application_name,
            names,
        })
    }

    /// The schema and the table.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The user that logs in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Whether a connection reads certificates or keys from files.
    pub fn reads_files(&self) -> bool {
        self.ssl_root_cert.is_some() || self.client_cert.is_some()
    }

    /// For messages: the URL without the password and the parameters.
    pub fn place(&self) -> String {
        let Self { host, port, user, database, .. } = self;
        if host.starts_with('/') {
            format!("postgres://{user}@/{database}?host={host}&port={port}")
        } else {
            format!("postgres://{user}@{host}:{port}/{database}")
        }
    }

    /// What one new connection is opened with.
    pub fn options(&self) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .ssl_mode(self.ssl_mode)
            .application_name(&self.application_name)
            // PgBouncer refuses this startup parameter, and there are no floats here.
            .extra_float_digits(None)
            // Statements are never prepared: see `statement`.
            .statement_cache_capacity(0);
        let Login::Password(password) = &self.login;
        // Always set, so that what was decided here is what is sent.
        options = options.password(password.as_deref().unwrap_or_default());
        if let Some(path) = &self.ssl_root_cert {
            options = options.ssl_root_cert(path);
        }
        if let Some((cert, key)) = &self.client_cert {
            options = options.ssl_client_cert(cert).ssl_client_key(key);
        }
        // Our own log speaks of elections; a log of every statement helps nobody.
        options.disable_statement_logging()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("place", &self.place())
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Found {
    fn in_url(text: &str) -> Result<Self, InvalidTarget> {
        let url = Url::parse(text).map_err(|e| InvalidTarget::Unreadable(e.to_string()))?;
        let part = |text: &str| (!text.is_empty()).then(|| decoded(text)).transpose();
        let mut found = Self {
            host: part(url.host_str().unwrap_or_default())?.map(without_brackets),
            port: url.port().map(|port| port.to_string()),
            user: part(url.username())?,
            password: part(url.password().unwrap_or_default())?,
            database: part(url.path().trim_start_matches('/'))?,
            ..Self::default()
        };
        for pair in url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            found.take(&decoded(name)?, decoded(value)?)?;
        }
        Ok(found)
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), InvalidTarget> {
        let place = match name {
            "host" => &mut self.host,
            "port" => &mut self.port,
            "user" => &mut self.user,
            "password" => &mut self.password,
            "dbname" => &mut self.database,
            "sslmode" => &mut self.ssl_mode,
            "sslrootcert" => &mut self.ssl_root_cert,
            "sslcert" => &mut self.ssl_cert,
            "sslkey" => &mut self.ssl_key,
            "application_name" => &mut self.application_name,
            "schema" => &mut self.schema,
            "table" => &mut self.table,
            "auth" => &mut self.auth,
            "channel_binding" if value == "require" => {
                let expected = "bellwether cannot bind a login to its TLS channel: remove the \
                                parameter and let sslmode=verify-full prove who the server is";
                return Err(bad("channel_binding", &value, expected));
            }
            "channel_binding" => return Ok(()),
            harmless if HARMLESS.contains(&harmless) => return Ok(()),
            unknown => return Err(InvalidTarget::UnknownParameter(unknown.to_owned())),
        };
        *place = Some(value);
        Ok(())
    }
}

fn bad(name: &str, value: &str, expected: &'static str) -> InvalidTarget {
    InvalidTarget::BadValue { name: name.to_owned(), value: value.to_owned(), expected }
}

fn decoded(text: &str) -> Result<String, InvalidTarget> {
    let utf8 = percent_decode_str(text).decode_utf8();
    utf8.map(String::from).map_err(|_| InvalidTarget::Unreadable("a %XX is not UTF-8".to_owned()))
}

/// `[::1]`, as a URL needs it, is `::1` to everybody else.
fn without_brackets(host: String) -> String {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.to_owned(),
        None => host,
    }
}

fn read_port(port: Option<String>) -> Result<u16, InvalidTarget> {
    let Some(text) = port else { return Ok(5432) };
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| bad("the port", &text, "has to be a number from 1 to 65535"))
}

/// A Unix socket where Debian or upstream puts it, as libpq does; else this host.
fn default_host(port: u16) -> String {
    ["/var/run/postgresql", "/tmp"]
        .into_iter()
        .find(|directory| Path::new(directory).join(format!(".s.PGSQL.{port}")).exists())
        .unwrap_or("localhost")
        .to_owned()
}

fn read_ssl_mode(
    mode: Option<&str>,
    root_cert: Option<&str>,
    host: &str,
) -> Result<PgSslMode, InvalidTarget> {
    let given = match mode {
        None if root_cert == Some("system") => PgSslMode::VerifyFull,
        None | Some("prefer" | "allow") => PgSslMode::Prefer,
        Some("disable") => PgSslMode::Disable,
        // As in libpq: whoever gives a root wants it looked at.
        Some("require") if root_cert.is_some() => PgSslMode::VerifyCa,
        Some("require") => PgSslMode::Require,
        Some("verify-ca") => PgSslMode::VerifyCa,
        Some("verify-full") => PgSslMode::VerifyFull,
        Some(unknown) => {
            let expected = "has to be disable, prefer, require, verify-ca or verify-full";
            return Err(bad("sslmode", unknown, expected));
        }
    };
    // Postgres speaks no TLS over Unix sockets, and libpq ignores the mode there.
    Ok(if host.starts_with('/') { PgSslMode::Disable } else { given })
}

fn read_login(auth: Option<&str>, password: Option<String>) -> Result<Login, InvalidTarget> {
    match auth {
        None | Some("password") => Ok(Login::Password(password)),
        Some(unknown) => Err(bad("auth", unknown, "has to be password")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, variables: &[(&str, &str)]) -> Result<Target, InvalidTarget> {
        Target::parse(url, &|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn password(target: &Target) -> Option<&str> {
        let Login::Password(password) = &target.login;
        password.as_deref()
    }

    #[test]
    fn the_url_goes_before_the_environment() {
        let variables = [
            ("PGHOST", "other"),
            ("PGPORT", "6432"),
            ("PGUSER", "them"),
            ("PGPASSWORD", "theirs"),
            ("PGDATABASE", "elsewhere"),
            ("PGSSLMODE", "verify-full"),
        ];
        let full = "postgresql://me:p%40ss%2Fword@db:5433/app?sslmode=disable&schema=s&table=t";
        let target = parse(full, &variables).unwrap();
        assert_eq!(target.place(), "postgres://me@db:5433/app");
        assert_eq!(password(&target), Some("p@ss/word"));
        assert!(matches!(target.ssl_mode, PgSslMode::Disable));
        assert_eq!(target.names().table(), "\"s\".\"t\"");
        let target = parse("postgres://", &variables).unwrap();
        assert_eq!(target.place(), "postgres://them@other:6432/elsewhere");
        assert_eq!(password(&target), Some("theirs"));
        assert!(matches!(target.ssl_mode, PgSslMode::VerifyFull));
    }

    #[test]
    fn what_nobody_says_is_as_in_libpq() {
        let target = parse("postgres://db/", &[("USER", "me")]).unwrap();
        assert_eq!(target.place(), "postgres://me@db:5432/me");
        assert!(matches!(target.ssl_mode, PgSslMode::Prefer));
        let socket = parse("postgres:///app?host=/run/pg&sslmode=verify-full", &[]).unwrap();
        assert_eq!(socket.place(), "postgres://postgres@/app?host=/run/pg&port=5432");
        assert!(matches!(socket.ssl_mode, PgSslMode::Disable));
        let rooted = parse("postgres://db/app?sslmode=require&sslrootcert=/ca.pem", &[]).unwrap();
        assert!(matches!(rooted.ssl_mode, PgSslMode::VerifyCa));
        let six = parse("postgres://[::1]:5433/app", &[]).unwrap();
        assert_eq!(six.host, "::1");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, part) in [
            ("postgres://u:hunter2@a,b/app", "one host only"),
            ("postgres://u:hunter2@db:port/app", "cannot be read"),
            ("postgres://u:hunter2@db/app?sslmod=disable", "'sslmod'"),
            ("postgres://u:hunter2@db/app?sslmode=maybe", "verify-full"),
            ("postgres://u:hunter2@db/app?schema=a-b", "plain name"),
            ("postgres://u:hunter2@db/app?port=0", "1 to 65535"),
            ("postgres://u:hunter2@db/app?auth=magic", "auth is 'magic'"),
            ("postgres://u:hunter2@db/app?channel_binding=require", "channel"),
            ("postgres://u:hunter2%FF@db/app", "UTF-8"),
        ] {
            let error = parse(url, &[]).unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let target = parse("postgres://me:hunter2@db/app", &[]).unwrap();
        assert!(!format!("{target:?} {}", target.place()).contains("hunter2"));
    }
}
