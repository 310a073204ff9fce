//! The generated part of docs/scale.md.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::thread;

use support::tools::{must, project};

use crate::Figures;
use crate::crowd::{Disturbed, count};
use crate::plot::{Bar, plot};

const BEGIN: &str = "<!-- begin of what `make figures-scale` writes -->\n";
const END: &str = "<!-- end of what `make figures-scale` writes -->\n";

/// On what, and when.
pub struct Head {
    is_quick: bool,
    date: String,
    commit: String,
    load: String,
}

impl Head {
    /// Before the measurement: of the program that is measured, whatever is committed meanwhile.
    pub fn before(is_quick: bool) -> Self {
        let changed =
            run("git", &["status", "--porcelain", "--", "src", "Cargo.lock", "benches/scale"]);
        let mark = if changed.is_empty() { "" } else { " with changes" };
        let commit = run("git", &["rev-parse", "--short=10", "HEAD"]) + mark;
        Self { is_quick, date: run("date", &["-u", "+%Y-%m-%d"]), commit, load: load() }
    }
}

/// The figure that a plot shows.
type Of = fn(&Figures) -> f64;

/// Writes the table and the plots.
pub fn write(head: &Head, figures: &[Figures]) {
    let docs = project().join("docs");
    let quick = if head.is_quick { "This was a quick run: do not cite it.\n" } else { "" };
    let mut text = format!(
        "{quick}Measured on {}, at commit {}.\nMachine: {}.\nThe load average was {} before, and {} after.\n\n",
        head.date,
        head.commit,
        machine(),
        head.load,
        load()
    );
    text += "| store | candidates | requests a minute | of each candidate | crash: next leader after the end of the lease, ms | crash: most requests in a second | as a factor | hand-over, ms, median | hand-over: most requests in a second | as a factor |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for row in figures.iter().map(row) {
        writeln!(text, "{row}").unwrap();
    }
    text += "\n";
    let plots: [(&str, &str, Of); 2] = [
        ("steady", "Requests a minute, of all candidates", |f| f.requests_a_minute),
        ("hand-over", "Most requests in a second of a hand-over", |f| count(most(&f.hand_overs))),
    ];
    for (name, title, of) in plots {
        let bar = |f: &Figures| Bar {
            name: format!("{}, {} candidates", f.store, f.candidates),
            value: of(f),
            label: format!("{:.0}", of(f)),
            is_ours: f.store == "Postgres",
        };
        let file = format!("scale-{name}.svg");
        fs::write(docs.join(&file), plot(title, &figures.iter().map(bar).collect::<Vec<_>>()))
            .unwrap();
        writeln!(text, "![{title}: the figures are in the table]({file})\n").unwrap();
    }
    let page = docs.join("scale.md");
    let old = fs::read_to_string(&page).unwrap();
    let (before, rest) = old.split_once(BEGIN).expect("the mark where the figures begin");
    let (_, after) = rest.split_once(END).expect("the mark where the figures end");
    fs::write(page, [before, BEGIN, "\n", &text, END, after].concat()).unwrap();
}

/// A row of the table.
pub fn row(figures: &Figures) -> String {
    let Figures { store, candidates, requests_a_minute, crash, hand_overs } = figures;
    let factor = |most: usize| count(most) / (requests_a_minute / 60.0);
    let mut times: Vec<_> = hand_overs.iter().map(|one| one.until_led).collect();
    times.sort();
    let (crash_most, most) = (crash.most_in_a_second, most(hand_overs));
    format!(
        "| {store} | {candidates} | {requests_a_minute:.0} | {:.1} | {:.0} | {crash_most} | {:.1} | {:.0} | {most} | {:.1} |",
        requests_a_minute / count(*candidates),
        crash.until_led.as_secs_f64() * 1000.0,
        factor(crash_most),
        times[times.len() / 2].as_secs_f64() * 1000.0,
        factor(most),
    )
}

fn most(hand_overs: &[Disturbed]) -> usize {
    hand_overs.iter().map(|one| one.most_in_a_second).max().unwrap_or_default()
}

fn run(program: &str, arguments: &[&str]) -> String {
    must(Command::new(program).args(arguments).current_dir(project())).trim().to_owned()
}

/// How many wanted a processor, on average of five minutes.
fn load() -> String {
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
