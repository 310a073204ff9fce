//! The ports of the servers that the tests start.

use std::collections::BTreeSet;

use support::ports::free_port_in;

#[test]
fn no_port_is_given_to_two_servers() {
    let given: BTreeSet<_> = (0..200).map(|_| free_port_in(9_000..9_250)).collect();
    assert_eq!(given.len(), 200);
}
