//! `bellwether only -- CMD`: a command that runs only on the leader, as the sidecar says.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::exit::cannot_guard;
use super::exit::{CommandError, EXIT_UNDECIDED};
use crate::api::client::{Client, ClientError, HoldResponse, HoldStream, NoAnswer};
use crate::api::hold::HoldLine;
use crate::command::group::{Ended, Group};
use crate::command::spec::CommandSpec;
use crate::config::SidecarArgs;
use crate::election::duration;
use crate::election::grace::Grace;
use crate::election::term::Term;
use crate::election::time::BootTime;
use crate::election::work::{Deadlines, Directive};
use crate::sidecar::{Ending, SignalRequest, Signals};
use crate::time::boot::Boot;
use crate::time::clock::HostClock;

/// How often to ask a sidecar that does not know yet, or is not there yet. It is on the same host.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// The least time for a request, however little is left: the sidecar is on the same host.
const SHORTEST_QUESTION: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long to wait for the sidecar to start and the election to be decided.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "60s"
    )]
    wait: Duration,

    /// The exit code when another instance leads and the command is skipped.
    #[arg(long, env = "BELLWETHER_SKIP_CODE", value_name = "CODE", default_value_t = 0)]
    skip_code: u8,

    /// How long the command may take to end when this program is asked to.
    #[arg(
        long,
        env = "BELLWETHER_SHUTDOWN_GRACE",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "20s"
    )]
    shutdown_grace: Duration,

    #[command(flatten)]
    sidecar: SidecarArgs,

    /// The command, and its arguments.
    ///
    /// It inherits standard input, unless that is a terminal: then its input is empty. It has no
    /// terminal, so it cannot ask for a password.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Args {
    /// The command and its arguments.
    pub(super) fn words(&self) -> &[OsString] {
        &self.command
    }
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let client = args.sidecar.check()?;
    let mut signals = Signals::new()?;
    let hold = tokio::select! {
        hold = decided(&client, args.wait) => hold?,
        signal = signals.end() => return Err(ended_while_waiting(signal)),
    };
    match hold {
        HoldResponse::Refused(leader) => {
            let (election, identity) = (&*leader.election, &*leader.identity);
            let holder = leader.holder_identity.as_deref();
            if leader.is_earlier_run() {
                let why = leader.why_not();
                tracing::warn!(
                    election,
                    identity,
                    why,
                    event = "skipped_earlier_run",
                    "skipped: an earlier run of this instance, or this one before a pause, holds \
                     the lease, and no instance leads"
                );
                return Ok(args.skip_code);
            }
            if let Some(silent) = leader.overdue() {
                let silent = humantime::format_duration(Duration::from_secs(silent.as_secs()));
                tracing::warn!(
                    election,
                    identity,
                    holder,
                    last_renewal = %format_args!("{silent} ago"),
                    event = "skipped_overdue",
                    "skipped: another instance leads, but it has missed its renewal and may be gone"
                );
                return Ok(args.skip_code);
            }
            tracing::info!(
                election,
                identity,
                holder,
                event = "skipped",
                "skipped: another instance leads"
            );
            Ok(args.skip_code)
        }
        HoldResponse::Granted(stream) => {
            let mut words = args.command.into_iter();
            let command = CommandSpec::new(words.next().unwrap_or_default(), words)
                .asking(&client.url().to_string());
            lead(&client, command, *stream, signals, Grace::new(args.shutdown_grace)).await
        }
    }
}

fn ended_while_waiting(signal: Ending) -> CommandError {
    let signal = signal.name;
    CommandError::Undecided(format!("{signal} received while waiting; the command was not run"))
}

/// The sidecar's word, once it is known whether this instance leads or another one.
async fn decided(client: &Client, wait: Duration) -> Result<HoldResponse, CommandError> {
    let give_up = HostClock::boot() + wait;
    let mut received = false;
    loop {
        let left = give_up.since(HostClock::boot()).max(SHORTEST_QUESTION);
        let Ok(request) = tokio::time::timeout(left, client.hold()).await else {
            return Err(not_within(client, wait));
        };
        let undecided = match request {
            Ok(HoldResponse::Refused(leader)) if leader.holder_identity.is_none() => {
                let after = humantime::format_duration(wait);
                CommandError::Undecided(format!(
                    "election '{}' was not decided within {after}, and the command was not run: {}",
                    leader.election,
                    leader.why_not()
                ))
            }
            Ok(hold) => return Ok(hold),
            Err(error @ (ClientError::Unreachable { .. } | ClientError::NoDescriptor { .. })) => {
                CommandError::Unavailable(error.to_string())
            }
            Err(error @ ClientError::Busy { .. }) => CommandError::Undecided(error.to_string()),
            Err(error @ (ClientError::Refused { .. } | ClientError::Stranger { .. })) => {
                return Err(CommandError::Unavailable(error.to_string()));
            }
        };
        let left = give_up.since(HostClock::boot());
        if left.is_zero() {
            return Err(undecided);
        }
        if !received {
            let at_most = humantime::format_duration(wait).to_string();
            let sidecar = client.url();
            let why = undecided.to_string();
            tracing::info!(
                %sidecar, why, at_most, event = "undecided",
                "waiting for the election to be decided"
            );
            received = true;
        }
        tokio::time::sleep(ASK_AGAIN.min(left)).await;
    }
}

fn not_within(client: &Client, wait: Duration) -> CommandError {
    let error = client.unreachable(NoAnswer::NothingRun(wait));
    CommandError::Unavailable(error.to_string())
}

/// Runs the command for as long as the sidecar says that this instance leads.
async fn lead(
    client: &Client,
    command: CommandSpec,
    mut stream: HoldStream,
    mut signals: Signals,
    grace: Grace,
) -> Result<u8, CommandError> {
    let (line, deadlines) = first_line(client, &mut stream, &mut signals).await?;
    let command = command.leading(&line.election, &line.identity, line.term);
    let program = command.program().to_owned();
    let group = Group::start(&command, deadlines).map_err(cannot_guard)?;
    tracing::info!(
        election = line.election,
        term = line.term.get(),
        event = "command_started",
        "this instance leads; starting the command"
    );
    let mut held = Held::new(group, &stream, line.term, deadlines).map_err(cannot_guard)?;
    let mut stream = Some(stream);
    loop {
        tokio::select! {
            biased;
            ended = held.group.ended() => {
                if let Ended::NotStarted(errno) = ended {
                    let error = io::Error::from_raw_os_error(errno);
                    let program = program.display();
                    tracing::error!(
                        %error, %program, event = "command_start_failed",
                        "cannot start the command"
                    );
                }
                return Ok(held.exit_code(ended));
            }
            line = next(&mut stream) => match line {
                Some(line) => held.obey(&line),
                None => {
                    stream = None;
                    held.lost_sidecar();
                }
            },
            request = signals.next() => match request {
                SignalRequest::End(signal) if held.patience.is_some() => {
                    tracing::warn!(
                        signal = signal.name, event = "command_abandoned",
                        "second signal; exiting now, the guard ends the command"
                    );
                    return Ok(1);
                }
                SignalRequest::End(signal) => {
                    tracing::info!(
                        signal = signal.name, event = "command_stopping",
                        "signal received; stopping the command"
                    );
                    held.end_within(grace.of_work());
                }
                SignalRequest::PassOn(number) => held.group.signal(number),
            },
        }
    }
}

/// What the sidecar says first; refused unless its clock is this process's clock.
async fn first_line(
    client: &Client,
    stream: &mut HoldStream,
    signals: &mut Signals,
) -> Result<(HoldLine, Deadlines), CommandError> {
    let refused = |why: &str| CommandError::Unavailable(client.refused(why).to_string());
    let line = tokio::select! {
        biased;
        signal = signals.end() => return Err(ended_while_waiting(signal)),
        line = tokio::time::timeout(client.limit(), stream.next()) => line,
    };
    let Some(line) = line.ok().flatten() else {
        return Err(refused("it granted a hold without a deadline; the command was not run"));
    };
    let received = HostClock::boot();
    let host = Boot::this()
        .map_err(|error| CommandError::Unavailable(format!("cannot read the boot id: {error}")))?;
    if !line.is_of(host.clock(), stream.sent_at, received) {
        return Err(refused(
            "its clock is not this host's, so its deadlines have no meaning here, and the command \
             was not run; use the sidecar on the same host, without a time namespace of its own",
        ));
    }
    match line.directive() {
        Directive::Continue(deadlines) => Ok((line, deadlines)),
        Directive::End { .. } => Err(CommandError::Undecided(
            "the leadership was lost before the command started; the command was not run"
                .to_owned(),
        )),
    }
}

/// Never, when the connection is lost.
async fn next(stream: &mut Option<HoldStream>) -> Option<HoldLine> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

/// A command that runs under a hold.
struct Held {
    group: Group,
    term: Term,
    /// When the lease demands that it is gone, as last heard.
    kill_at: BootTime,
    /// When it is killed because this program was asked to end.
    patience: Option<BootTime>,
    /// Whether it had to end because the leadership, or the sidecar, was lost.
    lost: bool,
}

/// Why a command has to end before its own end.
#[derive(Clone, Copy)]
enum Loss {
    Leadership,
    Sidecar,
    Contradiction,
}

impl Loss {
    fn report(self, term: Term) {
        match self {
            Self::Leadership => tracing::warn!(
                term = term.get(),
                event = "leadership_lost",
                "this instance no longer leads; stopping the command"
            ),
            Self::Sidecar => tracing::warn!(
                term = term.get(),
                event = "sidecar_lost",
                "the connection to the sidecar is lost; stopping the command"
            ),
            Self::Contradiction => tracing::warn!(
                term = term.get(),
                event = "sidecar_contradicts",
                "the sidecar contradicts itself; stopping the command"
            ),
        }
    }
}

impl Held {
    /// The guard keeps the connection open, so that the sidecar learns of the end of the command
    /// and not of the end of this process.
    fn new(group: Group, hold: &HoldStream, term: Term, deadlines: Deadlines) -> io::Result<Self> {
        group.keep(hold.socket()?.as_fd())?;
        Ok(Self { group, term, kill_at: deadlines.kill_at, patience: None, lost: false })
    }

    fn obey(&mut self, line: &HoldLine) {
        match line.directive() {
            Directive::Continue(deadlines) if line.term == self.term && !self.lost => {
                self.kill_at = deadlines.kill_at;
                if self.patience.is_some() {
                    self.stop();
                } else {
                    self.group.extend(deadlines);
                }
            }
            // A term ends only once: whatever contradicts that orders the end.
            Directive::Continue(_) => {
                self.kill_at = HostClock::boot();
                self.lose(Loss::Contradiction);
            }
            Directive::End { kill_at } => {
                self.kill_at = kill_at;
                self.lose(Loss::Leadership);
            }
        }
    }

    fn lost_sidecar(&mut self) {
        self.lose(Loss::Sidecar);
    }

    fn lose(&mut self, loss: Loss) {
        if !self.lost {
            loss.report(self.term);
        }
        self.lost = true;
        self.stop();
    }

    fn end_within(&mut self, grace: Duration) {
        self.patience = Some(HostClock::boot() + grace);
        self.stop();
    }

    fn stop(&mut self) {
        let kill_at = self.patience.map_or(self.kill_at, |patience| patience.min(self.kill_at));
        self.group.stop(kill_at);
    }

    /// The command's own code, unless it was made to end because the leadership was lost.
    fn exit_code(&self, ended: Ended) -> u8 {
        let own = match ended {
            Ended::Exited { stopped: true, .. } if self.lost || self.patience.is_none() => None,
            other => other.code(),
        };
        let term = self.term;
        match own {
            _ if ended == Ended::GuardLost => {
                tracing::warn!(
                    term = term.get(),
                    event = "command_gone_after_guard",
                    "the command's guard was killed; the command and its children are killed too"
                );
            }
            _ if ended.was_killed() => {
                tracing::warn!(
                    term = term.get(),
                    event = "command_killed",
                    "the command had not ended in time, and was killed"
                );
            }
            Some(code) => tracing::info!(
                term = term.get(),
                code,
                event = "command_ended",
                "the command ended"
            ),
            None => tracing::warn!(
                term = term.get(),
                event = "command_stopped",
                "this instance no longer leads; the command was stopped"
            ),
        }
        own.unwrap_or(EXIT_UNDECIDED)
    }
}
