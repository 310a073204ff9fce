//! The part of a page that a benchmark writes: on what it ran, and where it stands.

use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use support::tools::{must, project};

/// On what it ran, and when.
pub struct Setting {
    date: String,
    commit: String,
    machine: String,
    /// The load of the machine before it.
    load: String,
}

impl Setting {
    /// Before the run: the commit of the program that is measured; a later one may follow meanwhile. The benchmark is
    /// in a folder of this name.
    pub fn of(benchmark: &str) -> Self {
        let date = run("date", &["-u", "+%Y-%m-%d"]);
        Self { date, commit: commit(benchmark), machine: machine(), load: load() }
    }

    /// The first words of the text: what kind of run it was, and on what.
    pub fn head(&self, kind: &str, took: Duration, load_after: &str) -> String {
        let Self { date, commit, machine, load } = self;
        let minutes = took.as_secs().div_ceil(60);
        let text = format!(
            "{kind}Measured on {date}, at commit {commit}, in {minutes} minutes, on: {machine}. The load average \
             was {load} before, and {load_after} after."
        );
        wrapped(&text, "") + "\n"
    }
}

/// With a mark if what was measured is not what was committed.
fn commit(benchmark: &str) -> String {
    let folder = format!("benches/{benchmark}");
    let changed = run("git", &["status", "--porcelain", "--", "src", "Cargo.lock", &folder]);
    let mark = if changed.is_empty() { "" } else { " with changes" };
    run("git", &["rev-parse", "--short=10", "HEAD"]) + mark
}

/// Whether a quick run was requested, by `QUICK=1`.
pub fn is_quick() -> bool {
    std::env::var("QUICK").is_ok_and(|value| !["", "0"].contains(&value.as_str()))
}

/// How many wanted a processor, on average of five minutes.
pub fn load() -> String {
    let loads = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    loads.split(' ').nth(1).unwrap_or("unknown").to_owned()
}

fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, Linux {}", run("uname", &["-r"]))
}

fn run(program: &str, arguments: &[&str]) -> String {
    must(Command::new(program).args(arguments).current_dir(project())).trim().to_owned()
}

/// Writes what is between the marks of a command on a page.
pub fn insert(page: &str, command: &str, text: &str) {
    let [begin, end] =
        ["begin", "end"].map(|at| format!("<!-- {at} of what `{command}` writes -->\n"));
    let page = project().join("docs").join(page);
    let old = fs::read_to_string(&page).unwrap();
    let (before, rest) = old.split_once(&begin).expect("the mark where the figures begin");
    let (_, after) = rest.split_once(&end).expect("the mark where the figures end");
    fs::write(page, [before, &begin, "\n", text, &end, after].concat()).unwrap();
}

/// In lines of a hundred columns, as every page has them.
pub fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if line.chars().count() + 1 + word.chars().count() > 100 {
            lines.push(format!("{indent}{word}"));
        } else if line.is_empty() {
            line.push_str(word);
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}
