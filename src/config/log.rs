//! What is logged, and how.

use clap::{Args, ValueEnum};

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Text for people or JSON for machines; auto is text on a terminal and JSON elsewhere.
    #[arg(
        long,
        env = "BELLWETHER_LOG_FORMAT",
        global = true,
        default_value = "auto",
        ignore_case = true
    )]
    pub log_format: LogFormat,

    /// The least important messages to log.
    #[arg(
        long,
        env = "BELLWETHER_LOG_LEVEL",
        global = true,
        default_value = "info",
        ignore_case = true
    )]
    pub log_level: LogLevel,
}

/// See [`LogArgs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// By whether standard error is a terminal.
    Auto,
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// See [`LogArgs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the field's own words")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
