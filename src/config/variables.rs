//! Variables that are read beside those of flags. One whose value is no text must not count as unset: then the default
//! would be used, and the user would not know.

use std::cell::RefCell;
use std::ffi::OsString;

/// The error for such a variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: its value is not valid UTF-8; set it to a text, or unset it")]
pub struct NoText(pub String);

/// The value of a variable, if it is set.
pub(super) fn text_of(variable: &str) -> Result<Option<String>, NoText> {
    text(variable, std::env::var_os(variable))
}

fn text(variable: &str, value: Option<OsString>) -> Result<Option<String>, NoText> {
    value.map(OsString::into_string).transpose().map_err(|_| NoText(variable.to_owned()))
}

/// What `parse` makes of the variables that it reads.
pub(super) fn with_texts<T, E: From<NoText>>(
    parse: impl FnOnce(&dyn Fn(&str) -> Option<String>) -> Result<T, E>,
) -> Result<T, E> {
    let first = RefCell::new(None);
    let read = |name: &str| {
        text_of(name).unwrap_or_else(|error| {
            first.borrow_mut().get_or_insert(error);
            None
        })
    };
    let parsed = parse(&read);
    match first.take() {
        Some(error) => Err(error.into()),
        None => parsed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn a_value_that_is_no_text_does_not_count_as_unset() {
        assert_eq!(text("PGHOST", None), Ok(None));
        assert_eq!(text("PGHOST", Some("h".into())), Ok(Some("h".to_owned())));
        let bytes = OsString::from_vec(vec![b'h', 0xff]);
        assert_eq!(text("PGHOST", Some(bytes)), Err(NoText("PGHOST".to_owned())));
    }
}
