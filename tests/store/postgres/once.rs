//! Releases that follow each other, on Postgres.

use super::elections::Field;
use support::bellwether;
use support::releases::Releases;

fn home() -> (Field, Releases) {
    let field = Field::new();
    let releases = Releases::on(&field.store(), bellwether);
    (field, releases)
}

support::releases_follow_each_other!(home());
