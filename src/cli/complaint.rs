//! The error of a command line, in one line, without repeating a secret.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, Error, ErrorFormatter, ErrorKind};
use clap::{Arg, Command};

use crate::election::text;

/// clap's explanation without the usage that it repeats, because a log consists of lines. `command`
/// is the command that was called, as far as it is known, and `line` the words.
pub(super) fn of(error: Error, called: Option<&Command>, line: &[OsString]) -> String {
    let hint = match error.kind() {
        ErrorKind::InvalidUtf8 => no_text(called, line),
        _ => hint(&error, called),
    };
    let message = error.apply::<OneLine>().render();
    format!("{message}{} (see --help)", hint.unwrap_or_default())
}

/// The words of a command to run come after `--`. A user who forgets it does not mean an argument
/// of this program.
fn hint(error: &Error, called: Option<&Command>) -> Option<String> {
    let called = called.filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
    let is_flag = |word: &str| word.starts_with('-');
    let word = Words(error).one(ContextKind::InvalidArg).filter(|word| !is_flag(word))?;
    let takes_command = called.get_positionals().any(Arg::is_last_set);
    takes_command
        .then(|| format!("; put -- before the command, as in `{} -- {word}`", called.get_name()))
}

/// Which settings are not UTF-8: clap does not name them. Their values are not repeated.
fn no_text(called: Option<&Command>, line: &[OsString]) -> Option<String> {
    let words = line.iter().take_while(|word| *word != "--");
    let flags = words.clone().zip(words.skip(1)).filter(|(_, word)| word.to_str().is_none());
    let flags = flags.map(|(before, word)| {
        let word = word.to_string_lossy();
        let flag = word.split_once('=').map(|(flag, _)| flag.to_owned());
        flag.unwrap_or_else(|| before.to_string_lossy().into_owned())
    });
    let flags = flags.filter(|flag| flag.starts_with('-')).map(|flag| text::given(&flag));
    let variables = called.into_iter().flat_map(Command::get_arguments).filter_map(Arg::get_env);
    let is_odd = |name: &&OsStr| std::env::var_os(name).is_some_and(|it| it.to_str().is_none());
    let variables = variables.filter(is_odd).map(|name| name.to_string_lossy().into_owned());
    let names: Vec<_> = flags.chain(variables).collect();
    (!names.is_empty()).then(|| format!(": {}; use text in UTF-8", names.join(", ")))
}

/// In one line.
struct OneLine;

impl ErrorFormatter for OneLine {
    fn format_error(error: &Error<Self>) -> clap::builder::StyledStr {
        let words = Words(error);
        let mut message = words.what();
        if let Some(values) = words.all(ContextKind::ValidValue) {
            message += &format!(" [possible values: {values}]");
        }
        for (kind, what) in [
            (ContextKind::SuggestedSubcommand, "subcommand"),
            (ContextKind::SuggestedArg, "argument"),
            (ContextKind::SuggestedValue, "value"),
        ] {
            if let Some(similar) = words.all(kind) {
                message += &format!(": a similar {what} exists: '{similar}'");
            }
        }
        message.into()
    }
}

/// The subject of an error.
struct Words<'a, F: ErrorFormatter>(&'a Error<F>);

impl<F: ErrorFormatter> Words<'_, F> {
    fn what(&self) -> String {
        let one = |kind| self.one(kind).unwrap_or_default();
        let (arg, value) = (one(ContextKind::InvalidArg), one(ContextKind::InvalidValue));
        match self.0.kind() {
            ErrorKind::InvalidValue if value.is_empty() => {
                format!("a value is required for '{arg}' but none was supplied")
            }
            ErrorKind::InvalidValue => format!("invalid value '{value}' for '{arg}'"),
            ErrorKind::ValueValidation => {
                let why = self.0.source().map(|why| format!(": {why}")).unwrap_or_default();
                format!("invalid value '{value}' for '{arg}'{why}")
            }
            ErrorKind::UnknownArgument => format!("unexpected argument '{arg}' found"),
            ErrorKind::InvalidSubcommand => {
                format!("unrecognized subcommand '{}'", one(ContextKind::InvalidSubcommand))
            }
            ErrorKind::MissingRequiredArgument => {
                format!("the following required arguments were not provided: {arg}")
            }
            ErrorKind::ArgumentConflict => match one(ContextKind::PriorArg) {
                prior if prior.is_empty() || prior == arg => {
                    format!("the argument '{arg}' cannot be used like this")
                }
                prior => format!("the argument '{arg}' cannot be used with '{prior}'"),
            },
            kind => {
                let kind = kind.as_str().unwrap_or("the command line is not valid");
                if arg.is_empty() { kind.to_owned() } else { format!("{kind}: '{arg}'") }
            }
        }
    }

    /// The words of one kind, if there are any.
    fn all(&self, kind: ContextKind) -> Option<String> {
        self.one(kind).filter(|words| !words.is_empty())
    }

    /// clap repeats the word that it does not accept. That may be the URL of a store, given without
    /// its flag, for another flag, or in another flag's variable.
    fn one(&self, kind: ContextKind) -> Option<String> {
        match self.0.get(kind)? {
            ContextValue::String(word) => Some(text::given(word)),
            ContextValue::Strings(words) => {
                Some(words.iter().map(|word| text::given(word)).collect::<Vec<_>>().join(", "))
            }
            _ => None,
        }
    }
}
