//! The reference of all commands and flags, `docs/cli.md`: made from the command line's own
//! description, so that both always say the same.

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Cli;

/// The whole page.
pub fn markdown() -> String {
    let mut program = Cli::command();
    program.build();
    let about = text(program.get_about());
    let mut page = format!(
        "# The command line\n\n\
         <!-- Made from src/cli and src/config.rs: see tests/repo/reference.rs. -->\n\n{about}\n\n\
         A flag can be set by the environment variable beside it; the flag wins, and a variable that \
         is empty is not set. Flags of a single question, as `--quiet`, have none. Times are \
         written like `500ms`, `15s` or `1m 30s`.\n\n\
         | exit code | meaning |\n| --- | --- |\n\
         | 0 | done, or for `only`: skipped, because another instance leads |\n\
         | 1 | `is-leader`: no; `healthcheck`: unhealthy; ended by a second signal |\n\
         | 64 | wrong usage or settings: nothing was done |\n\
         | 69 | the store or the sidecar cannot be used |\n\
         | 75 | not decided or not done in time; for `only`: also stopped, because the leadership or \
         the sidecar was lost |\n\
         | other | the command's own, 128+n if it was killed by signal n, 126 or 127 if it cannot be \
         started |\n"
    );
    page.push_str("\n## For all commands\n\n");
    for arg in program.get_arguments().filter(|arg| arg.is_global_set()) {
        page.push_str(&flag(arg));
    }
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        page.push_str(&section(command));
    }
    page
}

fn section(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let about = text(command.get_long_about().or(command.get_about()));
    let mut section =
        format!("\n## bellwether {}\n\n{about}\n\n```text\n{usage}\n```\n\n", command.get_name());
    let own = |arg: &&Arg| !arg.is_global_set() && !is_help(arg);
    let mut heading = None;
    for arg in command.get_arguments().filter(own) {
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            let gap = if section.ends_with("\n\n") { "" } else { "\n" };
            section.push_str(&format!("{gap}*{}*\n\n", heading.unwrap_or("Options")));
        }
        section.push_str(&flag(arg));
    }
    section.push_str(&examples(command));
    section
}

/// The lines that the help calls examples, and what follows them.
fn examples(command: &Command) -> String {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let Some(text) = text.strip_prefix("Examples:\n") else { return String::new() };
    let (examples, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let examples: String =
        examples.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    let rest = if rest.is_empty() { String::new() } else { format!("\n```text\n{rest}\n```\n") };
    format!("\nExamples:\n\n```sh\n{examples}```\n{rest}")
}

fn is_help(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpLong | ArgAction::Version)
}

/// `- **`--flag VALUE`** (`VARIABLE`): help. Default: `value`.`
fn flag(arg: &Arg) -> String {
    let value = arg.get_value_names().unwrap_or_default().join(" ");
    let name = match arg.get_long() {
        Some(long) if arg.get_action().takes_values() => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None => value,
    };
    let variable = arg.get_env().map(|env| format!(" (`{}`)", env.to_string_lossy()));
    let help = text(arg.get_long_help().or(arg.get_help())).replace("\n\n", "\n\n  ");
    let default: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    let default = match (default.is_empty(), arg.get_action().takes_values()) {
        (false, true) => format!(" Default: `{}`.", default.join(" ")),
        _ => String::new(),
    };
    let values: Vec<_> =
        arg.get_possible_values().iter().map(|v| format!("`{}`", v.get_name())).collect();
    let values = match (values.is_empty(), arg.get_action().takes_values()) {
        (false, true) => format!(" One of {}.", values.join(", ")),
        _ => String::new(),
    };
    format!("- **`{name}`**{}: {help}{values}{default}\n", variable.unwrap_or_default())
}

/// As one or more sentences, each with its full stop.
fn text(help: Option<&StyledStr>) -> String {
    let text = help.map(ToString::to_string).unwrap_or_default();
    let ended = text.trim_end().ends_with(['.', ':']) || text.trim().is_empty();
    format!("{}{}", text.trim_end(), if ended { "" } else { "." })
}
