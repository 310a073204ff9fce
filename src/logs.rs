//! The log: on standard error, as text for people or JSON for machines. On a terminal there may be a
//! line below it that changes in place.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::config::{LogArgs, LogFormat, LogLevel};

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
    let layer = fmt::layer().with_writer(|| AboveProgress).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // Fails only when a log was set up before; then that one is used.
    let _ = if json {
        registry.with(layer.json().flatten_event(true)).try_init()
    } else {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        registry.with(layer.with_ansi(colours)).try_init()
    };
}

/// The line that [`AboveProgress`] keeps clear of.
static PROGRESS: OnceLock<ProgressBar> = OnceLock::new();

/// A line at the bottom of a terminal that says what goes on.
pub struct ProgressLine(ProgressBar);

impl ProgressLine {
    /// The one of this process; none if standard error is no terminal.
    pub fn on_terminal() -> Option<Self> {
        io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = PROGRESS.get_or_init(|| ProgressBar::new_spinner().with_style(style));
            bar.finish_and_clear();
            Self(bar.clone())
        })
    }

    /// Shows this text, and the time since it was last cleared.
    pub fn show(&self, text: String) {
        self.0.set_message(text);
        if self.0.is_finished() {
            self.0.reset();
        }
        self.0.tick();
    }

    /// Leaves the terminal to somebody else. Touches it only if there is something to clear.
    pub fn clear(&self) {
        if !self.0.is_finished() {
            self.0.finish_and_clear();
        }
    }
}

/// Standard error, for whole lines: the progress line moves down.
struct AboveProgress;

impl Write for AboveProgress {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match PROGRESS.get().filter(|bar| !bar.is_finished()) {
            Some(bar) => bar.suspend(|| io::stderr().write(line)),
            None => io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
