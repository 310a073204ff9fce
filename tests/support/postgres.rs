//! A Postgres server of the test's own: a temporary folder, a free port, gone at the end.
//!
//! Shared by several test programs, each of which uses a part of it.

pub mod signed;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, raw_sql};

use crate::ports::free_port;
use crate::watchdog::Watchdog;

/// The password of every role that a test makes.
pub const PASSWORD: &str = "s3cret";

/// A running server.
pub struct Server {
    folder: tempfile::TempDir,
    address: String,
    port: u16,
    databases: AtomicU32,
    /// Stops the server if this process dies.
    _watchdog: Watchdog,
}

/// How to stop a server.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// Ends sessions and writes a checkpoint.
    Fast,
    /// Ends everything without a checkpoint.
    Immediate,
    /// SIGKILL to the postmaster.
    Kill,
}

impl Server {
    /// The server that the tests of this process share, for as long as one of them uses it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start(&[]));
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A new server with these settings beside the usual ones.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_at("127.0.0.1", free_port(), settings)
    }

    /// The same, at this address, where the port has to be free.
    pub fn start_at(address: &str, port: u16, settings: &[&str]) -> Self {
        let folder = temporary_folder();
        let data = folder.path().join("data");
        let initdb =
            ["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"];
        must(as_postgres(&binary("initdb")).args(initdb).arg("-D").arg(&data));
        Self::run(folder, address, port, settings)
    }

    /// A replica of `primary`, as it is now and following it.
    pub fn replica_of(primary: &Self) -> Self {
        Self::replica_at("127.0.0.1", free_port(), primary)
    }

    /// The same, at this address, where the port has to be free.
    pub fn replica_at(address: &str, port: u16, primary: &Self) -> Self {
        let folder = temporary_folder();
        let data = folder.path().join("data");
        must(
            as_postgres(&binary("pg_basebackup"))
                .args(["-h", &primary.address, "-p", &primary.port.to_string(), "-U", "postgres"])
                .args(["-R", "-c", "fast", "--no-sync", "-D"])
                .arg(&data),
        );
        Self::run(folder, address, port, &[])
    }

    /// A standby that was promoted, and its former primary gone: the tests of this process share it.
    pub fn promoted() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let primary = Self::start(&[]);
            let server = Arc::new(Self::replica_of(&primary));
            server.promote();
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A replica gets no more writes of its primary: they are lost with the primary.
    pub async fn cut_off(&self, primary: &Self) {
        // One that has not begun to receive would begin later, at the old address.
        primary.until("SELECT count(*) FROM pg_stat_replication", "1").await;
        let nowhere = "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'";
        self.run_sql("postgres", nowhere).await;
        self.reload();
        primary.until("SELECT count(*) FROM pg_stat_replication", "0").await;
    }

    /// Waits until the server's response to this is `expected`.
    async fn until(&self, sql: &str, expected: &str) {
        let give_up = crate::now() + crate::LIMIT;
        while self.ask("postgres", sql).await != expected {
            assert!(crate::now() < give_up, "not {expected} within {:?}: {sql}", crate::LIMIT);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn run(folder: tempfile::TempDir, address: &str, port: u16, settings: &[&str]) -> Self {
        let path = folder.path().display();
        let mut text = format!(
            "listen_addresses = '{address}'\nport = {port}\nunix_socket_directories = '{path}'\n\
             max_connections = 300\nfsync = off\nshared_buffers = 16MB\nlog_statement = none\n\
             hot_standby = on\nlog_lock_waits = on\n"
        );
        for setting in settings {
            writeln!(text, "{setting}").unwrap();
        }
        append(&folder.path().join("data/postgresql.conf"), &text);
        let pid_file = folder.path().join("data/postmaster.pid").display().to_string();
        let watchdog = Watchdog::new("kill -QUIT $(head -1 \"$1\")", &[&pid_file]);
        let address = address.to_owned();
        let server =
            Self { folder, address, port, databases: AtomicU32::new(0), _watchdog: watchdog };
        server.start_again();
        server
    }

    /// Starts it after it was stopped.
    pub fn start_again(&self) {
        let log = self.path("log");
        let mut command = as_postgres(&binary("pg_ctl"));
        command.args(["start", "-w", "-t", "120", "-D"]).arg(self.path("data")).arg("-l").arg(&log);
        // The server must not keep this process's output open.
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// Stops it, and waits until it is gone.
    pub fn stop(&self, how: Stop) {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
            Stop::Kill => return self.kill(),
        };
        let mut command = as_postgres(&binary("pg_ctl"));
        must(command.args(["stop", "-w", "-m", mode, "-D"]).arg(self.path("data")));
    }

    fn kill(&self) {
        let file = self.path("data/postmaster.pid");
        let pid = std::fs::read_to_string(&file).unwrap().lines().next().unwrap().to_owned();
        must(Command::new("kill").args(["-9", &pid]));
        // The others notice that their postmaster is gone, and let go of the shared memory.
        while Path::new("/proc").join(&pid).exists() || self.has_processes() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = std::fs::remove_file(file);
    }

    fn has_processes(&self) -> bool {
        let data = self.path("data").display().to_string();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut folders = processes.filter_map(|p| std::fs::read_link(p.path().join("cwd")).ok());
        folders.any(|folder| folder.display().to_string() == data)
    }

    /// Makes a replica a primary.
    pub fn promote(&self) {
        let mut command = as_postgres(&binary("pg_ctl"));
        must(command.args(["promote", "-w", "-D"]).arg(self.path("data")));
    }

    /// Appends to the configuration, and reads it again.
    pub fn configure(&self, text: &str) {
        append(&self.path("data/postgresql.conf"), &format!("{text}\n"));
        self.reload();
    }

    /// Puts these lines before the others of `pg_hba.conf`, and reads it again.
    pub fn let_in(&self, lines: &str) {
        let file = self.path("data/pg_hba.conf");
        let before = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{lines}\n{before}")).unwrap();
        self.reload();
    }

    /// Returns when new sessions have the configuration. Open sessions and the server's own processes read it when
    /// they get to it.
    fn reload(&self) {
        let before = self.configuration_read();
        let mut command = as_postgres(&binary("pg_ctl"));
        must(command.args(["reload", "-D"]).arg(self.path("data")));
        crate::eventually("the server reads its configuration", || {
            (self.configuration_read() != before).then_some(())
        });
    }

    /// When the postmaster read it. Asked through the socket, which no line of [`Self::let_in`] is about.
    fn configuration_read(&self) -> Vec<u8> {
        let mut command = Command::new(binary("psql"));
        command.args(["-XAtq", "-U", "postgres", "-d", "postgres", "-p", &self.port.to_string()]);
        command.args(["-c", "SELECT pg_conf_load_time()", "-h"]).arg(self.folder.path());
        must(&mut command).stdout
    }

    /// A path in the server's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives a file to the user that runs the server, for its eyes only.
    pub fn own(&self, path: &Path) {
        must(Command::new("chmod").arg("600").arg(path));
        if is_root() {
            must(Command::new("chown").arg("postgres").arg(path));
        }
    }

    /// Makes a tablespace called `tiny` in this empty folder.
    pub async fn tablespace(&self, folder: &Path) {
        if is_root() {
            must(Command::new("chown").arg("postgres").arg(folder));
        }
        let create = format!("CREATE TABLESPACE tiny LOCATION '{}'", folder.display());
        self.run_sql("postgres", &create).await;
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new database, and its name.
    pub async fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.run_sql("postgres", &format!("CREATE DATABASE {name}")).await;
        name
    }

    /// A URL for the superuser.
    pub fn url(&self, database: &str) -> String {
        url_at(&self.address, self.port, "postgres", database)
    }

    /// A connection for the superuser.
    pub async fn connect(&self, database: &str) -> PgConnection {
        self.try_connect(database).await.unwrap()
    }

    /// The same, where the server may have none left.
    pub async fn try_connect(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        self.options(database).connect().await
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        options_at(&self.address, self.port, database)
    }

    /// Runs SQL as the superuser.
    pub async fn run_sql(&self, database: &str, sql: &str) -> Vec<PgRow> {
        let mut connection = self.connect(database).await;
        let sql = AssertSqlSafe(sql.to_owned());
        raw_sql(sql).fetch_all(&mut connection).await.unwrap()
    }

    /// Runs statements one after the other in one session, each in a transaction of its own.
    pub async fn run_each(&self, database: &str, statements: &str) {
        let mut connection = self.connect(database).await;
        for statement in statements.split("; ") {
            let sql = AssertSqlSafe(statement.to_owned());
            raw_sql(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// The first column of the first row, as text.
    pub async fn ask(&self, database: &str, sql: &str) -> String {
        let rows = self.run_sql(database, &format!("SELECT ({sql})::text")).await;
        rows[0].get::<Option<String>, _>(0).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut command = as_postgres(&binary("pg_ctl"));
        command.args(["stop", "-w", "-m", "immediate", "-D"]).arg(self.path("data"));
        let _ = command.output();
    }
}

fn options_at(host: &str, port: u16, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(port)
        .username("postgres")
        .database(database)
        .ssl_mode(sqlx::postgres::PgSslMode::Disable)
}

/// A URL without TLS.
pub fn url(port: u16, user: &str, database: &str) -> String {
    url_at("127.0.0.1", port, user, database)
}

/// The same, of another host.
pub fn url_at(host: &str, port: u16, user: &str, database: &str) -> String {
    format!("postgres://{user}:{PASSWORD}@{host}:{port}/{database}?sslmode=disable")
}

/// PgBouncer in front of a server, lending connections by the transaction.
pub struct Bouncer {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Bouncer {
    /// Starts it for every database of `server`.
    pub fn before(server: &Server) -> Self {
        Self::with_connections(server, 5)
    }

    /// The same, with so many connections to a database.
    pub fn with_connections(server: &Server, connections: u32) -> Self {
        let folder = temporary_folder();
        let port = free_port();
        let users = folder.path().join("users");
        let config = folder.path().join("pgbouncer.ini");
        std::fs::write(&users, format!("\"postgres\" \"{PASSWORD}\"\n")).unwrap();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
             pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 300\n",
            server.port,
            users.display()
        );
        std::fs::write(&config, text).unwrap();
        if is_root() {
            must(Command::new("chown").args(["-R", "postgres"]).arg(folder.path()));
        }
        let bouncer = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("PgBouncer is not installed: apt-get install pgbouncer");
        // Ends when this process does: its input, a pipe, closes. A signal to both would end the shell before.
        let script = format!(
            "trap '' HUP INT QUIT TERM; {bouncer} -q {} & read _; kill -INT $!; wait",
            config.display()
        );
        let child = as_postgres(Path::new("sh"))
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        crate::eventually("PgBouncer responds", || asks_for_tls(port).ok());
        Self { child, port, _folder: folder }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection of another client, for the superuser.
    pub async fn connect(&self, database: &str) -> PgConnection {
        let options = options_at("127.0.0.1", self.port, database);
        // PgBouncer refuses this setting.
        options.extra_float_digits(None).connect().await.unwrap()
    }

    /// A URL for the superuser.
    pub fn url(&self, database: &str) -> String {
        url(self.port, "postgres", database)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The first message of a client of Postgres. A socket that only accepts may belong to a server that is not ready.
fn asks_for_tls(port: u16) -> std::io::Result<()> {
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    connection.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])?;
    connection.read_exact(&mut [0])
}

/// A program of the newest Postgres on this machine.
pub fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin").join(name));
    found
        .filter(|path| path.exists())
        .max()
        .unwrap_or_else(|| panic!("no Postgres on this machine: apt-get install postgresql-15"))
}

/// Postgres refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn temporary_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    if is_root() {
        must(Command::new("chown").arg("postgres").arg(folder.path()));
    }
    folder
}

fn append(path: &Path, text: &str) {
    let before = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, before + text).unwrap();
}

fn must(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {printed}");
    output
}
