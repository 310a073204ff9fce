//! docs/operations.md explains every message of the log, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::docs::pages::{Page, files, project};

const LEVELS: [&str; 3] = ["info", "warn", "error"];

#[test]
fn every_message_is_explained() {
    let (page, sources) = (Page::read(Path::new("docs/operations.md")).text, sources());
    let explained = explained(&page);
    let mut messages: BTreeSet<_> = sources.iter().flat_map(|text| messages(text)).collect();
    messages.extend(reasons_of_only());
    assert!(messages.len() >= 45, "{messages:?}");
    let missing: Vec<_> = messages.difference(&explained).collect();
    assert!(missing.is_empty(), "docs/operations.md does not explain {missing:#?}");
    // What is put together when it is said is no message of its own, but a text of the program.
    let literals: BTreeSet<_> = sources.iter().flat_map(|text| literals(text)).collect();
    let nobodys =
        explained.difference(&messages).filter(|(message, _)| !literals.contains(message));
    let nobodys: Vec<_> = nobodys.collect();
    assert!(nobodys.is_empty(), "docs/operations.md explains what nobody says: {nobodys:#?}");
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

/// The rows `| level | message | …` of the page.
fn explained(page: &str) -> BTreeSet<(String, &'static str)> {
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let level = cells.next()?;
        let level = LEVELS.iter().find(|known| **known == level)?;
        let message = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some((message.to_owned(), *level))
    });
    rows.collect()
}

/// What a source file logs, with its level.
fn messages(text: &str) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for level in LEVELS {
        for call in text.split(&format!("tracing::{level}!(")).skip(1) {
            let message = message(call).unwrap_or_else(|| panic!("no message: {call}"));
            // Nothing but a value: what it can be is a text elsewhere.
            if !message.starts_with('…') {
                found.push((message, level));
            }
        }
    }
    found
}

/// `Held::lose` of `only` warns of what it is called with.
fn reasons_of_only() -> Vec<(String, &'static str)> {
    let text = fs::read_to_string(project().join("src/cli/only.rs")).unwrap();
    let reasons: Vec<_> = text.split("self.lose(").skip(1).filter_map(message).collect();
    assert!(reasons.len() >= 3, "{reasons:?}");
    reasons.into_iter().map(|reason| (reason, "warn")).collect()
}

/// The last text among the arguments of a call.
fn message(call: &str) -> Option<String> {
    let (mut depth, mut last, mut rest) = (0, None, call);
    while let Some(c) = rest.chars().next() {
        match c {
            '"' => {
                let (text, after) = literal(&rest[1..]);
                last = if depth == 0 { Some(text) } else { last };
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

fn literals(text: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('"') {
        // A character, not the begin of a text.
        if before.ends_with('\'') && after.starts_with('\'') {
            rest = after;
            continue;
        }
        let (text, after) = literal(after);
        found.push(text);
        rest = after;
    }
    found
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
fn messages_are_found_as_they_are_said() {
    let code = r#"tracing::warn!(why = %f("x"), from = "a", "b is {c}: \
                  d", ); tracing::info!(key, "{what}")"#;
    let found = messages(code);
    assert_eq!(found, [("b is …: d".to_owned(), "warn")]);
    let page = "| level | message | then |\n| --- | --- | --- |\n| warn | `b` | c |\n";
    assert_eq!(explained(page), BTreeSet::from([("b".to_owned(), "warn")]));
}
