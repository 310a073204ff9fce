//! The fence for any SQL database, of docs/fencing.md, run as it stands on SQLite.

use std::path::Path;
use std::process::Command;

use crate::docs::pages::example;

const PAGE: &str = "docs/fencing.md";

fn sqlite3(database: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3").arg(database).arg(sql).output();
    let output = output.expect("sqlite3 is not installed: run `make setup`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn an_overtaken_leader_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("shop.db");
    sqlite3(&database, &example(PAGE, "sql"));
    sqlite3(&database, "CREATE TABLE invoices (month TEXT)");
    let write = |term: &str| {
        let output = Command::new("/usr/bin/python3")
            .args(["-c", &example(PAGE, "python")])
            .env("DATABASE", &database)
            .env("BELLWETHER_ELECTION", "default")
            .env("BELLWETHER_TERM", term)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let invoices = || sqlite3(&database, "SELECT count(*) FROM invoices");
    for (term, printed, written) in [
        ("1", "done", "1"),
        ("1", "done", "2"),
        ("3", "done", "3"),
        ("2", "not the leader any more", "3"),
        ("3", "done", "4"),
    ] {
        assert_eq!(write(term), printed, "term {term}");
        assert_eq!(invoices(), written, "term {term}");
    }
}

#[test]
fn a_row_that_carries_its_term_refuses_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("shop.db");
    sqlite3(
        &database,
        "CREATE TABLE stock (item TEXT PRIMARY KEY, pieces INTEGER, term INTEGER NOT NULL); \
         INSERT INTO stock VALUES ('bell', 0, 0)",
    );
    let write = |term: u64, pieces: u64| {
        let sql = example(PAGE, "row");
        let sql = sql.replace(":term", &term.to_string()).replace(":pieces", &pieces.to_string());
        sqlite3(&database, &format!("{sql} SELECT changes()"))
    };
    assert_eq!(write(4, 10), "1");
    assert_eq!(write(4, 11), "1");
    assert_eq!(write(5, 12), "1");
    assert_eq!(write(4, 13), "0", "refused");
    assert_eq!(sqlite3(&database, "SELECT pieces, term FROM stock"), "12|5");
}
