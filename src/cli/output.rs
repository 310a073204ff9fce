//! What a person or a script asked for, on standard output.

use std::io;

use rustix::io::Errno;

use super::exit::CommandError;
use crate::command::whole;

/// Prints the requested text. A text that cannot be printed is an error.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    print_more(text).map(|_| ())
}

/// The same for a command that a signal ends: a reader that takes nothing keeps no signal waiting.
/// Returns whether the reader wants more.
pub(super) async fn print_apart(text: String) -> Result<Reader, CommandError> {
    let printed = tokio::task::spawn_blocking(move || print_more(&text)).await;
    printed.unwrap_or(Ok(Reader::HasLeft))
}

/// The same; returns whether the reader wants more. A reader that is done closes the pipe.
fn print_more(text: &str) -> Result<Reader, CommandError> {
    match whole::write(&io::stdout().lock(), text.as_bytes()) {
        Ok(()) => Ok(Reader::Reads),
        Err(Errno::PIPE) => Ok(Reader::HasLeft),
        Err(error) => {
            Err(CommandError::Unavailable(format!("cannot write to standard output: {error}")))
        }
    }
}

/// The reader of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Reads,
    HasLeft,
}
