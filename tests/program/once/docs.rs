//! The examples of `docs/once.md`, run as they stand: each line after a `$`, in order, in one folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use support::{Pasture, without_settings};

const MARK: &str = "<!-- run by tests/program/once/docs.rs -->\n```console\n";

/// Where the page says that everything lies.
const FOLDER: &str = "/var/lib/shop";

/// What stands for the application's own programs.
const MANAGE: &str = "#!/bin/sh
[ \"$*\" = migrate ] && rm -f restored && exec echo 'Applying accounts.0002_halve_the_credit... OK'
[ \"$*\" = 'migrate --check' ] && exec test ! -e restored
[ \"$*\" = 'migrate accounts 0001' ] && exec echo 'Unapplying accounts.0002_halve_the_credit... OK'
echo \"manage.py migrate: error: unrecognized arguments: $2\" >&2
exit 2
";
const SERVE: &str = "#!/bin/sh\necho serving\n";

#[test]
fn every_example_of_the_page_does_what_the_page_shows() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/once.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks: Vec<_> =
        page.split(MARK).skip(1).map(|after| after.split_once("```").unwrap().0).collect();
    assert_eq!(page.matches("```").count(), 2 * blocks.len(), "an example that nothing runs");
    assert!(blocks.len() >= 5, "{}", blocks.len());
    let mut shell = Shell::new();
    for block in blocks {
        let examples = block.strip_prefix("$ ").unwrap().split("\n$ ");
        for example in examples {
            let (line, shown) = example.split_once('\n').unwrap_or((example, ""));
            assert_eq!(shell.run(line), comparable(shown), "{line}");
        }
    }
}

/// A folder with an application and its history, and what was exported.
struct Shell {
    folder: Pasture,
    exported: Vec<(String, String)>,
}

impl Shell {
    fn new() -> Self {
        let folder = Pasture::new();
        for (name, text) in [("manage.py", MANAGE), ("serve", SERVE)] {
            let path = folder.folder().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_bellwether"), folder.folder().join("bellwether")).unwrap();
        let mut shell = Self { folder, exported: Vec::new() };
        let commit = "git init -q . && git -c user.name=a -c user.email=a@example.com \
                      commit -q --allow-empty -m a";
        assert_eq!(shell.run(commit), Vec::<String>::new());
        shell
    }

    /// What one line writes, in a form that can be compared.
    fn run(&mut self, line: &str) -> Vec<String> {
        let folder = self.folder.folder().to_str().unwrap();
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|e| e.split_once('=')) {
            self.exported.push((name.to_owned(), value.replace(FOLDER, folder)));
            return Vec::new();
        }
        let mut command = Command::new("sh");
        without_settings(&mut command);
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        command.env("PATH", path).env("BELLWETHER_LOG_FORMAT", "text");
        command.env("BELLWETHER_IDENTITY", "web-1").envs(self.exported.clone());
        let output = command.args(["-c", line]).current_dir(folder).output().unwrap();
        let both = [output.stdout, output.stderr].concat();
        comparable(&String::from_utf8(both).unwrap().replace(folder, FOLDER))
    }
}

/// The lines without what differs from run to run: times, ages, the commit, the width of columns, and the
/// order, since the command and bellwether write at the same time.
fn comparable(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(without_chance).collect();
    lines.sort();
    lines
}

fn without_chance(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let is_age = word.strip_suffix('s').is_some_and(|number| number.parse::<u32>().is_ok());
        let word = if is_age { "AGE" } else { word };
        // A short name has only the end of it.
        let commit = if word.starts_with('…') { 12 } else { 40 };
        let word = replaced(word, commit, |c| c.is_ascii_hexdigit(), "COMMIT");
        replaced(&word, 20, |c| c.is_ascii_digit() || "-:.TZ".contains(c), "TIME")
    });
    let words: Vec<_> = words.collect();
    let line = words.join(" ");
    line.strip_prefix("TIME ").map_or(line.clone(), str::to_owned)
}

/// `word` with every run of at least `length` such characters replaced.
fn replaced(word: &str, length: usize, such: impl Fn(char) -> bool, by: &str) -> String {
    let mut result = String::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let run = rest.find(|c| !such(c)).unwrap_or(rest.len());
        let (taken, after) = rest.split_at(run.max(first.len_utf8()));
        result.push_str(if run >= length { by } else { taken });
        rest = after;
    }
    result
}
