//! `bellwether serve`: the sidecar.

use super::endings::{ended_while_starting, second_signal};
use super::exit::CommandError;
use super::metrics;
use crate::config::leaving::LeavingArgs;
use crate::config::{
    ElectionConfig, ElectionsArgs, GateArgs, HookArgs, InvalidConfig, ListenArgs, RankArgs,
    TokenArgs,
};
use crate::hooks;
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

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let elections = args.elections.check()?;
    let config = ElectionConfig { rank: Some(args.rank.check().await?), ..elections };
    let token = args.token.check()?;
    let (gate, hooks) = (args.gate.check()?, args.hooks.check(config.shutdown_grace)?);
    let delay = args.leaving.check(config.shutdown_grace);
    let delay = delay.map_err(|error| CommandError::Usage(error.to_string()))?;
    let of_hooks = if hooks.is_some() { hooks::FILES } else { 0 };
    let address = args.listen.listen.resolve().await.map_err(InvalidConfig::from)?;
    if args.check {
        sidecar::check(&config).await?;
        return Ok(0);
    }
    let listen = Listen { address, token, of_hooks };
    let metrics = metrics::of(&config)?;
    let mut signals = Signals::new()?;
    let store = config.open_store();
    let mut sidecar =
        match Sidecar::start(store, &config, Some(listen), gate, metrics, &mut signals).await? {
            Start::Stands(sidecar) => *sidecar,
            Start::Ends(signal) => return Ok(ended_while_starting(signal)),
        };
    let mut hooks = RunningHooks::new(hooks);
    sidecar.elections().try_for_each(|election| hooks.follow(election))?;

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
    };
    Ok(tokio::select! {
        () = left => 0,
        signal = signals.second() => second_signal(signal),
    })
}
