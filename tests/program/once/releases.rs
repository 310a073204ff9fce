//! Releases that follow each other, on SQLite.

use support::releases::Releases;
use support::{Pasture, bellwether};

fn home() -> (Pasture, Releases) {
    let pasture = Pasture::new();
    let releases = Releases::on(&pasture.store(), bellwether);
    (pasture, releases)
}

support::releases_follow_each_other!(home());

/// The next instance waits for the end of the lease, because the way down may still run. Later ones
/// must not: they read that the key is done.
#[test]
fn a_revert_that_is_killed_delays_one_start_and_no_later_one() {
    let (_home, releases) = home();
    let key = ["--key", "v1"];
    assert_eq!(releases.run(&key, "echo up >> lines"), Some(0));
    let down = releases.start("down", &["--revert", "v1"], "echo down >> lines; sleep 60");
    releases.until_line("down");
    drop(down);
    let mut first = releases.start("first", &key, "echo again >> lines");
    assert_eq!(first.code(), Some(0), "{}", releases.log("first"));
    let later = ["--key", "v1", "--timeout", "0s"];
    let mut second = releases.start("second", &later, "echo again >> lines");
    assert_eq!(second.code(), Some(0), "{}", releases.log("second"));
    let log = releases.log("second");
    assert!(!log.contains(r#""event":"standing""#), "it is a read only: {log}");
    assert_eq!(releases.lines(), ["up", "down"]);
}
