//! `bellwether serve`: the sidecar.

use std::time::Duration;

use super::endings::{ended_while_starting, second_signal};
use super::exit::CommandError;
use super::metrics;
use crate::config::leaving::LeavingArgs;
use crate::config::{
    ElectionConfig, ElectionsArgs, GateArgs, HookArgs, InvalidConfig, ListenArgs, RankArgs,
    TokenArgs,
};
use crate::health::GateConfig;
use crate::hooks::{self, Hooks};
use crate::sidecar::{self, Listen, RunningHooks, Sidecar, Signals, Start, pod};
use crate::time::alarm::Sleep;
use crate::time::clock::HostClock;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Check the settings and the store, and exit: with 0 also if the store is unavailable, with 64
    /// or 69 if `serve` would exit with that. It neither stands nor listens, so it can run beside
    /// the sidecar that it is to replace
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    elections: ElectionsArgs,
    #[command(flatten)]
    rank: RankArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    hooks: HookArgs,
    #[command(flatten)]
    leaving: LeavingArgs,
}

/// The settings, checked.
struct Settings {
    config: ElectionConfig,
    listen: Listen,
    gate: Option<GateConfig>,
    hooks: Option<Hooks>,
    delay: Duration,
}

impl Settings {
    /// Reads what the platform and the names of hosts say: that may take seconds.
    async fn of(args: Args) -> Result<Self, CommandError> {
        let elections = args.elections.check()?;
        let config = ElectionConfig { rank: Some(args.rank.check().await?), ..elections };
        let token = args.token.check()?;
        let (gate, hooks) = (args.gate.check()?, args.hooks.check(config.shutdown_grace)?);
        let delay = args.leaving.check(config.shutdown_grace);
        let delay = delay.map_err(|error| CommandError::Usage(error.to_string()))?;
        let of_hooks = if hooks.is_some() { hooks::FILES } else { 0 };
        let address = args.listen.listen.resolve().await.map_err(InvalidConfig::from)?;
        Ok(Self { config, listen: Listen { address, token, of_hooks }, gate, hooks, delay })
    }

    async fn checked(args: Args) -> Result<u8, CommandError> {
        let settings = Self::of(args).await?;
        sidecar::check(&settings.config).await?;
        Ok(0)
    }
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    // First of all: the kernel delivers the first process of a container only the signals that it
    // handles.
    let mut signals = Signals::new()?;
    if args.check {
        return tokio::select! {
            biased;
            signal = signals.end() => Ok(signal.code()),
            checked = Settings::checked(args) => checked,
        };
    }
    let settings = tokio::select! {
        biased;
        signal = signals.end() => return Ok(ended_while_starting(signal)),
        settings = Settings::of(args) => settings?,
    };
    let Settings { config, listen, gate, hooks, delay } = settings;
    let (store, metrics) = (config.open_store(), metrics::of(&config)?);
    let mut sidecar =
        match Sidecar::start(store, &config, Some(listen), gate, metrics, &mut signals).await? {
            Start::Stands(sidecar) => *sidecar,
            Start::Ends(signal) => return Ok(ended_while_starting(signal)),
        };
    let mut hooks = RunningHooks::new(hooks);
    sidecar.elections().try_for_each(|(election, url)| hooks.follow(election, url))?;

    let signal = signals.end().await;
    tracing::info!(signal = signal.name, event = "shutting_down", "shutting down");
    let hooks_end_at = HostClock::boot() + config.shutdown_grace.until_hooks_are_left();
    let leaving = sidecar.shut_down_after(config.shutdown_grace, delay).await;
    let left = async {
        tokio::join!(
            leaving.finish(pod::has_ended(&config.store.url, delay), Sleep),
            sidecar.left()
        );
        hooks.ended(hooks_end_at).await;
        sidecar.end_streams().await;
    };
    Ok(tokio::select! {
        () = left => 0,
        signal = signals.second() => second_signal(signal),
    })
}
