//! The safety rules have names. What cites one can be found, and cites one that is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::docs::pages::{files, project};

/// Where rules are cited, from the root of the project.
const PLACES: [&str; 8] =
    ["src", "tests", "benches", "build", "docs", "deploy", "charts", "examples"];

/// Where they are written in full.
const HOME: &str = "src/election.rs";

/// A text, with its path from the root of the project.
struct Text {
    path: String,
    text: String,
}

fn texts() -> Vec<Text> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(project()).unwrap() {
        paths.push(entry.unwrap().path());
    }
    paths.retain(|path| path.is_file());
    for place in PLACES.map(|place| project().join(place)).iter().filter(|place| place.exists()) {
        files(place, &mut paths);
    }
    // This file has examples of what is wrong in others.
    paths.retain(|path| !path.ends_with(file!()));
    // Pictures and archives are no texts.
    paths.iter().filter_map(read).collect()
}

fn read(path: &PathBuf) -> Option<Text> {
    let text = fs::read_to_string(path).ok()?;
    let path = path.strip_prefix(project()).unwrap().to_str()?.to_owned();
    Some(Text { path, text })
}

/// A text without what separates the words of a sentence in a comment or on a page.
fn flowing(text: &str) -> String {
    let words =
        text.split_whitespace().filter(|word| !["//", "///", "//!", "#", ">"].contains(word));
    words.collect::<Vec<_>>().join(" ")
}

/// The names in citations: `rule` and a name in backticks.
fn cited(text: &str) -> Vec<String> {
    let text = flowing(text);
    let begins = ["rule `", "Rule `"].map(|begin| text.match_indices(begin));
    let after = begins.into_iter().flatten().filter_map(|(at, begin)| text.get(at + begin.len()..));
    let names = after.filter_map(|rest| rest.split('`').next());
    names.filter(|name| is_name(name)).map(str::to_owned).collect()
}

fn is_name(text: &str) -> bool {
    text.contains('-') && text.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// A reference to a rule by number, such as that to a list which was renumbered since.
fn numbered(text: &str) -> Option<String> {
    let text = flowing(text).to_lowercase();
    let words: Vec<_> = text.split([' ', '(', '"']).collect();
    let number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let mut pairs = words.windows(2).filter(|pair| pair[0] == "rule" || pair[0] == "rules");
    pairs.find(|pair| number(pair[1])).map(|pair| pair.join(" "))
}

/// The names that a list defines: `` - `name`: what it says ``.
fn defined(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    let items = lines.filter_map(|line| line.strip_prefix("- `")?.split_once("`:"));
    items.map(|(name, _)| name.to_owned()).collect()
}

fn rules() -> BTreeSet<String> {
    defined(&fs::read_to_string(project().join(HOME)).unwrap())
}

#[test]
fn every_citation_of_a_rule_has_a_target() {
    let rules = rules();
    assert!(rules.len() > 10, "{rules:?}");
    for Text { path, text } in texts() {
        for name in cited(&text) {
            assert!(rules.contains(&name), "{path} cites '{name}', which {HOME} does not have");
        }
    }
}

#[test]
fn no_rule_is_cited_by_a_number() {
    for Text { path, text } in texts() {
        assert_eq!(numbered(&text), None, "{path}: cite the name that {HOME} gives the rule");
    }
}

#[test]
fn every_rule_is_kept_somewhere_and_tested_somewhere() {
    let is_test = |path: &str| path.starts_with("tests/") || path.contains("/tests");
    let (mut kept, mut tested) = (BTreeSet::new(), BTreeSet::new());
    for Text { path, text } in texts().iter().filter(|text| text.path != HOME) {
        if is_test(path) {
            tested.extend(cited(text));
        } else if path.starts_with("src/") {
            kept.extend(cited(text));
        }
    }
    let without = |cited: &BTreeSet<String>| rules().difference(cited).cloned().collect::<Vec<_>>();
    assert_eq!(without(&kept), Vec::<String>::new(), "no code says that it keeps them");
    assert_eq!(without(&tested), Vec::<String>::new(), "no test says that it is for them");
}

/// A part of a page, from its heading to the next one.
fn part(page: &str, heading: &str) -> String {
    let page = fs::read_to_string(project().join(page)).unwrap();
    let (_, after) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    after.split("\n## ").next().unwrap().to_owned()
}

#[test]
fn the_pages_on_reliability_and_the_algorithm_have_the_same_rules() {
    for (page, heading) in [("docs/reliability.md", "Safety rules"), ("ALGORITHM.md", "Rules")] {
        let part = part(page, heading);
        let names = part.split('`').filter(|name| is_name(name)).map(str::to_owned);
        assert_eq!(names.collect::<BTreeSet<_>>(), rules(), "{page}");
    }
}

#[test]
fn the_mistakes_that_the_page_on_the_algorithm_names_are_planted() {
    let folder = project().join("tests/mutants");
    let planted = ["core.rs", "seams.rs"].map(|file| fs::read_to_string(folder.join(file)));
    let planted = planted.map(Result::unwrap).concat();
    let part = part("ALGORITHM.md", "Rules");
    let named: Vec<_> = part.split('*').skip(1).step_by(2).collect();
    assert!(named.len() >= 20, "{named:?}");
    for mistake in named {
        assert!(planted.contains(&format!("name: \"{mistake}\"")), "no planted bug '{mistake}'");
    }
}

#[test]
fn a_citation_is_found_wherever_its_line_breaks() {
    let text = "/// It ends by rule\n    /// `no-such-rule`, and by Rule `another-one`.";
    assert_eq!(cited(text), ["no-such-rule", "another-one"]);
    for text in ["safety rule 4 (d)", "(rule\n// 7)", "Safety rules 3 and 4", "Rule 12: no"] {
        assert!(numbered(text).is_some(), "{text}");
    }
    assert_eq!(numbered("the rule of 3 people; rules: 4"), None);
}
