//! The generated part of docs/comparison.md.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use support::tools::project;

use crate::Measured;
use crate::http::Rate;
use crate::plot::{Bar, plot};
use crate::report::{self, wrapped};
use crate::rows::{ABSENT, Kind, ROWS, Row};
use crate::scenes::{Cost, Life, Span};
use crate::stores::Store;

pub const ON_POSTGRES: &str = "bellwether, Postgres";

/// The servers of `/leader`.
const SERVERS: [&str; 2] = ["bellwether, SQLite", "client-go"];

/// A figure of a row. Less is better.
struct Figure {
    value: f64,
    text: String,
}

/// A column.
struct Metric {
    title: &'static str,
    of: fn(&Measured, usize) -> Option<Figure>,
    /// The file of its plot, and its title.
    plot: Option<(&'static str, &'static str)>,
}

const TIMES: [Metric; 6] = [
    Metric {
        title: "crash, × lease",
        of: crash,
        plot: Some(("crash", "Crash to next leader, × lease")),
    },
    Metric {
        title: "hand-over, ms",
        of: hand_over,
        plot: Some(("hand-over", "SIGTERM to next leader, median ms")),
    },
    Metric {
        title: "start on a dead record, ms",
        of: cold,
        plot: Some(("start", "Start on a dead record, ms")),
    },
    Metric { title: "claims after a pause, ms", of: pause, plot: None },
    Metric { title: "two leaders in a black hole, ms", of: hole, plot: None },
    Metric { title: "old work beside the next leader, ms", of: orphan, plot: None },
];

const COSTS: [Metric; 5] = [
    Metric { title: "requests of the leader, a minute", of: requests_of_leader, plot: None },
    Metric { title: "requests of a standby, a minute", of: requests_of_standby, plot: None },
    Metric {
        title: "memory of the leader, MB",
        of: memory,
        plot: Some(("memory", "Resident memory of an idle leader, MB")),
    },
    Metric {
        title: "CPU time of the leader, ms a minute",
        of: cpu,
        plot: Some(("cpu", "CPU time of an idle leader, ms a minute")),
    },
    Metric { title: "binary, MB", of: binary, plot: None },
];

/// Writes the page and the plots.
pub fn write(measured: &Measured) {
    let docs = project().join("docs");
    let mut text = head(measured);
    text += &table(measured, &TIMES);
    text += &table(measured, &COSTS);
    text += &same_age(measured);
    text += &rates(measured);
    text += &failures(measured);
    text += "### Targets\n\n";
    text += &targets(measured);
    text += &ahead(measured);
    for metric in TIMES.iter().chain(&COSTS) {
        let Some((name, title)) = metric.plot else { continue };
        let file = format!("compare-{name}.svg");
        fs::write(docs.join(&file), plot(title, &bars(measured, metric))).unwrap();
        writeln!(text, "![{title}: the figures are in the table]({file})\n").unwrap();
    }
    report::insert("comparison.md", "make compare", &text);
}

fn head(measured: &Measured) -> String {
    let kind = if measured.is_quick {
        "This was a quick run, with one round and several elections at a time: do not cite it. "
    } else {
        ""
    };
    measured.setting.head(kind, measured.took, &measured.load)
}

fn table(measured: &Measured, metrics: &[Metric]) -> String {
    let titles: Vec<_> = metrics.iter().map(|metric| metric.title).collect();
    let mut text = format!("| candidate | {} |\n| --- |", titles.join(" | "));
    text += &" ---: |".repeat(metrics.len());
    text += "\n";
    for (at, row) in ROWS.iter().enumerate() {
        let cells: Vec<_> = metrics
            .iter()
            .map(|metric| match (metric.of)(measured, at) {
                Some(figure) => figure.text,
                None if failures_of(measured, at).is_empty() => "n/a".to_owned(),
                None => "failed".to_owned(),
            })
            .collect();
        writeln!(text, "| {} | {} |", row.name, cells.join(" | ")).unwrap();
    }
    for (name, _) in ABSENT {
        writeln!(text, "| {name} |{}", " not measured |".repeat(metrics.len())).unwrap();
    }
    text + "\n"
}

fn same_age(measured: &Measured) -> String {
    let Some(spread) = spread(&measured.same_age) else { return String::new() };
    let text = format!(
        "On Postgres, a hand-over of bellwether between two instances of the same age took {} ms, at \
         most {} ms: the standby leaves newer instances time to claim the lease first.",
        number(spread.median),
        number(spread.most)
    );
    wrapped(&text, "") + "\n"
}

fn rates(measured: &Measured) -> String {
    let mut text = "| server of `/leader`, on one core | answers a second | answers a second of \
                    CPU time | 99th percentile, ms |\n| --- | ---: | ---: | ---: |\n"
        .to_owned();
    for (name, rates) in SERVERS.iter().zip(&measured.rates) {
        match rates.as_ref().map(|rates| middle(rates)) {
            Ok(rate) => writeln!(
                text,
                "| {name} | {:.0} | {:.0} | {} |",
                rate.a_second,
                rate.a_core,
                ms(rate.p99)
            ),
            Err(_) => writeln!(text, "| {name} | n/a | n/a | n/a |"),
        }
        .unwrap();
    }
    text + "\n"
}

/// What was not measured, with the reason.
fn failures(measured: &Measured) -> String {
    let mut text = String::new();
    for (name, why) in ABSENT {
        text += &wrapped(&format!("- {name} was not measured: {why}."), "  ");
    }
    for (at, row) in ROWS.iter().enumerate() {
        for failure in failures_of(measured, at) {
            text += &failed(row.name, failure);
        }
    }
    for (name, rates) in SERVERS.iter().zip(&measured.rates) {
        if let Err(failure) = rates {
            text += &failed(&format!("`/leader` of {name}"), failure);
        }
    }
    text + "\n"
}

fn failed(what: &str, failure: &str) -> String {
    // It comes from another program: one line, and nothing that is a mark on a page.
    let is_mark = |c: char| c.is_control() || "`|<>[]".contains(c);
    let failure: String = failure.chars().filter(|c| !is_mark(*c)).take(200).collect();
    wrapped(&format!("- {what} failed: `{}`", failure.trim()), "  ")
}

fn failures_of(measured: &Measured, at: usize) -> Vec<&String> {
    let lives = measured.lives[at].iter().flat_map(|life| &life.failures);
    let costs = measured.costs[at].as_ref().err();
    lives.chain(&measured.failures[at]).chain(costs).collect()
}

fn targets(measured: &Measured) -> String {
    let mut text = "| target | measured | |\n| --- | --- | --- |\n".to_owned();
    for (target, figure) in all_targets(measured) {
        let (figure, met) = match figure {
            Some((figure, true)) => (figure, "met"),
            Some((figure, false)) => (figure, "not met"),
            None => ("n/a".to_owned(), "not measured"),
        };
        writeln!(text, "| {target} | {figure} | {met} |").unwrap();
    }
    text + "\n"
}

type Target = (&'static str, Option<(String, bool)>);

fn all_targets(measured: &Measured) -> Vec<Target> {
    let on_postgres = ROWS.iter().position(|row| row.name == ON_POSTGRES).expect("our row");
    let hand_overs = &measured.hand_overs[on_postgres];
    // What succeeded is not all of it.
    let hand_over = spread(hand_overs).filter(|_| measured.failures[on_postgres].is_empty());
    let path = spread(&measured.physical.idle).zip(spread(&measured.physical.repeated));
    let ratio = |part: f64, whole: f64, most: f64| {
        (format!("{part:.1} ms, {:.1} ×", part / whole), part <= whole * most)
    };
    let crash = largest(measured, |at| worst_crash(&measured.lives[at]));
    let memory = largest(measured, |at| cost(measured, at).map(|c| megabytes(c.memory)));
    let cpu = largest(measured, |at| cost(measured, at).map(|cost| milliseconds(cost.cpu)));
    let client_go = ROWS.iter().position(|row| row.kind == Kind::ClientGo);
    let client_go = client_go.and_then(|at| cost(measured, at));
    let rates = match &measured.rates {
        [Ok(ours), Ok(theirs)] => Some((middle(ours), middle(theirs))),
        _ => None,
    };
    vec![
        (
            "hand-over on Postgres: median at most twice two commits and one notification",
            hand_over.zip(path).map(|(ours, (idle, repeated))| {
                let (part, is_met) = ratio(ours.median, idle.median, 2.0);
                let other = ours.median / repeated.median;
                (format!("{part} after an idle time, {other:.1} × repeated"), is_met)
            }),
        ),
        (
            "hand-over on Postgres: 99th percentile below three times its median",
            hand_over.and_then(|ours| {
                let (part, is_met) = ratio(ours.p99?, ours.median, 3.0);
                Some((format!("{part}, of {}", hand_overs.len()), is_met))
            }),
        ),
        (
            "crash: next leader at most 1.005 of the lease after the last renewal, on every store",
            crash.map(|most| (format!("{most:.3}"), most <= 1.005)),
        ),
        (
            "`/leader`: more answers a second of CPU time than client-go",
            rates.map(|(ours, theirs)| {
                let text = format!("{:.0} against {:.0}", ours.a_core, theirs.a_core);
                (text, ours.a_core > theirs.a_core)
            }),
        ),
        (
            "`/leader`: 99th percentile below that of client-go",
            rates.map(|(ours, theirs)| {
                let text = format!("{} ms against {} ms", ms(ours.p99), ms(theirs.p99));
                (text, ours.p99 < theirs.p99)
            }),
        ),
        (
            "resident memory at most 8.5 MB, on every store",
            memory.map(|most| (format!("{most:.1} MB"), most <= 8.5)),
        ),
        (
            "CPU time of an idle leader at most half of that of client-go, on every store",
            cpu.zip(client_go).map(|(ours, theirs)| {
                let theirs = milliseconds(theirs.cpu);
                (format!("{ours:.1} ms against {theirs:.1} ms"), ours <= theirs / 2.0)
            }),
        ),
        (
            "`once` of a key that is done: at most 10 ms on Postgres",
            spread(&measured.once).map(|once| ratio_to_limit(once.median)),
        ),
    ]
}

fn ratio_to_limit(median: f64) -> (String, bool) {
    (format!("{median:.1} ms median"), median <= 10.0)
}

/// The largest of our sidecars.
fn largest(measured: &Measured, figure: impl Fn(usize) -> Option<f64>) -> Option<f64> {
    let ours = (0..measured.lives.len()).filter(|at| ROWS[*at].kind == Kind::Serve);
    ours.map(figure).try_fold(0.0, |most, figure| Some(f64::max(most, figure?)))
}

/// Where a peer has the better figure: in words, for the reader who decides.
fn ahead(measured: &Measured) -> String {
    let mut text = "Where a peer is ahead of `bellwether serve` on the same store (of etcd: on \
                    Postgres):\n\n"
        .to_owned();
    for metric in TIMES.iter().chain(&COSTS) {
        let better: Vec<_> = ROWS
            .iter()
            .enumerate()
            .filter(|(_, row)| !row.is_ours())
            .filter_map(|(at, row)| {
                let theirs = (metric.of)(measured, at)?;
                let ours = (metric.of)(measured, ours_beside(row))?;
                let words = format!("{} ({} against {})", row.name, theirs.text, ours.text);
                (theirs.value < ours.value).then_some(words)
            })
            .collect();
        let better = if better.is_empty() { "none".to_owned() } else { better.join("; ") };
        text += &wrapped(&format!("- {}: {better}.", metric.title), "  ");
    }
    text + "\n"
}

fn ours_beside(peer: &Row) -> usize {
    let store = match peer.store {
        Store::DynamoDbLocks => Store::DynamoDb,
        Store::Etcd => Store::Postgres,
        store => store,
    };
    let ours = |row: &Row| row.kind == Kind::Serve && row.store == store;
    ROWS.iter().position(ours).expect("each store has a row of ours")
}

fn bars(measured: &Measured, metric: &Metric) -> Vec<Bar> {
    let rows = ROWS.iter().enumerate();
    rows.filter_map(|(at, row)| {
        let figure = (metric.of)(measured, at)?;
        Some(Bar {
            name: row.name.replace('`', ""),
            value: figure.value,
            label: figure.text,
            is_ours: row.is_ours(),
        })
    })
    .collect()
}

fn figures<T>(measured: &Measured, at: usize, of: impl Fn(&Life) -> Option<T>) -> Vec<T> {
    measured.lives[at].iter().filter_map(of).collect()
}

/// None if no other followed one of the crashes.
fn worst_crash(lives: &[Life]) -> Option<f64> {
    let all: Option<Vec<_>> = lives.iter().map(|life| life.crash).collect();
    all?.into_iter().reduce(f64::max)
}

fn crash(measured: &Measured, at: usize) -> Option<Figure> {
    let mut all = figures(measured, at, |life| life.crash);
    all.sort_by(f64::total_cmp);
    let (median, most) = (*all.get(all.len() / 2)?, *all.last()?);
    let text = match all.len() {
        1 => format!("{median:.3}"),
        _ => format!("{median:.3}, at most {most:.3}"),
    };
    Some(Figure { value: median, text })
}

fn hand_over(measured: &Measured, at: usize) -> Option<Figure> {
    let spread = spread(&measured.hand_overs[at])?;
    let (median, most) = (number(spread.median), number(spread.most));
    Some(Figure { value: spread.median, text: format!("{median}, at most {most}") })
}

fn cold(measured: &Measured, at: usize) -> Option<Figure> {
    let median = spread(&figures(measured, at, |life| life.cold))?.median;
    Some(Figure { value: median, text: number(median) })
}

fn pause(measured: &Measured, at: usize) -> Option<Figure> {
    worst(&figures(measured, at, |life| life.pause), "no next leader")
}

fn hole(measured: &Measured, at: usize) -> Option<Figure> {
    worst(&figures(measured, at, |life| life.hole), "no next leader")
}

fn orphan(measured: &Measured, at: usize) -> Option<Figure> {
    let spans: Vec<_> = figures(measured, at, |life| life.orphan).into_iter().map(Some).collect();
    worst(&spans, "")
}

/// The longest of them; `otherwise` if no other candidate took over in any.
fn worst(spans: &[Option<Span>], otherwise: &str) -> Option<Figure> {
    let longest = spans.iter().flatten().max_by_key(|span| match span {
        Span::Exactly(time) | Span::MoreThan(time) => *time,
    });
    Some(match longest {
        None if spans.is_empty() => return None,
        // No two leaders: as good as it gets in this column.
        None => Figure { value: 0.0, text: otherwise.to_owned() },
        Some(Span::Exactly(time)) => Figure { value: milliseconds(*time), text: ms(*time) },
        Some(Span::MoreThan(time)) => Figure {
            value: milliseconds(*time),
            text: format!("more than {}", number(milliseconds(*time))),
        },
    })
}

fn cost(measured: &Measured, at: usize) -> Option<Cost> {
    measured.costs[at].as_ref().ok().copied()
}

fn requests_of_leader(measured: &Measured, at: usize) -> Option<Figure> {
    requests(measured, at, 0)
}

fn requests_of_standby(measured: &Measured, at: usize) -> Option<Figure> {
    requests(measured, at, 1)
}

fn requests(measured: &Measured, at: usize, which: usize) -> Option<Figure> {
    let value = cost(measured, at)?.requests?[which];
    Some(Figure { value, text: format!("{value:.0}") })
}

fn memory(measured: &Measured, at: usize) -> Option<Figure> {
    let value = megabytes(cost(measured, at)?.memory);
    Some(Figure { value, text: format!("{value:.1}") })
}

fn cpu(measured: &Measured, at: usize) -> Option<Figure> {
    let value = milliseconds(cost(measured, at)?.cpu);
    Some(Figure { value, text: number(value) })
}

fn binary(_: &Measured, at: usize) -> Option<Figure> {
    let value = megabytes(ROWS[at].size()?);
    let jvm = if ROWS[at].kind == Kind::DynamoDbLockClient { ", and a JVM" } else { "" };
    Some(Figure { value, text: format!("{value:.1}{jvm}") })
}

#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    /// Of a hundred at least: of fewer it would be the largest.
    p99: Option<f64>,
    most: f64,
}

/// In milliseconds, by the nearest rank.
fn spread(times: &[Duration]) -> Option<Spread> {
    let mut times: Vec<_> = times.iter().copied().map(milliseconds).collect();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times.get((times.len() * part).div_ceil(100).checked_sub(1)?).copied();
    let p99 = at(99).filter(|_| times.len() >= 100);
    Some(Spread { median: at(50)?, p99, most: at(100)? })
}

/// By what a core bears.
fn middle(rates: &[Rate]) -> Rate {
    let mut rates = rates.to_vec();
    rates.sort_by(|one, other| one.a_core.total_cmp(&other.a_core));
    rates[rates.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn megabytes(bytes: u64) -> f64 {
    Duration::from_micros(bytes).as_secs_f64()
}

fn ms(time: Duration) -> String {
    number(milliseconds(time))
}

/// Two digits at least.
fn number(value: f64) -> String {
    if value < 10.0 && value > 0.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}
