//! A command in one setting: for a shell, or word by word.

use super::group::CommandSpec;

/// Why a text is not a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot make a command of the text: use a line for sh, or a JSON array of words such as \
     [\"/bin/check\", \"now\"]"
)]
pub struct InvalidCommand;

impl CommandSpec {
    /// A line for `sh -c`; or, if it begins with `["`, a JSON array of the program and its
    /// arguments, which needs no shell in the image. A shell's own `[` has a space behind it.
    ///
    /// # Errors
    ///
    /// When there is no command in it. The text is not repeated: it may hold secrets.
    pub fn parse(text: &str) -> Result<Self, InvalidCommand> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidCommand);
        }
        if !text.starts_with("[\"") {
            return Ok(Self::new("sh", ["-c", text]));
        }
        let words: Vec<String> = serde_json::from_str(text).map_err(|_| InvalidCommand)?;
        let is_odd = |word: &String| word.contains('\0');
        match words.split_first() {
            Some((program, args)) if !program.is_empty() && !words.iter().any(is_odd) => {
                Ok(Self::new(program, args))
            }
            Some(_) | None => Err(InvalidCommand),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, InvalidCommand> {
        CommandSpec::parse(text).map(|command| format!("{:?}", command.words()))
    }

    #[test]
    fn a_line_is_for_the_shell_and_an_array_is_not() {
        assert_eq!(parsed(" echo a  b ").unwrap(), r#"["sh", "-c", "echo a  b"]"#);
        assert_eq!(parsed(r#"["/bin/x","a  b",""]"#).unwrap(), r#"["/bin/x", "a  b", ""]"#);
        assert_eq!(parsed("[ -f up ]").unwrap(), r#"["sh", "-c", "[ -f up ]"]"#);
        for bad in ["", "  ", r#"[""]"#, r#"["a", 1]"#, r#"["a\u0000b"]"#, "[\"a\""] {
            assert_eq!(parsed(bad), Err(InvalidCommand), "{bad}");
        }
    }
}
