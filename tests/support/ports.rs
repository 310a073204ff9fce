//! Ports for servers of a test's own.

use std::net::TcpListener;
use std::ops::Range;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Where Linux begins to give ports to connections, unless it is configured otherwise.
const USUAL_FIRST_GIVEN: u16 = 32_768;

/// How many ports a process takes at once. The usual range has 128 such blocks.
const BLOCK: u16 = 128;

/// A port of 127.0.0.1 that nothing listens on, and that no other server of tests gets. It is none that the kernel gives
/// to connections: one of all those that other tests open could have it before the server does.
pub fn free_port() -> u16 {
    static PORTS: LazyLock<Mutex<Ports>> = LazyLock::new(|| {
        let below = first_given();
        Mutex::new(Ports::of(below / 2..below))
    });
    PORTS.lock().unwrap_or_else(PoisonError::into_inner).free()
}

/// The ports that one process gives to its servers, each once: a server listens only some time after its test has a port,
/// and a second one on the same port would be the first one to all its clients. No other process of tests has its blocks.
pub struct Ports {
    all: Range<u16>,
    /// What was not given yet of the newest block.
    left: Range<u16>,
    /// One for each block. A name belongs to one socket, and is free again when its process ends.
    names: Vec<UnixListener>,
}

impl Ports {
    pub fn of(all: Range<u16>) -> Self {
        Self { all, left: 0..0, names: Vec::new() }
    }

    /// One that nothing listens on, and that was not given before.
    pub fn free(&mut self) -> u16 {
        loop {
            let Some(port) = self.left.next() else {
                self.take_block();
                continue;
            };
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    }

    fn take_block(&mut self) {
        let mut blocks: Vec<_> = self.all.clone().step_by(usize::from(BLOCK)).collect();
        fastrand::shuffle(&mut blocks);
        let taken = blocks.into_iter().find_map(|first| Some((first, take_name(first)?)));
        let (first, name) = taken.unwrap_or_else(|| panic!("no port is free in {:?}", self.all));
        self.left = first..first.saturating_add(BLOCK).min(self.all.end);
        self.names.push(name);
    }
}

/// Fails where another process has it.
fn take_name(first: u16) -> Option<UnixListener> {
    let name = SocketAddr::from_abstract_name(format!("ports of tests from {first}")).ok()?;
    UnixListener::bind_addr(&name).ok()
}

fn first_given() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first = range.ok().and_then(|range| range.split_whitespace().next()?.parse().ok());
    // Of fewer, too many are used by other services.
    first.filter(|first| *first >= 16_384).unwrap_or(USUAL_FIRST_GIVEN)
}
