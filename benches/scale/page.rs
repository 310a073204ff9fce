//! The generated part of docs/scale.md.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use support::tools::project;

use crate::crowd::Disturbed;
use crate::plot::{Bar, plot};
use crate::report::{self, Setting, wrapped};
use crate::requests::number;
use crate::{Figures, Measured, Scene};

/// The figure that a plot shows.
type Of = fn(&Measured, &Figures) -> f64;

const PLOTS: [(&str, &str, Of); 3] = [
    ("steady", "Requests of a candidate, a minute", |one, figures| {
        figures.steady.requests_a_minute / number(one.scene.candidates)
    }),
    ("crash", "Requests in the worst second after a crash", |_, figures| {
        number(figures.crash.most_in_a_second)
    }),
    ("hand-over", "Requests in the worst second of a hand-over", |_, figures| {
        number(most(&figures.hand_overs))
    }),
];

/// Crowds that are not measured, and why.
const ABSENT: [(&str, &str); 2] = [
    (
        "256 elections on Kubernetes",
        "5,120 watches, each with a connection through the proxy, need more than the 20,000 files that this machine \
         allows a process",
    ),
    (
        "256 elections on DynamoDB",
        "their candidates read 2,560 times a second, and the emulator and the candidates share two cores. With \
         `--advertise`, the leader's sidecar admits 1,024 event streams, and they would open 4,864",
    ),
];

/// Writes the tables and the plots.
pub fn write(setting: &Setting, is_quick: bool, took: Duration, measured: &[Measured]) {
    let (one, many): (Vec<_>, Vec<_>) = measured.iter().partition(|one| one.scene.elections == 1);
    let mut text = head(setting, is_quick, took);
    text += "### One election\n\n";
    text += &table("candidates", &one);
    for (name, title, of) in PLOTS {
        let bars: Vec<_> = one.iter().filter_map(|one| bar(one, of)).collect();
        let file = format!("scale-{name}.svg");
        fs::write(project().join("docs").join(&file), plot(title, &bars)).unwrap();
        writeln!(text, "![{title}: the figures are in the table]({file})\n").unwrap();
    }
    text += "### Many elections\n\n";
    text += &table("elections and candidates of each", &many);
    text += "### Targets\n\n";
    text += &targets(measured);
    text += "### Not measured\n\n";
    for (crowd, why) in ABSENT {
        text += &wrapped(&format!("- {crowd}: {why}."), "  ");
    }
    text += "\n";
    report::insert("scale.md", "make figures-scale", &text);
}

fn head(setting: &Setting, is_quick: bool, took: Duration) -> String {
    let kind = if is_quick {
        "This was a quick run, without the largest crowds and of one hand-over each: do not cite it. "
    } else {
        ""
    };
    setting.head(kind, took, &report::load())
}

fn table(crowd: &str, measured: &[&Measured]) -> String {
    let mut text = format!(
        "| store | {crowd} | requests a minute | of a candidate | lost leases | next leader after a crash, ms | \
         worst second | factor | next leader after a hand-over, ms | worst second | factor |\n| --- |{}\n",
        " ---: |".repeat(10)
    );
    for one in measured {
        writeln!(text, "{}", row(one)).unwrap();
    }
    text + "\n"
}

/// A row of a table.
pub fn row(measured: &Measured) -> String {
    let Measured { scene, figures } = measured;
    let cells = match figures {
        None => " failed |".repeat(9),
        Some(figures) => cells(figures, scene.all_candidates()),
    };
    format!("| {} | {} |{cells}", scene.store, crowd(scene))
}

/// How many candidates, of how many elections.
fn crowd(scene: &Scene) -> String {
    match scene.elections {
        1 => scene.candidates.to_string(),
        elections => format!("{elections} × {}", scene.candidates),
    }
}

/// The target of a storm is for at least so many candidates.
pub const LARGE: usize = 1_000;

/// What was measured of some crowds.
type Crowds<'a> = [(&'a Scene, &'a Figures)];

/// The most of all crowds, in words, and whether the target is met.
type Judge = fn(&Crowds<'_>) -> (String, bool);

fn targets(measured: &[Measured]) -> String {
    let is_large = |one: &&Measured| one.scene.all_candidates() >= LARGE;
    let all: Vec<_> = measured.iter().collect();
    let (large, small): (Vec<_>, Vec<_>) = measured.iter().partition(is_large);
    let targets: [(&str, &[&Measured], Judge); 4] = [
        ("no lease is lost while nothing changes", &all, lost),
        (
            "after a crash, another candidate leads within 200 ms of the end of the lease",
            &all,
            late,
        ),
        (
            "with 1,000 candidates or more, the worst second after a crash is at most twice an average second",
            &large,
            storm,
        ),
        ("the same with fewer, where a few requests are a large factor", &small, storm),
    ];
    let mut text = "| target, for all of them | the most | |\n| --- | --- | --- |\n".to_owned();
    // A quick run has no large crowds.
    for (target, crowds, judge) in targets.into_iter().filter(|(_, crowds, _)| !crowds.is_empty()) {
        let (figure, met) = row_of_target(crowds, judge);
        writeln!(text, "| {target} | {figure} | {met} |").unwrap();
    }
    text + "\n"
}

/// A crowd that failed does not meet a target, whatever the others do.
fn row_of_target(crowds: &[&Measured], judge: Judge) -> (String, String) {
    let figures: Vec<_> =
        crowds.iter().filter_map(|one| Some((one.scene, one.figures.as_ref()?))).collect();
    let (figure, is_met) =
        if figures.is_empty() { ("n/a".to_owned(), false) } else { judge(&figures) };
    let met = match (crowds.len() - figures.len(), is_met) {
        (0, true) => "met".to_owned(),
        (0, false) => "not met".to_owned(),
        (1, _) => "not met (1 crowd failed)".to_owned(),
        (failed, _) => format!("not met ({failed} crowds failed)"),
    };
    (figure, met)
}

fn lost(crowds: &Crowds<'_>) -> (String, bool) {
    let most = crowds.iter().map(|(_, figures)| figures.steady.lost).max().unwrap_or_default();
    (format!("{most} lost"), most == 0)
}

fn late(crowds: &Crowds<'_>) -> (String, bool) {
    let all = crowds.iter().map(|(_, figures)| figures.crash.until_led);
    let most = milliseconds(all.max().unwrap_or_default());
    (format!("{most:.0} ms"), most <= 200.0)
}

/// Each crowd, and the factor of its worst second after a crash.
fn storm(crowds: &Crowds<'_>) -> (String, bool) {
    let factor = |figures: &Figures| figures.factor(figures.crash.most_in_a_second);
    let mut factors: Vec<_> =
        crowds.iter().map(|(scene, figures)| (*scene, factor(figures))).collect();
    factors.sort_by(|one, other| other.1.total_cmp(&one.1));
    let each = factors
        .iter()
        .map(|(scene, factor)| format!("{}, {}: {factor:.1} ×", scene.store, crowd(scene)));
    (each.collect::<Vec<_>>().join("; "), factors.iter().all(|(_, factor)| *factor <= 2.0))
}

fn cells(figures: &Figures, candidates: usize) -> String {
    let Figures { steady, crash, hand_overs } = figures;
    let mut by_time: Vec<_> = hand_overs.iter().collect();
    by_time.sort_by_key(|one| one.until_led);
    let (crash_most, most) = (crash.most_in_a_second, most(hand_overs));
    format!(
        " {:.0} | {:.1} | {} | {} | {crash_most} | {:.1} | {} | {most} | {:.1} |",
        steady.requests_a_minute,
        steady.requests_a_minute / number(candidates),
        steady.lost,
        led(crash),
        figures.factor(crash_most),
        led(by_time[by_time.len() / 2]),
        figures.factor(most),
    )
}

impl Figures {
    /// A number of requests in a second, as a multiple of those in an average second while nothing changes.
    fn factor(&self, requests: usize) -> f64 {
        number(requests) / (self.steady.requests_a_minute / 60.0)
    }
}

fn led(disturbed: &Disturbed) -> String {
    let all = match disturbed.elections {
        1 => String::new(),
        elections => format!(", {elections} elections"),
    };
    format!("{:.0}{all}", milliseconds(disturbed.until_led))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn bar(one: &Measured, of: Of) -> Option<Bar> {
    let value = of(one, one.figures.as_ref()?);
    Some(Bar {
        name: format!("{}, {}", one.scene.store.replace('`', ""), one.scene.candidates),
        value,
        label: format!("{value:.0}"),
        is_ours: true,
    })
}

fn most(hand_overs: &[Disturbed]) -> usize {
    hand_overs.iter().map(|one| one.most_in_a_second).max().unwrap_or_default()
}
