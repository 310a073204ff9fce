//! The style that a test can check: words that STYLE.md refuses, and the width of prose.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::docs::pages::{Page, all, files, project};

/// Where the refused words stand.
const STYLE: &str = "STYLE.md";

/// Files and folders that still have refused words. The list only shrinks: rewrite a file, and take it out.
const TO_REWRITE: &[&str] = &[];

/// Written by a test, from texts that have no lines.
const GENERATED: [&str; 2] = ["docs/cli.md", "docs/configuration.md"];

const WIDTH: usize = 100;

/// What `src` consists of for a reader: comments, help, messages, the page for browsers.
const SOURCES: [&str; 5] = ["rs", "json", "js", "html", "css"];

#[test]
fn no_text_has_a_refused_word() {
    let refused = refused(&Page::read(Path::new(STYLE)).text);
    assert!(refused.len() >= 12, "{refused:?}");
    let (mut wrong, mut to_rewrite) = (Vec::new(), BTreeSet::new());
    for (path, text) in texts() {
        let found = found(&text, &refused);
        match TO_REWRITE.iter().find(|entry| Path::new(&path).starts_with(entry)) {
            Some(entry) if !found.is_empty() => _ = to_rewrite.insert(*entry),
            Some(_) => {}
            None => {
                wrong.extend(found.iter().map(|(line, word)| format!("{path}:{line}: '{word}'")))
            }
        }
    }
    let clean: Vec<_> = TO_REWRITE.iter().filter(|entry| !to_rewrite.contains(*entry)).collect();
    assert!(clean.is_empty(), "clean now, so take it out of TO_REWRITE: {clean:?}");
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
    let pages = all().into_iter().map(|page| (page.name(), page.text));
    let mut paths = Vec::new();
    files(&project().join("src"), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|is| SOURCES.iter().any(|s| is == *s)));
    let sources = paths.iter().map(|path| {
        let name = path.strip_prefix(project()).unwrap().display().to_string();
        (name, fs::read_to_string(path).unwrap())
    });
    let without_list = pages.map(|(name, text)| {
        let text = if name == STYLE { without_list(&text) } else { text };
        (name, text)
    });
    without_list.chain(sources).collect()
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
/// read as one, so that two words are also found across a break.
fn found(text: &str, refused: &[String]) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let pieces = line.split(|c: char| !c.is_alphanumeric() && !"_-".contains(c));
        let pieces = pieces.filter(|piece| !piece.is_empty());
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
        "{BEGIN}\n| not | but |\n| --- | --- |\n| `who`, `goes on` | a `b` |\n{END}"
    ));
    assert_eq!(refused, ["who", "goes on"]);
    let text = "//! Whose?\n//! Who else goes\n//! on, who_ knows\n";
    assert_eq!(found(text, &refused), [(2, "who".to_owned()), (2, "goes on".to_owned())]);
    let page = |text: String| Page { path: "a.md".into(), text };
    let long = "word ".repeat(30);
    assert_eq!(wide(&page(format!("- {long}\n\n| {long} |\n```\n{long}\n```\n"))).len(), 1);
}
