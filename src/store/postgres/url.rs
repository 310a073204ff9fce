//! Where the servers are and how to log in: a `postgres://` URL, with a service file and libpq's
//! `PG*` variables filling the gaps.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use sqlx::postgres::PgSslMode;
use url::Url;

use super::hosts::{self, Authority, Host};
use super::iam::Iam;
use super::invalid::{Env, InvalidTarget, bad};
use super::names::Names;
use super::{pgpass, service};

/// The settings of a URL, with the gaps filled.
#[derive(Clone)]
pub struct Settings {
    /// The servers, in the order in which they are tried.
    pub hosts: Vec<Host>,
    /// Whether that order is random.
    pub balance: bool,
    /// The user.
    pub user: String,
    /// The database.
    pub database: String,
    /// How to authenticate.
    pub login: Login,
    /// As given; there is no TLS over Unix sockets.
    pub ssl_mode: PgSslMode,
    /// The file of the authority.
    pub ssl_root_cert: Option<String>,
    /// The files of the client's certificate and key.
    pub client_cert: Option<(String, String)>,
    /// For `pg_stat_activity`.
    pub application_name: String,
    /// The schema and the table.
    pub names: Names,
}

/// How to prove who we are.
#[derive(Clone)]
pub enum Login {
    /// A password for each host, in their order; an empty one for `trust`, `peer` and client
    /// certificates.
    Passwords(Vec<String>),
    /// A token for each connection.
    Iam(Arc<Iam>),
}

/// Parameters of libpq without effect here: every call has a deadline of its own.
const HARMLESS: [&str; 10] = [
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "sslcompression",
    "sslsni",
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
    service: Option<String>,
    attributes: Option<String>,
    balance: Option<String>,
    ssl_mode: Option<String>,
    ssl_root_cert: Option<String>,
    ssl_cert: Option<String>,
    ssl_key: Option<String>,
    application_name: Option<String>,
    schema: Option<String>,
    table: Option<String>,
    auth: Option<String>,
    region: Option<String>,
}

impl Settings {
    /// Reads a URL. Values that it does not set come from the service, if one is named, then from
    /// the `PG*` variables, then from libpq's defaults.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn read(url: &str, env: Env<'_>) -> Result<Self, InvalidTarget> {
        let mut found = Found::in_url(url)?;
        let or_env = |value: &Option<String>, names: &[&str]| {
            let given = value.clone().filter(|value| !value.is_empty());
            given.or_else(|| names.iter().find_map(|name| env(name)).filter(|v| !v.is_empty()))
        };
        if let Some(service) = or_env(&found.service, &["PGSERVICE"]) {
            found.fill_from(service::look_up(env, &service)?)?;
        }
        let port = or_env(&found.port, &["PGPORT"]);
        let host = or_env(&found.host, &["PGHOST", "PGHOSTADDR"]);
        let port_name = name_of(found.port.as_deref(), "port");
        let hosts = hosts::pair(host.as_deref(), port.as_deref(), &port_name)?;
        if let Some(value) = or_env(&found.attributes, &["PGTARGETSESSIONATTRS"]) {
            let name = name_of(found.attributes.as_deref(), "target_session_attrs");
            hosts::check_attributes(&name, &value)?;
        }
        let balance = or_env(&found.balance, &["PGLOADBALANCEHOSTS"]);
        let balance_name = name_of(found.balance.as_deref(), "load_balance_hosts");
        let balance = balance.map(|value| hosts::read_balance(&balance_name, &value));
        let user = or_env(&found.user, &["PGUSER"])
            .or_else(|| env("USER"))
            .unwrap_or_else(|| "postgres".to_owned());
        let database = or_env(&found.database, &["PGDATABASE"]).unwrap_or_else(|| user.clone());
        let ssl_root_cert = or_env(&found.ssl_root_cert, &["PGSSLROOTCERT"]);
        let mode = or_env(&found.ssl_mode, &["PGSSLMODE"]);
        let mode_name = name_of(found.ssl_mode.as_deref(), "sslmode");
        let ssl_mode = read_ssl_mode(&mode_name, mode.as_deref(), ssl_root_cert.as_deref())?;
        let only_sockets = hosts.iter().all(Host::is_socket);
        let encrypts = !only_sockets && !matches!(ssl_mode, PgSslMode::Disable | PgSslMode::Prefer);
        let password = or_env(&found.password, &["PGPASSWORD"]);
        let password_for = |host: &Host| {
            let given = password.clone();
            let given = given.or_else(|| pgpass::look_up(env, host, &database, &user));
            given.unwrap_or_default()
        };
        let passwords = || hosts.iter().map(password_for).collect();
        let login = read_login(&found, passwords, encrypts)?;
        let client_cert =
            or_env(&found.ssl_cert, &["PGSSLCERT"]).zip(or_env(&found.ssl_key, &["PGSSLKEY"]));
        let application_name = or_env(&found.application_name, &["PGAPPNAME"])
            .unwrap_or_else(|| "bellwether".to_owned());
        let names = Names::new(found.schema.as_deref(), found.table.as_deref())?;
        Ok(Self {
            hosts,
            balance: balance.transpose()?.unwrap_or(false),
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
}

/// What a wrong value is called: as where it comes from. libpq names its variables after the parameters.
fn name_of(value: Option<&str>, parameter: &str) -> String {
    match value.is_some_and(|value| !value.is_empty()) {
        true => parameter.to_owned(),
        false => format!("PG{}", parameter.replace('_', "").to_uppercase()),
    }
}

impl Found {
    fn in_url(text: &str) -> Result<Self, InvalidTarget> {
        let Authority { hosts, ports, url } = Authority::cut(text)?;
        let url = Url::parse(&url).map_err(|e| InvalidTarget::Unreadable(e.to_string()))?;
        let part = |text: &str| (!text.is_empty()).then(|| decoded(text)).transpose();
        let mut found = Self {
            host: hosts,
            port: ports,
            user: part(url.username())?,
            password: part(url.password().unwrap_or_default())?,
            database: part(url.path().trim_start_matches('/'))?,
            ..Self::default()
        };
        let query = url.query().unwrap_or_default();
        let mut may_be_password = query.contains('@');
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let taken = found.take(&decoded(name)?, decoded(value)?);
            if may_be_password && matches!(taken, Err(InvalidTarget::UnknownParameter(_))) {
                return Err(cut_password());
            }
            taken?;
            may_be_password |= name == "password";
        }
        Ok(found)
    }

    /// Fills the gaps; the URL takes precedence over its service.
    fn fill_from(&mut self, service: Vec<(String, String)>) -> Result<(), InvalidTarget> {
        for (name, value) in service {
            if let Some(place) = self.place(&name, &value)? {
                place.get_or_insert(value);
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), InvalidTarget> {
        if let Some(place) = self.place(name, &value)? {
            *place = Some(value);
        }
        Ok(())
    }

    /// The setting of a parameter; none if it has no effect.
    fn place(
        &mut self,
        name: &str,
        value: &str,
    ) -> Result<Option<&mut Option<String>>, InvalidTarget> {
        Ok(Some(match name {
            "host" => &mut self.host,
            "port" => &mut self.port,
            "user" => &mut self.user,
            "password" => &mut self.password,
            "dbname" => &mut self.database,
            "service" => &mut self.service,
            "target_session_attrs" => &mut self.attributes,
            "load_balance_hosts" => &mut self.balance,
            "sslmode" => &mut self.ssl_mode,
            "sslrootcert" => &mut self.ssl_root_cert,
            "sslcert" => &mut self.ssl_cert,
            "sslkey" => &mut self.ssl_key,
            "application_name" => &mut self.application_name,
            "schema" => &mut self.schema,
            "table" => &mut self.table,
            "auth" => &mut self.auth,
            "region" => &mut self.region,
            "channel_binding" if value == "require" => {
                let expected = "bellwether cannot bind a login to its TLS channel; remove the \
                                parameter and let sslmode=verify-full prove who the server is";
                return Err(bad("channel_binding", value, expected));
            }
            "channel_binding" => return Ok(None),
            harmless if HARMLESS.contains(&harmless) => return Ok(None),
            unknown => return Err(InvalidTarget::UnknownParameter(unknown.to_owned())),
        }))
    }
}

/// For an unknown parameter that may be the rest of a password.
fn cut_password() -> InvalidTarget {
    InvalidTarget::Unreadable(
        "it has a parameter that is not known, which is not shown because it may be a part of the \
         password: there, a '&' is %26 and a '?' is %3F"
            .to_owned(),
    )
}

fn decoded(text: &str) -> Result<String, InvalidTarget> {
    let utf8 = percent_decode_str(text).decode_utf8();
    utf8.map(String::from).map_err(|_| InvalidTarget::Unreadable("a %XX is not UTF-8".to_owned()))
}

fn read_ssl_mode(
    name: &str,
    mode: Option<&str>,
    root_cert: Option<&str>,
) -> Result<PgSslMode, InvalidTarget> {
    Ok(match mode {
        None if root_cert == Some("system") => PgSslMode::VerifyFull,
        None | Some("prefer" | "allow") => PgSslMode::Prefer,
        Some("disable") => PgSslMode::Disable,
        // As in libpq: a root that is given is checked.
        Some("require") if root_cert.is_some() => PgSslMode::VerifyCa,
        Some("require") => PgSslMode::Require,
        Some("verify-ca") => PgSslMode::VerifyCa,
        Some("verify-full") => PgSslMode::VerifyFull,
        Some(unknown) => {
            let expected = "has to be disable, prefer, require, verify-ca or verify-full";
            return Err(bad(name, unknown, expected));
        }
    })
}

fn read_login(
    found: &Found,
    passwords: impl FnOnce() -> Vec<String>,
    encrypts: bool,
) -> Result<Login, InvalidTarget> {
    match found.auth.as_deref() {
        None | Some("password") => Ok(Login::Passwords(passwords())),
        Some("aws-iam") if !encrypts => {
            let expected = "a token must not be sent in the clear; add sslmode=verify-full and \
                            sslrootcert (or sslmode=require, which trusts any server)";
            Err(bad("auth", "aws-iam", expected))
        }
        Some("aws-iam") => Ok(Login::Iam(Arc::new(Iam::new(found.region.clone())))),
        Some(unknown) => Err(bad("auth", unknown, "has to be password or aws-iam")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, variables: &[(&str, &str)]) -> Result<Settings, InvalidTarget> {
        Settings::read(url, &|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn password(settings: &Settings) -> Option<&str> {
        match &settings.login {
            Login::Passwords(passwords) => passwords.first().map(String::as_str),
            Login::Iam(_) => None,
        }
    }

    /// The user, the hosts, and the database.
    fn place(settings: &Settings) -> String {
        let Settings { user, hosts, database, .. } = settings;
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        format!("{user}@{}/{database}", hosts.join(","))
    }

    #[test]
    fn the_url_goes_before_the_environment() {
        let variables = [
            ("PGHOST", "other,more"),
            ("PGPORT", "6432"),
            ("PGUSER", "them"),
            ("PGPASSWORD", "theirs"),
            ("PGDATABASE", "elsewhere"),
            ("PGSSLMODE", "verify-full"),
        ];
        let full = "postgresql://me:p%40ss%2Fword@db:5433/app?sslmode=disable&schema=s&table=t";
        let settings = read(full, &variables).unwrap();
        assert_eq!(place(&settings), "me@db:5433/app");
        assert_eq!(password(&settings), Some("p@ss/word"));
        assert!(matches!(settings.ssl_mode, PgSslMode::Disable));
        assert_eq!(settings.names.table(), "\"s\".\"t\"");
        let settings = read("postgres://", &variables).unwrap();
        assert_eq!(place(&settings), "them@other:6432,more:6432/elsewhere");
        assert_eq!(password(&settings), Some("theirs"));
        assert!(matches!(settings.ssl_mode, PgSslMode::VerifyFull));
    }

    #[test]
    fn a_wrong_value_is_called_as_where_it_comes_from() {
        for (parameter, variable, value) in [
            ("sslmode", "PGSSLMODE", "bogus"),
            ("port", "PGPORT", "abc"),
            ("target_session_attrs", "PGTARGETSESSIONATTRS", "standby"),
            ("load_balance_hosts", "PGLOADBALANCEHOSTS", "maybe"),
        ] {
            let why = |url: &str, variables: &[_]| read(url, variables).err().unwrap().to_string();
            let in_url = why(&format!("postgres://h/db?{parameter}={value}"), &[]);
            assert!(in_url.starts_with(&format!("{parameter} is '{value}'")), "{in_url}");
            let in_variable = why("postgres://h/db", &[(variable, value)]);
            assert!(in_variable.starts_with(&format!("{variable} is '{value}'")), "{in_variable}");
        }
    }

    #[test]
    fn defaults_are_those_of_libpq() {
        let settings = read("postgres://db/", &[("USER", "me")]).unwrap();
        assert_eq!(place(&settings), "me@db:5432/me");
        assert!(matches!(settings.ssl_mode, PgSslMode::Prefer));
        let socket = read("postgres:///app?host=/run/pg&sslmode=verify-full", &[]).unwrap();
        assert_eq!(place(&socket), "postgres@/run/pg:5432/app");
        let rooted = read("postgres://db/app?sslmode=require&sslrootcert=/ca.pem", &[]).unwrap();
        assert!(matches!(rooted.ssl_mode, PgSslMode::VerifyCa));
        let six = read("postgres://[::1]:5433/app", &[]).unwrap();
        assert_eq!(place(&six), "postgres@[::1]:5433/app");
    }

    #[test]
    fn a_list_of_hosts_is_read_as_in_libpq() {
        let url = "postgres://u:p@h1:5432,h2:5433/db?target_session_attrs=read-write";
        assert_eq!(place(&read(url, &[]).unwrap()), "u@h1:5432,h2:5433/db");
        for attributes in ["any", "primary"] {
            let variables = [("PGTARGETSESSIONATTRS", attributes)];
            assert!(read("postgres://h1,h2/db", &variables).is_ok());
        }
        let by_parameters = "postgres://u@/db?host=h1,[::1]&port=1,2&load_balance_hosts=random";
        let settings = read(by_parameters, &[]).unwrap();
        assert_eq!(place(&settings), "u@h1:1,[::1]:2/db");
        assert!(settings.balance);
    }

    #[test]
    fn a_service_fills_what_the_url_leaves_open() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("services");
        std::fs::write(&file, "[app]\nhost=db1,db2\nuser=them\npassword=theirs\ndbname=app\n")
            .unwrap();
        let path = file.display().to_string();
        let variables = [("PGSERVICEFILE", path.as_str()), ("PGSERVICE", "app"), ("PGUSER", "env")];
        let settings = read("postgres://", &variables).unwrap();
        assert_eq!(place(&settings), "them@db1:5432,db2:5432/app");
        assert_eq!(password(&settings), Some("theirs"));
        let settings = read("postgres://me@/?service=app", &variables[..1]).unwrap();
        assert_eq!(place(&settings), "me@db1:5432,db2:5432/app");
        let error = read("postgres:///?service=nope", &variables[..1]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("no service 'nope'"), "{error}");
    }

    #[test]
    fn an_error_does_not_contain_the_password() {
        for (url, part) in [
            ("postgres://u:hunter2@a:1,b:2,c/app?port=1,2", "as many ports"),
            ("postgres://u:hunter2@db:port/app", "cannot be read"),
            ("postgres://u:hunter2/x@db/app", "cannot be read"),
            ("postgres://u:12/hunter2@db/app", "%2F"),
            ("postgres:u:hunter2@db/app", "cannot be read"),
            ("postgres://u:hunter2@::1/app", "in brackets"),
            ("postgres://u:hunter2@db/app?sslmod=disable", "'sslmod'"),
            ("postgres://u:hunter2@db/app?sslmode=maybe", "verify-full"),
            ("postgres://u:hunter2@db/app?schema=a-b", "plain name"),
            ("postgres://u:hunter2@db/app?port=0", "1 to 65535"),
            ("postgres://u:hunter2@db/app?auth=magic", "auth is 'magic'"),
            ("postgres://u:hunter2@db/app?auth=aws-iam&sslmode=prefer", "in the clear"),
            ("postgres://u:hunter2@/app?auth=aws-iam&sslmode=require&host=/s", "in the clear"),
            ("postgres://u:hunter2@db/app?channel_binding=require", "channel"),
            ("postgres://u:hunter2%FF@db/app", "UTF-8"),
            ("postgres://u:hunter2@db/app?target_session_attrs=standby", "accepts writes"),
            ("postgres://u:hunter2@db/app?target_session_attrs=prefer-standby", "accepts writes"),
            ("postgres://u:hunter2@db/app?target_session_attrs=read-only", "accepts writes"),
            ("postgres://u:hunter2@db/app?load_balance_hosts=maybe", "random"),
            ("postgres://u:hunter2@db/app?hostaddr=10.0.0.1", "'hostaddr'"),
            ("postgres://u:p#hunter2@db/app", "%23"),
            ("postgres://u:12#hunter2@db/app", "%23"),
            ("postgres://u@db/app?password=p#hunter2", "%23"),
            ("postgres://u:12?hunter2@db/app", "%3F"),
            ("postgres://u:12?hunter2=x@db/app", "%3F"),
            ("postgres://u:p@s?hunter2=x@db/app", "%3F"),
            ("postgres://u@db/app?password=p&hunter2", "%26"),
            ("postgres://u@db/app?password=p&hunter2=x", "%26"),
        ] {
            let error = read(url, &[]).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
