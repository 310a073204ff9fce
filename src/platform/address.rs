//! The address at which others reach this host.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Addresses for documentation (RFC 5737, RFC 3849): packets to them would take the default route.
const ELSEWHERE: [&str; 2] = ["198.51.100.1:9", "[2001:db8::1]:9"];

/// The address of the interface that the default route uses: in a container, a pod or a task its own.
/// None without such a route. Sends nothing: for UDP, to connect only chooses a route.
pub fn own() -> Option<IpAddr> {
    let towards = |elsewhere: &str| {
        let elsewhere: SocketAddr = elsewhere.parse().ok()?;
        let any: IpAddr = if elsewhere.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(elsewhere).ok()?;
        let own = socket.local_addr().ok()?.ip();
        (!own.is_loopback() && !own.is_unspecified()).then_some(own)
    };
    ELSEWHERE.into_iter().find_map(towards)
}
