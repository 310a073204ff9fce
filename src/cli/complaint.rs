//! What is wrong with a command line, in one line, without repeating a secret.

use clap::error::{ContextKind, ContextValue};

use crate::election::text;

/// clap's explanation without the usage that it repeats: a log has lines.
pub(super) fn of(error: &clap::Error) -> String {
    let explanation = without_secrets(error);
    let lines = explanation.lines().take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.starts_with("For more information"));
    let words: Vec<_> = lines.flat_map(str::split_whitespace).collect();
    let text = words.join(" ");
    format!("{} (see --help)", text.trim_start_matches("error: "))
}

/// clap repeats the word that it does not understand. That may be the URL of a store, given without
/// its flag, for another one, or in another's variable.
fn without_secrets(error: &clap::Error) -> String {
    let given = error.context().filter(|(kind, _)| {
        matches!(
            kind,
            ContextKind::InvalidArg | ContextKind::InvalidSubcommand | ContextKind::InvalidValue
        )
    });
    let words = given.flat_map(|(_, value)| match value {
        ContextValue::String(word) => vec![word.as_str()],
        ContextValue::Strings(words) => words.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    });
    let secrets = words.filter(|word| text::may_hold_secret(word));
    secrets.fold(error.to_string(), |shown, secret| shown.replace(secret, &text::given(secret)))
}
