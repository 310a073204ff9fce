//! Names in a narrow place: what tells them apart stays.

use std::collections::HashSet;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Replaces what is left out.
const LEFT_OUT: char = '…';

/// After these a name can be divided.
const MARKS: [char; 6] = ['-', '.', '/', ':', '_', '@'];

/// A beginning that is not longer than this is worth its place more than the sign that it is left out.
const KEPT: usize = 3;

/// Which part of a name says most if all parts tell names apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distinct {
    /// Names that people have chosen: of elections, of works.
    Begin,
    /// Names that programs make: of hosts, pods and tasks, of releases.
    End,
}

/// Names for a column of this width. If they do not fit as they are, the beginning that all of them
/// have goes first. If that is not enough, a part goes without which they can still be told apart.
pub fn shortened(names: &[&str], distinct_part: Distinct, width: usize) -> Vec<String> {
    let fit = |names: &[String]| names.iter().all(|name| name.width() <= width);
    let whole: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    if fit(&whole) {
        return whole;
    }
    let tails = match shared(names) {
        0 => whole.clone(),
        same => names.iter().map(|n| format!("{LEFT_OUT}{}", n.get(same..).unwrap_or(n))).collect(),
    };
    if fit(&tails) {
        return tails;
    }
    let cut = |names: &[String], cut: fn(&str, usize) -> String| -> Vec<String> {
        names.iter().map(|name| cut(name, width)).collect()
    };
    let mut cuts = [
        cut(&whole, keep_begin),
        cut(&whole, keep_end),
        cut(&tails, keep_begin),
        cut(&tails, keep_both),
    ];
    if distinct_part == Distinct::End {
        cuts.swap(0, 1);
    }
    let different = distinct(&whole);
    let clear = cuts.iter().position(|names| distinct(names) == different).unwrap_or(0);
    cuts.into_iter().nth(clear).unwrap_or_default()
}

/// The beginning of a text, as far as this width.
pub fn keep_begin(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    format!("{}{LEFT_OUT}", taken(text.chars(), width.saturating_sub(1)))
}

fn keep_end(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let end: String = taken(text.chars().rev(), width.saturating_sub(1)).chars().rev().collect();
    // Marks belong to the letter before them, which is left out.
    let end = end.trim_start_matches(|c: char| c.width() == Some(0));
    format!("{LEFT_OUT}{end}")
}

fn keep_both(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let begin = taken(text.chars(), width.saturating_sub(1) / 2);
    let rest = width.saturating_sub(begin.width());
    format!("{begin}{}", keep_end(text, rest))
}

/// As many of these characters as fit. Each counts for itself: what a terminal makes one of is
/// never wider than its parts.
fn taken(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut left = width;
    let fits = |c: &char| match left.checked_sub(c.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    chars.take_while(fits).collect()
}

/// The length of the beginning that all names share, up to the last mark in it.
fn shared(names: &[&str]) -> usize {
    let different: HashSet<_> = names.iter().collect();
    let mut others = different.iter();
    let Some(first) = others.next().filter(|_| different.len() > 1) else { return 0 };
    let same = others.fold(first.len(), |same, other| {
        let pairs = first.bytes().zip(other.bytes());
        pairs.take(same).take_while(|(one, another)| one == another).count()
    });
    let ends = first.char_indices().map(|(at, c)| (at + c.len_utf8(), c));
    let mut ends = ends.filter(|(end, c)| *end <= same && MARKS.contains(c)).map(|(end, _)| end);
    // Of a name that is such a beginning itself something has to stay.
    let shortest = names.iter().map(|name| name.len()).min().unwrap_or(0);
    ends.rfind(|end| *end > KEPT && *end < shortest).unwrap_or(0)
}

fn distinct(names: &[String]) -> usize {
    names.iter().collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str =
        "arn:aws:ecs:eu-central-1:123456789012:task/shop/0123456789abcdef0123456789abcde";

    /// The page for browsers shortens names by the same rules, and is tested with the same cases.
    #[test]
    fn names_are_shortened_as_the_shared_cases_say() {
        let cases = include_str!("../http/page/names.cases.json");
        let cases: Vec<serde_json::Value> = serde_json::from_str(cases).unwrap();
        assert!(cases.len() >= 15);
        for case in cases {
            let texts =
                |key: &str| -> Vec<String> { serde_json::from_value(case[key].clone()).unwrap() };
            let names = texts("names");
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let distinct_part =
                if case["distinct"] == "end" { Distinct::End } else { Distinct::Begin };
            let width = usize::try_from(case["width"].as_u64().unwrap()).unwrap();
            assert_eq!(shortened(&names, distinct_part, width), texts("short"), "{case}");
        }
    }

    #[test]
    fn nothing_is_wider_than_its_column() {
        let wide = [
            "羊の群れのリーダー",
            "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
            "👩‍🌾👩‍🌾👩‍🌾👩‍🌾👩‍🌾",
            TASK,
            "",
        ];
        for width in 1..20 {
            for name in shortened(&wide, Distinct::End, width).iter().chain(&shortened(
                &wide[..1],
                Distinct::End,
                width,
            )) {
                assert!(name.width() <= width, "{width}: {name}");
            }
            for cut in [keep_begin, keep_end, keep_both] {
                for name in wide {
                    assert!(cut(name, width).width() <= width, "{width}: {name}");
                }
            }
        }
        assert_eq!(keep_end("ae\u{301}bc", 3), "…bc");
    }
}
