//! Text from outside: from a record, a host, a service, a request, or a mistyped command line.
//!
//! A terminal interprets the control characters in its output, and a log is read line by line. So
//! text that others can write is checked here, where it is read, before any code shows it.

/// The longest text on a line: an identity, a name, a time.
pub const MAX_LINE: usize = 256;

/// The longest text of several lines, in characters: the kept part of a command's standard error.
pub const MAX_LINES: usize = 4096;

/// The longest error: the longest of ours name 16 hosts, and a remedy with the SQL of a whole schema in it, which is about
/// 2,400 characters with the longest names. A part of it would be run, too, and miss what comes last.
const MAX_MESSAGE: usize = 8192;

/// Replaces what is not shown.
const HIDDEN: &str = "…";

/// Whether a character can be shown on a line: it does not control a terminal, end the line, or
/// reorder or hide the text around it.
fn is_plain(c: char) -> bool {
    // Some characters have another category than control, but act as control characters: separators
    // of lines, marks and overrides of the direction, invisible characters, tags.
    let acts = matches!(c,
        '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !acts
}

/// Whether a text can be shown on a line as it is.
pub fn is_line(text: &str) -> bool {
    text.chars().all(is_plain)
}

/// A text for a line: characters that cannot be shown are replaced, and a long text is cut.
pub fn line(text: &str) -> String {
    within(MAX_LINE, text.chars().map(plain))
}

/// The name of a candidate, which is never empty.
pub fn name(text: &str) -> String {
    if text.trim().is_empty() { "(nameless)".to_owned() } else { line(text) }
}

/// A text of several lines, likewise.
pub fn lines(text: &str) -> String {
    let kept = |c| if matches!(c, '\n' | '\t') { c } else { plain(c) };
    within(MAX_LINES, text.chars().map(kept))
}

/// The text of an error, on one line.
pub fn message(text: &str) -> String {
    let kept = |c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { plain(c) };
    within(MAX_MESSAGE, text.chars().map(kept))
}

/// A text of any length for a line of the log: lines become spaces.
pub fn unbroken(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { plain(c) }).collect()
}

/// A text of any length and any number of lines.
pub fn page(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { plain(c) }).collect()
}

fn plain(c: char) -> char {
    if is_plain(c) { c } else { char::REPLACEMENT_CHARACTER }
}

fn within(longest: usize, mut chars: impl Iterator<Item = char>) -> String {
    let mut text: String = chars.by_ref().take(longest).collect();
    if chars.next().is_some() {
        text.push_str(HIDDEN);
    }
    text
}

/// The same JSON in ASCII. A store whose character set is not Unicode takes any text then, such as a
/// Postgres database in LATIN1. JSON has other characters only within strings.
pub fn ascii_json(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            let mut units = [0; 2];
            ascii.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    ascii
}

/// The value that a user gave for a setting, for an error that repeats it. The URL of a store may
/// be given for another setting, so nothing is shown that may hold a password.
pub fn given(text: &str) -> String {
    if may_hold_secret(text) { HIDDEN.to_owned() } else { line(text) }
}

/// Whether the URL of a store has a password in it, and not only a user or a place.
pub fn may_hold_password(url: &str) -> bool {
    let login = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    let in_login = login.is_some_and(|(login, _)| login.contains(':'));
    in_login || url.contains("password=")
}

/// Whether a text looks like a URL, a connection string, or a part of one.
pub fn may_hold_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let signs = ["://", "@", "password", "passwd", "secret", "token=", "key=", "postgres:"];
    signs.iter().any(|sign| lower.contains(sign)) || lower.starts_with("postgresql:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_move_a_cursor_end_a_line_or_turn_text_around_are_not_shown() {
        for hostile in [
            "\u{1b}[2J",
            "\u{9b}2J",
            "a\nb",
            "a\rb",
            "a\u{8}",
            "\u{7f}",
            "\u{2028}",
            "\u{2029}",
            "\u{85}",
            "\u{202e}evil",
            "\u{2066}",
            "\u{200f}",
            "\u{61c}",
            "\u{200b}",
            "\u{feff}",
            "\u{e0041}",
            "\0",
        ] {
            assert!(!is_line(hostile), "{hostile:?}");
            assert!(is_line(&line(hostile)), "{hostile:?}");
            assert!(line(hostile).contains('\u{fffd}'), "{hostile:?}");
        }
        for good in ["web-0 (eu)", "arn:aws:ecs:eu-1:1:task/c/0123", "größer", "羊", "👩‍🌾", ""]
        {
            assert!(is_line(good) && line(good) == good, "{good}");
        }
    }

    #[test]
    fn json_in_ascii_is_the_same_json() {
        for text in ["", "plain \"\\", "größer", "羊", "👩‍🌾", "\0\u{1b}\u{fffd}\u{10ffff}"]
        {
            let ascii = ascii_json(&serde_json::to_string(text).unwrap());
            assert!(ascii.is_ascii(), "{ascii}");
            assert_eq!(serde_json::from_str::<String>(&ascii).unwrap(), text, "{ascii}");
        }
    }

    #[test]
    fn several_lines_stay_several_lines() {
        assert_eq!(lines("a\n\tb\u{1b}[0m\r\n"), "a\n\tb\u{fffd}[0m\u{fffd}\n");
        assert_eq!(page("a\n\u{202e}"), "a\n\u{fffd}");
        assert_eq!(unbroken("a\nb\u{1b}c"), "a b\u{fffd}c");
        assert_eq!(message("a\r\nb\tc\u{1b}d"), "a  b c\u{fffd}d");
    }

    #[test]
    fn a_place_is_no_password() {
        for open in ["postgres://u:p@h/d", "postgres://h/d?user=u&password=p", "postgres://:p@h"] {
            assert!(may_hold_password(open), "{open}");
        }
        for place in ["postgres://u@h:5432/d", "dynamodb://leases", "sqlite:///a:b/leases.db"] {
            assert!(!may_hold_password(place), "{place}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut() {
        assert_eq!(line(&"x".repeat(MAX_LINE)).chars().count(), MAX_LINE);
        assert_eq!(line(&"x".repeat(100_000)).chars().count(), MAX_LINE + 1);
        assert_eq!(lines(&"x".repeat(100_000)).chars().count(), MAX_LINES + 1);
    }

    #[test]
    fn a_text_that_may_hold_a_password_is_not_repeated() {
        for secret in [
            "postgres://u:hunter2@h/d",
            "postgres:u:hunter2@h",
            "u:hunter2@h",
            "http://h/?token=hunter2",
            "host=h password=hunter2",
            "--store=POSTGRES://u:hunter2@h",
            "postgresql:hunter2",
        ] {
            assert!(!given(secret).contains("hunter2"), "{secret}");
        }
        assert_eq!(given("Not A Name"), "Not A Name");
        assert_eq!(given("a\nb"), "a\u{fffd}b");
    }
}
