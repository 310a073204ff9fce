//! docs/operations.md explains every message of the log, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::docs::pages::{Page, files, project};

const LEVELS: [&str; 3] = ["info", "warn", "error"];

/// A message as a source file logs it, or as the page explains it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    event: String,
    level: &'static str,
    /// With `…` for each value in it.
    text: String,
}

#[test]
fn every_message_is_explained() {
    let page = Page::read(Path::new("docs/operations.md")).text;
    let of = |messages: BTreeSet<Message>| {
        let key = |message: Message| (message.event, message.level);
        messages.into_iter().map(key).collect::<BTreeSet<_>>()
    };
    let (logged, explained) = (of(logged()), of(explained(&page)));
    assert!(logged.len() >= 65, "{logged:?}");
    let missing: Vec<_> = logged.difference(&explained).collect();
    assert!(missing.is_empty(), "docs/operations.md does not explain {missing:#?}");
    let unknown: Vec<_> = explained.difference(&logged).collect();
    assert!(unknown.is_empty(), "docs/operations.md explains what is not logged: {unknown:#?}");
}

/// Writes the texts again when `BELLWETHER_WRITE_DOCS` is set.
#[test]
fn the_page_shows_the_messages_as_they_are() {
    let path = project().join("docs/operations.md");
    let page = fs::read_to_string(&path).unwrap();
    let texts: BTreeMap<_, _> = logged().into_iter().map(|m| (m.event, m.text)).collect();
    let renewed = |line: &str| {
        let row = row(line).filter(|row| row.text != shown(&texts, row));
        row.map_or(line.to_owned(), |row| {
            line.replacen(&format!("| {} |", row.text), &format!("| {} |", shown(&texts, &row)), 1)
        })
    };
    let made: String = page.lines().map(|line| renewed(line) + "\n").collect();
    if std::env::var_os("BELLWETHER_WRITE_DOCS").is_some() {
        fs::write(&path, &made).unwrap();
    } else {
        assert!(
            page == made,
            "docs/operations.md shows other messages than the log: run \
             `BELLWETHER_WRITE_DOCS=1 cargo test --test repo messages`, and commit what it wrote"
        );
    }
}

/// What is put together when it is logged is described by hand.
fn shown(texts: &BTreeMap<String, String>, row: &Message) -> String {
    let text = texts.get(&row.event).filter(|text| *text != "…");
    text.unwrap_or(&row.text).clone()
}

/// Filters and alerts name an event, and the page has one row for it.
#[test]
fn an_event_names_one_kind_of_message() {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut events: BTreeMap<String, String> = BTreeMap::new();
    for Message { event, text, .. } in logged() {
        let is_snake_case =
            |event: &str| event.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(is_snake_case(&event) && (3..=24).contains(&event.len()), "{event}");
        let of_event = texts.entry(event.clone()).or_insert(text.clone());
        assert_eq!(*of_event, text, "two messages of {event}");
        if text != "…" {
            let of_text = events.entry(text.clone()).or_insert(event.clone());
            assert_eq!(*of_text, event, "two events for '{text}'");
        }
    }
}

/// STYLE.md: the fact, then what to do; lower case, no question, no full stop.
#[test]
fn messages_and_errors_have_one_style() {
    let sources = sources();
    let errors: Vec<_> = sources.iter().flat_map(|text| errors(text)).collect();
    assert!(errors.len() >= 100, "{errors:?}");
    let messages = sources.iter().flat_map(|text| messages(text)).map(|message| message.text);
    let texts: BTreeSet<_> = messages.chain(errors).collect();
    let wrong: Vec<_> = texts.iter().filter(|text| !is_in_style(text)).collect();
    assert!(wrong.is_empty(), "not as STYLE.md wants messages: {wrong:#?}");
}

/// The texts of the errors of a source file.
fn errors(text: &str) -> Vec<String> {
    let attributes = text.split("#[error(").skip(1);
    let begins = attributes.filter_map(|rest| rest.trim_start().strip_prefix('"'));
    begins.map(|rest| literal(rest).0).collect()
}

fn is_in_style(text: &str) -> bool {
    let name = text.split_whitespace().next().unwrap_or_default();
    let is_name = name.chars().filter(|c| c.is_uppercase()).count() > 1
        || ["Kubernetes", "Elastic", "Postgres"].iter().any(|known| name.starts_with(known));
    let begins_low = !text.starts_with(char::is_uppercase) || is_name;
    let ends = text.split(". ").collect::<Vec<_>>();
    let is_one = ends.len() == 1 || ends[..ends.len() - 1].iter().all(|end| end.ends_with("e.g"));
    begins_low && is_one && !text.contains("? ") && !text.ends_with(['.', '?', '!'])
}

/// What the program logs.
fn logged() -> BTreeSet<Message> {
    sources().iter().flat_map(|text| messages(text)).collect()
}

/// The texts of the source files, without comments and tests.
fn sources() -> Vec<String> {
    let mut paths = Vec::new();
    files(&project().join("src"), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    let production = texts.map(|text| {
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap().lines();
        let code = code.filter(|line| !line.trim_start().starts_with("//"));
        code.map(|line| format!("{line}\n")).collect()
    });
    production.collect()
}

/// The rows `| level | event | message | …` of the page.
fn explained(page: &str) -> BTreeSet<Message> {
    page.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Message> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let level = cells.next()?;
    let level = LEVELS.iter().find(|known| **known == level)?;
    let event = cells.next()?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
    Some(Message { event, level, text: cells.next()?.to_owned() })
}

/// What a source file logs. The event stands last among the fields, so that a line for people begins
/// with the message and its values.
fn messages(text: &str) -> Vec<Message> {
    let mut found = Vec::new();
    for level in LEVELS {
        for call in text.split(&format!("tracing::{level}!(")).skip(1) {
            let (before, text) = message(call).unwrap_or_else(|| panic!("no message: {call}"));
            let event = before.trim_end().strip_suffix("\",").and_then(|before| {
                let (before, event) = before.rsplit_once('"')?;
                before.ends_with("event = ").then(|| event.to_owned())
            });
            let event = event.unwrap_or_else(|| {
                panic!("'{text}' has no event: put `event = \"…\"` before the message")
            });
            found.push(Message { event, level, text });
        }
    }
    found
}

/// The last text among the arguments of a call, and what stands before it.
fn message(call: &str) -> Option<(&str, String)> {
    let (mut depth, mut last, mut rest) = (0, None, call);
    while let Some(c) = rest.chars().next() {
        match c {
            '"' => {
                let (text, after) = literal(&rest[1..]);
                last =
                    if depth == 0 { Some((&call[..call.len() - rest.len()], text)) } else { last };
                rest = after;
                continue;
            }
            '(' | '{' | '[' => depth += 1,
            ')' if depth == 0 => return last,
            ')' | '}' | ']' => depth -= 1,
            _ => {}
        }
        rest = &rest[c.len_utf8()..];
    }
    None
}

/// A text up to its closing quote, with `…` for each value in it; and what follows.
fn literal(text: &str) -> (String, &str) {
    let (mut read, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (without_values(&read), &text[at + 1..]),
            '\\' => match chars.next() {
                Some((at, '\n')) => {
                    let indented = text[at + 1..].chars().take_while(|c| c.is_whitespace()).count();
                    for _ in 0..indented {
                        chars.next();
                    }
                }
                Some((_, c)) => read.push(c),
                None => {}
            },
            c => read.push(c),
        }
    }
    (read, "")
}

fn without_values(text: &str) -> String {
    let mut parts = text.split('{');
    let mut read = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        read.push('…');
        read.push_str(part.split_once('}').map_or("", |(_, after)| after));
    }
    read
}

#[test]
fn messages_are_found_as_they_are_logged() {
    let message = |event: &str, level, text: &str| {
        let (event, text) = (event.to_owned(), text.to_owned());
        Message { event, level, text }
    };
    let code = r#"tracing::warn!(why = %f("x"), from = "a", event = "e", "b is {c}: \
                  d", ); tracing::info!(key, event = "k", "{what}")"#;
    let found = messages(code);
    assert_eq!(found, [message("k", "info", "…"), message("e", "warn", "b is …: d")]);
    let page = "| level | event | message | then |\n| --- | --- | --- | --- |\n\
                | warn | `b` | c | d |\n";
    assert_eq!(explained(page), BTreeSet::from([message("b", "warn", "c")]));
}

#[test]
fn a_text_in_another_style_is_found() {
    for good in ["the table is missing; create it", "ECS task metadata: …", "'…' is no key; use …"]
    {
        assert!(is_in_style(good), "{good}");
    }
    for wrong in ["The table is missing", "is it there?", "was it lost? Look", "no. Use it", "a."] {
        assert!(!is_in_style(wrong), "{wrong}");
    }
    assert_eq!(
        errors("#[error(\"a {b}\")] #[error(\n \"c\")] #[error(transparent)]"),
        ["a …", "c"]
    );
}

#[test]
#[should_panic(expected = "'b' has no event")]
fn a_message_without_an_event_is_found() {
    messages(r#"tracing::warn!(event = "a", why, "b")"#);
}
