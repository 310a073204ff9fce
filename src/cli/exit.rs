//! Exit codes, and the errors that stand behind them.

use crate::config::InvalidConfig;
use crate::sidecar::StartError;

/// Usage or configuration: `EX_USAGE` of sysexits.h.
pub(super) const EXIT_USAGE: u8 = 64;
/// Something that is needed is not there: `EX_UNAVAILABLE`.
pub(super) const EXIT_UNAVAILABLE: u8 = 69;
/// Not decided in time: `EX_TEMPFAIL`.
pub(super) const EXIT_UNDECIDED: u8 = 75;

/// Why a command could not do its work, in words for a person.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// Something was asked for that makes no sense.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The same, found out by a sidecar or a parser.
    #[error("{0}")]
    Usage(String),
    /// The command that another bellwether runs would stand in the election that this one leads.
    #[error(
        "another bellwether runs this command for the election in BELLWETHER_ELECTION, so it would wait for \
         itself; name another election with --election"
    )]
    Nested,
    /// The world is not as it has to be.
    #[error("{0}")]
    Unavailable(String),
    /// It took too long.
    #[error("{0}")]
    Undecided(String),
}

impl CommandError {
    /// The exit code that stands for it.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) | Self::Nested => EXIT_USAGE,
            Self::Unavailable(_) => EXIT_UNAVAILABLE,
            Self::Undecided(_) => EXIT_UNDECIDED,
        }
    }
}

impl From<StartError> for CommandError {
    fn from(error: StartError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A command needs a guard process of its own, and there is none.
pub(super) fn cannot_guard(error: std::io::Error) -> CommandError {
    CommandError::Unavailable(format!("cannot start the command's guard: {error}"))
}
