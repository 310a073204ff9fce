//! What the gate checks, and when it opens and closes.

use std::time::Duration;

use clap::Args;

use super::InvalidConfig;
use crate::command::spec::CommandSpec;
use crate::command::spec::InvalidCommand;
use crate::election::duration;
use crate::gate::Rules;
use crate::health::{Checks, CommandCheck, ContainerCheck, GateConfig};
use crate::http_client::InvalidUrl;
use crate::platform::ecs::{self, Metadata};
use crate::platform::surroundings;

/// Oftener than this, checks would be a load on the application and on this host.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

/// What the application's health is judged by. With more than one of the checks all have to succeed;
/// with none there is no gate.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Gate")]
pub struct GateArgs {
    /// Lead only while this http:// URL of the application responds with a status from 200 to
    /// 299.
    ///
    /// Redirects are not followed. For https, use --gate-command with a client of your choice.
    #[arg(long, env = "BELLWETHER_GATE_URL", value_name = "URL")]
    gate_url: Option<String>,

    /// Lead only while this command exits with 0. A line for sh, or a JSON array of words.
    ///
    /// It runs once for each check. Nothing that it started outlives the check.
    #[arg(long, env = "BELLWETHER_GATE_COMMAND", value_name = "CMD")]
    gate_command: Option<String>,

    /// On ECS, lead only while this container of the same task runs and, if it has a health
    /// check, is healthy.
    #[arg(long, env = "BELLWETHER_GATE_ECS_CONTAINER", value_name = "NAME")]
    gate_ecs_container: Option<String>,

    /// How often to check the health of the application.
    #[arg(
        long,
        env = "BELLWETHER_GATE_PERIOD",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "2s"
    )]
    gate_period: Duration,

    /// How long a check may take before it counts as failed.
    #[arg(
        long,
        env = "BELLWETHER_GATE_TIMEOUT",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "1s"
    )]
    gate_timeout: Duration,

    /// How many failures in a row close the gate, so that this instance steps down.
    #[arg(
        long,
        env = "BELLWETHER_GATE_FAILURES",
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    gate_failures: u32,

    /// How many successes in a row open the gate. It is closed at the start.
    #[arg(
        long,
        env = "BELLWETHER_GATE_SUCCESSES",
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    gate_successes: u32,

    /// How long the application may take to start. Until then, or until the first success, failures
    /// are neither counted nor logged. The gate stays closed.
    #[arg(
        long,
        env = "BELLWETHER_GATE_GRACE",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "30s"
    )]
    gate_grace: Duration,
}

/// Why there cannot be such a gate.
#[derive(Debug, thiserror::Error)]
pub enum InvalidGate {
    /// The URL of `--gate-url`.
    #[error(
        "--gate-url: '{0}' is not an http:// URL; use one like http://127.0.0.1:8080/healthz, and \
         for https a --gate-command"
    )]
    Url(String),
    /// The command of `--gate-command`.
    #[error("--gate-command: {0}")]
    Command(#[from] InvalidCommand),
    /// `--gate-ecs-container` elsewhere.
    #[error("--gate-ecs-container works on ECS only, and {} is not set", ecs::VARIABLE)]
    NotOnEcs,
    /// `--gate-ecs-container` without a name.
    #[error("--gate-ecs-container: the name is empty")]
    NoName,
    /// The metadata endpoint.
    #[error("--gate-ecs-container: {0}")]
    Ecs(#[from] ecs::MetadataError),
    /// Durations.
    #[error("--gate-period must be at least 100ms, and --gate-timeout more than zero")]
    Times,
}

impl GateArgs {
    /// Checks everything; none if there is no gate.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(self) -> Result<Option<GateConfig>, InvalidConfig> {
        let checks = self.checks()?;
        if checks.is_empty() {
            return Ok(None);
        }
        if self.gate_period < SHORTEST_PERIOD || self.gate_timeout.is_zero() {
            return Err(InvalidGate::Times.into());
        }
        let rules = Rules {
            period: self.gate_period,
            timeout: self.gate_timeout,
            failures: self.gate_failures,
            successes: self.gate_successes,
            grace: self.gate_grace,
        };
        Ok(Some(GateConfig { checks, rules }))
    }

    fn checks(&self) -> Result<Checks, InvalidGate> {
        let url = self.gate_url.as_deref().map(str::parse).transpose();
        let url = url.map_err(|InvalidUrl(shown)| InvalidGate::Url(shown))?;
        let command = self.gate_command.as_deref().map(CommandSpec::parse).transpose()?;
        let container = match self.gate_ecs_container.clone() {
            None => None,
            Some(name) if name.is_empty() => return Err(InvalidGate::NoName),
            Some(name) => {
                let metadata = Metadata::here(surroundings::here()).ok_or(InvalidGate::NotOnEcs)?;
                Some(ContainerCheck::new(name, metadata?))
            }
        };
        Ok(Checks { url, command: command.map(CommandCheck::new), container })
    }
}
