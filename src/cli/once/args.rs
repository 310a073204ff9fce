//! The flags of `once`, and what they come to.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;

use crate::cli::exit::CommandError;
use crate::command::spec::CommandSpec;
use crate::config::{AUTO, CandidateArgs, InvalidConfig, StoreArgs, parse_order};
use crate::election::duration;
use crate::election::history::{Goal, Key, Order, Piece, RetryAfter, Rules, Superseded, WorkName};
use crate::once::Subject;
use crate::platform::release::{self, Release, UnknownRelease};
use crate::platform::surroundings;

/// The work of those that name none.
const DEFAULT_WORK: &str = "default";

/// The longest time that outcomes are kept for, and the longest period: ten years. A sum of it with a
/// time of this century is far from the end of a clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The shortest period: the runs of shorter ones would be hard to tell from one another.
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Work")]
pub(crate) struct Args {
    /// The work: a series of keys of which at most one command runs at any time.
    ///
    /// Applications that share a store name theirs. With "auto" it is the place as the platform knows
    /// it: the cluster and family on ECS, the environment on Elastic Beanstalk, the namespace and
    /// workload on Kubernetes; "auto/NAME" is another work in that place. Without this, "default", or
    /// "auto" with --key auto.
    #[arg(long, env = "BELLWETHER_WORK", value_name = "NAME")]
    work: Option<String>,

    /// The key to do once: an image digest, a version label, a git commit.
    ///
    /// With "auto" it is the digest of this container's image on ECS, the version label on Elastic
    /// Beanstalk, and the hash of the pod's template on Kubernetes, each with its place. There it is
    /// BELLWETHER_POD_TEMPLATE_HASH, and BELLWETHER_WORKLOAD names what the pod belongs to, unless that
    /// is in the pod's name.
    #[arg(
        long,
        env = "BELLWETHER_KEY",
        value_name = "KEY",
        required_unless_present_any = ["key_file", "every", "revert", "reset"]
    )]
    key: Option<String>,

    /// A file that holds the key, such as one that the build leaves in the image.
    #[arg(long, env = "BELLWETHER_KEY_FILE", value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,

    /// A number that grows with each release, such as a build number, or "auto".
    ///
    /// Once the command of a newer order has begun, that of an older one never begins. With "auto" it
    /// is the revision of the task definition on ECS, the id of the deployment on Elastic Beanstalk,
    /// and BELLWETHER_REVISION on Kubernetes. Without this, "auto" with --key auto, and otherwise none.
    #[arg(long, env = "BELLWETHER_ORDER", value_name = "N")]
    order: Option<String>,

    /// What to do if a newer order has begun, and this key is not done.
    #[arg(long, env = "BELLWETHER_SUPERSEDED", default_value = "skip", ignore_case = true)]
    superseded: SupersededArg,

    /// How many attempts may fail, over all instances, before every one gives up.
    #[arg(
        long,
        env = "BELLWETHER_MAX_ATTEMPTS",
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    max_attempts: u32,

    /// The pause after the first attempt that failed. It doubles with each, up to a minute.
    #[arg(
        long,
        env = "BELLWETHER_RETRY_DELAY",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "5s"
    )]
    retry_delay: Duration,

    /// How long after the last failure an instance that starts may try again, when all attempts have
    /// failed; or 'never'.
    #[arg(
        long,
        env = "BELLWETHER_RETRY_AFTER",
        value_name = "TIME",
        value_parser = parse_retry_after,
        default_value = "5m"
    )]
    retry_after: RetryAfterArg,

    /// How long to wait for the work to be done. A running command is not stopped. Defaults to
    /// no limit. With 0s it only asks, which takes 30s at most, with its check.
    #[arg(long, env = "BELLWETHER_TIMEOUT", value_name = "TIME", value_parser = duration::parse)]
    pub(super) timeout: Option<Duration>,

    /// How long the command may take before it is ended, which counts as a failure with code 124.
    #[arg(
        long,
        env = "BELLWETHER_RUN_TIMEOUT",
        value_name = "TIME",
        value_parser = parse_run_timeout
    )]
    pub(super) run_timeout: Option<Duration>,

    /// A command that exits with 0 if the work is really done, such as 'manage.py migrate
    /// --check'.
    ///
    /// If it fails, the work runs again; if it still fails after that, the attempt has failed.
    /// Bellwether splits it into words like a shell, but no shell runs it.
    #[arg(long, env = "BELLWETHER_CHECK", value_name = "CMD")]
    check: Option<String>,

    /// The command, in one setting. When the work is done, the words after -- (the server)
    /// replace this process.
    ///
    /// Bellwether splits it into words like a shell, but no shell runs it.
    #[arg(long, env = "BELLWETHER_RUN", value_name = "CMD")]
    run: Option<String>,

    /// When a key is done, forget keys that were done longer than this, such as 90d, before the
    /// previous key. By default the last 200 are kept.
    #[arg(long, env = "BELLWETHER_KEEP", value_name = "TIME", value_parser = parse_long)]
    keep: Option<Duration>,

    /// Run the command once in each period, such as 1h. Put it into the crontab of every
    /// instance. Needs --work.
    ///
    /// Start it once in each period, at the same minute on all hosts. From half a period after the last
    /// run, the next run is due: a line that starts more often runs up to twice in each period.
    #[arg(
        long,
        env = "BELLWETHER_EVERY",
        value_name = "PERIOD",
        value_parser = parse_period,
        requires = "work",
        conflicts_with_all = ["key", "key_file", "order", "check", "revert", "reset"]
    )]
    every: Option<Duration>,

    /// Take a key back. The command undoes the work. When it has succeeded, the key counts as not
    /// done, and the order falls to the highest one that was done before.
    #[arg(
        long,
        value_name = "KEY",
        conflicts_with_all = ["key", "key_file", "order", "check", "run", "reset"]
    )]
    revert: Option<String>,

    /// Do not keep the last of the command's standard error in the record of a failure.
    #[arg(long, env = "BELLWETHER_NO_STDERR", value_parser = BoolishValueParser::new())]
    pub(super) no_stderr: bool,

    /// Forget that a key was done, or has failed, so that it can be done again. Without a key,
    /// everything of the work that --work names, and its order.
    ///
    /// Refused while an attempt runs. If the store does not show whether the instance of the last
    /// attempt is alive, this watches its lease for one lease duration.
    #[arg(long, conflicts_with_all = ["command", "run", "check"])]
    pub(super) reset: bool,

    #[command(flatten)]
    pub(super) store: StoreArgs,

    #[command(flatten)]
    pub(super) candidate: CandidateArgs,

    /// The command, and its arguments. With --run, the server.
    ///
    /// It inherits standard input, unless that is a terminal: then its input is empty. It has no
    /// terminal, so it cannot ask for a password.
    #[arg(last = true, required_unless_present = "reset", value_name = "CMD")]
    command: Vec<OsString>,
}

/// See [`Superseded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SupersededArg {
    /// Exit 0, and say which one went before.
    Skip,
    /// Exit 1.
    Fail,
    /// Wait until it is taken back, also if this key is done.
    Wait,
}

/// A type of its own, because an option in the arguments would mean a flag that was not given.
#[derive(Clone, Copy, Debug)]
struct RetryAfterArg(RetryAfter);

/// A command in one setting. The text is not repeated: it may hold secrets.
fn parse_command(flag: &'static str, text: &str) -> Result<CommandSpec, InvalidConfig> {
    let words = parse_words(text).map_err(|why| invalid(flag, &why))?;
    let mut words = words.into_iter();
    Ok(CommandSpec::new(words.next().unwrap_or_default(), words))
}

/// Why a flag cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum InvalidFlag {
    /// No word.
    #[error("it contains no command")]
    NoCommand,
    /// A shell would wait for more.
    #[error("a quote is not closed; write it as for a shell")]
    OpenQuote,
    /// Too long.
    #[error("10 years at most")]
    TooLong,
    /// Too short.
    #[error("a period is at least one second")]
    TooShort,
    /// It would end each command at once.
    #[error("no command ends within 0s; leave the flag out for no limit")]
    NoTime,
    /// No time.
    #[error("{0}; use a number and a unit, for example 90d, 12h or 30m")]
    Time(#[from] humantime::DurationError),
    /// No duration, as any flag has it.
    #[error("{0}")]
    Duration(String),
}

fn parse_words(text: &str) -> Result<Vec<String>, InvalidFlag> {
    match shlex::split(text) {
        Some(words) if words.first().is_some_and(|word| !word.is_empty()) => Ok(words),
        Some(_) => Err(InvalidFlag::NoCommand),
        None => Err(InvalidFlag::OpenQuote),
    }
}

fn parse_retry_after(text: &str) -> Result<RetryAfterArg, InvalidFlag> {
    Ok(RetryAfterArg(match text {
        "never" => RetryAfter::Never,
        _ => RetryAfter::Time(duration::parse(text).map_err(InvalidFlag::Duration)?),
    }))
}

fn parse_run_timeout(text: &str) -> Result<Duration, InvalidFlag> {
    match duration::parse(text).map_err(InvalidFlag::Duration)? {
        Duration::ZERO => Err(InvalidFlag::NoTime),
        limit => Ok(limit),
    }
}

fn parse_long(text: &str) -> Result<Duration, InvalidFlag> {
    match humantime::parse_duration(text)? {
        duration if duration <= LONGEST => Ok(duration),
        _ => Err(InvalidFlag::TooLong),
    }
}

fn parse_period(text: &str) -> Result<Duration, InvalidFlag> {
    match parse_long(text)? {
        period if period < SHORTEST_PERIOD => Err(InvalidFlag::TooShort),
        period => Ok(period),
    }
}

/// What the flags come to.
pub(super) struct Plan {
    /// The work.
    pub(super) work: WorkName,
    /// What is to be done; none to reset everything.
    pub(super) subject: Option<Subject>,
    /// In which direction.
    pub(super) goal: Goal,
    /// What decides.
    pub(super) rules: Rules,
    /// How long done keys are kept.
    pub(super) keep: Option<Duration>,
    /// The command.
    pub(super) command: CommandSpec,
    /// What checks it.
    pub(super) check: Option<CommandSpec>,
    /// What follows when it is done.
    pub(super) server: Option<Vec<OsString>>,
}

impl Args {
    /// The command and its arguments; none with a flag that needs none.
    pub(crate) fn words(&self) -> &[OsString] {
        &self.command
    }

    /// Whether the platform is asked for something.
    fn needs_release(&self) -> bool {
        let is_auto = |text: &Option<String>| text.as_deref() == Some(AUTO);
        let work = self.work.as_deref().is_some_and(|work| place(work).is_some());
        work || [&self.key, &self.revert, &self.order].into_iter().any(is_auto)
    }

    /// Checks the flags of the work itself. Asks the platform if they say so.
    pub(super) async fn plan(&self) -> Result<Plan, CommandError> {
        let release = match self.needs_release() {
            true => Some(release::await_found(surroundings::here()).await.map_err(unknown)?),
            false => None,
        };
        Ok(self.plan_for(release.as_ref())?)
    }

    fn plan_for(&self, release: Option<&Release>) -> Result<Plan, InvalidConfig> {
        let key = self.key(release)?;
        let work = self.work(release)?;
        let order = self.order(release)?;
        let subject = match (key, self.every) {
            (_, Some(period)) => Some(Subject::Every(period)),
            (Some(key), None) => Some(Subject::Key(Piece { key, order, tick: None })),
            (None, None) if self.work.is_some() => None,
            (None, None) => {
                return Err(invalid(
                    "--reset",
                    "name the key to reset with --key KEY, or a whole work with --work NAME",
                ));
            }
        };
        let superseded = match self.superseded {
            SupersededArg::Skip => Superseded::Skip,
            SupersededArg::Fail => Superseded::Fail,
            SupersededArg::Wait => Superseded::Wait,
        };
        let (max_attempts, retry_delay) = (self.max_attempts, self.retry_delay);
        let mut words = self.command.iter().cloned();
        let (command, server) = match &self.run {
            Some(run) => (parse_command("--run", run)?, Some(words.collect())),
            None => (CommandSpec::new(words.next().unwrap_or_default(), words), None),
        };
        Ok(Plan {
            work,
            subject,
            goal: if self.revert.is_some() { Goal::TakeBack } else { Goal::Do },
            rules: Rules { superseded, max_attempts, retry_delay, retry_after: self.retry_after.0 },
            keep: self.keep,
            command,
            check: self.check.as_deref().map(|text| parse_command("--check", text)).transpose()?,
            server,
        })
    }

    fn key(&self, release: Option<&Release>) -> Result<Option<Key>, InvalidConfig> {
        let (flag, text) = match (&self.revert, &self.key, &self.key_file) {
            (Some(key), ..) => ("--revert", key.clone()),
            (None, Some(key), _) => ("--key", key.clone()),
            (None, None, Some(file)) => ("--key-file", read_key(file)?),
            (None, None, None) => return Ok(None),
        };
        let text = match (text.as_str(), release) {
            (AUTO, Some(release)) => &release.key,
            _ => &text,
        };
        let key: Key = text.parse().map_err(|error| invalid(flag, &error))?;
        if is_moving(key.as_str()) {
            tracing::warn!(
                key = key.as_str(),
                event = "key_moves",
                "this key is a tag that moves, so the next image with this tag counts as done; use \
                 its digest"
            );
        }
        Ok(Some(key))
    }

    fn work(&self, release: Option<&Release>) -> Result<WorkName, InvalidConfig> {
        let is_auto = [&self.key, &self.revert].into_iter().any(|key| key.as_deref() == Some(AUTO));
        let default = if is_auto { AUTO } else { DEFAULT_WORK };
        let text = self.work.as_deref().unwrap_or(default);
        let name = match (place(text), release) {
            (Some(rest), Some(release)) => format!("{}{rest}", release.work),
            _ => text.to_owned(),
        };
        name.parse().map_err(|error| invalid("--work", &error))
    }

    fn order(&self, release: Option<&Release>) -> Result<Option<Order>, InvalidConfig> {
        let key_is_auto = self.key.as_deref() == Some(AUTO);
        match self.order.as_deref() {
            Some(AUTO) => release.and_then(|release| release.order).map(Some).ok_or_else(|| {
                invalid("--order", "the platform gives no order; set it with --order N")
            }),
            Some(number) => Ok(Some(parse_order(number)?)),
            None if key_is_auto => Ok(release.and_then(|release| release.order)),
            None => Ok(None),
        }
    }
}

/// What follows "auto" in the name of a work.
fn place(work: &str) -> Option<&str> {
    let rest = work.strip_prefix(AUTO)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn is_moving(key: &str) -> bool {
    key == "latest" || key.ends_with(":latest")
}

fn read_key(file: &Path) -> Result<String, InvalidConfig> {
    /// More than any key.
    const MAX_FILE: u64 = 4096;
    let read = || {
        let metadata = fs::metadata(file)?;
        if metadata.len() > MAX_FILE {
            return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge));
        }
        // To read a pipe may wait without an end.
        if !metadata.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        fs::read_to_string(file)
    };
    let text = read().map_err(|error| {
        let file = crate::election::text::line(&file.to_string_lossy());
        invalid("--key-file", &format!("cannot read the key from {file}: {error}"))
    })?;
    Ok(text.trim().to_owned())
}

/// What may pass is no mistake in the settings.
fn unknown(release: UnknownRelease) -> CommandError {
    if release.may_pass() {
        return CommandError::Unavailable(format!(
            "{release}, or start this instance again when the platform responds"
        ));
    }
    InvalidConfig::from(release).into()
}

fn invalid(flag: &'static str, error: &(impl ToString + ?Sized)) -> InvalidConfig {
    InvalidConfig::Once { flag, error: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_in_one_setting_is_split_as_a_shell_does_and_expands_nothing() {
        let split = parse_words(r#"python manage.py 'two words' "a \"b\"" $HOME *"#).unwrap();
        assert_eq!(split, ["python", "manage.py", "two words", "a \"b\"", "$HOME", "*"]);
        for bad in ["", "  ", "''", "open 'quote", "end \\"] {
            assert!(parse_words(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tag_that_moves_is_noticed() {
        assert!(is_moving("registry.example.com/web:latest") && is_moving("latest"));
        assert!(!is_moving("web:v42") && !is_moving("web:latest-2"));
    }

    #[test]
    fn auto_stands_for_the_place_and_for_works_in_it() {
        assert_eq!(place("auto"), Some(""));
        assert_eq!(place("auto/seed"), Some("/seed"));
        assert_eq!(place("automatic"), None);
    }
}
