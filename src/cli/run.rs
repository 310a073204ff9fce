//! `bellwether run -- CMD`: a command that runs on the leader only.

use std::ffi::OsString;

use super::endings::{ended_while_starting, second_signal};
use super::exit::{CommandError, cannot_guard};
use super::metrics;
use crate::command::spec::CommandSpec;
use crate::command::supervisor::Supervisor;
use crate::config::{
    ElectionArgs, ElectionConfig, GateArgs, InvalidConfig, ListenAddress, RankArgs, TokenArgs,
};
use crate::election::grace::Grace;
use crate::health::GateConfig;
use crate::sidecar::{Ending, Listen, Sidecar, SignalRequest, Signals, Start};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    election: ElectionArgs,

    #[command(flatten)]
    rank: RankArgs,

    /// Also serve HTTP, on this address and port.
    #[arg(long, env = "BELLWETHER_LISTEN", value_name = "ADDRESS:PORT", help_heading = "Sidecar")]
    listen: Option<ListenAddress>,

    #[command(flatten)]
    token: TokenArgs,

    #[command(flatten)]
    gate: GateArgs,

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

/// The settings, checked.
struct Settings {
    config: ElectionConfig,
    listen: Option<Listen>,
    gate: Option<GateConfig>,
    command: Vec<OsString>,
}

impl Settings {
    /// Reads what the platform and the names of hosts say: that may take seconds.
    async fn of(args: Args) -> Result<Self, CommandError> {
        let election = args.election.check()?;
        let config = ElectionConfig { rank: Some(args.rank.check().await?), ..election };
        let (token, gate) = (args.token.check()?, args.gate.check()?);
        let listen = match args.listen {
            Some(listen) => {
                let address = listen.resolve().await.map_err(InvalidConfig::from)?;
                Some(Listen { address, token, of_hooks: 0 })
            }
            None => None,
        };
        Ok(Self { config, listen, gate, command: args.command })
    }
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    // First of all: the kernel delivers the first process of a container only the signals that it
    // handles.
    let mut signals = Signals::new()?;
    let settings = tokio::select! {
        biased;
        signal = signals.end() => return Ok(ended_while_starting(signal)),
        settings = Settings::of(args) => settings?,
    };
    let Settings { config, listen, gate, command } = settings;
    let grace = config.shutdown_grace;
    let (store, metrics) = (config.open_store(), metrics::of(&config)?);
    let mut sidecar =
        match Sidecar::start(store, &config, listen, gate, metrics, &mut signals).await? {
            Start::Stands(sidecar) => *sidecar,
            Start::Ends(signal) => return Ok(ended_while_starting(signal)),
        };
    let mut words = command.into_iter();
    let program = words.next().unwrap_or_default();
    let mut command = CommandSpec::new(program, words);
    if let Some(url) = &sidecar.url {
        command = command.asking(url);
    }
    let mut supervisor = Supervisor::new(sidecar.election.clone(), command, grace.of_work());

    let mut ending = None;
    let code = loop {
        tokio::select! {
            biased;
            end = supervisor.until_ended() => break end.map_err(cannot_guard),
            request = signals.next() => match request {
                SignalRequest::End(second) if ending.is_some() => return Ok(second_signal(second)),
                SignalRequest::End(first) => ending = Some(begin_to_end(&sidecar, first, grace).await),
                SignalRequest::PassOn(number) if supervisor.running_in().is_some() => {
                    supervisor.signal(number);
                }
                SignalRequest::PassOn(number) => if let Some(first) = signals.unclaimed_at_terminal(number)
                    && ending.is_none()
                {
                    ending = Some(begin_to_end(&sidecar, first, grace).await);
                },
            },
            // After a shutdown: the command has ended and the lease is free, or its time is over.
            () = sidecar.left_and_shown() => return Ok(0),
        }
    };
    // An end of the command's own, also while shutting down: its code is the answer.
    sidecar.shut_down(grace).await;
    tokio::select! {
        () = sidecar.left_and_shown() => code,
        signal = signals.second() => code.map(|_| second_signal(signal)),
    }
}

async fn begin_to_end(sidecar: &Sidecar, signal: Ending, grace: Grace) -> Ending {
    tracing::info!(signal = signal.name, event = "shutting_down", "shutting down");
    sidecar.shut_down(grace).await;
    signal
}
