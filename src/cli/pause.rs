//! `bellwether pause` and `bellwether resume`: an election stands still for maintenance.

use std::sync::Arc;
use std::time::Duration;

use super::exit::CommandError;
use super::output::print_apart;
use super::store_call::{PATIENCE, attempt, must_exist};
use crate::config::{StoreArgs, StoreConfig};
use crate::election::duration;
use crate::election::elector::Swapped;
use crate::election::lease::ElectionName;
use crate::election::maintenance::{Change, LOOK_AGAIN, Maintenance, Next};
use crate::election::pause::{Author, Pause, PauseReason};
use crate::election::time::{BootTime, Clock};
use crate::election::timing::Timing;
use crate::platform::identity::hostname;
use crate::store::{Store, StoreError};
use crate::time::clock::HostClock;

/// Which election, and for how long to wait.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Pause")]
struct ElectionArgs {
    /// The election.
    #[arg(long, env = "BELLWETHER_ELECTION", value_name = "NAME", default_value = "default")]
    election: String,

    /// A work of `once` cannot be paused.
    #[arg(long, value_name = "WORK", hide = true)]
    work: Option<String>,

    /// How long to try, and to wait. With 0s it tries once.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "60s"
    )]
    timeout: Duration,

    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Pause")]
pub(super) struct PauseArgs {
    /// How long the pause lasts. Without this, until `bellwether resume`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    lasts: Option<Duration>,

    /// Why, on one line: instances and `bellwether status` show it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Do not wait until the leader has stepped down.
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    of: ElectionArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    of: ElectionArgs,
}

pub(super) async fn pause(args: PauseArgs) -> Result<u8, CommandError> {
    let invalid = |why: &dyn std::fmt::Display, flag| {
        CommandError::Usage(format!("--{flag} cannot be used: {why}"))
    };
    let reason = args.reason.as_deref().map(str::parse::<PauseReason>).transpose();
    let reason = reason.map_err(|why| invalid(&why, "reason"))?;
    if args.lasts.is_some_and(|lasts| lasts.as_millis() == 0) {
        return Err(invalid(&"such a pause is over when it begins", "for"));
    }
    let mut command = Command::new(args.of)?;
    let pause = Pause::new(HostClock.now().wall, args.lasts, reason).written_by(author());
    let change = Change::Pause(pause.clone());
    let before = command.until_written(&change).await?;
    let election = &command.election;
    let replaced = before.map_or_else(String::new, |before| format!(" (it was {before})"));
    print_apart(format!("election {election} is {pause}{replaced}\n")).await?;
    if args.no_wait {
        return Ok(0);
    }
    command.until_vacated().await
}

pub(super) async fn resume(args: ResumeArgs) -> Result<u8, CommandError> {
    let mut command = Command::new(args.of)?;
    let before = command.until_written(&Change::Resume).await?;
    let election = &command.election;
    print_apart(match before {
        Some(before) => format!("election {election} is resumed (it was {before})\n"),
        None => format!("election {election} is not paused\n"),
    })
    .await?;
    Ok(0)
}

/// This user and host: as much as is known.
fn author() -> Option<Author> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(set);
    let user = user.map(|user| format!("{}@", user.to_string_lossy())).unwrap_or_default();
    Author::new(&(user + &hostname()))
}

/// One command under way.
struct Command {
    config: StoreConfig,
    store: Arc<dyn Store>,
    election: ElectionName,
    seen: Maintenance,
    timeout: Duration,
    gives_up_at: BootTime,
}

impl Command {
    fn new(args: ElectionArgs) -> Result<Self, CommandError> {
        if args.work.is_some() {
            return Err(CommandError::Usage(
                "a work of `once` cannot be paused: its command would be ended in the middle. \
                 Pause the elections of the application, and start no release meanwhile"
                    .to_owned(),
            ));
        }
        let election: ElectionName = args
            .election
            .parse()
            .map_err(|why| CommandError::Usage(format!("--election cannot be used: {why}")))?;
        let config = args.store.check()?;
        must_exist(&config.url)?;
        let store = config.open(PATIENCE, Arc::new(HostClock));
        let gives_up_at = HostClock::boot() + args.timeout;
        let seen = Maintenance::new(Timing::default().lease_duration());
        Ok(Self { config, store, election, seen, timeout: args.timeout, gives_up_at })
    }

    /// Writes what is wanted. Returns the pause that was in the record before.
    ///
    /// A write whose outcome is unknown is looked up: what it wrote differs from all else.
    async fn until_written(&mut self, change: &Change) -> Result<Option<Pause>, CommandError> {
        let mut before = None;
        loop {
            let step = match self.look().await {
                Ok(()) => self.seen.next(change, HostClock.now()),
                Err(failure) => {
                    self.wait_after(failure).await?;
                    continue;
                }
            };
            let (expected, record) = match step {
                Next::Done => return Ok(before),
                Next::Write { expected, record } => (expected, record),
                Next::Wait { until } => {
                    let lost =
                        "the store failed over, and may have lost writes: waiting for a lease";
                    self.sleep(until.since(HostClock::boot()).max(LOOK_AGAIN), lost).await?;
                    continue;
                }
            };
            before = self.seen.record().and_then(|record| record.pause.clone()).or(before);
            let swap = self.store.swap(&self.election, expected.as_ref(), &record);
            match self.within(swap).await {
                Ok(Swapped::Won(_)) => return Ok(before),
                Ok(Swapped::Lost(_)) => {
                    self.sleep(Duration::ZERO, "the record keeps changing").await?
                }
                Err(failure) => self.wait_after(failure).await?,
            }
        }
    }

    /// Waits until the leader has stepped down and vacated, or its lease is over.
    async fn until_vacated(&mut self) -> Result<u8, CommandError> {
        loop {
            if let Err(failure) = self.look().await {
                self.wait_after(failure).await?;
                continue;
            }
            let election = &self.election;
            let record = self.seen.record();
            let Some(record) = record.filter(|record| record.pause.is_some()) else {
                return Err(CommandError::Undecided(format!(
                    "election {election} was resumed meanwhile, or the pause is over"
                )));
            };
            let Some(holder) = &record.holder else {
                print_apart("no instance leads\n".to_owned()).await?;
                return Ok(0);
            };
            if self.seen.over_at() <= HostClock::boot() {
                print_apart(format!(
                    "no instance leads: the lease of {} is over\n",
                    holder.identity
                ))
                .await?;
                return Ok(0);
            }
            let why = format!(
                "election {election} is paused, and {} still holds its lease",
                holder.identity
            );
            self.sleep(LOOK_AGAIN, &why).await?;
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let sent = HostClock::boot();
        let observed = self.within(self.store.observe(&self.election)).await?;
        self.seen.saw(observed, sent, HostClock::boot());
        Ok(())
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // Without time to wait, what it takes to ask once.
        let limit = if self.timeout.is_zero() { PATIENCE } else { PATIENCE.min(self.timeout) };
        attempt(&self.config.url, limit, call).await
    }

    /// A pause during an outage is written when the store is back, if that is in time.
    async fn wait_after(&self, failure: StoreError) -> Result<(), CommandError> {
        let why = failure.to_string();
        let in_vain = HostClock::boot() >= self.gives_up_at;
        if in_vain || matches!(failure, StoreError::Misconfigured(_)) {
            return Err(CommandError::Unavailable(why));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        Ok(())
    }

    async fn sleep(&self, pause: Duration, why: &str) -> Result<(), CommandError> {
        let left = self.gives_up_at.since(HostClock::boot());
        if left.is_zero() {
            let after = humantime::format_duration(self.timeout);
            return Err(CommandError::Undecided(format!("not within {after}: {why}")));
        }
        tokio::time::sleep(pause.min(left)).await;
        Ok(())
    }
}
