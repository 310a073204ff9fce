//! Which servers a URL names: libpq's lists of hosts and ports, and its requirements for them.

use std::fmt;
use std::path::Path;

use percent_encoding::percent_decode_str;

use super::invalid::{InvalidTarget, bad};

/// The most servers of one list. A fail-over cluster has three or five; each is one attempt to
/// connect in the time for all.
const MAX_HOSTS: usize = 16;

/// One server, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name, an address, or the folder of a Unix socket.
    pub name: String,
    /// Its port.
    pub port: u16,
}

impl Host {
    /// Whether it is reached by a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

/// The hosts and ports in a URL, each a list with commas, and the URL with one host in their place,
/// in a form that `url` can read.
pub struct Authority {
    /// `host1,host2`.
    pub hosts: Option<String>,
    /// `5432,`: one for each host, empty where none is given.
    pub ports: Option<String>,
    /// The rest.
    pub url: String,
}

impl Authority {
    /// Splits a URL. An error never repeats a part of it: if a password is not encoded as it has to
    /// be, any part can be the password.
    pub fn cut(text: &str) -> Result<Self, InvalidTarget> {
        let unreadable = |why: &str| InvalidTarget::Unreadable(why.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(|| unreadable("it has no '://'"))?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(unreadable("it does not begin with postgres://"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        if after.contains('#') {
            // `url` drops what follows it, which may be half a password.
            return Err(unreadable("there is a '#': in a password it is written %23"));
        }
        let path = after.split('?').next().unwrap_or_default();
        if path.contains('@') {
            return Err(unreadable("there is an '@' after a '/': a '/' in a password is %2F"));
        }
        let (login, servers) = match authority.rsplit_once('@') {
            Some((login, servers)) => (format!("{login}@"), servers),
            None => (String::new(), authority),
        };
        if servers.is_empty() {
            // Without a host, `url` accepts no user.
            let host = if login.is_empty() { "" } else { "h" };
            return Ok(Self {
                hosts: None,
                ports: None,
                url: format!("{scheme}://{login}{host}{after}"),
            });
        }
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for server in servers.split(',') {
            let (host, port) = host_and_port(server)?;
            let host = percent_decode_str(host).decode_utf8();
            hosts.push(host.map_err(|_| unreadable("a %XX is not UTF-8"))?.into_owned());
            ports.push(port);
        }
        let has_ports = ports.iter().any(|port| !port.is_empty());
        Ok(Self {
            hosts: Some(hosts.join(",")),
            ports: has_ports.then(|| ports.join(",")),
            url: format!("{scheme}://{login}h{after}"),
        })
    }
}

fn host_and_port(server: &str) -> Result<(&str, &str), InvalidTarget> {
    let unreadable = |why: &str| InvalidTarget::Unreadable(why.to_owned());
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, ""),
        Some((address, rest)) => {
            let port = rest.strip_prefix(':').ok_or_else(|| unreadable("text after a ']'"))?;
            (address, port)
        }
        None => server.split_once(':').unwrap_or((server, "")),
    };
    if port.contains(':') {
        return Err(unreadable("an IPv6 address has to be in brackets: [::1]:5432"));
    }
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(unreadable("a port is not a number"));
    }
    Ok((host, port))
}

/// Pairs lists of hosts and ports as libpq does: one port is for all hosts, an empty part is the
/// default.
/// `port_name` is what a port is called that is wrong.
pub fn pair(
    hosts: Option<&str>,
    ports: Option<&str>,
    port_name: &str,
) -> Result<Vec<Host>, InvalidTarget> {
    let names: Vec<_> = hosts.unwrap_or_default().split(',').map(str::trim).collect();
    let given: Vec<_> = ports.unwrap_or_default().split(',').map(str::trim).collect();
    if names.len() > MAX_HOSTS {
        return Err(bad("the list of hosts", &names.len().to_string(), "16 are the most"));
    }
    if given.len() != 1 && given.len() != names.len() {
        let expected = "as many ports as hosts are needed, or one for all";
        return Err(bad("the list of ports", ports.unwrap_or_default(), expected));
    }
    let mut all = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let port = given.get(at).or(given.first()).copied().unwrap_or_default();
        let port = read_port(port_name, port)?;
        let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        let name = if name.is_empty() { default_host(port) } else { name.to_owned() };
        all.push(Host { name, port });
    }
    Ok(all)
}

fn read_port(name: &str, text: &str) -> Result<u16, InvalidTarget> {
    if text.is_empty() {
        return Ok(5432);
    }
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| bad(name, text, "has to be a number from 1 to 65535"))
}

/// Where Debian and upstream put the Unix socket.
pub const SOCKET_FOLDERS: [&str; 3] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

/// A Unix socket where it usually is, as libpq does; else this host.
fn default_host(port: u16) -> String {
    SOCKET_FOLDERS
        .into_iter()
        .find(|directory| Path::new(directory).join(format!(".s.PGSQL.{port}")).exists())
        .unwrap_or("localhost")
        .to_owned()
}

/// Checks `target_session_attrs`: a lease needs a server that accepts writes, even if the URL
/// demands less; demands for a read-only server are refused.
pub fn check_attributes(name: &str, value: &str) -> Result<(), InvalidTarget> {
    match value {
        "any" | "read-write" | "primary" => Ok(()),
        _ => {
            let expected = "a lease is kept on a server that accepts writes: read-write, primary \
                            and any are understood, and all mean that";
            Err(bad(name, value, expected))
        }
    }
}

/// Reads `load_balance_hosts`: whether the list is tried in random order.
pub fn read_balance(name: &str, value: &str) -> Result<bool, InvalidTarget> {
    match value {
        "disable" => Ok(false),
        "random" => Ok(true),
        _ => Err(bad(name, value, "has to be disable or random")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paired(hosts: &str, ports: Option<&str>) -> Vec<String> {
        pair(Some(hosts), ports, "port").unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hosts_and_ports_are_paired_as_in_libpq() {
        assert_eq!(paired("a,b", None), ["a:5432", "b:5432"]);
        assert_eq!(paired("a,b", Some("6432")), ["a:6432", "b:6432"]);
        assert_eq!(paired("a,::1,[fe80::1]", Some("1,,3")), ["a:1", "[::1]:5432", "[fe80::1]:3"]);
        assert!(pair(Some("a,b,c"), Some("1,2"), "port").is_err());
        assert!(pair(Some("a"), Some("1,2"), "port").is_err());
        assert!(pair(Some(&["h"; 17].join(",")), None, "port").is_err());
        for port in ["0", "65536", "x", "-1"] {
            assert!(pair(Some("a"), Some(port), "port").is_err(), "{port}");
        }
    }

    #[test]
    fn a_list_is_cut_out_of_a_url() {
        let cut = |url: &str| {
            let Authority { hosts, ports, url } = Authority::cut(url).unwrap();
            (hosts.unwrap_or_default(), ports.unwrap_or_default(), url)
        };
        let owned = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        for (url, expected) in [
            ("postgres://u:p@a:1,b:2/db?x=y", owned("a,b", "1,2", "postgres://u:p@h/db?x=y")),
            ("postgres://a,b/db", owned("a,b", "", "postgres://h/db")),
            ("postgres://[::1]:1,b/db", owned("::1,b", "1,", "postgres://h/db")),
            ("postgresql://u@/db", owned("", "", "postgresql://u@h/db")),
            ("postgres:///db?host=a", owned("", "", "postgres:///db?host=a")),
            ("postgres://", owned("", "", "postgres://")),
            ("postgres://%2Frun%2Fpg:5/db", owned("/run/pg", "5", "postgres://h/db")),
            ("postgres://u:p@w@a/db", owned("a", "", "postgres://u:p@w@h/db")),
        ] {
            assert_eq!(cut(url), expected, "{url}");
        }
    }
}
