//! The log: on standard error, as text for people or JSON for machines.

use std::io::{self, IsTerminal};

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
    let layer = fmt::layer().with_writer(io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // Fails only when a log was set up before; then that one is used.
    let _ = if json {
        registry.with(layer.json().flatten_event(true)).try_init()
    } else {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        registry.with(layer.with_ansi(colours)).try_init()
    };
}
