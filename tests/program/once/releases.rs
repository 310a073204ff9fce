//! Releases that follow each other, on SQLite.

use support::releases::Releases;
use support::{Pasture, bellwether};

fn home() -> (Pasture, Releases) {
    let pasture = Pasture::new();
    let releases = Releases::on(&pasture.store(), bellwether);
    (pasture, releases)
}

support::releases_follow_each_other!(home());
