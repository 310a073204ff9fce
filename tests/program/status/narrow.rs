//! What `status` prints fits a terminal, and says what people ask.

use serde_json::Value;
use support::window::{Window, is_too_wide};
use support::{Pasture, bellwether};

use super::scene::{Planted, SHOWN, arn, status};

fn printed(url: &str, args: &[&str]) -> String {
    let output = status(url, args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The words of the line that begins with these.
fn line<'a>(text: &'a str, begin: &str) -> &'a str {
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + " ";
    let found = text.lines().find(|line| squeezed(line).starts_with(&format!("{begin} ")));
    found.unwrap_or_else(|| panic!("no line begins with {begin}: {text}"))
}

#[tokio::test]
async fn a_line_fits_the_terminal_and_a_pipe_gets_eighty_columns() {
    let pasture = Pasture::new();
    Planted::at(&pasture.store()).await.everything().await;
    for (width, args) in [(80, &[][..]), (40, &[]), (20, &[]), (80, &["--all-namespaces"])] {
        let mut window = Window::open(&status(&pasture.store(), args), width, 400);
        assert!(window.wait().success());
        let rows = window.shows("psycopg2");
        assert!(!window.is_too_narrow(), "{width}: {}", window.text());
        let is_whole = rows.iter().any(|row| row.contains("failed (3 of 3), final"));
        assert_eq!(is_whole, width >= 40, "{rows:?}");
        assert_eq!(window.is_taken(), (false, false), "it prints, and leaves");
    }
    let piped = printed(&pasture.store(), &[]);
    assert!(!is_too_wide(&piped, 80), "{piped}");
    let watched = status(&pasture.store(), &[]).env("COLUMNS", "50").output().unwrap();
    let watched = String::from_utf8(watched.stdout).unwrap();
    assert!(!is_too_wide(&watched, 50), "as `watch` says: {watched}");
    assert!(watched.contains("held"), "{watched}");
}

#[tokio::test]
async fn names_are_short_where_they_are_equal_and_whole_with_wide() {
    let pasture = Pasture::new();
    Planted::at(&pasture.store()).await.everything().await;
    let table = printed(&pasture.store(), &[]);
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("election")).collect();
    assert_eq!(rows.len(), 40, "{table}");
    for (number, row) in rows.iter().enumerate().filter(|(number, _)| *number != 21) {
        let words: Vec<_> = row.split_whitespace().collect();
        let [_, name, state, holder, term, age, left] = words[..] else { panic!("{row}") };
        assert!(name.ends_with(&format!("-{number:02}")), "{row}");
        assert!(holder.ends_with(&format!("{number:04x}")) && holder.starts_with('…'), "{row}");
        assert_eq!((state, term, age), ("held", "7", "5m"), "{row}");
        assert!(left.ends_with('m'), "{row}");
    }
    let words: Vec<_> = rows[21].split_whitespace().collect();
    assert_eq!((&words[2..5], words[6]), (&["vacated", "-", "7"][..], "-"));
    assert!(!table.contains("http://"), "{table}");

    let wide = printed(&pasture.store(), &["--wide"]);
    let row = wide.lines().find(|line| line.contains("country-12")).unwrap();
    for whole in
        ["nightly-reports-of-every-shop-in-the-country-12", &arn(12), "http://10.0.0.1:8080"]
    {
        assert!(row.contains(whole), "{row}");
    }
    assert!(row.contains("T") && row.contains("Z "), "the date: {row}");
    let mut window = Window::open(&status(&pasture.store(), &["--wide"]), 300, 400);
    assert!(window.wait().success());
    assert!(window.shows("ENDED").iter().any(|row| row.contains(&arn(12))));
    let both = bellwether().args(["status", "--wide", "--json"]).output().unwrap();
    assert_eq!(both.status.code(), Some(64), "--json has everything");
}

#[tokio::test]
async fn works_show_whether_they_are_done_run_or_have_failed_for_good() {
    let pasture = Pasture::new();
    Planted::at(&pasture.store()).await.everything().await;
    let table = printed(&pasture.store(), &[]);
    let (records, keys) = table.split_once("\n\n").unwrap();
    for (work, shown) in SHOWN {
        let (state, is_final) = shown.split_once(',').map_or((shown, false), |(s, _)| (s, true));
        let row = line(records, &format!("work {work}"));
        assert!(row.contains(&format!("  {state}  ")), "{row}");
        let row = line(keys, work);
        assert!(row.contains(&format!("  {shown}  ")) && row.contains("  42 "), "{row}");
        assert!(row.trim_end().ends_with('m'), "its age: {row}");
        let all: Value = serde_json::from_str(&printed(&pasture.store(), &["--json"])).unwrap();
        let of = |row: &&Value| row["name"] == work;
        let json = &all.as_array().unwrap().iter().find(of).unwrap()["work"]["keys"][0];
        assert_eq!(json["final"], is_final, "{json}");
    }
    assert!(keys.contains("failed with code 3 on"), "{keys}");
    let wrote = keys.replace(char::is_whitespace, "");
    assert!(wrote.contains("doesnotexistatcharacter15"), "folded, and not cut: {keys}");
}

#[test]
fn a_command_that_fails_is_shown_by_how_often_it_may() {
    let pasture = Pasture::new();
    let fails = |max: &str| {
        let mut once = bellwether();
        once.args(["once", "--store", &pasture.store(), "--key", "v1", "--identity", "a"]);
        once.args(["--max-attempts", max, "--retry-delay", "1h", "--timeout", "2s"]);
        once.args(["--", "sh", "-c", "exit 9"]).output().unwrap().status.code()
    };
    fails("2");
    let first = printed(&pasture.store(), &[]);
    assert!(line(&first, "default v1").contains("failed (1 of 2)  a"), "{first}");
    assert_eq!(fails("1"), Some(9), "for this one it is final");
}
