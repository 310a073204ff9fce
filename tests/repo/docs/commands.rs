//! Every command line of the program in the pages is one that the program reads.

use std::ffi::OsString;
use std::path::Path;

use bellwether::cli::check_words;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::docs::pages::{Block, Page, all};
use crate::docs::shell;

/// The reference is made from the parser itself. What it shows as text is the usage.
const MADE: &str = "docs/cli.md";

const SHELLS: [&str; 4] = ["sh", "bash", "shell", "console"];

#[test]
fn every_command_line_is_understood() {
    let names = names();
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in all().iter() {
        let mut blocks = page.blocks();
        blocks.retain(|block| page.path != Path::new(MADE) || block.language != "text");
        for line in blocks.iter().flat_map(|block| command_lines(block, &names)) {
            seen += 1;
            if let Err(why) = check(&line, &exported(page)) {
                wrong.push(format!("{}: {}: {why}", page.name(), line.join(" ")));
            }
        }
        for span in page.spans().0 {
            // A piece of a line: what is there has to be right, but not all has to be there.
            if let Err(why) = check_piece(&span) {
                wrong.push(format!("{}: {span}: {why}", page.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 20, "{seen}");
}

/// README.md once said that each command takes the store. `only` refuses it.
#[test]
fn the_readme_names_the_commands_that_take_the_store() {
    let text = Page::read(Path::new("README.md")).text;
    let (before, _) = text.split_once(" take the store from `--store`").unwrap();
    let sentence = before.rsplit("\n\n").next().unwrap();
    let rest = [
        ("serve", &[][..]),
        ("run", &["--", "a"]),
        ("once", &["--key", "a", "--", "b"]),
        ("only", &["--", "a"]),
    ];
    for (command, rest) in rest {
        let words = [&["bellwether", command, "--store", "sqlite:///a"], rest].concat();
        let takes = check_words(words.iter().map(OsString::from)).is_ok();
        assert_eq!(sentence.contains(&format!("`{command}`")), takes, "{command}: {sentence}");
    }
}

fn check(words: &[String], exported: &[String]) -> Result<(), String> {
    match check_words(words.iter().map(OsString::from)) {
        Err(error)
            if is_missing(&error) && missing(&error).iter().all(|v| exported.contains(v)) =>
        {
            Ok(())
        }
        checked => checked.map_err(|error| first_line(&error)),
    }
}

/// The variables that a page says to export, which stand for flags.
fn exported(page: &Page) -> Vec<String> {
    let blocks = page.blocks();
    let lines = blocks.iter().flat_map(|block| &block.lines);
    let exports = lines.filter_map(|line| {
        let line = line.trim_start().trim_start_matches("$ ");
        Some(line.strip_prefix("export ")?.split_once('=')?.0.to_owned())
    });
    exports.collect()
}

fn is_missing(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::MissingRequiredArgument
}

/// The variables of the arguments that are missing.
fn missing(error: &clap::Error) -> Vec<String> {
    let Some(ContextValue::Strings(arguments)) = error.get(ContextKind::InvalidArg) else {
        return vec![];
    };
    let flags = arguments.iter().map(|argument| argument.split(' ').next().unwrap());
    let names = flags.map(|flag| flag.trim_start_matches("--").replace('-', "_").to_uppercase());
    names.map(|name| format!("BELLWETHER_{name}")).collect()
}

fn check_piece(span: &str) -> Result<(), String> {
    let Some(mut words) = shell::commands(span).into_iter().next() else { return Ok(()) };
    words.retain(|word| word != "…");
    if words.len() < 2 || !is_program(&words[0]) {
        return Ok(());
    }
    match check_words(words.iter().map(OsString::from)) {
        Err(error) if !is_missing(&error) => Err(first_line(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn first_line(error: &clap::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn is_program(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap();
    name == "bellwether" || name == "leader_only"
}

/// The program's commands, as the reference has them.
fn names() -> Vec<String> {
    let reference = Page::read(Path::new(MADE)).text;
    let names = reference.lines().filter_map(|line| line.strip_prefix("## bellwether "));
    let names: Vec<_> = names.map(str::to_owned).collect();
    assert!(names.len() >= 12, "{names:?}");
    names
}

/// The command lines of the program in a block.
fn command_lines(block: &Block, names: &[String]) -> Vec<Vec<String>> {
    if !SHELLS.contains(&block.language.as_str()) {
        return block.lines.iter().flat_map(|line| in_data(line, names)).collect();
    }
    let script = if block.language == "console" { typed(block) } else { block.lines.join("\n") };
    let script = script.replace("\\\n", " ");
    let commands = script.lines().flat_map(shell::commands);
    commands.filter(|words| is_program(&words[0])).collect()
}

/// What a reader types into a console: what follows a prompt, with its continuation lines.
fn typed(block: &Block) -> String {
    let (mut typed, mut continues) = (String::new(), false);
    for line in &block.lines {
        let line = line.trim_start();
        let command = if continues { Some(line) } else { line.strip_prefix("$ ") };
        if let Some(command) = command {
            typed.push_str(command);
            typed.push('\n');
        }
        continues = command.is_some_and(|command| command.ends_with('\\'));
    }
    typed
}

/// In what is no shell (YAML, JSON, a crontab), a command line is the program's name with one of its
/// commands after it, or a list that begins so; in a list the name may be left out.
fn in_data(line: &str, names: &[String]) -> Vec<Vec<String>> {
    let is_name = |word: Option<&String>| word.is_some_and(|word| names.contains(word));
    if let Some((_, list)) = line.split_once('[')
        && let Some((list, _)) = list.rsplit_once(']')
    {
        let words = list.split(',').map(|word| word.trim().trim_matches(['"', '\'']).to_owned());
        let mut words: Vec<_> = words.collect();
        if !words.first().is_some_and(|word| is_program(word)) {
            words.insert(0, "bellwether".to_owned());
        }
        return if is_name(words.get(1)) { vec![words] } else { vec![] };
    }
    let commands = shell::commands(line).into_iter();
    let found = commands.filter_map(|words| {
        let begins = |at: &usize| is_program(&words[*at]) && is_name(words.get(at + 1));
        (0..words.len()).find(begins).map(|at| words[at..].to_vec())
    });
    found.collect()
}

#[test]
fn a_wrong_command_line_is_found() {
    let names = names();
    let block = |language: &str, text: &str| {
        let lines = text.lines().map(str::to_owned).collect();
        command_lines(&Block { language: language.to_owned(), lines }, &names)
    };
    let wrong = |language: &str, text: &str| {
        let lines = block(language, text);
        assert_eq!(lines.len(), 1, "{lines:?}");
        check(&lines[0], &[]).unwrap_err()
    };
    assert!(wrong("sh", "exec bellwether srve").contains("srve"));
    assert!(wrong("sh", "bellwether serve \\\n  --store-fil x").contains("--store-fil"));
    assert!(wrong("console", "$ bellwether run\nbellwether no").contains("required"));
    assert!(wrong("yaml", "test: bellwether is-leader --quite").contains("--quite"));
    assert!(wrong("json", r#""command": ["serve", "--gate", "app"]"#).contains("--gate"));
    assert!(wrong("", "* * * * * root /usr/bin/bellwether only work").contains("work"));
    let keyless = &block("sh", "bellwether once -- migrate")[0];
    assert!(check(keyless, &[]).unwrap_err().contains("required"));
    assert_eq!(check(keyless, &["BELLWETHER_KEY".to_owned()]), Ok(()));
    assert!(check_piece("bellwether once --rest").is_err());
    for right in ["bellwether once --reset --key KEY", "bellwether once", "leader_only", "a b"] {
        assert_eq!(check_piece(right), Ok(()), "{right}");
    }
    assert!(block("yaml", "image: bellwether:0.1.0").is_empty());
    assert_eq!(block("sh", "./bellwether --help; bellwether status --json | jq .").len(), 2);
}
