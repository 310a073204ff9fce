//! The command line: one file per command.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::command::{group, spec};
use crate::config::{LogArgs, LogLevel};
use crate::sidecar::Signals;
use crate::store::no_thread;
use exit::{CommandError, EXIT_USAGE};
use logging::print_problem;
use output::print;
use variables::Sources;

mod complaint;
mod endings;
mod examples;
mod exit;
mod healthcheck;
mod init;
mod install;
mod is_leader;
mod logging;
mod metrics;
mod once;
mod only;
mod output;
mod pages;
mod pause;
pub mod reference;
mod resign;
mod run;
mod serve;
mod short;
mod status;
mod store_call;
mod variables;
mod wait;

/// A leader election sidecar: it answers at once whether the application beside it may do
/// leader-only work.
#[derive(Debug, Parser)]
#[command(
    name = "bellwether",
    version,
    max_term_width = 100,
    args_override_self = true,
    after_help = examples::PROGRAM
)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stand in an election, and show over HTTP which instance leads.
    #[command(after_help = examples::SERVE)]
    Serve(serve::Args),
    /// Stand in an election and run a command while leading: never longer, and never orphaned.
    #[command(after_help = examples::RUN)]
    Run(run::Args),
    /// Run a command to success once per key, across all instances; the others wait for it.
    #[command(after_help = examples::ONCE)]
    Once(once::Args),
    /// Run a command only if this instance leads, as the sidecar beside it says, and stop it if the
    /// leadership is lost.
    #[command(after_help = examples::ONLY)]
    Only(only::Args),
    /// Ask the sidecar whether this instance leads: exit code 0 is yes, 1 no, 75 not known.
    #[command(after_help = examples::IS_LEADER)]
    IsLeader(is_leader::Args),
    /// Wait until the election is decided, or until this instance leads.
    #[command(after_help = examples::WAIT)]
    Wait(wait::Args),
    /// Show every election and all work done once, as the store has them.
    #[command(after_help = examples::STATUS)]
    Status(status::Args),
    /// Ask the sidecar to step down and stay down for a while.
    #[command(after_help = examples::RESIGN)]
    Resign(resign::Args),
    /// Pause an election for maintenance: the leader steps down, and no instance stands.
    #[command(after_help = examples::PAUSE)]
    Pause(pause::PauseArgs),
    /// Resume an election that is paused.
    #[command(after_help = examples::RESUME)]
    Resume(pause::ResumeArgs),
    /// Create what the store needs, or check it.
    #[command(after_help = examples::INIT)]
    Init(init::Args),
    /// Ask whether the sidecar has started and lives: exit code 0 is yes, 1 no.
    #[command(after_help = examples::HEALTHCHECK)]
    Healthcheck(healthcheck::Args),
    /// Copy this program into a folder, such as a volume shared with the application.
    #[command(after_help = examples::INSTALL)]
    Install(install::Args),
    /// Print the completions for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(pages::CompletionsArgs),
    /// Write the manual pages into a folder.
    #[command(after_help = examples::MAN)]
    Man(pages::ManArgs),
}

/// Reads the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let code = run_command_line();
    logging::flush();
    code
}

fn run_command_line() -> ExitCode {
    let line = words(std::env::args_os());
    let settings = Cli::command();
    // Includes those that are not set.
    let known = variables::known(&settings);
    let mut command = without_values(variables::settle(settings, &line));
    let sources = Sources::of(&command, &line);
    let cli = match parse(&mut command, &line) {
        Ok(cli) => cli,
        Err(error) if is_without_command(&error) => {
            init_log(&line);
            let names: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
            let why = format!("no command given; use one of {} (see --help)", names.join(", "));
            logging::show(&format!("{}\n", command.render_help()), &why);
            return ExitCode::from(EXIT_USAGE);
        }
        Err(error) if error.use_stderr() => {
            init_log(&line);
            let called = variables::called(&command, &line);
            print_problem(&sources.named(&complaint::of(error, called, &line)));
            return ExitCode::from(EXIT_USAGE);
        }
        Err(help) => {
            init_log(&line);
            return match print(&help.render().to_string()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => failed(&failure.to_string(), &failure),
            };
        }
    };
    // A third of a megabyte, which would stay for as long as the command runs.
    drop(command);
    logging::init(&cli.log);
    let checked = check_variables(&known)
        .and_then(|()| check_program(&cli.command))
        .and_then(|()| check_nesting(&cli.command, &sources));
    spec::hide_from_commands(variables::hidden(known));
    match checked.and_then(|()| run(cli.command)) {
        Ok(code) => ExitCode::from(code),
        // The variable is what has to be overruled: the flag in the text stays.
        Err(nested @ CommandError::Nested) => failed(&nested.to_string(), &nested),
        Err(failure) => failed(&sources.named(&failure.to_string()), &failure),
    }
}

/// Starts the log for a line that is not carried out.
fn init_log(line: &[OsString]) {
    let log_format = logging::format_in(line);
    logging::init(&LogArgs { log_format, log_level: LogLevel::Info });
}

/// A variable may hold a secret by mistake: the help names variables, and shows no value.
fn without_values(command: clap::Command) -> clap::Command {
    let hidden = command.mut_args(|argument| argument.hide_env_values(true));
    hidden.mut_subcommands(without_values)
}

fn is_without_command(error: &clap::Error) -> bool {
    use ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand};
    matches!(error.kind(), DisplayHelpOnMissingArgumentOrSubcommand | MissingSubcommand)
}

fn failed(why: &str, failure: &CommandError) -> ExitCode {
    print_problem(why);
    ExitCode::from(failure.exit_code())
}

fn parse(command: &mut clap::Command, line: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = command.try_get_matches_from_mut(line)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(command))
}

/// An unknown variable may be a misspelt one.
fn check_variables(known: &BTreeSet<String>) -> Result<(), CommandError> {
    let variables::Strangers { unknown, mistaken } = variables::strangers(known);
    if let Some((name, meant)) = mistaken {
        return Err(CommandError::Usage(format!(
            "{name} is not a setting and would be ignored; correct it to {meant}, or unset it"
        )));
    }
    for variable in unknown {
        tracing::warn!(
            variable,
            event = "unknown_variable",
            "this variable is not a setting of bellwether and is ignored; correct its name or \
             unset it"
        );
    }
    Ok(())
}

/// A variable that is not set, in quotes, is an empty program: the lease would be taken for nothing.
fn check_program(command: &Command) -> Result<(), CommandError> {
    let words = match command {
        Command::Run(args) => args.words(),
        Command::Once(args) => args.words(),
        Command::Only(args) => args.words(),
        _ => return Ok(()),
    };
    if words.first().is_some_and(|program| program.is_empty()) {
        let why = "the command after -- has an empty name; check the variable that is to hold it";
        return Err(CommandError::Usage(why.to_owned()));
    }
    Ok(())
}

/// A command of this program finds in its environment the election that it leads. If it stood in
/// that election as well, it would wait for itself.
fn check_nesting(command: &Command, sources: &Sources) -> Result<(), CommandError> {
    let is_nested = std::env::var_os(group::MARK).is_some();
    let stands = matches!(command, Command::Serve(_) | Command::Run(_));
    if is_nested && stands && sources.come_from_variable("--election") {
        return Err(CommandError::Nested);
    }
    Ok(())
}

fn run(command: Command) -> Result<u8, CommandError> {
    match command {
        Command::Serve(args) => block_on(with_a_thread(serve::run(args))),
        Command::Run(args) => block_on(with_a_thread(run::run(args))),
        Command::Once(args) => match block_on(with_a_thread(once::run(args)))? {
            once::Next::Exit(code) => Ok(code),
            once::Next::Serve(words) => Ok(once::become_server(words)),
        },
        Command::Only(args) => block_on(only::run(args)),
        Command::IsLeader(args) => block_on(or_signal(is_leader::run(args))),
        Command::Wait(args) => block_on(or_signal(wait::run(args))),
        Command::Status(args) => block_on(or_signal(with_a_thread(status::run(args)))),
        Command::Resign(args) => block_on(or_signal(resign::run(args))),
        Command::Pause(args) => block_on(or_signal(with_a_thread(pause::pause(args)))),
        Command::Resume(args) => block_on(or_signal(with_a_thread(pause::resume(args)))),
        Command::Init(args) => block_on(or_signal(with_a_thread(init::run(args)))),
        Command::Healthcheck(args) => block_on(or_signal(healthcheck::run(args))),
        Command::Install(args) => install::run(&args),
        Command::Completions(args) => pages::completions(&args, Cli::command()),
        Command::Man(args) => pages::man(&args, Cli::command()),
    }
}

/// The name by which this program is `bellwether only`: a link of that name replaces the
/// `leader_only` of Elastic Beanstalk.
const LEADER_ONLY: &str = "leader_only";

/// Whether a program's own name, as it was called, is [`LEADER_ONLY`].
pub fn is_leader_only(name: &OsString) -> bool {
    Path::new(name).file_name().is_some_and(|name| name == LEADER_ONLY)
}

/// Whether these words are a command line of this program; nothing is done.
///
/// # Errors
///
/// What is wrong with them. That help is asked for is no error.
pub fn check_words(line: impl IntoIterator<Item = OsString>) -> Result<(), clap::Error> {
    match Cli::try_parse_from(words(line.into_iter())) {
        Err(error) if error.use_stderr() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The command line as it is meant: `leader_only CMD…` is `bellwether only -- CMD…`. What begins
/// with a dash is no command but a flag.
fn words(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<_> = args.collect();
    if words.first().is_some_and(is_leader_only) {
        let is_flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
        let begins = if words.get(1).is_some_and(is_flag) { vec![] } else { vec!["--".into()] };
        words.splice(1..1, std::iter::once("only".into()).chain(begins));
    }
    words
}

/// Lets a signal end a command at once, also as the first process of a container: the kernel
/// delivers such a process only the signals that it handles.
async fn or_signal(
    command: impl Future<Output = Result<u8, CommandError>>,
) -> Result<u8, CommandError> {
    let mut signals = Signals::new()?;
    tokio::select! {
        biased;
        done = command => done,
        signal = signals.end() => Ok(signal.code()),
    }
}

/// Carries out a command that opens a store. Names are looked up and files read on other threads, and tokio panics if
/// it needs one, has none, and the system refuses another one. So it gets one now, and keeps it: later refusals only
/// make a call wait. (An SQLite file has a thread of its own. Its refusal is the error of a call.)
async fn with_a_thread<T>(
    command: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    thread::Builder::new()
        .spawn(|| ())
        .map_err(|error| CommandError::Unavailable(no_thread(&error)))?;
    drop(tokio::task::spawn_blocking(|| ()));
    command.await
}

/// For how long a thread without work is kept. Ten years, because a clock bears no more than some centuries.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// One thread runs everything, so that no answer is given while another is being decided.
fn block_on<T>(command: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(FOREVER)
        .build()
        .map_err(|error| CommandError::Unavailable(format!("cannot start: {error}")))?;
    let done = runtime.block_on(command);
    // A store call that hangs in a thread of its own must not hang the exit.
    runtime.shutdown_background();
    done
}
