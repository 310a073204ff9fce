//! The style that a test can check: words that STYLE.md refuses, and the width of prose.

use std::fs;
use std::path::Path;

use crate::docs::pages::{Page, all, files, project};

/// Where the refused words stand.
const STYLE: &str = "STYLE.md";

/// Written by a test, from texts that have no lines.
const GENERATED: [&str; 2] = ["docs/cli.md", "docs/configuration.md"];

const WIDTH: usize = 100;

/// All that engineers read beside the pages: names, comments, messages, the page for browsers.
const FOLDERS: [&str; 10] = [
    "src", "benches", "tests", "build", "site", "deploy", "charts", "examples", "image", "release",
];

#[test]
fn no_text_and_no_name_has_a_refused_word() {
    let refused = refused(&Page::read(Path::new(STYLE)).text, "words");
    assert!(refused.len() >= 12, "{refused:?}");
    let texts = texts();
    let has = |ending: &str| texts.iter().any(|(path, _)| path.ends_with(ending));
    assert!([".md", ".rs", ".sh", ".py", ".js", ".yaml", ".go"].iter().all(|ending| has(ending)));
    none_is_found(&refused, texts);
}

#[test]
fn no_name_in_code_has_a_word_for_talk() {
    let refused = refused(&Page::read(Path::new(STYLE)).text, "names");
    assert!(refused.len() >= 6, "{refused:?}");
    let mut texts = texts();
    texts.retain(|(path, _)| path.ends_with(".rs"));
    none_is_found(&refused, texts.into_iter().map(|(path, text)| (path, code(&text))).collect());
}

#[track_caller]
fn none_is_found(refused: &[String], texts: Vec<(String, String)>) {
    let wrong = texts.iter().flat_map(|(path, text)| {
        let found = found(text, refused).into_iter();
        found.map(move |(line, word)| format!("{path}:{line}: '{word}'"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "STYLE.md says what to write instead:\n{}", wrong.join("\n"));
}

#[test]
fn prose_has_at_most_a_hundred_columns() {
    let mut wrong = Vec::new();
    for page in all().iter().filter(|page| !GENERATED.contains(&&*page.name())) {
        wrong.extend(wide(page).iter().map(|line| format!("{}: {line}", page.name())));
    }
    assert!(wrong.is_empty(), "wrap with tests/repo/docs/reflow.py:\n{}", wrong.join("\n"));
}

/// The pages and the sources, each with its path from the root of the project.
fn texts() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    FOLDERS.iter().for_each(|folder| files(&project().join(folder), &mut paths));
    paths.extend(["Makefile", "Dockerfile", "Cargo.toml", "build.rs"].map(|f| project().join(f)));
    // A file that is no text is an image.
    let sources = paths.iter().filter_map(|path| {
        let name = path.strip_prefix(project()).unwrap().display().to_string();
        Some((name, fs::read_to_string(path).ok()?))
    });
    let pages = all().into_iter().map(|page| {
        let name = page.name();
        let text = if name == STYLE { without_lists(&page.text) } else { page.text };
        (name, text)
    });
    pages.chain(sources).collect()
}

/// The words in backticks in the first column of a list.
fn refused(style: &str, list: &str) -> Vec<String> {
    let (_, after) = style.split_once(&format!("<!-- refused {list} -->")).expect("its begin");
    let (list, _) = after.split_once(&format!("<!-- end of refused {list} -->")).expect("its end");
    let first_cells = list.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let words = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    words.map(str::to_owned).collect()
}

/// The style guide without its lists, with as many lines as before.
fn without_lists(style: &str) -> String {
    let mut listed = false;
    let lines = style.lines().map(|line| {
        listed = (listed || line.starts_with("<!-- refused ")) && !line.starts_with("<!-- end of ");
        if listed { "" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Rust code without comments and literals, with as many lines as before.
fn code(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let in_name = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let raw = rest.strip_prefix('r').filter(|_| !in_name || code.ends_with('b'));
        let raw = raw.map(|raw| (raw, raw.trim_start_matches('#')));
        let length = match raw {
            Some((raw, text)) if text.starts_with('"') => {
                let end = format!("\"{}", "#".repeat(raw.len() - text.len()));
                let begin = rest.len() - text.len() + 1;
                begin + rest[begin..].find(&end).expect("an end") + end.len()
            }
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").expect("an end") + 2,
            _ if first == '"' => quoted(rest),
            // Not a lifetime.
            _ if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') && first == '\'' => {
                quoted(rest)
            }
            _ => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        let (left_out, after) = rest.split_at(length);
        code.extend(left_out.chars().filter(|c| *c == '\n'));
        // Two names stay two.
        code.push(' ');
        rest = after;
    }
    code
}

/// The length of a literal with escapes, with both of its quotes.
fn quoted(text: &str) -> usize {
    let (quote, mut escaped) = (text.chars().next(), false);
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = !escaped && Some(*c) == quote;
        escaped = !escaped && *c == '\\';
        ends
    });
    end.expect("an end").0 + 1
}

/// Each refused word in a text, with the number of its line. Lines of a paragraph or a comment are
/// read as one, so that two words are also found across a break. A name is read as its words.
fn found(text: &str, refused: &[String]) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let pieces = line.split(|c: char| !c.is_alphanumeric() && c != '-');
        let pieces = pieces.flat_map(humps).filter(|piece| !piece.is_empty());
        words.extend(pieces.map(|piece| (number + 1, piece.to_lowercase())));
    }
    let mut found = Vec::new();
    for phrase in refused {
        let phrase_words: Vec<_> = phrase.split(' ').collect();
        for window in words.windows(phrase_words.len()) {
            if window.iter().map(|(_, word)| word).eq(phrase_words.iter()) {
                found.push((window[0].0, phrase.clone()));
            }
        }
    }
    found
}

/// The words of a name in camel case.
fn humps(name: &str) -> Vec<&str> {
    let letters: Vec<_> = name.char_indices().collect();
    let ends =
        letters.windows(2).filter(|pair| pair[0].1.is_lowercase() && pair[1].1.is_uppercase());
    let mut at = 0;
    let mut humps: Vec<_> =
        ends.map(|pair| &name[std::mem::replace(&mut at, pair[1].0)..pair[1].0]).collect();
    humps.push(&name[at..]);
    humps
}

/// The lines of prose that are too long. Tables are not prose, nor is what cannot be broken.
fn wide(page: &Page) -> Vec<String> {
    let prose = page.prose();
    let is_wide = |line: &&str| {
        let starts = line.trim_start();
        let can_break = starts.trim_start_matches(['-', ' ']).contains(' ');
        let is_table = starts.starts_with('|') || starts.starts_with("<!--");
        line.chars().count() > WIDTH && can_break && !is_table && !starts.starts_with('#')
    };
    prose.lines().filter(is_wide).map(str::to_owned).collect()
}

#[test]
fn a_refused_word_is_found_wherever_it_stands() {
    let list = "<!-- refused words -->\n| not | but |\n| --- | --- |\n| `who`, `walks past` | a `b` |\n\
                <!-- end of refused words -->";
    let refused = refused(list, "words");
    assert_eq!(refused, ["who", "walks past"]);
    assert_eq!(found(&without_lists(&format!("{list}\nwho")), &refused), [(6, "who".to_owned())]);
    let who = |line| (line, "who".to_owned());
    let walks_past = |line| (line, "walks past".to_owned());
    let text = "//! Whose?\n//! Who else walks\n//! past, whoknows\n";
    assert_eq!(found(text, &refused), [who(2), walks_past(2)]);
    let names = "fn says_who() {\n    if walks_past {\n        Who::WalksPast(WALKS_PAST)\n";
    assert_eq!(
        found(names, &refused),
        [who(1), who(3), walks_past(2), walks_past(3), walks_past(3)]
    );
    let page = |text: String| Page { path: "a.md".into(), text };
    let long = "word ".repeat(30);
    assert_eq!(wide(&page(format!("- {long}\n\n| {long} |\n```\n{long}\n```\n"))).len(), 1);
}

#[test]
fn code_is_what_is_no_comment_and_no_literal() {
    let text =
        "fn a<'a>() { // who\n b\"who \\\" who\"; r#\"who \" who\"#; '\"'; /* who */ walks\n}";
    let words: Vec<_> = code(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["fn", "a<'a>()", "{", "b", ";", ";", ";", "walks", "}"]);
    assert_eq!(code(text).lines().count(), text.lines().count());
}
