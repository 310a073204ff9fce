//! Many planted bugs in one build: a build takes longer than the run that shows a bug.
//!
//! A function that bugs are in gets one more body for each of them, and [`VARIABLE`] says which bug is there. A bug
//! outside of the bodies of functions, as in a constant, needs a build of its own.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::{Edit, Mutant, read};

/// The number of the bug that is there, from 1. Without it there is none.
pub const VARIABLE: &str = "BELLWETHER_PLANTED";

/// What the crate needs, so that a function can ask.
pub fn choice() -> String {
    format!(
        "pub fn planted() -> usize {{
            static PLANTED: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
            *PLANTED.get_or_init(|| std::env::var({VARIABLE:?}).map_or(0, |number| number.parse().unwrap()))
        }}
        "
    )
}

/// Whether all of a bug is in the bodies of functions. `root` has the sources.
pub fn can_share(root: &Path, mutant: &Mutant) -> bool {
    mutant.edits.iter().all(|edit| {
        let source = read(&root.join(edit.file));
        bodies(&source).iter().any(|body| encloses(body, &place(&source, edit)))
    })
}

/// Plants all of these, which can share, in the sources at `root`. Their numbers are their places, from 1.
pub fn plant(root: &Path, mutants: &[&Mutant]) {
    let mut files = BTreeMap::<_, Vec<_>>::new();
    for (at, mutant) in mutants.iter().enumerate() {
        for edit in mutant.edits {
            files.entry(edit.file).or_default().push((at + 1, edit));
        }
    }
    for (file, edits) in files {
        let path = root.join(file);
        let planted = with_bodies(&read(&path), &edits);
        std::fs::write(path, planted).unwrap();
    }
}

/// The source with one more body in each function for each bug that has edits in it.
fn with_bodies(source: &str, edits: &[(usize, &Edit)]) -> String {
    let mut planted = source.to_owned();
    // Backwards: what comes before a function stays where it is.
    for body in bodies(source).into_iter().rev() {
        let original = part(source, body.clone());
        let mut others = BTreeMap::new();
        for (number, edit) in edits {
            if encloses(&body, &place(source, edit)) {
                let other = others.entry(number).or_insert_with(|| original.to_owned());
                *other = other.replacen(edit.original, edit.replacement, 1);
            }
        }
        let others = others
            .iter()
            .map(|(number, other)| format!("if crate::planted() == {number} {{{other}}} else "));
        let others: String = others.collect();
        if !others.is_empty() {
            planted.replace_range(body, &format!("{others}{{{original}}}"));
        }
    }
    planted
}

/// Where an edit changes the source.
fn place(source: &str, Edit { original, .. }: &Edit) -> Range<usize> {
    let start = source.find(original).unwrap_or_else(|| panic!("no source has this:\n{original}"));
    start..start + original.len()
}

fn encloses(body: &Range<usize>, place: &Range<usize>) -> bool {
    body.start <= place.start && place.end <= body.end
}

fn part(source: &str, range: Range<usize>) -> &str {
    source.get(range).unwrap()
}

/// What is between the braces of each function, by how rustfmt indents them. No function in another one.
fn bodies(source: &str) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(line) = part(source, at..source.len()).split_inclusive('\n').next() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let body = is_function(line.trim_start()).then(|| body_from(source, at, indent)).flatten();
        at = body.as_ref().map_or(at + line.len(), |body| body.end);
        found.extend(body);
    }
    found
}

/// A constant function cannot ask which bug is there.
fn is_function(line: &str) -> bool {
    let mut words = line.split(' ').skip_while(|word| word.starts_with("pub") || *word == "async");
    words.next() == Some("fn")
}

/// The body of the function whose first line is at `start`; none if it has none.
fn body_from(source: &str, start: usize, indent: usize) -> Option<Range<usize>> {
    let (mut at, mut begin) = (start, None);
    for line in part(source, start..source.len()).split_inclusive('\n') {
        at += line.len();
        let of_function = line.len() - line.trim_start_matches(' ').len() == indent;
        let text = line.trim();
        match begin {
            None if of_function && text.ends_with('{') => begin = Some(at - 1),
            None if of_function && text.ends_with([';', '}']) => return None,
            Some(begin) if of_function && text == "}" => return Some(begin..at - 2),
            _ => {}
        }
    }
    None
}

#[test]
fn each_bug_has_a_body_of_its_own() {
    let source = "const LIMIT: u8 = 3;

impl Some {
    pub(super) async fn one(
        &self,
    ) -> u8
    where
        Self: Sized,
    {
        if self.is() {
            return 1;
        }
        2
    }

    fn none() {}

    const fn fixed() -> u8 {
        4
    }
}
";
    let edit = |original, replacement| Edit { file: "", original, replacement };
    let (one, both) = (edit("return 1", "return 5"), edit("        2\n", "        6\n"));
    let planted = with_bodies(source, &[(1, &one), (2, &one), (2, &both)]);
    let body = |one: u8, two: u8| {
        format!(
            "\n        if self.is() {{\n            return {one};\n        }}\n        {two}\n    "
        )
    };
    let chosen = format!(
        "if crate::planted() == 1 {{{}}} else if crate::planted() == 2 {{{}}} else {{{}}}",
        body(5, 2),
        body(5, 6),
        body(1, 2)
    );
    assert_eq!(planted, source.replace(&body(1, 2), &chosen));
    for outside in ["LIMIT: u8 = 3", "fixed", "4"] {
        let place = place(source, &edit(outside, ""));
        assert!(!bodies(source).iter().any(|body| encloses(body, &place)), "{outside}");
    }
}
