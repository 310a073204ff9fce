//! Checks the application beside this sidecar, and keeps the gate accordingly.
//!
//! One task checks. The gate that all elections share closes by the clock: a task that checks no more
//! keeps nothing open.

use std::io;

use crate::gate::{CheckOutcome, Gate, GateChange, GateState, Rules, Unhealthy};
use crate::metrics::Metrics;
use crate::time::alarm::{Alarm, Timer};
use crate::time::clock::HostClock;
use metrics::Failures;

mod command;
mod container;
mod metrics;
mod url;

pub use command::CommandCheck;
pub use container::ContainerCheck;
pub use url::UrlCheck;

/// What the checks are called in the metrics.
const URL: &str = "url";
const COMMAND: &str = "command";
const CONTAINER: &str = "ecs_container";

/// What to ask. All that is there has to be well.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// A URL of the application.
    pub url: Option<UrlCheck>,
    /// A command.
    pub command: Option<CommandCheck>,
    /// A container of the same ECS task.
    pub container: Option<ContainerCheck>,
}

impl Checks {
    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.url.is_none() && self.command.is_none() && self.container.is_none()
    }

    /// Runs all checks at once. The result of each, by its name in the metrics.
    async fn check(&self, rules: Rules) -> [Option<(&'static str, Result<(), CheckFailure>)>; 3] {
        let within = rules.timeout;
        let url = async { Some((URL, self.url.as_ref()?.check(within).await)) };
        let command = async { Some((COMMAND, self.command.as_ref()?.check(within).await)) };
        let container = async { Some((CONTAINER, self.container.as_ref()?.check(within).await)) };
        tokio::join!(url, command, container).into()
    }

    /// The names of those that there are.
    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let url = self.url.is_some().then_some(URL);
        let command = self.command.is_some().then_some(COMMAND);
        let container = self.container.is_some().then_some(CONTAINER);
        [url, command, container].into_iter().flatten()
    }
}

/// What the gate is kept by.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// What to ask.
    pub checks: Checks,
    /// When it opens and closes.
    pub rules: Rules,
}

impl GateConfig {
    /// The same, whose command finds the sidecar that runs it in its environment.
    #[must_use]
    pub fn run_by(mut self, sidecar: Option<&str>) -> Self {
        let command = self.checks.command.take();
        self.checks.command = command.map(|command| match sidecar {
            Some(sidecar) => command.run_by(sidecar),
            None => command,
        });
        self
    }
}

/// What is wrong with the application, as one check sees it.
#[derive(Debug)]
struct CheckFailure {
    /// Seen by all elections.
    why: String,
    /// What the check wrote: for the log only.
    wrote: Option<String>,
}

impl CheckFailure {
    fn new(why: String) -> Self {
        Self { why, wrote: None }
    }
}

/// Checks the application forever, and keeps the gate.
///
/// # Errors
///
/// When the system has no timer to spare.
pub fn watch(
    GateConfig { checks, rules }: GateConfig,
    metrics: &Metrics,
) -> io::Result<(impl Future<Output = ()> + use<>, Gate)> {
    let mut alarm = Alarm::new()?;
    let (mut gate_state, gate) = GateState::new(rules, HostClock::boot());
    let counted = Failures::new(metrics, gate.clone(), checks.names()).map_err(io::Error::other)?;
    tracing::info!(
        event = "gate_closed_at_start",
        "the gate is closed until the application is healthy"
    );
    let checking = async move {
        loop {
            let sent_at = HostClock::boot();
            let outcomes = checks.check(rules).await.into_iter().flatten();
            let failures: Vec<_> =
                outcomes.filter_map(|(check, outcome)| Some((check, outcome.err()?))).collect();
            let why: Vec<_> = failures.iter().map(|(_, unwell)| unwell.why.as_str()).collect();
            let wrote = failures.iter().find_map(|(_, unwell)| unwell.wrote.as_deref());
            let outcome = if why.is_empty() { Ok(()) } else { Err(Unhealthy(why.join("; "))) };
            let change = gate_state.record(sent_at, HostClock::boot(), &outcome);
            report(change, &outcome, wrote);
            if change != GateChange::NotUpYet {
                failures.iter().for_each(|(check, _)| counted.count(check));
            }
            alarm.until(sent_at + rules.period).await;
        }
    };
    Ok((checking, gate))
}

fn report(change: GateChange, outcome: &CheckOutcome, wrote: Option<&str>) {
    let why = outcome.as_ref().err().map(|Unhealthy(why)| why);
    match change {
        GateChange::Nothing => {}
        GateChange::Failure => tracing::debug!(why, wrote, "the application is not healthy"),
        GateChange::NotUpYet => tracing::debug!(why, wrote, "the application is not up yet"),
        GateChange::Opened => {
            tracing::info!(event = "gate_opened", "the gate is open: the application is healthy")
        }
        GateChange::Closed => {
            tracing::warn!(
                why,
                wrote,
                event = "gate_closed",
                "the gate is closed: the application is not healthy"
            );
        }
    }
}
