//! Ports for servers of a test's own.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Where Linux begins to give ports to connections, unless it is configured otherwise.
const USUAL_FIRST_GIVEN: u16 = 32_768;

/// A port of 127.0.0.1 that nothing listens on. It is none that the kernel gives to connections: one of all those that
/// other tests open could have it before the server does.
pub fn free_port() -> u16 {
    let below = first_given();
    free_port_in(below / 2..below)
}

/// One of these that nothing listens on, and that this process was not given before: a server listens only some time
/// after its test has a port, and a second one on the same port would be the first one to all its clients.
pub fn free_port_in(ports: Range<u16>) -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let is_new = |port| GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
    let mut drawn = std::iter::repeat_with(|| fastrand::u16(ports.clone())).take(10_000);
    let free = drawn.find(|port| is_free(*port) && is_new(*port));
    free.unwrap_or_else(|| panic!("no port is free in {ports:?}"))
}

fn first_given() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first = range.ok().and_then(|range| range.split_whitespace().next()?.parse().ok());
    // Of fewer, too many are used by other services.
    first.filter(|first| *first >= 16_384).unwrap_or(USUAL_FIRST_GIVEN)
}
