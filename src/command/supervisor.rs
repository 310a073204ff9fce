//! Runs a command whenever this instance leads, and never longer.

use std::io;
use std::time::Duration;

use tokio::sync::watch;

use super::group::{CommandSpec, Ended, Group};
use super::plan::Deadlines;
use super::tail::Tail;
use crate::candidate::Handle;
use crate::election::clock::{BootTime, Clock, HostClock, WallTime};
use crate::election::leadership::{Leadership, Tenure};
use crate::election::lease::Term;

/// After a guard was killed: whoever did that may do it again.
const GUARD_LOST_PAUSE: Duration = Duration::from_secs(1);

/// What a command in its term is to do, as the leadership now looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Go on, until then.
    GoOn(Deadlines),
    /// End, and be killed then.
    End { kill_at: BootTime },
}

/// What to tell a command that runs under `tenure`. It may take `grace` to end if this instance
/// steps down on purpose, for as long as the lease is kept for it.
fn order(
    view: &Leadership,
    now: BootTime,
    tenure: &Tenure,
    draining_since: Option<BootTime>,
    grace: Duration,
) -> Order {
    let same_term = |held: &&Tenure| held.term == tenure.term;
    if let Some(own) = view.leading(now).filter(same_term) {
        return Order::GoOn(Deadlines::of(own));
    }
    if let Some(held) = view.draining(now).filter(same_term) {
        let patience = draining_since.unwrap_or(now) + grace;
        return Order::End { kill_at: patience.min(held.kills_at) };
    }
    // Somebody else leads, or this instance under a new term: every moment is one too many.
    let superseded = view.holder(now).is_some_and(|holder| holder.term > tenure.term);
    Order::End { kill_at: if superseded { now } else { tenure.kills_at } }
}

/// A command that runs while this instance leads.
pub struct Supervisor {
    election: Handle,
    view: watch::Receiver<Leadership>,
    command: CommandSpec,
    grace: Duration,
    keeps_stderr: bool,
    running: Option<Running>,
    /// The term in which the command ended by itself: it is not started in it again, although
    /// this instance leads until it was heard to step down.
    ended_in: Option<Term>,
}

/// A command that ended by itself.
#[derive(Debug)]
pub struct OwnEnd {
    /// Its exit code, 128+n for a signal.
    pub code: u8,
    /// The term that it ran in.
    pub term: Term,
    /// When it was started.
    pub started: WallTime,
    /// The last of its standard error, if that was asked for.
    pub stderr: Option<String>,
}

struct Running {
    group: Group,
    tenure: Tenure,
    draining_since: Option<BootTime>,
    started: WallTime,
    stderr: Option<Tail>,
    /// Keeps the record from being vacated under the command.
    _work: crate::candidate::Work,
}

impl Supervisor {
    /// A supervisor of nothing yet. When stepping down on purpose, the command has `grace` to end.
    pub fn new(election: Handle, command: CommandSpec, grace: Duration) -> Self {
        let view = election.watch();
        Self { election, view, command, grace, keeps_stderr: false, running: None, ended_in: None }
    }

    /// Keeps the last of the command's standard error.
    #[must_use]
    pub fn keeping_stderr(mut self) -> Self {
        self.keeps_stderr = true;
        self
    }

    /// The term that the command runs in, if it runs.
    pub fn running_in(&self) -> Option<Term> {
        self.running.as_ref().map(|running| running.tenure.term)
    }

    /// Passes a signal on to the command, if it runs.
    pub fn signal(&mut self, number: i32) {
        if let Some(running) = &mut self.running {
            running.group.signal(number);
        }
    }

    /// The process that must not be reaped by anybody else.
    pub fn guard(&self) -> Option<rustix::process::Pid> {
        self.running.as_ref().map(|running| running.group.guard())
    }

    /// Runs the command in every term that this instance leads in, until the command ends by
    /// itself. May be dropped at any point and called again.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub async fn until_ended(&mut self) -> io::Result<OwnEnd> {
        loop {
            let Some(running) = &mut self.running else {
                self.start_when_leading().await?;
                continue;
            };
            tokio::select! {
                biased;
                ended = running.group.ended() => {
                    let term = running.tenure.term;
                    let started = running.started;
                    let stderr = running.stderr.clone();
                    if let Some(code) = own_end(ended) {
                        let stderr = match stderr {
                            Some(stderr) => stderr.text().await,
                            None => None,
                        };
                        self.running = None;
                        self.ended_in = Some(term);
                        self.log_own_end(ended, term, code);
                        return Ok(OwnEnd { code, term, started, stderr });
                    }
                    self.running = None;
                    tracing::info!(term, "the command was stopped: no longer leading");
                    if ended == Ended::GuardLost {
                        tokio::time::sleep(GUARD_LOST_PAUSE).await;
                    }
                }
                changed = self.view.changed() => {
                    if changed.is_ok() {
                        let view = self.view.borrow_and_update().clone();
                        running.obey(&view, self.election.now(), self.grace);
                    } else {
                        // The election is over; the command ends by its deadlines.
                        running.group.ended().await;
                    }
                }
            }
        }
    }

    fn log_own_end(&self, ended: Ended, term: Term, code: u8) {
        if let Ended::NotStarted(errno) = ended {
            let error = io::Error::from_raw_os_error(errno);
            tracing::error!(%error, program = ?self.command.program(), "cannot start the command");
        } else {
            tracing::info!(term, code, "the command ended");
        }
    }

    async fn start_when_leading(&mut self) -> io::Result<()> {
        let (election, ended_in) = (self.election.clone(), self.ended_in);
        let own = |view: &Leadership| {
            let own = view.leading(election.now()).cloned();
            own.filter(|own| Some(own.term) != ended_in)
        };
        if self.view.wait_for(|view| own(view).is_some()).await.is_err() {
            return std::future::pending().await;
        }
        // First announce the work, then look once more: in this order the record cannot be vacated
        // between the look and the start.
        let work = self.election.begin_work();
        let view = self.view.borrow_and_update().clone();
        let Some(tenure) = own(&view) else { return Ok(()) };
        let election = self.election.election().as_str();
        let mut command = self.command.clone().leading(election, &tenure.identity, tenure.term);
        let mut stderr = None;
        if self.keeps_stderr {
            let (pipe, tail) = Tail::of_command()?;
            command = command.stderr(pipe);
            stderr = Some(tail);
        }
        let group = Group::start(&command, Deadlines::of(&tenure))?;
        tracing::info!(term = tenure.term, "leading: the command is started");
        let (started, draining_since) = (HostClock.now().wall, None);
        self.running =
            Some(Running { group, tenure, draining_since, started, stderr, _work: work });
        Ok(())
    }
}

impl Running {
    fn obey(&mut self, view: &Leadership, now: BootTime, grace: Duration) {
        if view.draining(now).is_some() {
            self.draining_since.get_or_insert(now);
        }
        match order(view, now, &self.tenure, self.draining_since, grace) {
            Order::GoOn(deadlines) => {
                if let Some(own) = view.leading(now) {
                    self.tenure = own.clone();
                }
                self.group.extend(deadlines);
            }
            Order::End { kill_at } => self.group.stop(kill_at),
        }
    }
}

/// The exit code of a command that ended by itself; none if it was made to end.
fn own_end(ended: Ended) -> Option<u8> {
    match ended {
        Ended::Exited { stopped: true, .. } | Ended::TooLate | Ended::GuardLost => None,
        Ended::Exited { stopped: false, .. } | Ended::NotStarted(_) => ended.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::clock::Now;
    use crate::election::elector::{Action, Call, Elector, Event, Swapped};
    use crate::election::lease::{Candidate, Version};
    use crate::election::timing::Timing;

    const GRACE: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Now {
        let boot = BootTime::from_duration(Duration::from_secs(seconds));
        Now { boot, wall: WallTime::EPOCH }
    }

    /// An elector that was elected by a write sent at second 100.
    fn leading() -> Elector {
        let me = Candidate { identity: "me".to_owned(), incarnation: "1".to_owned() };
        let mut elector = Elector::new(me, Timing::default(), 1);
        elector.step(at(100), Event::Wake);
        elector.step(at(100), Event::Observed(Ok(None)));
        elector.step(at(100), Event::Swapped(Ok(Swapped::Won(Version::new("1")))));
        elector.step(at(100), Event::Work { under_way: true });
        elector
    }

    fn renew(elector: &mut Elector, seconds: u64) {
        let action = elector.step(at(seconds), Event::Wake).action;
        assert!(matches!(action, Action::Call(Call::Swap { .. })), "{action:?}");
        let won = Swapped::Won(Version::new(seconds.to_string()));
        elector.step(at(seconds), Event::Swapped(Ok(won)));
    }

    fn tenure(elector: &Elector) -> Tenure {
        elector.leadership().leading(at(100).boot).unwrap().clone()
    }

    fn ordered(elector: &Elector, tenure: &Tenure, seconds: u64, drains: Option<u64>) -> Order {
        let since = drains.map(|seconds| at(seconds).boot);
        order(&elector.leadership(), at(seconds).boot, tenure, since, GRACE)
    }

    fn deadlines(stop: u64, kill_ms: u64) -> Deadlines {
        let kill_at = BootTime::from_duration(Duration::from_millis(kill_ms));
        Deadlines { stop_at: at(stop).boot, kill_at }
    }

    fn end(kill_ms: u64) -> Order {
        Order::End { kill_at: BootTime::from_duration(Duration::from_millis(kill_ms)) }
    }

    #[test]
    fn a_renewal_moves_the_deadlines() {
        let mut elector = leading();
        let tenure = tenure(&elector);
        assert_eq!(ordered(&elector, &tenure, 101, None), Order::GoOn(deadlines(110, 112_500)));
        renew(&mut elector, 102);
        assert_eq!(ordered(&elector, &tenure, 103, None), Order::GoOn(deadlines(112, 114_500)));
    }

    #[test]
    fn a_lapse_ends_it_within_the_lease() {
        let (elector, now) = (leading(), 111);
        assert_eq!(ordered(&elector, &tenure(&elector), now, None), end(112_500));
    }

    #[test]
    fn stepping_down_keeps_the_lease_for_as_long_as_the_grace() {
        let mut elector = leading();
        let tenure = tenure(&elector);
        elector.step(at(101), Event::Resign { cooldown: Duration::from_secs(60) });
        assert_eq!(ordered(&elector, &tenure, 101, Some(101)), end(112_500));
        for seconds in (102..=112).step_by(2) {
            renew(&mut elector, seconds);
        }
        assert_eq!(ordered(&elector, &tenure, 112, Some(101)), end(121_000), "101 and the grace");
    }

    #[test]
    fn a_new_term_of_its_own_allows_nothing_to_the_old_command() {
        let mut elector = leading();
        let tenure = tenure(&elector);
        let own = match elector.step(at(111), Event::Wake).action {
            Action::Call(Call::Observe { .. }) => elector.step(at(111), Event::Observed(Ok(None))),
            other => panic!("{other:?}"),
        };
        drop(own);
        elector.step(at(130), Event::Wake);
        elector.step(at(130), Event::Observed(Ok(None)));
        elector.step(at(130), Event::Swapped(Ok(Swapped::Won(Version::new("2")))));
        let view = elector.leadership();
        assert_eq!(view.leading(at(130).boot).map(|own| own.term), Some(2));
        assert_eq!(ordered(&elector, &tenure, 130, None), end(130_000));
    }
}
