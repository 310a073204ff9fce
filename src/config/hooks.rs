//! What is run when the leadership changes.

use std::time::Duration;

use clap::Args;

use super::InvalidConfig;
use crate::command::spec::CommandSpec;
use crate::command::spec::InvalidCommand;
use crate::election::duration;
use crate::election::grace::Grace;
use crate::hooks::Hooks;

/// What to run at changes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Hooks")]
pub struct HookArgs {
    /// Run this command when this instance starts to lead. A line for sh, or a JSON array of
    /// words.
    ///
    /// It gets BELLWETHER_ELECTION, BELLWETHER_IDENTITY and BELLWETHER_TERM. Use it to notify
    /// other systems. For leader-only work, use run or only.
    #[arg(long, env = "BELLWETHER_ON_ELECTED", value_name = "CMD")]
    on_elected: Option<String>,

    /// Run this command when this instance no longer leads, also if the store is unavailable.
    ///
    /// It gets the variables of --on-elected, with the same term, and BELLWETHER_REASON.
    #[arg(long, env = "BELLWETHER_ON_LOST", value_name = "CMD")]
    on_lost: Option<String>,

    /// How long a hook may run before it is stopped.
    #[arg(
        long,
        env = "BELLWETHER_HOOK_TIMEOUT",
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "30s"
    )]
    hook_timeout: Duration,
}

/// Why there cannot be such hooks.
#[derive(Debug, thiserror::Error)]
pub enum InvalidHook {
    /// A command that is none.
    #[error("{flag}: {why}")]
    Command {
        /// Which.
        flag: &'static str,
        /// What is wrong with it.
        why: InvalidCommand,
    },
    /// No time for anything.
    #[error("--hook-timeout must be more than zero")]
    Timeout,
}

impl HookArgs {
    /// Checks everything; none if there is nothing to run. At a shutdown the last hook may take
    /// `shutdown_grace`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(self, shutdown_grace: Grace) -> Result<Option<Hooks>, InvalidConfig> {
        if self.hook_timeout.is_zero() {
            return Err(InvalidHook::Timeout.into());
        }
        let hooks = Hooks {
            on_elected: command("--on-elected", self.on_elected)?,
            on_lost: command("--on-lost", self.on_lost)?,
            timeout: self.hook_timeout,
            shutdown_timeout: shutdown_grace.of_last_hook(self.hook_timeout),
        };
        let any = hooks.on_elected.is_some() || hooks.on_lost.is_some();
        Ok(any.then_some(hooks))
    }
}

fn command(flag: &'static str, text: Option<String>) -> Result<Option<CommandSpec>, InvalidHook> {
    let parsed = text.as_deref().map(CommandSpec::parse).transpose();
    parsed.map_err(|why| InvalidHook::Command { flag, why })
}
