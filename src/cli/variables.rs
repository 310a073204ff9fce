//! Settings in the environment. An empty variable counts as not set, and a name that is nearly that
//! of a setting is a mistake. An error about such a value names the variable.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::{Arg, Command};

use crate::platform::kubernetes;

/// The prefix of every variable of this program.
const PREFIX: &str = "BELLWETHER_";

/// Variables that children receive, and that are not settings: a command that runs under this
/// program may run this program. And the variables that Kubernetes sets in a pod.
const FOR_CHILDREN: [&str; 6] = [
    "BELLWETHER_TERM",
    "BELLWETHER_REASON",
    crate::command::group::MARK,
    kubernetes::TEMPLATE_HASH,
    kubernetes::WORKLOAD,
    kubernetes::REVISION,
];

/// How many letters of a misspelt known name may be wrong, and of a misspelt short one.
const TYPOS: usize = 2;
const TYPOS_IN_SHORT: usize = 1;
const SHORT: usize = 6;

/// The command line without the variables that do not count: those that are empty, and those that
/// contradict a flag. The flag wins.
pub(super) fn settle(command: Command, line: &[OsString]) -> Command {
    command.mut_args(settle_arg).mut_subcommands(|command| {
        let beaten: Vec<_> = contradicted(&command, line).map(|arg| arg.get_id().clone()).collect();
        command.mut_args(|arg| {
            if beaten.contains(arg.get_id()) { arg.env(Resettable::Reset) } else { settle_arg(arg) }
        })
    })
}

/// The flags that are not on the command line, and contradict one that is.
fn contradicted<'a>(command: &'a Command, line: &[OsString]) -> impl Iterator<Item = &'a Arg> {
    let (given, others): (Vec<_>, Vec<_>) =
        command.get_arguments().partition(|arg| is_given(arg, line));
    let contradict = |one: &Arg, other: &Arg| {
        let conflicts = command.get_arg_conflicts_with(one);
        conflicts.iter().any(|arg| arg.get_id() == other.get_id())
    };
    others.into_iter().filter(move |other| {
        given.iter().any(|given| contradict(given, other) || contradict(other, given))
    })
}

fn settle_arg(arg: Arg) -> Arg {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    if arg.get_env().is_some_and(is_empty) { arg.env(Resettable::Reset) } else { arg }
}

/// Whether a flag is on the command line.
fn is_given(arg: &Arg, line: &[OsString]) -> bool {
    let Some(long) = arg.get_long() else { return false };
    let is_flag = |word: &OsString| {
        let word = word.to_string_lossy();
        let flag = word.strip_prefix("--").and_then(|word| word.strip_prefix(long));
        flag.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    line.iter().take_while(|word| *word != "--").any(is_flag)
}

/// The command that is called, as far as that can be determined.
pub(super) fn called<'a>(command: &'a Command, line: &[OsString]) -> Option<&'a Command> {
    line.iter().skip(1).find_map(|word| command.find_subcommand(word))
}

/// The flags whose values came from variables.
pub(super) struct Sources(Vec<(String, String)>);

impl Sources {
    /// The flags of this command line, which was [settled](settle).
    pub(super) fn of(command: &Command, line: &[OsString]) -> Self {
        let called = called(command, line);
        let args =
            command.get_arguments().chain(called.into_iter().flat_map(Command::get_arguments));
        let from_variable = |arg: &Arg| {
            let (flag, variable) = (arg.get_long()?, arg.get_env()?);
            let is_set = std::env::var_os(variable).is_some() && !is_given(arg, line);
            is_set.then(|| (format!("--{flag}"), variable.to_string_lossy().into_owned()))
        };
        Self(args.filter_map(from_variable).collect())
    }

    /// Whether the value of this flag came from its variable.
    pub(super) fn come_from_variable(&self, flag: &str) -> bool {
        self.0.iter().any(|(known, _)| known == flag)
    }

    /// The text, with each flag whose value came from a variable replaced by that variable.
    pub(super) fn named(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (flag, variable)| replace(&text, flag, variable))
    }
}

/// Replaces whole flags: `--gate-url` is not `--gate`.
fn replace(text: &str, flag: &str, variable: &str) -> String {
    let mut parts = text.split(flag);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_longer = part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        replaced += if is_longer { flag } else { variable };
        replaced += part;
    }
    replaced
}

/// The errors in the environment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Strangers {
    /// Variables with an unknown name.
    pub(super) unknown: Vec<String>,
    /// The first variable whose name is nearly a known one, and the known name.
    pub(super) mistaken: Option<(String, String)>,
}

/// Checks the variables that are set.
pub(super) fn strangers(known: &BTreeSet<String>) -> Strangers {
    let names = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let names = names.map(|(name, _)| name.to_string_lossy().into_owned());
    find_strangers(known, names)
}

/// The settings of this process, which its commands do not inherit: for example the store's URL,
/// which may hold a password, or the address that is already in use. Commands keep the variables
/// that a sidecar passes to them, and its address.
pub(super) fn hidden(known: BTreeSet<String>) -> Vec<String> {
    const KEPT: [&str; 6] = [
        "BELLWETHER_ELECTION",
        "BELLWETHER_IDENTITY",
        "BELLWETHER_KEY",
        "BELLWETHER_NAMESPACE",
        "BELLWETHER_SIDECAR",
        "BELLWETHER_WORK",
    ];
    let kept = |name: &String| KEPT.iter().chain(&FOR_CHILDREN).any(|kept| kept == name);
    known.into_iter().filter(|name| !kept(name)).collect()
}

/// The names of all settings, and of what commands are told.
pub(super) fn known(command: &Command) -> BTreeSet<String> {
    let args =
        command.get_arguments().chain(command.get_subcommands().flat_map(Command::get_arguments));
    let names = args.filter_map(Arg::get_env).map(|name| name.to_string_lossy().into_owned());
    names.chain(FOR_CHILDREN.map(str::to_owned)).collect()
}

fn find_strangers(known: &BTreeSet<String>, names: impl Iterator<Item = String>) -> Strangers {
    let mut found = Strangers::default();
    for name in names.filter(|name| !known.contains(name) && !is_link(name)) {
        let shown = name.escape_debug().to_string();
        let name = name.to_ascii_uppercase();
        match known.iter().find(|known| is_nearly(&name, known)) {
            Some(known) => found.mistaken = found.mistaken.or(Some((shown, known.clone()))),
            None if name.starts_with(PREFIX) => found.unknown.push(shown),
            None => {}
        }
    }
    found
}

/// Of a name in capitals.
fn is_nearly(name: &str, known: &str) -> bool {
    // Comparing takes long, and every start compares each variable with each setting.
    if name.len().abs_diff(known.len()) > TYPOS {
        return false;
    }
    let missing = letters(known) & !letters(name);
    if missing.count_ones() as usize > TYPOS {
        return false;
    }
    let short = known.len() < PREFIX.len() + SHORT;
    let typos = if short { TYPOS_IN_SHORT } else { TYPOS };
    strsim::damerau_levenshtein(name, known) <= typos
}

/// Which letters a name has: each typo adds or takes away one of them at most.
fn letters(name: &str) -> u64 {
    name.bytes().fold(0, |letters, byte| letters | 1 << (byte % 64))
}

/// Whether Kubernetes sets a variable of this name in every pod beside a Service whose name is, or
/// begins with, `bellwether`: `…_SERVICE_HOST`, `…_SERVICE_PORT`, with the name of a port after it,
/// `…_PORT`, and `…_PORT_4040_TCP`, with what it is after it.
fn is_link(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("BELLWETHER") else { return false };
    let is_port = |rest: &str| {
        let mut words = rest.trim_start_matches('_').split('_');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(""), None, ..) => true,
            (Some(number), Some("TCP" | "UDP" | "SCTP"), what, None) => {
                number.parse::<u16>().is_ok()
                    && matches!(what, None | Some("PROTO" | "PORT" | "ADDR"))
            }
            _ => false,
        }
    };
    rest.starts_with('_')
        && (rest.ends_with("_SERVICE_HOST")
            || rest.ends_with("_SERVICE_PORT")
            || rest.contains("_SERVICE_PORT_")
            || rest.match_indices("_PORT").any(|(at, _)| is_port(&rest[at + "_PORT".len()..])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn found(names: &[&str]) -> Strangers {
        let known = known(&super::super::Cli::command());
        find_strangers(&known, names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn a_variable_that_is_nearly_known_is_a_mistake() {
        for (name, meant) in [
            ("BELLWETHER_LEASE_DURATON", "BELLWETHER_LEASE_DURATION"),
            ("BELLWETHER_ELECTIONS", "BELLWETHER_ELECTION"),
            ("BELLWETHER_STROE", "BELLWETHER_STORE"),
            ("BELLWETHER_LISTN", "BELLWETHER_LISTEN"),
            ("BELLWETHER_RENEW_DEADLNIE", "BELLWETHER_RENEW_DEADLINE"),
            ("bellwether_store", "BELLWETHER_STORE"),
            ("BELWETHER_STORE", "BELLWETHER_STORE"),
            ("BELLWEATHER_STORE", "BELLWETHER_STORE"),
            ("BELLWETHER_GATE-URL", "BELLWETHER_GATE_URL"),
        ] {
            let mistaken = found(&[name]).mistaken;
            assert_eq!(mistaken, Some((name.to_owned(), meant.to_owned())), "{name}");
        }
    }

    #[test]
    fn unknown_variables_of_this_program_are_named_and_others_are_not() {
        let names = ["BELLWETHER_COLOUR", "BELLWETHER_STORE_OF_WOOL", "Bellwether_\u{1b}"];
        let unknown = found(&names).unknown;
        assert_eq!(unknown, [names[0], names[1], "Bellwether_\\u{1b}"]);
        assert_eq!(found(&names).mistaken, None);
        let known = ["BELLWETHER_STORE", "BELLWETHER_TERM", "BELLWETHER_GUARD", "BELLWETHER_KEY"];
        let others = ["PATH", "STORE", "WETHER_STORE", "BELL", "LEASE_DURATION"];
        assert_eq!(found(&[&known[..], &others].concat()), Strangers::default());
    }

    #[test]
    fn variables_that_kubernetes_sets_for_a_service_are_neither_named_nor_mistaken() {
        let links = [
            "BELLWETHER_SERVICE_HOST",
            "BELLWETHER_SERVICE_PORT",
            "BELLWETHER_SERVICE_PORT_HTTP",
            "BELLWETHER_PORT",
            "BELLWETHER_PORT_4040_TCP",
            "BELLWETHER_PORT_4040_TCP_PROTO",
            "BELLWETHER_PORT_4040_TCP_PORT",
            "BELLWETHER_PORT_4040_TCP_ADDR",
            "BELLWETHER_PORT_53_UDP_ADDR",
            "BELLWETHER_WEB_SERVICE_HOST",
            "BELLWETHER_WEB_SERVICE_PORT_METRICS",
            "BELLWETHER_WEB_PORT",
            "BELLWETHER_WEB_PORT_4040_TCP_ADDR",
        ];
        assert_eq!(found(&links), Strangers::default());
        for none in ["BELLWETHER_PORT_X", "BELLWETHER_PORT_4040_TCP_WOOL", "BELLWETHER_PORTS"] {
            assert_ne!(found(&[none]), Strangers::default(), "{none}");
        }
    }

    #[test]
    fn whole_flags_are_replaced() {
        let sources = Sources(vec![("--gate".to_owned(), "GATE".to_owned())]);
        assert_eq!(
            sources.named("--gate: see --gate-url, '--gate <X>'"),
            "GATE: see --gate-url, 'GATE <X>'"
        );
    }
}
