//! Commands that are run when this instance begins to lead, and when it no longer does.
//!
//! For each election one task looks at the leadership, as any reader does, and runs what is due: so
//! hooks never hold up the election, and learn also of a leadership that only the clock ended. One
//! hook runs at a time, and each `--on-lost` follows the `--on-elected` of its term. There is no
//! queue: a leadership that came and went while a hook was running is skipped, and what is true in
//! the end is always told.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::command::group::{Ended, Group};
use crate::command::spec::CommandSpec;
use crate::driver::Handle;
use crate::election::grace::HOOK_KILL_AFTER;
use crate::election::leadership::{Leadership, LossReason, StandingDown};
use crate::election::term::Term;
use crate::election::time::BootTime;
use crate::election::work::Deadlines;
use crate::time::alarm::{Alarm, Timer};
use crate::time::clock::HostClock;

/// Hooks at once, of all elections: an outage of the store ends them all in one moment.
const AT_ONCE: usize = 16;

/// The files that hooks have open at once: for each a channel, and its output.
pub const FILES: usize = AT_ONCE * 3;

/// What to run.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// When this instance begins to lead.
    pub on_elected: Option<CommandSpec>,
    /// When it no longer leads.
    pub on_lost: Option<CommandSpec>,
    /// How long each may take.
    pub timeout: Duration,
    /// How long the last one may take when the sidecar shuts down.
    pub shutdown_timeout: Duration,
}

/// The hooks of all elections of a process.
#[derive(Clone, Debug)]
pub struct HookRunner {
    hooks: Hooks,
    free: Arc<Semaphore>,
}

impl HookRunner {
    /// Nothing runs yet.
    pub fn new(hooks: Hooks) -> Self {
        let aside = |command: Option<CommandSpec>| command.map(CommandSpec::aside);
        let Hooks { on_elected, on_lost, .. } = hooks;
        let hooks = Hooks { on_elected: aside(on_elected), on_lost: aside(on_lost), ..hooks };
        Self { hooks, free: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Runs the hooks of one election until it is over and its last hook has ended. They find where the
    /// election is answered for, `sidecar`, in their environment.
    ///
    /// # Errors
    ///
    /// When the system has no timer to spare.
    pub fn follow(
        &self,
        election: Handle,
        sidecar: Option<String>,
    ) -> io::Result<impl Future<Output = ()> + use<>> {
        let view = election.watch();
        let hooks = ElectionHooks {
            runner: self.clone(),
            view,
            alarm: Alarm::new()?,
            election,
            sidecar,
            notified: None,
            lost: None,
            over: false,
        };
        Ok(hooks.run())
    }
}

/// Which hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Elected(Term),
    Lost(Term, LossReason),
}

/// The hooks of one election.
struct ElectionHooks {
    runner: HookRunner,
    election: Handle,
    sidecar: Option<String>,
    view: watch::Receiver<Leadership>,
    alarm: Alarm,
    /// The term whose beginning was told, and whose end was not.
    notified: Option<Term>,
    /// How that term ended, once it has.
    lost: Option<LossReason>,
    /// Nothing will change any more but by the clock.
    over: bool,
}

impl ElectionHooks {
    async fn run(mut self) {
        let free = Arc::clone(&self.runner.free);
        loop {
            if self.due().is_none() {
                if self.over && self.leads_until().is_none() {
                    return;
                }
                self.change().await;
                continue;
            }
            let Ok(_permit) = free.acquire().await else { return };
            // The wait may have been long.
            if let Some(due) = self.due() {
                self.carry_out(due).await;
            }
        }
    }

    /// What is to be told next.
    fn due(&mut self) -> Option<Due> {
        let now = HostClock::boot();
        let view = self.view.borrow_and_update();
        match self.notified {
            None => view.leading(now).map(|own| Due::Elected(own.term())),
            Some(term) => {
                // The first reason is the right one: later the view is about later terms.
                self.lost = self.lost.or_else(|| view.loss_of(term, now));
                self.lost.map(|reason| Due::Lost(term, reason))
            }
        }
    }

    fn leads_until(&self) -> Option<BootTime> {
        self.view.borrow().leading(HostClock::boot()).map(|own| own.until)
    }

    /// Waits until something may be due: at a change, and at the end of validity.
    async fn change(&mut self) {
        let until = self.leads_until();
        tokio::select! {
            biased;
            changed = self.view.changed(), if !self.over => self.over = changed.is_err(),
            () = async { match until {
                Some(until) => self.alarm.until(until).await,
                None => std::future::pending().await,
            } } => {}
        }
    }

    async fn carry_out(&mut self, due: Due) {
        let hooks = &self.runner.hooks;
        let (name, hook, term) = match due {
            Due::Elected(term) => ("on-elected", &hooks.on_elected, term),
            Due::Lost(term, _) => ("on-lost", &hooks.on_lost, term),
        };
        let hook = hook.clone();
        (self.notified, self.lost) = match due {
            Due::Elected(term) => (Some(term), None),
            Due::Lost(..) => (None, None),
        };
        let Some(hook) = hook else { return };
        let identity = self.view.borrow().candidate.identity.clone();
        let mut hook = hook.leading(self.election.election().as_str(), &identity, term);
        if let Some(sidecar) = &self.sidecar {
            hook = hook.asking(sidecar);
        }
        if let Due::Lost(_, reason) = due {
            hook = hook.env("BELLWETHER_REASON", reason.as_str());
        }
        let ended = self.run_hook(&hook, due).await;
        report(self.election.election().as_str(), name, term, ended);
    }

    /// Runs one to its end, which it is made to find in time.
    async fn run_hook(&mut self, hook: &CommandSpec, due: Due) -> io::Result<Ended> {
        let last = self.shutting_down();
        let hooks = &self.runner.hooks;
        let timeout = if last { hooks.timeout.min(hooks.shutdown_timeout) } else { hooks.timeout };
        let stop_at = HostClock::boot() + timeout;
        let deadlines = Deadlines { stop_at, kill_at: stop_at + HOOK_KILL_AFTER };
        let mut group = Group::start(hook, deadlines)?;
        // Each step of the election is a change of the view: the first one counts.
        let mut kill_at = None;
        loop {
            tokio::select! {
                biased;
                ended = group.ended() => return Ok(ended),
                changed = self.view.changed(), if !self.over => {
                    self.over = changed.is_err();
                    // Takes note of the reason.
                    self.due();
                    if matches!(due, Due::Elected(_)) && self.shutting_down() {
                        // What is left of the time is for the other hook.
                        let soon = || HostClock::boot() + HOOK_KILL_AFTER;
                        group.stop(*kill_at.get_or_insert_with(soon));
                    }
                }
            }
        }
    }

    fn shutting_down(&self) -> bool {
        let view = self.view.borrow();
        self.over || view.standing_down(HostClock::boot()) == Some(StandingDown::ShuttingDown)
    }
}

fn report(election: &str, hook: &str, term: Term, ended: io::Result<Ended>) {
    let failed = match ended {
        Ok(Ended::Exited { exit, stopped: false }) if exit.code() == 0 => {
            return tracing::info!(
                election,
                term = term.get(),
                hook,
                event = "hook_succeeded",
                "the hook has run"
            );
        }
        Ok(Ended::Exited { exit, stopped: false }) => format!("it exited with {}", exit.code()),
        Ok(Ended::Exited { stopped: true, .. } | Ended::TooLate) => {
            "it did not end in time, and was stopped".to_owned()
        }
        Ok(Ended::GuardLost) => "its guard was killed".to_owned(),
        Ok(Ended::NotStarted(errno)) => {
            format!("it cannot be started: {}", io::Error::from_raw_os_error(errno))
        }
        Err(error) => format!("its guard cannot be started: {error}"),
    };
    tracing::warn!(
        election,
        term = term.get(),
        hook,
        failed,
        event = "hook_failed",
        "the hook has failed"
    );
}
