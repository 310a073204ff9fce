//! `bellwether once --key KEY -- CMD`: to success once per key, across all instances.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::pin::{Pin, pin};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub(super) use self::args::Args;
use self::args::Plan;
use self::commands::{Commands, Supervision};
use self::failure::{alarm, cannot};
use self::waiting::Waiting;
use super::endings::second_signal;
use super::exit::CommandError;
use super::{logging, metrics};
use crate::command::group;
use crate::command::plan::not_started_code;
use crate::config::ElectionConfig;
use crate::election::history::{
    Entry, Goal, Instance, Moment, Order, RetryAfter, State, Superseded,
};
use crate::election::leadership::Gated;
use crate::election::lease::ElectionName;
use crate::election::time::{BootTime, Clock};
use crate::once::{Broken, Ledger, Once, Settled, Stage, Subject, Task, glance, report_lost};
use crate::sidecar::{Ending, Sidecar, SignalRequest, Signals, Start};
use crate::store::Store;
use crate::time::alarm::{Sleep, Timer};
use crate::time::clock::HostClock;

mod args;
mod commands;
mod failure;
mod reset;
mod waiting;

/// The exit code of `--superseded fail`.
const EXIT_SUPERSEDED: u8 = 1;

/// Signals that wait for the command. More at once are a flood, and some are dropped.
const SIGNALS: usize = 16;

/// How long the protocol may take to see that its election is over: it waits for nothing else then.
const LAST_WORD: Duration = Duration::from_millis(500);

/// How long an instance whose time is over may take to free the lease, if it has that: a store that is well
/// needs some milliseconds.
const LAST_CALL: Duration = Duration::from_secs(2);

/// What follows when all is closed.
pub(super) enum Next {
    /// This process ends.
    Exit(u8),
    /// It becomes the server.
    Serve(Vec<OsString>),
}

/// Replaces this process. Returns only if that fails.
pub(super) fn become_server(words: Vec<OsString>) -> u8 {
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    // What ends around the server is no business of it.
    let _ = rustix::process::set_child_subreaper(None);
    let error = Command::new(&program).args(words).exec();
    tracing::error!(
        %error, program = %program.display(), event = "server_start_failed",
        "cannot execute the server"
    );
    not_started_code(&error)
}

pub(super) async fn run(args: Args) -> Result<Next, CommandError> {
    let mut signals = Signals::new()?;
    let started = HostClock.now();
    let give_up_at = args.timeout.map(|timeout| started.boot + timeout);
    let bound = or_asks_once(give_up_at, started.boot);
    let plan = tokio::select! {
        biased;
        signal = signals.end() => return Ok(Next::Exit(signal.code())),
        plan = args.plan() => plan?,
        () = at(bound) => return Err(CommandError::Undecided(
            "the platform did not name the release in time".to_owned(),
        )),
    };
    let Args { store, candidate, timeout, run_timeout, no_stderr, reset, .. } = args;
    let record = ElectionName::of_work(&plan.work);
    refuse_to_wait_for_itself(&record)?;
    let mut config = candidate.check(record, store)?;
    config.gated = Some(Gated::ByWork);
    if reset {
        let key = plan.subject.as_ref().and_then(Subject::key);
        return Ok(Next::Exit(tokio::select! {
            signal = signals.end() => signal.code(),
            reset = reset::run(&config, &plan.work, key, timeout) => reset?,
        }));
    }
    let Some(subject) = plan.subject.clone() else {
        return Err(CommandError::Usage("--key: name the task, for example --key v42".to_owned()));
    };
    let (rules, goal, keep) = (plan.rules, plan.goal, plan.keep);
    let instance = Instance { started: Moment::of(started.wall), jitter: fastrand::f64() };
    let checks = plan.check.is_some();
    let task = Task { subject, goal, rules, instance, keep, checks, give_up_at };
    let commands = Commands {
        command: plan.command.clone(),
        check: plan.check.clone(),
        run_timeout,
        keeps_stderr: !no_stderr,
    };
    let instance = OnceCommand { commands: commands.of(&plan.work), plan, task, config };
    match instance.settle(&mut signals).await? {
        EndedBy::Task(settled) => Ok(unless_ended(instance.say(settled)?, &mut signals).await),
        EndedBy::Signal(signal) => Ok(Next::Exit(signal.code())),
        EndedBy::SecondSignal(signal) => Ok(Next::Exit(second_signal(signal))),
    }
}

/// The server would not know of a signal that this process got before: it does not start then.
async fn unless_ended(next: Next, signals: &mut Signals) -> Next {
    let Next::Serve(server) = next else { return next };
    if let Some(signal) = signals.requested() {
        return Next::Exit(signal.code());
    }
    let written = async {
        // A log that is not read takes half a second of a thread.
        let _ = tokio::task::spawn_blocking(logging::flush).await;
        // Signals that have come meanwhile are seen after this.
        tokio::task::yield_now().await;
    };
    tokio::select! {
        biased;
        signal = signals.end() => Next::Exit(signal.code()),
        () = written => Next::Serve(server),
    }
}

/// How long an instance that does not wait for others has for its own: to find the key, to read the
/// history once, and for the check. It is the time that a hook has.
const ASKS_ONCE: Duration = Duration::from_secs(30);

/// Until when to try: with no time left, as with a timeout of zero, what it takes to ask once.
fn or_asks_once(give_up_at: Option<BootTime>, now: BootTime) -> Option<BootTime> {
    give_up_at.map(|at| if at > now { at } else { now + ASKS_ONCE })
}

/// A command of `once` that runs `once` for the same work would wait for its own end.
fn refuse_to_wait_for_itself(record: &ElectionName) -> Result<(), CommandError> {
    let outer = std::env::var("BELLWETHER_ELECTION").unwrap_or_default();
    if std::env::var_os(group::MARK).is_some() && outer == record.as_str() {
        return Err(CommandError::Usage(
            "another bellwether runs this command for the work in BELLWETHER_WORK, so it would \
             wait for itself; name another work with --work"
                .to_owned(),
        ));
    }
    Ok(())
}

/// One instance of `once`.
struct OnceCommand {
    plan: Plan,
    task: Task,
    commands: Commands,
    config: ElectionConfig,
}

/// What ended it.
enum EndedBy {
    Task(Settled),
    Signal(Ending),
    /// It exits at once.
    SecondSignal(Ending),
}

impl OnceCommand {
    /// Reads what is decided; stands for the work only if that leaves something to do.
    async fn settle(&self, signals: &mut Signals) -> Result<EndedBy, CommandError> {
        let store = self.config.open_store();
        let give_up_at = or_asks_once(self.task.give_up_at, HostClock::boot());
        let decided = tokio::select! {
            biased;
            signal = signals.end() => return Ok(EndedBy::Signal(signal)),
            decided = self.glance(Arc::clone(&store)) => decided?,
            () = at(give_up_at) => return Ok(EndedBy::Task(Settled::GaveUp)),
        };
        if let Some(settled) = decided {
            return Ok(EndedBy::Task(settled));
        }
        if !self.waits() {
            return Ok(EndedBy::Task(Settled::GaveUp));
        }
        let (config, metrics) = (&self.config, metrics::of(&self.config)?);
        let started = tokio::select! {
            biased;
            started = Sidecar::start(Arc::clone(&store), config, None, None, metrics, signals) => started?,
            () = at(self.task.give_up_at) => return Ok(EndedBy::Task(Settled::GaveUp)),
        };
        match started {
            Start::Stands(sidecar) => self.stand(*sidecar, store, signals).await,
            Start::Ends(signal) => {
                tracing::info!(signal = signal.name, event = "shutting_down", "shutting down");
                Ok(EndedBy::Signal(signal))
            }
        }
    }

    /// One read. A store that does not answer now may do so later.
    async fn glance(&self, store: Arc<dyn Store>) -> Result<Option<Settled>, CommandError> {
        let clock = (Arc::new(HostClock) as Arc<dyn Clock>, alarm()?);
        let call_timeout = self.config.timing.call_timeout();
        let mut ledger = Ledger::new(store, &self.plan.work, clock, call_timeout);
        let (mut commands, now) = (self.commands.clone(), Moment::of(HostClock.now().wall));
        match glance(&mut ledger, &self.task, &mut commands, now).await {
            Ok(settled) => Ok(settled),
            // The start creates what is missing, or says what a person has to do.
            Err(Broken::Store(error)) if self.waits() => {
                tracing::debug!(%error, "the history cannot be read yet");
                Ok(None)
            }
            Err(broken) => Err(cannot(&broken)),
        }
    }

    fn waits(&self) -> bool {
        self.task.give_up_at.is_none_or(|at| HostClock::boot() < at)
    }

    async fn stand(
        &self,
        mut sidecar: Sidecar,
        store: Arc<dyn Store>,
        signals: &mut Signals,
    ) -> Result<EndedBy, CommandError> {
        let (election, grace) = (sidecar.election.clone(), self.config.shutdown_grace);
        let (pass_on, passed_on) = mpsc::channel(SIGNALS);
        let commands = self.commands.clone();
        let supervision = Supervision::new(commands, election.clone(), grace.of_work(), passed_on);
        let (timers, clock) = ([alarm()?, alarm()?], Arc::new(HostClock));
        let store = (store, &self.plan.work);
        let (once, stages) =
            Once::new(election.clone(), store, clock, timers, self.task.clone(), supervision);
        let key = self.task.subject.key().cloned();
        let mut waiting = Waiting::new(self.name(), key, election.clone(), stages);
        let mut once = pin!(once.settle());
        let signal = loop {
            tokio::select! {
                biased;
                settled = &mut once => {
                    waiting.end();
                    let settled = settled.map_err(|broken| cannot(&broken));
                    self.leave(&sidecar, &settled).await;
                    return tokio::select! {
                        () = sidecar.left() => settled.map(EndedBy::Task),
                        signal = signals.second() => Ok(EndedBy::SecondSignal(signal)),
                    };
                }
                request = signals.next() => match request {
                    SignalRequest::End(signal) => break signal,
                    SignalRequest::PassOn(number) if waiting.runs() => {
                        // More than fit at once are a flood, and some of them are dropped.
                        let _ = pass_on.try_send(number);
                    }
                    SignalRequest::PassOn(number) => if let Some(signal) = signals.unclaimed(number) {
                        break signal;
                    },
                },
                () = waiting.tick() => waiting.report(),
            }
        };
        waiting.end();
        tracing::info!(signal = signal.name, event = "shutting_down", "shutting down");
        election.shut_down(self.time_to_leave(&waiting.stage())).await;
        let settled = tokio::select! {
            biased;
            settled = last_word(once, &mut sidecar) => settled,
            signal = signals.second() => {
                lament(&waiting.stage());
                return Ok(EndedBy::SecondSignal(signal));
            }
        };
        // A result that arrived while it was leaving counts.
        match settled.map_err(|broken| cannot(&broken))? {
            Settled::Left | Settled::GaveUp => Ok(EndedBy::Signal(signal)),
            settled => Ok(EndedBy::Task(settled)),
        }
    }

    /// Frees the lease, if it has that. If its time is over, a lease that cannot be freed now runs out.
    async fn leave(&self, sidecar: &Sidecar, settled: &Result<Settled, CommandError>) {
        match settled {
            Ok(Settled::GaveUp) => sidecar.election.shut_down(LAST_CALL).await,
            _ => sidecar.shut_down(self.config.shutdown_grace).await,
        }
    }

    /// To record the end of a command is worth the whole lease: otherwise it is run again.
    fn time_to_leave(&self, stage: &Stage) -> Duration {
        let timing = &self.config.timing;
        let usual = self.config.shutdown_grace.until_left(timing);
        match stage {
            Stage::Running(..) | Stage::Checking(..) | Stage::Recording(..) => {
                usual.max(timing.lease_duration())
            }
            _ => usual,
        }
    }

    /// How the task is called.
    fn name(&self) -> String {
        self.task.subject.key().map_or_else(|| self.plan.work.to_string(), ToString::to_string)
    }

    /// The result, and the exit code.
    fn say(self, settled: Settled) -> Result<Next, CommandError> {
        let name = self.name();
        let code = match settled {
            Settled::Done(entry) => {
                say_done(&entry, self.task.goal);
                0
            }
            Settled::Superseded(order, newer) => self.say_superseded(order, newer.as_ref()),
            Settled::Past(newer) => {
                self.say_past(&newer);
                0
            }
            Settled::Failed(entry) => self.say_failed(&entry),
            Settled::FailedHere { key, code } => {
                tracing::error!(
                    key = key.as_str(),
                    code,
                    event = "failed_here",
                    "the command failed, and this instance does not try again"
                );
                code
            }
            Settled::CannotCheck(code) => code,
            Settled::Unknown(key) => {
                return Err(CommandError::Usage(format!(
                    "--revert: work '{}' has no key '{key}' to take back; see bellwether status",
                    self.plan.work
                )));
            }
            Settled::GaveUp | Settled::Left => {
                return Err(CommandError::Undecided(format!(
                    "key '{name}' was not done in time; see bellwether status"
                )));
            }
        };
        Ok(match self.plan.server {
            Some(server) if code == 0 => Next::Serve(server),
            _ => Next::Exit(code),
        })
    }

    fn say_past(&self, newer: &Entry) {
        let (work, newest) = (self.plan.work.as_str(), newer.key.as_str());
        let now = Moment::of(HostClock.now().wall);
        match self.task.subject {
            Subject::Every(period) if newer.is_ahead_of(now, period) => tracing::warn!(
                work,
                newer = newest,
                event = "period_in_future",
                "skipped: the last run is recorded for a time in the future, and no instance runs \
                 the command before; correct the clock of this host, or if the record is wrong, run \
                 once --reset --work WORK --key NEWER"
            ),
            Subject::Every(_) | Subject::Key(_) => tracing::info!(
                newer = newest,
                event = "period_skipped",
                "skipped: a newer period has begun"
            ),
        }
    }

    fn say_failed(&self, entry: &Entry) -> u8 {
        let State::Failed { ended, failures, code, stderr } = &entry.state else { return 1 };
        let Entry { key, attempt, .. } = entry;
        let (key, holder, term) = (key.as_str(), attempt.holder.as_str(), attempt.term.get());
        let finished = ended.to_string();
        let heals = matches!(self.task.rules.retry_after, RetryAfter::Time(_));
        if heals && entry.failed_ahead_of(Moment::of(HostClock.now().wall)) {
            let work = self.plan.work.as_str();
            tracing::error!(
                work,
                key,
                holder,
                term,
                finished,
                attempts = failures,
                code,
                stderr,
                event = "failed_in_future",
                "all attempts failed, the last one at a time in the future, and --retry-after does \
                 not begin before; fix the command, then run once --reset --work WORK --key KEY"
            );
        } else {
            tracing::error!(
                key,
                holder,
                term,
                finished,
                attempts = failures,
                code,
                stderr,
                event = "failed_for_good",
                "all attempts failed; fix the command, then wait for --retry-after or run once \
                 --reset --key KEY"
            );
        }
        *code
    }

    fn say_superseded(&self, order: Order, newer: Option<&Entry>) -> u8 {
        let (key, newer) = (self.name(), newer.map(|newer| newer.key.as_str()));
        if self.task.rules.superseded == Superseded::Fail {
            tracing::error!(
                key,
                newer,
                order,
                event = "superseded",
                "a newer release has begun before this one"
            );
            return EXIT_SUPERSEDED;
        }
        tracing::info!(
            key,
            newer,
            order,
            event = "release_skipped",
            "skipped: a newer release has begun before this one"
        );
        0
    }
}

/// The command, if it runs, is stopped and waited for while the candidate leaves.
async fn last_word(
    mut once: Pin<&mut impl Future<Output = Result<Settled, Broken>>>,
    sidecar: &mut Sidecar,
) -> Result<Settled, Broken> {
    let settled = tokio::select! {
        biased;
        settled = &mut once => settled,
        () = sidecar.left() => match tokio::time::timeout(LAST_WORD, once).await {
            Ok(settled) => settled,
            Err(_) => Ok(Settled::Left),
        },
    };
    sidecar.left().await;
    settled
}

fn say_done(entry: &Entry, goal: Goal) {
    let Entry { key, attempt, .. } = entry;
    let (key, holder, term) = (key.as_str(), attempt.holder.as_str(), attempt.term.get());
    let finished = entry.changed().to_string();
    match goal {
        Goal::Do => {
            tracing::info!(key, holder, term, finished, event = "done", "done");
        }
        Goal::TakeBack => {
            tracing::info!(key, holder, term, finished, event = "taken_back", "taken back");
        }
    }
}

/// A process that exits now does not write how its command ended.
fn lament(stage: &Stage) {
    if let Stage::Recording(key, term, code) = stage {
        report_lost(key, *term, *code);
    }
}

async fn at(time: Option<BootTime>) {
    match time {
        Some(time) => Sleep.until(time).await,
        None => std::future::pending().await,
    }
}
