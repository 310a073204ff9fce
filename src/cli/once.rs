//! `bellwether once --key KEY -- CMD`: to success once per key, across all instances.

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use super::run::{cannot_guard, reap};
use super::serve::{self, Sidecar};
use super::signals::{Asked, Signals};
use crate::candidate::Handle;
use crate::command::group::CommandSpec;
use crate::command::supervisor::{OwnEnd, Supervisor};
use crate::config::{CandidateArgs, InvalidConfig, StoreArgs};
use crate::election::clock::{Clock, HostClock, WallTime};
use crate::election::elector::Swapped;
use crate::election::lease::{ElectionName, LeaseRecord};
use crate::election::outcome::Outcome;
use crate::platform;
use crate::release;
use crate::store::{self, Store, StoreError, StoreUrl};

/// How often a log says who is waited for.
const REPORT_PERIOD: Duration = Duration::from_secs(10);

/// How often a reset that collides with other writes is tried.
const RESET_TRIES: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// What the work is done once for: an image digest, a task definition's revision, a version
    /// label, a git commit.
    ///
    /// With "auto" it is the task definition's family and revision in its cluster on ECS, and the
    /// version label in its environment on Elastic Beanstalk.
    #[arg(long, env = "BELLWETHER_KEY", value_name = "KEY")]
    key: String,

    /// How many attempts may fail, over all instances, before every one gives up.
    #[arg(
        long,
        env = "BELLWETHER_MAX_ATTEMPTS",
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    max_attempts: u32,

    /// How long to wait in all, this instance's own attempts included. Without this, for ever.
    #[arg(
        long,
        env = "BELLWETHER_TIMEOUT",
        value_name = "TIME",
        value_parser = humantime::parse_duration
    )]
    timeout: Option<Duration>,

    /// Do not keep the last of the command's standard error in the record of a failure.
    #[arg(long, env = "BELLWETHER_NO_STDERR", value_parser = BoolishValueParser::new())]
    no_stderr: bool,

    /// Forget that the work of the key was done, or has failed, so that it can be done again.
    #[arg(long, conflicts_with = "command")]
    reset: bool,

    #[command(flatten)]
    candidate: CandidateArgs,

    /// The command, and its arguments.
    #[arg(last = true, required_unless_present = "reset", value_name = "CMD")]
    command: Vec<OsString>,
}

pub(super) async fn run(args: Args) -> Result<u8, Failure> {
    let key = match args.key.as_str() {
        "auto" => release::key(platform::here()).await,
        key => Ok(key.to_owned()),
    };
    let key = key.map_err(InvalidConfig::from)?;
    let record = ElectionName::once(&key).map_err(InvalidConfig::from)?;
    let mut config = args.candidate.check(record.clone(), args.store)?;
    config.max_attempts = Some(args.max_attempts);
    if args.reset {
        return reset(&config.store, &record, config.timing.call_timeout()).await;
    }
    let mut signals = Signals::new()?;
    let sidecar = Sidecar::start(&config, None, None).await?;
    let mut words = args.command.into_iter();
    let command = CommandSpec::new(words.next().unwrap_or_default(), words)
        .env("BELLWETHER_KEY", key.as_str());
    let grace = config.shutdown_grace;
    let mut supervisor = Supervisor::new(sidecar.election.clone(), command, grace);
    if !args.no_stderr {
        supervisor = supervisor.keeping_stderr();
    }
    let once = Once {
        key,
        max_attempts: args.max_attempts,
        election: sidecar.election.clone(),
        waiting: Waiting::new(),
    };
    once.until_final(sidecar, supervisor, &mut signals, args.timeout, grace).await
}

/// The work of one key.
struct Once {
    key: String,
    max_attempts: u32,
    election: Handle,
    waiting: Waiting,
}

/// Why the loop below ended.
enum End {
    /// The outcome is final.
    Final(Box<Outcome>),
    /// A signal asked for it.
    Asked(u8),
    /// It took too long.
    TimedOut,
}

impl Once {
    async fn until_final(
        self,
        mut sidecar: Sidecar,
        mut supervisor: Supervisor,
        signals: &mut Signals,
        timeout: Option<Duration>,
        grace: Duration,
    ) -> Result<u8, Failure> {
        let mut timed_out = std::pin::pin!(after(timeout));
        let end = loop {
            tokio::select! {
                biased;
                end = supervisor.until_ended() => {
                    self.election.finish(self.outcome_of(end.map_err(cannot_guard)?)).await;
                }
                outcome = self.outcome() => break End::Final(outcome),
                asked = signals.next() => match asked {
                    Asked::End(signal) => {
                        tracing::info!(signal, "shutting down");
                        break End::Asked(if signal == "SIGINT" { 130 } else { 143 });
                    }
                    Asked::PassOn(number) => supervisor.signal(number),
                    Asked::Reap => reap(),
                },
                () = &mut timed_out => break End::TimedOut,
                () = self.waiting.tick() => self.report(&supervisor),
            }
        };
        self.waiting.end();
        sidecar.shut_down(grace).await;
        // The command, if it runs, is stopped and waited for while the candidate leaves.
        loop {
            tokio::select! {
                biased;
                _ = supervisor.until_ended() => {}
                () = sidecar.left() => break,
                signal = signals.end() => return Ok(serve::second_signal(signal)),
            }
        }
        self.say(end)
    }

    /// The outcome of the key, as soon as nobody is to try any more.
    fn outcome(&self) -> impl Future<Output = Box<Outcome>> + use<> {
        let (mut view, max_attempts) = (self.election.watch(), self.max_attempts);
        async move {
            loop {
                let outcome = view.borrow_and_update().outcome.clone();
                match outcome.filter(|outcome| outcome.is_final(max_attempts)) {
                    Some(outcome) => return outcome,
                    None if view.changed().await.is_err() => std::future::pending().await,
                    None => {}
                }
            }
        }
    }

    fn outcome_of(&self, end: OwnEnd) -> Outcome {
        let OwnEnd { code, term, started, stderr } = end;
        if code != 0 {
            tracing::warn!(key = self.key, term, code, "the attempt failed");
        }
        Outcome {
            succeeded: code == 0,
            exit_code: code,
            holder: self.election.leadership().candidate.identity,
            term,
            started: started.to_string(),
            finished: HostClock.now().wall.to_string(),
            // Counted by the elector when it is written.
            attempts: 0,
            stderr: stderr.filter(|_| code != 0),
        }
    }

    fn report(&self, supervisor: &Supervisor) {
        let (view, now) = (self.election.leadership(), self.election.now());
        let holder = view.holder(now).filter(|holder| supervisor.running_in() != Some(holder.term));
        let what = match (holder, supervisor.running_in(), view.decided(now)) {
            (_, Some(term), _) => format!("running here, in term {term}"),
            (Some(holder), ..) => format!("waiting for {}, term {}", holder.identity, holder.term),
            (None, None, Err(undecided)) => format!("waiting: {undecided}"),
            (None, None, Ok(())) => "waiting".to_owned(),
        };
        self.waiting.say(&self.key, &what);
    }

    fn say(self, end: End) -> Result<u8, Failure> {
        let key = self.key;
        match end {
            End::Final(outcome) if outcome.succeeded => {
                let Outcome { holder, term, finished, .. } = *outcome;
                tracing::info!(key, holder, term, finished, "done");
                Ok(0)
            }
            End::Final(outcome) => {
                let Outcome { holder, term, finished, attempts, exit_code: code, stderr, .. } =
                    *outcome;
                tracing::error!(
                    key,
                    holder,
                    term,
                    finished,
                    attempts,
                    code,
                    stderr,
                    "failed for good; once --reset --key KEY allows it to be tried again"
                );
                Ok(code)
            }
            End::Asked(code) => Ok(code),
            End::TimedOut => Err(Failure::Undecided(format!(
                "the work of key '{key}' was not done in time; see bellwether status"
            ))),
        }
    }
}

async fn after(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

/// Says who is waited for: a line that changes on a terminal, a line every ten seconds in a log.
struct Waiting {
    bar: Option<ProgressBar>,
    period: Duration,
}

impl Waiting {
    fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        });
        let period = if bar.is_some() { Duration::from_millis(250) } else { REPORT_PERIOD };
        Self { bar, period }
    }

    async fn tick(&self) {
        tokio::time::sleep(self.period).await;
    }

    fn say(&self, key: &str, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{key}: {what}"));
                bar.tick();
            }
            None => tracing::info!(key, "{what}"),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Takes the outcome out of the record. The term stays: it is never used again.
async fn reset(url: &StoreUrl, record: &ElectionName, patience: Duration) -> Result<u8, Failure> {
    let store = store::open(url, patience, std::sync::Arc::new(HostClock));
    let reset = async {
        for _ in 0..RESET_TRIES {
            if let Some(done) = try_reset(&*store, record).await? {
                return done;
            }
        }
        Err(Failure::Undecided("the record keeps changing: try again".to_owned()))
    };
    // Each try is two calls.
    let patience = patience * 2;
    match tokio::time::timeout(patience, reset).await {
        Ok(done) => done.map(|()| 0),
        Err(_) => Err(Failure::Unavailable(format!("no answer from {url}: is it reachable?"))),
    }
}

/// None if somebody else wrote in between.
async fn try_reset(
    store: &dyn Store,
    record: &ElectionName,
) -> Result<Option<Result<(), Failure>>, Failure> {
    let unavailable = |error: StoreError| Failure::Unavailable(error.to_string());
    let Some(found) = store.observe(record).await.map_err(unavailable)? else {
        tracing::info!("there is nothing to reset");
        return Ok(Some(Ok(())));
    };
    if let Some(holder) = &found.record.holder
        && found.remaining != Some(Duration::ZERO)
    {
        let identity = &holder.identity;
        return Ok(Some(Err(Failure::Undecided(format!(
            "{identity} is at it now: wait until that attempt has ended"
        )))));
    }
    let renew_time: WallTime = HostClock.now().wall;
    let cleared = LeaseRecord { holder: None, outcome: None, renew_time, ..found.record };
    match store.swap(record, Some(&found.version), &cleared).await.map_err(unavailable)? {
        Swapped::Won(_) => {
            tracing::info!("reset: the work can be done again");
            Ok(Some(Ok(())))
        }
        Swapped::Lost(_) => Ok(None),
    }
}
