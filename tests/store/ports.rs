//! The ports of the servers that the tests start.

use std::collections::BTreeSet;

use support::ports::Ports;

#[test]
fn no_port_is_given_to_two_servers() {
    // Two of them are as far apart as two processes are.
    let (mut one, mut other) = (Ports::of(9_000..10_280), Ports::of(9_000..10_280));
    let given: BTreeSet<_> = (0..200).flat_map(|_| [one.free(), other.free()]).collect();
    assert_eq!(given.len(), 400);
}
