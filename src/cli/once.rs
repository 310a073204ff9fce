//! `bellwether once --key KEY -- CMD`: to success once per key, across all instances.

use std::ffi::OsString;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use tokio::sync::watch;

use self::unwritten::Unwritten;
use super::endings::second_signal;
use super::exit::CommandError;
use super::exit::cannot_guard;
use super::logging::ProgressLine;
use super::metrics;
use super::store_call::within;
use crate::command::spec::CommandSpec;
use crate::command::supervisor::{OwnEnd, Supervisor};
use crate::config::{CandidateArgs, ElectionConfig, InvalidConfig, StoreArgs};
use crate::driver::Handle;
use crate::election::duration;
use crate::election::grace::Grace;
use crate::election::leadership::Leadership;
use crate::election::lease::ElectionName;
use crate::election::outcome::Outcome;
use crate::election::term::Term;
use crate::election::time::{BootTime, Clock};
use crate::platform::release;
use crate::platform::surroundings;
use crate::sidecar::{Ending, Sidecar, SignalRequest, Signals, Start};
use crate::time::clock::HostClock;

mod reset;
mod unwritten;

/// When a log first names the leader that this instance waits for. While that stays the same, the
/// pause doubles each time, up to the longest, so a wait of hours causes few lines.
const REPORT_PERIOD: Duration = Duration::from_secs(10);
const LONGEST_REPORT_PERIOD: Duration = Duration::from_secs(300);

/// How often the line on a terminal moves, so that a person sees that it is alive.
const REDRAW_PERIOD: Duration = Duration::from_millis(250);

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
        value_parser = duration::parse
    )]
    timeout: Option<Duration>,

    /// Do not keep the last of the command's standard error in the record of a failure.
    #[arg(long, env = "BELLWETHER_NO_STDERR", value_parser = BoolishValueParser::new())]
    no_stderr: bool,

    /// Forget that the work of the key was done, or has failed, so that it can be done again.
    ///
    /// Refused while an attempt is under way. Where the store cannot tell whether the instance that
    /// made the last one is alive, its lease is watched, and this takes as long as that.
    #[arg(long, conflicts_with = "command")]
    reset: bool,

    #[command(flatten)]
    candidate: CandidateArgs,

    /// The command, and its arguments.
    ///
    /// It reads what this program's standard input is, unless that is a terminal: then it reads
    /// nothing. It has no terminal to ask for a password.
    #[arg(last = true, required_unless_present = "reset", value_name = "CMD")]
    command: Vec<OsString>,
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let mut signals = Signals::new()?;
    let mut timed_out = Box::pin(after(args.timeout));
    let key = tokio::select! {
        biased;
        signal = signals.end() => return Ok(signal.code()),
        key = find_key(&args.key) => key?,
        () = &mut timed_out => return Err(not_in_time(&args.key)),
    };
    let record = ElectionName::once(&key).map_err(InvalidConfig::from)?;
    let mut config = args.candidate.check(record.clone(), args.store)?;
    config.max_attempts = Some(args.max_attempts);
    if args.reset {
        return tokio::select! {
            signal = signals.end() => Ok(signal.code()),
            reset = reset::run(&config, args.timeout) => reset,
        };
    }
    if args.timeout == Some(Duration::ZERO) {
        return say_what_is_decided(&key, &config, args.max_attempts).await;
    }
    let metrics = metrics::of(&config)?;
    let started = tokio::select! {
        biased;
        started = Sidecar::start(&config, None, None, metrics, &mut signals) => started?,
        () = &mut timed_out => return Err(not_in_time(&key)),
    };
    let sidecar = match started {
        Start::Stands(sidecar) => *sidecar,
        Start::Ends(signal) => {
            tracing::info!(signal = signal.name, event = "shutting_down", "shutting down");
            return Ok(signal.code());
        }
    };
    let mut words = args.command.into_iter();
    let command = CommandSpec::new(words.next().unwrap_or_default(), words)
        .env("BELLWETHER_KEY", key.as_str());
    let grace = config.shutdown_grace;
    let mut supervisor = Supervisor::new(sidecar.election.clone(), command, grace.of_work());
    if !args.no_stderr {
        supervisor = supervisor.keeping_stderr();
    }
    let once = Once {
        unwritten: Unwritten::new(&key, &sidecar.election),
        key,
        max_attempts: args.max_attempts,
        election: sidecar.election.clone(),
        waiting: Waiting::new(&sidecar.election),
    };
    once.until_final(sidecar, supervisor, &mut signals, timed_out.as_mut(), grace).await
}

async fn find_key(key: &str) -> Result<String, InvalidConfig> {
    match key {
        "auto" => Ok(release::key(surroundings::here()).await?),
        key => Ok(key.to_owned()),
    }
}

fn not_in_time(key: &str) -> CommandError {
    CommandError::Undecided(format!(
        "the work of key '{key}' was not done in time; see bellwether status"
    ))
}

/// Without any time this instance does not stand: it only reads.
async fn say_what_is_decided(
    key: &str,
    config: &ElectionConfig,
    max_attempts: u32,
) -> Result<u8, CommandError> {
    let patience = config.timing.call_timeout();
    let store = config.store.open(patience, Arc::new(HostClock));
    let found = within(&config.store.url, patience, store.observe(&config.election)).await?;
    let outcome = found.and_then(|found| found.record.outcome);
    match outcome.filter(|outcome| outcome.is_final(max_attempts)) {
        Some(outcome) => Ok(say_final(key, *outcome)),
        None => Err(not_in_time(key)),
    }
}

/// The work of one key.
struct Once {
    key: String,
    max_attempts: u32,
    election: Handle,
    waiting: Waiting,
    unwritten: Unwritten,
}

/// Why the loop below ended.
enum End {
    /// The outcome is final.
    Final(Box<Outcome>),
    /// A signal asked for it.
    SignalRequest(Ending),
    /// It took too long.
    TimedOut,
}

impl Once {
    async fn until_final(
        mut self,
        mut sidecar: Sidecar,
        mut supervisor: Supervisor,
        signals: &mut Signals,
        mut timed_out: Pin<&mut impl Future<Output = ()>>,
        grace: Grace,
    ) -> Result<u8, CommandError> {
        let end = loop {
            tokio::select! {
                biased;
                end = supervisor.until_ended() => {
                    self.finish(end.map_err(cannot_guard)?).await;
                }
                outcome = self.outcome() => break End::Final(outcome),
                request = signals.next() => match request {
                    SignalRequest::End(signal) => break End::SignalRequest(signal),
                    SignalRequest::PassOn(number) if supervisor.running_in().is_some() => {
                        supervisor.signal(number);
                    }
                    SignalRequest::PassOn(number) => if let Some(signal) = signals.unclaimed(number) {
                        break End::SignalRequest(signal);
                    },
                },
                () = &mut timed_out => break End::TimedOut,
                never = self.unwritten.follow() => match never {},
                () = self.waiting.tick() => self.report(&supervisor),
            }
        };
        self.waiting.end();
        if let End::SignalRequest(signal) = end {
            tracing::info!(signal = signal.name, event = "shutting_down", "shutting down");
        }
        self.unwritten.complain();
        sidecar.shut_down(grace).await;
        // The command, if it runs, is stopped and waited for while the candidate leaves.
        loop {
            tokio::select! {
                biased;
                // It may have ended just before the request to end.
                end = supervisor.until_ended() => if let Ok(end) = end {
                    self.finish(end).await;
                },
                () = sidecar.left() => break,
                never = self.unwritten.follow() => match never {},
                signal = signals.second() => {
                    self.unwritten.give_up();
                    return Ok(second_signal(signal));
                }
            }
        }
        self.unwritten.give_up();
        // A result that arrived while it was leaving counts.
        let decided = self.election.leadership().outcome;
        let decided = decided.filter(|outcome| outcome.is_final(self.max_attempts));
        self.print_problem(decided.map_or(end, End::Final))
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

    async fn finish(&mut self, end: OwnEnd) {
        let OwnEnd { code, term, started, stderr, work } = end;
        if code != 0 {
            tracing::warn!(
                key = self.key,
                term = term.get(),
                code,
                event = "attempt_failed",
                "the attempt failed"
            );
        }
        let outcome = Outcome {
            succeeded: code == 0,
            exit_code: code,
            holder: self.election.leadership().candidate.identity,
            term,
            started: started.to_string(),
            finished: HostClock.now().wall.to_string(),
            // Counted by the elector when it is written.
            attempts: 0,
            stderr: stderr.filter(|_| code != 0),
        };
        self.unwritten.begin(term, code);
        if self.election.finish(outcome, work).await.is_err() {
            self.unwritten.give_up();
        }
    }

    fn report(&mut self, supervisor: &Supervisor) {
        let (view, now) = (self.election.leadership(), self.election.now());
        if let Some(term) = supervisor.running_in() {
            return self.waiting.say_running(&self.key, term);
        }
        let what = match (view.holder(now), view.decided(now)) {
            (Some(holder), _) => format!("waiting for {}, term {}", holder.identity, holder.term),
            (None, Err(undecided)) => format!("waiting: {undecided}"),
            (None, Ok(())) => "waiting".to_owned(),
        };
        self.waiting.print_problem(&self.key, &what);
    }

    fn print_problem(self, end: End) -> Result<u8, CommandError> {
        match end {
            End::Final(outcome) => Ok(say_final(&self.key, *outcome)),
            End::SignalRequest(signal) => Ok(signal.code()),
            End::TimedOut => Err(not_in_time(&self.key)),
        }
    }
}

/// The result for the key, and the exit code.
fn say_final(key: &str, outcome: Outcome) -> u8 {
    let Outcome { holder, term, finished, attempts, exit_code: code, stderr, .. } = outcome;
    if outcome.succeeded {
        tracing::info!(key, holder, term = term.get(), finished, event = "done", "done");
        return 0;
    }
    tracing::error!(
        key,
        holder,
        term = term.get(),
        finished,
        attempts,
        code,
        stderr,
        event = "failed_for_good",
        "failed for good; once --reset --key KEY allows it to be tried again"
    );
    code
}

async fn after(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

/// Names the leader it waits for: one changing line on a terminal, ever rarer lines in a log.
struct Waiting {
    line: Option<ProgressLine>,
    view: watch::Receiver<Leadership>,
    period: Duration,
    due_at: BootTime,
    /// What the log has reported.
    said: String,
}

impl Waiting {
    fn new(election: &Handle) -> Self {
        let line = ProgressLine::on_terminal();
        let (view, now) = (election.watch(), election.now());
        let period = if line.is_some() { REDRAW_PERIOD } else { REPORT_PERIOD };
        Self { line, view, period, due_at: now + period, said: String::new() }
    }

    /// Waits until there is something to say. Safe to cancel.
    async fn tick(&mut self) {
        let left = self.due_at.since(HostClock::boot());
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            // At once, so that the line is gone before the command writes anything.
            Ok(()) = self.view.changed(), if self.line.is_some() => {}
        }
        self.due_at = HostClock::boot() + self.period;
    }

    fn print_problem(&mut self, key: &str, what: &str) {
        match &self.line {
            Some(line) => line.show(format!("{key}: {what}")),
            None => {
                tracing::info!(key, event = "waiting", "{what}");
                self.pace(what);
            }
        }
    }

    /// What the command writes says more, and must not be written over.
    fn say_running(&mut self, key: &str, term: Term) {
        match &self.line {
            Some(line) => line.clear(),
            None => {
                tracing::info!(key, term = term.get(), event = "running", "running here");
                self.pace("running here");
            }
        }
    }

    fn pace(&mut self, what: &str) {
        let longer = (self.period * 2).min(LONGEST_REPORT_PERIOD);
        self.period = if self.said == what { longer } else { REPORT_PERIOD };
        what.clone_into(&mut self.said);
        self.due_at = HostClock::boot() + self.period;
    }

    fn end(&self) {
        if let Some(line) = &self.line {
            line.clear();
        }
    }
}
