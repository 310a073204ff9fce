//! The two references, `docs/cli.md` (commands) and `docs/configuration.md` (flags and variables): made
//! from the command line's own description, so that pages and program always agree.

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Cli;

const MADE: &str = "<!-- Made from src/cli and src/config.rs: see tests/repo/reference.rs. -->";

/// The page of all commands.
pub fn commands() -> String {
    let program = program();
    let about = text(program.get_about());
    let mut page = format!(
        "# Commands\n\n{MADE}\n\n{about}\n\n\
         Each command lists its flags. [configuration.md](configuration.md) explains them, with their \
         variables and defaults.\n\n\
         | exit code | meaning |\n| --- | --- |\n\
         | 0 | done; for `only` also: skipped, because another instance leads |\n\
         | 1 | `is-leader`: no; `healthcheck`: unhealthy; `once --superseded fail`: a newer \
         order has begun; ended by a second signal |\n\
         | 64 | wrong usage or settings: nothing was done |\n\
         | 69 | the store, the sidecar, the address or the platform cannot be used |\n\
         | 75 | not decided or not done in time; for `only` also: stopped, because the leadership or \
         the sidecar was lost |\n\
         | other | the exit code of your command; 128+n if signal n killed it; 126 or 127 if it cannot \
         be started; for `once` also: 124 after `--run-timeout`, and 128+n if signal n ended the wait |\n"
    );
    for command in subcommands(&program) {
        page.push_str(&section(command));
    }
    page
}

/// The page of all flags and variables, by heading. A flag that several commands have in common stands
/// there once.
pub fn configuration() -> String {
    let program = program();
    let mut page = format!(
        "# Configuration\n\n{MADE}\n\n\
         Every flag and variable, by subject. [cli.md](cli.md) lists the flags of each command.\n\n\
         - A flag overrides its variable. An empty variable counts as not set.\n\
         - An unknown `BELLWETHER_…` variable that resembles a known one is an error; any other logs a \
         warning.\n\
         - Times are written like `500ms`, `15s` or `1m 30s`.\n\
         - Wrong settings end the program with exit code 64 before it opens anything.\n"
    );
    for group in groups(&program) {
        page.push_str(&format!("\n## {}\n\n", group.heading));
        for Setting { arg, commands } in &group.settings {
            page.push_str(&flag(arg, commands));
        }
    }
    page
}

fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    program
}

fn subcommands(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|command| command.get_name() != "help")
}

struct Group {
    heading: String,
    settings: Vec<Setting>,
}

/// A flag, and the commands that have it with the same meaning.
struct Setting {
    arg: Arg,
    commands: Vec<String>,
}

/// The flags of all commands, in the order in which they first appear. What has no heading follows by
/// command.
fn groups(program: &Command) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for command in subcommands(program) {
        for arg in arguments(command).filter(|arg| arg.get_long().is_some()) {
            let heading = heading(command, arg);
            let at = groups.iter().position(|group| group.heading == heading);
            let at = at.unwrap_or_else(|| {
                groups.push(Group { heading, settings: Vec::new() });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.add(arg, command.get_name());
            }
        }
    }
    groups.sort_by_key(|group| group.heading.starts_with("Flags of"));
    groups
}

fn heading(command: &Command, arg: &Arg) -> String {
    let own = || format!("Flags of {}", command.get_name());
    arg.get_help_heading().map_or_else(own, str::to_owned)
}

impl Group {
    fn add(&mut self, arg: &Arg, command: &str) {
        let same = |setting: &&mut Setting| {
            setting.arg.get_long() == arg.get_long() && text_of(&setting.arg) == text_of(arg)
        };
        match self.settings.iter_mut().find(same) {
            Some(setting) => setting.commands.push(command.to_owned()),
            None => {
                let commands = vec![command.to_owned()];
                self.settings.push(Setting { arg: arg.clone(), commands });
            }
        }
    }
}

fn section(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let about = text(command.get_long_about().or(command.get_about()));
    let mut section =
        format!("\n## bellwether {}\n\n{about}\n\n```text\n{usage}\n```\n\n", command.get_name());
    let mut lists: Vec<(String, Vec<String>)> = Vec::new();
    for arg in arguments(command) {
        let Some(long) = arg.get_long() else {
            section.push_str(&positional(arg));
            continue;
        };
        let heading = heading(command, arg);
        match lists.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, flags)) => flags.push(format!("`--{long}`")),
            None => lists.push((heading, vec![format!("`--{long}`")])),
        }
    }
    for (heading, flags) in lists {
        let anchor = heading.to_lowercase().replace(' ', "-");
        section
            .push_str(&format!("- [{heading}](configuration.md#{anchor}): {}\n", flags.join(", ")));
    }
    section.push_str(&examples(command));
    section
}

/// `- **`CMD`**: help`.
fn positional(arg: &Arg) -> String {
    format!("- **`{}`**: {}\n", name(arg), text_of(arg).replace("\n\n", "\n\n  "))
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

/// What its help shows, beside the flag for help.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let is_help = |arg: &Arg| {
        matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpLong | ArgAction::Version)
    };
    command.get_arguments().filter(move |arg| !is_help(arg) && !arg.is_hide_set())
}

/// `--flag VALUE`.
fn name(arg: &Arg) -> String {
    let value = arg.get_value_names().unwrap_or_default().join(" ");
    match arg.get_long() {
        Some(long) if arg.get_action().takes_values() => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None => value,
    }
}

fn text_of(arg: &Arg) -> String {
    text(arg.get_long_help().or(arg.get_help()))
}

/// `- **`--flag VALUE`** (`VARIABLE`): help. Default: `value`. For `command`.`
fn flag(arg: &Arg, commands: &[String]) -> String {
    let variable = arg.get_env().map(|env| format!(" (`{}`)", env.to_string_lossy()));
    let help = text_of(arg).replace("\n\n", "\n\n  ");
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
    let commands: Vec<_> = commands.iter().map(|command| format!("`{command}`")).collect();
    let variable = variable.unwrap_or_default();
    let commands = if arg.is_global_set() || commands.len() > 9 {
        "all commands".to_owned()
    } else {
        commands.join(", ")
    };
    format!("- **`{}`**{variable}: {help}{values}{default} *For {commands}.*\n", name(arg))
}

/// As one or more sentences, each with its full stop.
fn text(help: Option<&StyledStr>) -> String {
    let text = help.map(ToString::to_string).unwrap_or_default();
    let ended = text.trim_end().ends_with(['.', ':']) || text.trim().is_empty();
    format!("{}{}", text.trim_end(), if ended { "" } else { "." })
}
