//! Opening a connection to a server that can keep a lease.
//!
//! # Which server
//!
//! Every name is resolved for every connection, and every address of every host is a candidate.
//! They are tried in order, each after the one before it has failed, or has used up its share of
//! the time: a host that hangs costs only its share. The first that is a primary and accepts writes
//! is used. The new session first queries the state of its server. A session that found a replica
//! is never kept: it gets no notice when that replica is promoted, nor of its new timeline.
//!
//! # Addresses and certificates
//!
//! sqlx connects to a name at the addresses that it finds for it, one after the other, and checks a
//! certificate for the name that it connects to. If a name has several addresses and TLS needs the
//! name, this module therefore connects to the chosen address, and sqlx gets the connection through
//! a socket pair of this process ([`relay`]).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use super::answer::Unusable;
use super::errors::PostgresError;
use super::hosts::Host;
use super::opened::{Opened, ServerFacts};
use super::session::{Session, is_own};
use super::statement;
use super::target::Target;

/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// The errors that mean that a server reports no timeline: no such function; not permitted; and
/// Aurora's two, "not supported for Aurora" and "wal_level must be set to 'logical'". The last also
/// means "recovery is in progress", which is ruled out before.
const REPORTS_NONE: [&str; 4] = ["42883", "42501", "0A000", "55000"];

/// Opens a connection to a server that accepts writes, within `limit`. All hosts are tried within
/// `pace`, which is shorter if a call has less time, so that a host that hangs leaves enough time
/// for the call.
pub async fn open(
    target: &Target,
    pace: Duration,
    limit: Duration,
) -> Result<Opened, PostgresError> {
    let settings = target.now(pace / 4).await;
    let mut hosts = settings.hosts.clone();
    if settings.balance {
        fastrand::shuffle(&mut hosts);
    }
    let share = share(pace, hosts.len());
    let attempts = hosts.iter().cloned().map(|host| {
        let (target, settings) = (target.clone(), settings.clone());
        async move {
            let options =
                target.options(&settings, &host).await.map_err(PostgresError::Explained)?;
            let opened = at_any_address(options, &host, share, limit).await;
            if opened.as_ref().is_err_and(PostgresError::is_refused_login) {
                target.refused();
            }
            opened
        }
    });
    let failures = match first_good(attempts.collect(), share, limit).await {
        Ok(opened) => return Ok(opened),
        Err(failures) => failures,
    };
    let mut named: Vec<_> = hosts.iter().map(ToString::to_string).zip(failures).collect();
    // In the user's order: a text that changes with the order would count as another problem.
    named.sort_by_key(|(name, _)| settings.hosts.iter().position(|h| h.to_string() == *name));
    Err(PostgresError::of_hosts(named))
}

/// The share of the time of one attempt before the next begins in parallel: so that all have begun,
/// and the last has as much time.
fn share(limit: Duration, attempts: usize) -> Duration {
    limit / u32::try_from(attempts.saturating_add(1)).unwrap_or(u32::MAX)
}

/// Makes attempts until one succeeds. Each begins when the one before it has failed, or after
/// `share`. The failures are in the order of the attempts.
async fn first_good<T, F>(
    attempts: Vec<F>,
    share: Duration,
    limit: Duration,
) -> Result<T, Vec<PostgresError>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, PostgresError>> + Send + 'static,
{
    let mut end = pin!(sleep(limit));
    let mut failures: Vec<_> = attempts.iter().map(|_| None).collect();
    let mut waiting = attempts.into_iter().enumerate();
    // When one succeeds, this is dropped, with all attempts that are still under way.
    let mut running = JoinSet::new();
    // None: at once. tokio's shortest sleep would take a millisecond or two.
    let mut next: Option<Pin<Box<Sleep>>> = None;
    let mut has_more = true;
    while has_more || !running.is_empty() {
        tokio::select! {
            biased;
            () = &mut end => break,
            () = begins(&mut next), if has_more => match waiting.next() {
                Some((at, attempt)) => {
                    running.spawn(async move { (at, attempt.await) });
                    next = Some(Box::pin(sleep(share)));
                }
                None => has_more = false,
            },
            Some(ended) = running.join_next(), if !running.is_empty() => match ended {
                Ok((_, Ok(good))) => return Ok(good),
                Ok((at, Err(failure))) => {
                    if let Some(place) = failures.get_mut(at) {
                        *place = Some(failure);
                    }
                    next = None;
                }
                // It panicked; with `panic = "abort"` there is none.
                Err(_) => next = None,
            },
        }
    }
    Err(failures
        .into_iter()
        .map(|failure| failure.unwrap_or(PostgresError::NoConnection))
        .collect())
}

/// Waits until the next attempt begins.
async fn begins(next: &mut Option<Pin<Box<Sleep>>>) {
    if let Some(next) = next {
        next.await;
    }
}

/// Tries all addresses of a host. They begin within its share of the time, and may take it all.
async fn at_any_address(
    options: PgConnectOptions,
    host: &Host,
    share_of_host: Duration,
    limit: Duration,
) -> Result<Opened, PostgresError> {
    if host.is_socket() {
        return log_in(&options).await.map_err(|failure| failure.of_socket(host));
    }
    if host.name.parse::<IpAddr>().is_ok() {
        return log_in(&options).await;
    }
    let found = tokio::net::lookup_host((host.name.as_str(), host.port)).await;
    let found =
        found.map_err(|error| PostgresError::Unresolved(host.name.clone(), Arc::new(error)))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.len() < 2 {
        return log_in(&options).await;
    }
    let attempts = addresses.iter().map(|address| at_address(options.clone(), *address));
    let share = share(share_of_host, addresses.len());
    let failures = match first_good(attempts.collect(), share, limit).await {
        Ok(opened) => return Ok(opened),
        Err(failures) => failures,
    };
    let mut named: Vec<_> = addresses.iter().map(ToString::to_string).zip(failures).collect();
    // Resolvers rotate the addresses of a name from one answer to the next.
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    Err(PostgresError::of_hosts(named))
}

async fn at_address(
    options: PgConnectOptions,
    address: SocketAddr,
) -> Result<Opened, PostgresError> {
    if matches!(options.get_ssl_mode(), PgSslMode::Disable) {
        return log_in(&options.host(&address.ip().to_string())).await;
    }
    let stream = TcpStream::connect(address).await.map_err(sqlx::Error::from)?;
    let through = relay(stream, address.port()).map_err(sqlx::Error::from)?;
    log_in(&options.socket(through)).await
}

/// Logs in once, and queries the state of the server.
async fn log_in(options: &PgConnectOptions) -> Result<Opened, PostgresError> {
    let connected = PgConnection::connect_with(options).await;
    let mut session = Session::adopt(connected.map_err(PostgresError::of_login)?).await?;
    match server_query(&mut session).await {
        Ok(server) => Ok(Opened { session, server }),
        Err(failure) => {
            session.close().await;
            Err(failure)
        }
    }
}

async fn server_query(session: &mut Session) -> Result<ServerFacts, PostgresError> {
    match session.query(statement::server_query(true)).await {
        Ok(rows) => read_server(&rows, true),
        Err(error) => {
            let reports_none =
                PostgresError::code_of(&error).is_some_and(|c| REPORTS_NONE.contains(&c));
            if !reports_none {
                return Err(error.into());
            }
            read_server(&session.query(statement::server_query(false)).await?, false)
        }
    }
}

fn read_server(rows: &[PgRow], reports_timeline: bool) -> Result<ServerFacts, PostgresError> {
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let text = |column: &str| row.try_get::<Option<&str>, _>(column);
    if text("replica")? != Some("false") || text("read_only")? != Some("off") {
        return Err(PostgresError::Answer(Unusable::Replica));
    }
    if reports_timeline && text("timeline")?.is_none() {
        return Err(PostgresError::Answer(Unusable::Replica));
    }
    let pid = text("pid")?.and_then(|pid| pid.parse().ok());
    Ok(ServerFacts { reports_timeline, pid })
}

/// A path at which this process, once, finds the other end of `stream`.
fn relay(stream: TcpStream, port: u16) -> io::Result<String> {
    let name = format!("\0bellwether-{}", uuid::Uuid::new_v4().simple());
    let listener = UnixListener::bind(format!("{name}/.s.PGSQL.{port}"))?;
    tokio::spawn(async move {
        // No connection comes if the attempt was given up meanwhile.
        let Ok(Ok(own)) = timeout(COMING, accept_own(&listener)).await else { return };
        drop(listener);
        let (from_own, to_own) = own.into_split();
        let (from_server, to_server) = stream.into_split();
        // When either side ends, both do: otherwise a network that hangs would keep the other.
        tokio::select! {
            _ = pass(from_own, to_server) => {}
            _ = pass(from_server, to_own) => {}
        }
    });
    Ok(name)
}

/// How long until this process's own end connects: it is already on its way.
const COMING: Duration = Duration::from_secs(2);

async fn accept_own(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (stream, _) = listener.accept().await?;
        if is_own(&stream) {
            return Ok(stream);
        }
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<u64> {
    tokio::io::copy(&mut from, &mut to).await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ends(with: Result<u8, ()>) -> Result<u8, PostgresError> {
        with.map_err(|()| PostgresError::NoConnection)
    }

    async fn hangs() -> Result<u8, PostgresError> {
        std::future::pending().await
    }

    type Attempt = std::pin::Pin<Box<dyn Future<Output = Result<u8, PostgresError>> + Send>>;

    #[tokio::test]
    async fn the_first_good_one_wins_and_one_that_hangs_costs_its_share() {
        let share = Duration::from_millis(1);
        let attempts: Vec<Attempt> =
            vec![Box::pin(hangs()), Box::pin(ends(Err(()))), Box::pin(ends(Ok(7)))];
        let good = first_good(attempts, share, Duration::from_secs(600)).await;
        assert_eq!(good.map_err(|_| ()), Ok(7));
    }

    #[tokio::test]
    async fn while_the_first_is_good_no_other_begins() {
        let attempts: Vec<Attempt> = vec![Box::pin(ends(Ok(1))), Box::pin(ends(Ok(2)))];
        let good = first_good(attempts, Duration::from_secs(60), Duration::from_secs(600)).await;
        assert_eq!(good.map_err(|_| ()), Ok(1));
    }

    #[tokio::test]
    async fn when_all_hang_the_limit_ends_it() {
        let (share, limit) = (Duration::from_millis(1), Duration::from_millis(10));
        let failures = first_good(vec![hangs(), hangs()], share, limit).await;
        assert_eq!(failures.map_err(|failures| failures.len()), Err(2));
    }
}
