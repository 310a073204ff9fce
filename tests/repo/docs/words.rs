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
    let refused = refused(&Page::read(Path::new(STYLE)).text);
    assert!(refused.len() >= 12, "{refused:?}");
    let texts = texts();
    let has = |ending: &str| texts.iter().any(|(path, _)| path.ends_with(ending));
    assert!([".md", ".rs", ".sh", ".py", ".js", ".yaml", ".go"].iter().all(|ending| has(ending)));
    let wrong = texts.iter().flat_map(|(path, text)| {
        let found = found(text, &refused).into_iter();
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
        let text = if name == STYLE { without_list(&page.text) } else { page.text };
        (name, text)
    });
    pages.chain(sources).collect()
}

const BEGIN: &str = "<!-- refused words -->";
const END: &str = "<!-- end of refused words -->";

/// The words in backticks in the first column of the list.
fn refused(style: &str) -> Vec<String> {
    let (_, after) = style.split_once(BEGIN).expect("the begin of the list");
    let (list, _) = after.split_once(END).expect("the end of the list");
    let first_cells = list.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let words = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    words.map(str::to_owned).collect()
}

/// The style guide without the list, with as many lines as before.
fn without_list(style: &str) -> String {
    let (before, rest) = style.split_once(BEGIN).unwrap();
    let (list, after) = rest.split_once(END).unwrap();
    format!("{before}{}{after}", "\n".repeat(list.lines().count()))
}

/// Each refused word in a text, with the number of its line. Lines of a paragraph or a comment are
/// read as one, so that two words are also found across a break. A name is read as its words.
fn found(text: &str, refused: &[String]) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let pieces = line.split(|c: char| !c.is_alphanumeric());
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
    let ends = letters.windows(2).filter(|pair| pair[0].1.is_lowercase() && pair[1].1.is_uppercase());
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
    let refused = refused(&format!(
        "{BEGIN}\n| not | but |\n| --- | --- |\n| `who`, `walks past` | a `b` |\n{END}"
    ));
    assert_eq!(refused, ["who", "walks past"]);
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
