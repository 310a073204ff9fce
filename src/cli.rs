//! The command line: one file per command.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{InvalidConfig, LogArgs};
use crate::logs;

mod once;
mod run;
mod serve;
mod signals;

/// Usage or configuration: `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;
/// Something that is needed is not there: `EX_UNAVAILABLE`.
const EXIT_UNAVAILABLE: u8 = 69;
/// Not decided in time: `EX_TEMPFAIL`.
const EXIT_UNDECIDED: u8 = 75;

/// Leader election sidecar: tells the application beside it, truthfully and at once, whether it may
/// do leader-only work.
#[derive(Debug, Parser)]
#[command(name = "bellwether", version, max_term_width = 100, args_override_self = true)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stand in an election and answer over HTTP who leads.
    Serve(serve::Args),
    /// Stand in an election and run a command while leading: never longer, and never orphaned.
    Run(run::Args),
    /// Run a command to success once per key, across all instances; the others wait for it.
    Once(once::Args),
}

/// Why a command could not do its work, in words for a person.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Something was asked for that makes no sense.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The world is not as it has to be.
    #[error("{0}")]
    Unavailable(String),
    /// It took too long.
    #[error("{0}")]
    Undecided(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => EXIT_USAGE,
            Self::Unavailable(_) => EXIT_UNAVAILABLE,
            Self::Undecided(_) => EXIT_UNDECIDED,
        }
    }
}

/// Reads the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            say(&one_line(&error.to_string()));
            return ExitCode::from(EXIT_USAGE);
        }
        Err(help) => {
            // Nobody is left to tell if this cannot be written.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    logs::init(&cli.log);
    let done = match cli.command {
        Command::Serve(args) => block_on(serve::run(args)),
        Command::Run(args) => block_on(run::run(args)),
        Command::Once(args) => block_on(once::run(args)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Tells a person why nothing is done.
fn say(problem: &str) {
    // Nobody is left to tell if this cannot be written.
    let _ = writeln!(io::stderr(), "bellwether: {problem}");
}

/// clap's explanation without the usage that it repeats: a log has lines.
fn one_line(explanation: &str) -> String {
    let lines = explanation.lines().take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.starts_with("For more information"));
    let words: Vec<_> = lines.flat_map(str::split_whitespace).collect();
    let text = words.join(" ");
    format!("{} (see --help)", text.trim_start_matches("error: "))
}

/// One thread runs everything, so that no answer is given while another is being decided.
fn block_on(command: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Unavailable(format!("cannot start: {error}")))?;
    let done = runtime.block_on(command);
    // A store call that hangs in a thread of its own must not hang the exit.
    runtime.shutdown_background();
    done
}
