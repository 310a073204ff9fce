//! Releases that follow each other, on Postgres; and what only its databases can refuse.

use std::sync::Arc;

use bellwether::store::Store as _;

use super::elections::{Field, block_on};
use super::stores::{acquired, misconfigured, open, swap};
use support::bellwether;
use support::eventually;
use support::postgres::Server;
use support::releases::Releases;

fn home() -> (Field, Releases) {
    let field = Field::new();
    let releases = Releases::on(&field.store(), bellwether);
    (field, releases)
}

support::releases_follow_each_other!(home());

/// A database whose encoding has few characters.
fn latin1(name: &str) -> (Arc<Server>, String) {
    let server = Server::shared();
    let create = format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    block_on(server.run_sql("postgres", &create));
    let store = server.url(name);
    (server, store)
}

fn printed(args: &[&str]) -> (Option<i32>, String) {
    let output = bellwether().args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_database_in_latin1_keeps_what_a_command_wrote_and_the_reason_of_a_pause() {
    let (_server, store) = latin1("latin1_texts");
    let releases = Releases::on(&store, bellwether);
    let args = ["--key", "ключ", "--max-attempts", "1"];
    assert_eq!(releases.run(&args, "printf 'é 失敗 👩\\n\\0' >&2; exit 3"), Some(3));
    let (code, status) = printed(&["status", "--store", &store]);
    assert_eq!(code, Some(0), "{status}");
    assert!(status.contains("é 失敗 👩") && status.contains("ключ"), "{status}");
    assert_eq!(releases.run(&["--key", "v2"], "true"), Some(0));
    let pause = ["pause", "--store", &store, "--election", "web", "--reason", "明日まで"];
    let (code, text) = printed(&pause);
    assert_eq!(code, Some(0), "{text}");
    let (_, status) = printed(&["status", "--store", &store]);
    assert!(status.contains("明日まで"), "{status}");
}

#[test]
fn a_database_that_has_no_such_character_is_named() {
    let (_server, store) = latin1("latin1_names");
    let message = block_on(async {
        let store = open(&store);
        store.init().await.unwrap();
        misconfigured(swap(&store, None, &acquired("羊", 1)).await)
    });
    assert!(message.contains("a database with the encoding UTF8"), "{message}");
}

#[test]
fn the_reason_of_a_write_that_is_refused_for_good_is_in_the_log() {
    let (field, releases) = home();
    assert_eq!(releases.run(&["--key", "v1"], "true"), Some(0));
    let limit = "ALTER TABLE bellwether.leases ADD CONSTRAINT small CHECK (length(payload) < ";
    let set = |most: u32| block_on(field.run_sql(&format!("{limit}{most}) NOT VALID")));
    let lift = || block_on(field.run_sql("ALTER TABLE bellwether.leases DROP CONSTRAINT small"));
    set(10);
    let mut begins = releases.start("begins", &["--key", "v2"], "true");
    let logs = |name: &str, event: &str| {
        eventually(event, || {
            let log = releases.log(name);
            let line = log.lines().find(|line| line.contains(event))?;
            Some(line.to_owned())
        })
    };
    let line = logs("begins", "begin_delayed");
    assert!(line.contains("check constraint") && line.contains("small"), "{line}");
    lift();
    assert_eq!(begins.code(), Some(0));
    set(1000);
    let noise = "head -c 2000 /dev/zero | tr '\\0' x >&2; exit 3";
    let mut ends = releases.start("ends", &["--key", "v3", "--max-attempts", "1"], noise);
    let line = logs("ends", "outcome_delayed");
    assert!(line.contains("check constraint") && line.contains("small"), "{line}");
    lift();
    assert_eq!(ends.code(), Some(3));
}
