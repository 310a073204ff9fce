//! The log: on standard error, as text for people or JSON for machines. On a terminal there may be a
//! line below it that changes in place.
//!
//! Logging never waits for the reader: see [`mod@queue`].

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use prometheus::IntCounter;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::prelude::*;

use crate::config::{LogArgs, LogFormat, LogLevel};
use crate::election::text;
use crate::metrics::Metrics;

mod names;
mod net;
mod progress;
mod queue;

pub use progress::ProgressLine;
pub use queue::flush;

/// Whether the log is JSON: then the other output on standard error is JSON as well.
static JSON: AtomicBool = AtomicBool::new(false);

/// Whether the log has escape sequences of its own.
static COLOURS: AtomicBool = AtomicBool::new(false);

/// Starts logging, for the rest of the process.
pub fn init(args: &LogArgs) {
    let level = match args.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // The AWS SDK complains at every attempt about what its caller says once.
    let aws = if level >= LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
    // Libraries speak up only about what went wrong.
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("aws", aws)
        .with_target("bellwether", level);
    let terminal = io::stderr().is_terminal();
    let json = match args.log_format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    JSON.store(json, Ordering::Relaxed);
    let layer = fmt::layer().with_writer(|| Lines).with_target(false);
    // A more detailed level shows everything.
    let net = (level <= LevelFilter::INFO).then(net::Net::default);
    let registry = tracing_subscriber::registry().with(filter).with(net);
    // Fails only when a log was set up before; then that one is used.
    let _ = if json {
        registry.with(layer.json().flatten_event(true)).try_init()
    } else {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        COLOURS.store(colours, Ordering::Relaxed);
        let layer = layer.with_ansi(colours);
        // A person who watches knows the day, and the long beginning that all names share.
        match terminal {
            true => {
                let layer = layer.with_timer(TimeOfDay).fmt_fields(names::ShortNames::default());
                registry.with(layer).try_init()
            }
            false => registry.with(layer).try_init(),
        }
    };
    panic::set_hook(Box::new(report_panic));
}

/// The format that these words of a command line request, or the environment does, if the rest of
/// the line is invalid.
pub fn format_in(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> LogFormat {
    const FLAG: &str = "--log-format";
    let (mut format, mut is_next) = (std::env::var("BELLWETHER_LOG_FORMAT").ok(), false);
    for word in words {
        let word = word.as_ref().to_string_lossy();
        match word.strip_prefix(FLAG) {
            _ if is_next => (format, is_next) = (Some(word.into_owned()), false),
            _ if word == "--" => break,
            Some("") => is_next = true,
            Some(value) => format = value.strip_prefix('=').map(str::to_owned).or(format),
            None => {}
        }
    }
    let format = format.and_then(|format| LogFormat::from_str(&format, true).ok());
    format.unwrap_or(LogFormat::Auto)
}

/// Reports to a user, or to a log collector, why the program ends.
pub fn print_problem(problem: &str) {
    if JSON.load(Ordering::Relaxed) {
        tracing::error!(event = "fatal", "{problem}");
    } else {
        progress::above(format!("bellwether: {}\n", text::unbroken(problem)).as_bytes());
    }
}

/// Shows the help without a request for it; in a log of JSON only `why`.
pub fn show(help: &str, why: &str) {
    if JSON.load(Ordering::Relaxed) {
        print_problem(why);
    } else {
        progress::above(text::page(help).as_bytes());
    }
}

/// Counts in `metrics` how many lines were lost.
///
/// # Errors
///
/// When another metric has the same name.
pub fn count_in(metrics: &Metrics) -> prometheus::Result<()> {
    metrics.register(Lost(IntCounter::new(
        "bellwether_log_lines_dropped_total",
        "Lines of the log that were lost, because standard error was not read in time or could not \
         be written.",
    )?))
}

struct Lost(IntCounter);

impl Collector for Lost {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.inc_by(queue::lost().saturating_sub(self.0.get()));
        self.0.collect()
    }
}

/// The standard library writes the panic to standard error itself, and waits for it.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let what = panic.payload_as_str().map(text::line);
    let place = panic.location().map(ToString::to_string);
    tracing::error!(
        what,
        place,
        event = "panicked",
        "this is a bug in bellwether; report it with this line"
    );
    flush();
}

/// The time of the day in UTC, as HH:MM:SS.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        let mut whole = String::new();
        SystemTime.format_time(&mut Writer::new(&mut whole))?;
        let time = whole.split_once('T').map_or(whole.as_str(), |(_, time)| time);
        out.write_str(time.split(['.', 'Z']).next().unwrap_or(time))
    }
}

/// The log's way to standard error, for whole lines.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        progress::above(&shown(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line in a form that is safe to write, whatever is in it: one line, without control sequences.
/// With colours, the escape sequences are those of the log itself, which escaped those in values.
fn shown(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let mut shown = if COLOURS.load(Ordering::Relaxed) {
        text.split('\u{1b}').map(text::unbroken).collect::<Vec<_>>().join("\u{1b}")
    } else {
        text::unbroken(text)
    };
    shown.push('\n');
    shown.into_bytes()
}
