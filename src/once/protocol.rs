//! One instance, from its first look until nothing is left to do.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::ledger::{Broken, Ledger, Written};
use super::task::{Ended, NOT_STARTED, Runner, Settled, Stage, Step, Task, report_lost};
use crate::driver::Handle;
use crate::election::history::{
    Attempt, Decision, End, Entry, Goal, History, Key, Look, Moment, Piece, WorkName,
};
use crate::election::leadership::{Leadership, StandingDown, Tenure};
use crate::election::lease::Version;
use crate::election::term::Term;
use crate::election::time::{BootTime, Clock};
use crate::election::timing::{HINT_GAP, backoff};
use crate::store::{Hints, Store, StoreError};
use crate::time::alarm::Timer;

/// How many retry periods after the end of a lease other instances leave the work to those that want
/// to end what was begun. Each of them looks within one, and sees the end within another.
const PRECEDENCE: u32 = 3;

/// After how many retry periods the history is read although nothing shows that it has changed: a reset
/// changes it and not the lease, and not every store has a push. Half a minute by default, because DynamoDB
/// bills such a read by its size.
const REREAD: u32 = 15;

/// One instance of a task.
pub struct Once<R, T> {
    election: Handle,
    view: watch::Receiver<Leadership>,
    clock: Arc<dyn Clock>,
    timer: T,
    ledger: Ledger<T>,
    hints: Hints,
    task: Task,
    runner: R,
    stage: watch::Sender<Stage>,
    /// The gate of the election, as it was set.
    standing: bool,
    /// The history may have changed since it was read.
    stale: bool,
    /// It was read at least once.
    known: bool,
    /// No look before.
    look_at: BootTime,
    /// A look then, whatever is seen.
    reread_at: BootTime,
    failures: u32,
    /// The version that was read last, and since when.
    watched: (Option<Version>, BootTime),
    /// The live holder and the highest term, when the history was read last.
    seen: (Option<Term>, Option<Term>),
    /// Since when no instance is known to hold the lease under which something was begun.
    orphaned: Option<BootTime>,
    disproved: Option<Term>,
    /// The attempt whose success this instance has checked.
    proved: Option<Term>,
    /// The reason that was reported last why the begin of a command is not written.
    refusal: Option<String>,
}

impl<R: Runner, T: Timer> Once<R, T> {
    /// An instance with a candidate that starts behind a closed gate. `timers` are two.
    pub fn new(
        election: Handle,
        (store, work): (Arc<dyn Store>, &WorkName),
        clock: Arc<dyn Clock>,
        timers: [T; 2],
        task: Task,
        runner: R,
    ) -> (Self, watch::Receiver<Stage>) {
        let view = election.watch();
        let call_timeout = view.borrow().timing.call_timeout();
        let [timer, of_calls] = timers;
        let mut ledger = Ledger::new(store, work, (Arc::clone(&clock), of_calls), call_timeout);
        ledger.give_up_at(task.give_up_at);
        let hints = ledger.hints();
        let (stage, stages) = watch::channel(Stage::Looking);
        let once = Self {
            election,
            view,
            clock,
            timer,
            ledger,
            hints,
            task,
            runner,
            stage,
            standing: false,
            stale: true,
            known: false,
            look_at: BootTime::ZERO,
            reread_at: BootTime::ZERO,
            failures: 0,
            watched: (None, BootTime::ZERO),
            seen: (None, None),
            orphaned: None,
            disproved: None,
            proved: None,
            refusal: None,
        };
        (once, stages)
    }

    /// Runs until there is nothing left to do. It must not be dropped before: a command may run.
    ///
    /// # Errors
    ///
    /// When something else is in the place of the history, or no process can be started.
    pub async fn settle(mut self) -> Result<Settled, Broken> {
        loop {
            if self.has_left() {
                return Ok(self.last_word());
            }
            self.look_if_due().await?;
            let settled = if self.known { self.turn().await? } else { self.blind().await };
            if let Some(settled) = settled {
                // The candidate leaves after this, and vacates what it has.
                self.stand(false).await;
                return Ok(settled);
            }
        }
    }

    /// The election is over. What is known to be decided counts.
    fn last_word(&self) -> Settled {
        let look = self.circumstances();
        match self.task.step(self.ledger.history(), &look) {
            Step::Settled(settled) if self.known => settled,
            Step::Check(_, entry) if self.proved == Some(entry.attempt.term) => {
                Settled::Done(entry.clone())
            }
            Step::Settled(_) | Step::Check(..) | Step::Decided(..) => Settled::Left,
        }
    }

    fn circumstances(&self) -> Look {
        let now = self.clock.now();
        Look {
            leading: self.view.borrow().leading(now.boot).is_some(),
            disproved: self.disproved,
            now: Moment::of(now.wall),
            watched: now.boot.since(self.watched.1),
        }
    }

    /// The store has not answered yet.
    async fn blind(&mut self) -> Option<Settled> {
        if self.time_is_over() {
            return Some(Settled::GaveUp);
        }
        self.wait(None).await;
        None
    }

    /// One decision, and what follows from it.
    async fn turn(&mut self) -> Result<Option<Settled>, Broken> {
        let (now, look) = (self.clock.now(), self.circumstances());
        let history = self.ledger.history().clone();
        let step = self.task.step(&history, &look);
        let kept = step.done().filter(|_| look.leading).and_then(|key| history.keep_done(key));
        if let Some(kept) = kept
            && self.keep_done(&kept).await? == Written::Lost
        {
            return Ok(None);
        }
        let (piece, decision) = match step {
            Step::Settled(settled) => return Ok(Some(settled)),
            Step::Check(_, entry) if self.proved == Some(entry.attempt.term) => {
                return Ok(Some(Settled::Done(entry.clone())));
            }
            Step::Check(piece, entry) => return self.check(&piece.key, entry).await,
            Step::Decided(piece, decision) => (piece, decision),
        };
        if self.time_is_over() {
            return Ok(Some(Settled::GaveUp));
        }
        match decision {
            Decision::MayRun { healed } if look.leading => {
                self.orphaned = None;
                return self.attempt(&piece, healed).await;
            }
            Decision::MayRun { .. } => {
                self.orphaned = None;
                self.is_now(Stage::Waiting(history.open().cloned()));
                self.stand(true).await;
                self.wait(None).await;
            }
            Decision::After(open) => self.wait_after(open).await,
            Decision::Pause(left, failed) => {
                self.is_now(Stage::Pausing(failed.clone(), left));
                self.stand(false).await;
                self.wait(Some(now.boot + left)).await;
            }
            Decision::Superseded(order, by) => {
                self.is_now(Stage::Superseded(order, by.cloned()));
                self.stand(false).await;
                self.wait(None).await;
            }
            // These settle.
            Decision::Done(_) | Decision::Past(_) | Decision::Failed(_) | Decision::Unknown => {}
        }
        Ok(None)
    }

    /// Records that no instance takes the key back any longer: else every later start would wait for
    /// such an instance, and stand. Tried once, because the key is done whether the record shows this
    /// or not, and the next leader tries again.
    async fn keep_done(&mut self, kept: &History) -> Result<Written, Broken> {
        // As before a command: the lease is not vacated under the write.
        let _work = self.election.begin_work();
        let Some(tenure) = self.leading(None) else { return Ok(Written::NotYet) };
        self.write(kept, tenure.term(), |_| false).await
    }

    /// Other instances come first for as long as they may still be there.
    async fn wait_after(&mut self, open: &Entry) {
        let now = self.clock.now().boot;
        let view = self.view.borrow().clone();
        self.is_now(Stage::Waiting(Some(open.clone())));
        // A look of this process's own has to have shown that no instance holds the lease.
        let idle = view.store_silence(now).is_some() && self.live(&view, now).is_none();
        if !idle {
            self.orphaned = None;
        }
        let since = idle.then(|| *self.orphaned.get_or_insert(now));
        let stands_at = since.map(|since| since + view.timing.retry_period() * PRECEDENCE);
        let stands = stands_at.is_some_and(|at| now >= at);
        self.stand(stands).await;
        self.wait(stands_at.filter(|_| !stands)).await;
    }

    /// Whether what is done is really done. Its failure disproves that success, and no later one.
    async fn check(&mut self, key: &Key, done: &Entry) -> Result<Option<Settled>, Broken> {
        self.is_now(Stage::Looking);
        let checked = tokio::select! {
            biased;
            checked = self.runner.check(key, None) => checked.map_err(Broken::Process)?,
            () = at(&mut self.timer, self.task.give_up_at) => return Ok(Some(Settled::GaveUp)),
        };
        match checked {
            Ended::Exited { code: 0, .. } => Ok(Some(Settled::Done(done.clone()))),
            Ended::Exited { code, .. } if NOT_STARTED.contains(&code) => {
                Ok(Some(Settled::CannotCheck(code)))
            }
            Ended::Exited { code, .. } => {
                tracing::warn!(
                    key = key.as_str(),
                    code,
                    event = "success_disproved",
                    "done before, but the check fails; running the command again"
                );
                self.disproved = Some(done.attempt.term);
                self.stale = true;
                Ok(None)
            }
            // This process is ending.
            Ended::Stopped => Ok(Some(Settled::Left)),
        }
    }

    // --- An attempt -----------------------------------------------------------------------------

    async fn attempt(&mut self, piece: &Piece, healed: bool) -> Result<Option<Settled>, Broken> {
        // First announce the work, then look: in this order the lease cannot be vacated between the
        // look and the start.
        let work = self.election.begin_work();
        let Some(tenure) = self.leading(None) else { return Ok(None) };
        let (term, goal) = (tenure.term(), self.task.goal);
        let began = Moment::of(self.clock.now().wall);
        let max_attempts = (goal == Goal::Do).then_some(self.task.rules.max_attempts);
        let holder = tenure.holder.identity.clone();
        let attempt = Attempt { holder, term, began, max_attempts };
        let begun = self.ledger.history().begin(piece, goal, healed, attempt);
        // Before the store is called: who shows a line has removed it when the command begins.
        self.is_now(Stage::Running(piece.key.clone(), term));
        if !self.write_begin(&begun, term).await? {
            self.is_now(Stage::Looking);
            return Ok(None);
        }
        let Some(tenure) = self.leading(Some(term)) else {
            self.is_now(Stage::Looking);
            return Ok(None);
        };
        // What runs is not given up, and neither is what becomes of its end.
        self.ledger.give_up_at(None);
        let (lease_ends_at, ended) = (self.lease_ends_at(&tenure), self.run(&piece.key, tenure));
        let Ended::Exited { code, stderr } = ended.await? else {
            self.is_now(Stage::Looking);
            // How far it got is not known: it was begun, and it is interrupted. If this instance still
            // leads, as after its guard was killed, the next attempt has another term, by which a late
            // write of this one can be fenced off.
            self.stand(false).await;
            return Ok(None);
        };
        self.is_now(Stage::Recording(piece.key.clone(), term, code));
        match code {
            0 => self.proved = Some(term),
            _ => tracing::warn!(
                key = piece.key.as_str(),
                term = term.get(),
                code,
                event = "attempt_failed",
                "the attempt failed"
            ),
        }
        let end = End { code, stderr, at: Moment::of(self.clock.now().wall) };
        let finished = self.ledger.history().finish(&piece.key, goal, end, self.task.keep);
        if let Some(finished) = finished {
            self.write_end(&finished, (&piece.key, term, code), lease_ends_at).await?;
        }
        self.is_now(Stage::Looking);
        // Before the work is released: the lease is vacated, and not used for another attempt.
        self.stand(false).await;
        drop(work);
        let gives_up = code != 0 && (goal == Goal::TakeBack || NOT_STARTED.contains(&code));
        Ok(gives_up.then(|| Settled::FailedHere { key: piece.key.clone(), code }))
    }

    /// The command, and then what checks it: what fails the check has failed.
    async fn run(&mut self, key: &Key, tenure: Tenure) -> Result<Ended, Broken> {
        let term = tenure.term();
        let ended = self.runner.run(key, tenure).await.map_err(Broken::Process)?;
        let succeeded = matches!(ended, Ended::Exited { code: 0, .. });
        if !succeeded || !self.task.checks || self.task.goal == Goal::TakeBack {
            return Ok(ended);
        }
        // The lease may be lost, or about to be freed, just now: then it is not known.
        let Some(tenure) = self.leading(Some(term)) else { return Ok(Ended::Stopped) };
        self.is_now(Stage::Checking(key.clone(), term));
        let checked = self.runner.check(key, Some(tenure)).await.map_err(Broken::Process)?;
        if let Ended::Exited { code, .. } = checked
            && code != 0
        {
            tracing::warn!(
                key = key.as_str(),
                code,
                event = "check_failed",
                "the command succeeded, but the check fails"
            );
        }
        Ok(checked)
    }

    /// Whether the begin of an attempt is known to be written, under a term that is still led.
    async fn write_begin(&mut self, begun: &History, term: Term) -> Result<bool, Broken> {
        let leads = |once: &mut Self| {
            once.report_refusal();
            once.leading(Some(term)).is_some() && !once.time_is_over()
        };
        Ok(self.write(begun, term, leads).await? == Written::Applied)
    }

    /// Each new reason once: a store that always refuses the write lets the command wait without end.
    fn report_refusal(&mut self) {
        let why = self.ledger.refusal();
        if why.is_some() && why != self.refusal.as_deref() {
            let work = self.election.election();
            tracing::warn!(
                %work, error = why, event = "begin_delayed",
                "the store does not accept that the command begins; trying again"
            );
            self.refusal = why.map(str::to_owned);
        }
    }

    /// Writes how the command ended: until the lease is over, whatever the store does.
    async fn write_end(
        &mut self,
        finished: &History,
        (key, term, code): (&Key, Term, u8),
        mut lease_ends_at: BootTime,
    ) -> Result<(), Broken> {
        let timeout = self.view.borrow().timing.call_timeout();
        let mut complain_at = Some(self.clock.now().boot + timeout);
        let may_retry = |once: &mut Self| {
            let now = once.clock.now().boot;
            if complain_at.take_if(|at| now >= *at || once.is_leaving()).is_some() {
                tracing::warn!(
                    key = key.as_str(),
                    term = term.get(),
                    code,
                    error = once.ledger.refusal(),
                    event = "outcome_delayed",
                    "the command has ended, but the store does not accept its outcome; trying \
                     until the lease ends"
                );
            }
            if let Some(kept) = once.kept(term) {
                lease_ends_at = lease_ends_at.max(once.lease_ends_at(&kept));
            }
            now < lease_ends_at && !once.has_left()
        };
        if self.write(finished, term, may_retry).await? != Written::Applied {
            report_lost(key, term, code);
        }
        Ok(())
    }

    /// Writes the next state of the history. A write whose result is unknown is looked up before it
    /// is repeated, for as long as `may_retry`.
    async fn write(
        &mut self,
        next: &History,
        term: Term,
        mut may_retry: impl FnMut(&mut Self) -> bool,
    ) -> Result<Written, Broken> {
        loop {
            let (expected, wall) = (self.ledger.version().cloned(), self.clock.now().wall);
            let mut written = self.ledger.write(next, term, wall).await?;
            while matches!(written, Written::Unknown | Written::NotYet) {
                self.stale = true;
                if !may_retry(self) {
                    return Ok(Written::Unknown);
                }
                if written == Written::NotYet {
                    break;
                }
                self.back_off().await;
                written = self.ledger.look_up(next, expected.as_ref()).await?;
            }
            if matches!(written, Written::Applied | Written::Lost) {
                self.is_read();
                return Ok(written);
            }
        }
    }

    // --- Looking --------------------------------------------------------------------------------

    /// Reads the history if it may have changed, and not too soon after the last time.
    async fn look_if_due(&mut self) -> Result<(), Broken> {
        let now = self.clock.now().boot;
        let seen = self.sight(now);
        self.stale |= seen != self.seen || (self.known && now >= self.reread_at);
        if !self.stale || now < self.look_at {
            return Ok(());
        }
        self.stale = false;
        match self.ledger.look().await {
            Ok(()) => {
                self.seen = seen;
                self.is_read();
                self.look_at = now + HINT_GAP;
            }
            Err(Broken::Store(error)) => {
                self.stale = true;
                if !self.time_is_over() {
                    self.report(&error);
                }
                self.look_at = self.clock.now().boot + self.next_backoff();
            }
            Err(broken) => return Err(broken),
        }
        Ok(())
    }

    fn is_read(&mut self) {
        let version = self.ledger.version().cloned();
        if !self.known || self.watched.0 != version {
            self.watched = (version, self.clock.now().boot);
            self.orphaned = None;
        }
        (self.known, self.failures) = (true, 0);
        self.reread_at = self.clock.now().boot + self.view.borrow().timing.retry_period() * REREAD;
    }

    /// The election's own reports follow when the store stays away.
    fn report(&self, error: &StoreError) {
        if self.failures == 0 {
            let work = self.election.election();
            tracing::warn!(
                %work, %error, event = "history_unreachable",
                "cannot read the history of this work; trying again"
            );
        }
    }

    /// What others do, as far as it shows that the history may have changed: the holder of a lease
    /// writes it, and every holder has a term of its own.
    fn sight(&self, now: BootTime) -> (Option<Term>, Option<Term>) {
        let view = self.view.borrow();
        let own = view.leading(now).or(view.draining(now)).map(|own| own.term());
        let highest = view.term().filter(|term| own != Some(*term)).or(self.seen.1);
        (self.live(&view, now), highest)
    }

    /// The term of another live holder.
    fn live(&self, view: &Leadership, now: BootTime) -> Option<Term> {
        let own = view.leading(now).or(view.draining(now)).map(|own| own.term());
        view.holder(now).map(|holder| holder.term).filter(|term| own != Some(*term))
    }

    /// The own leadership, if it is of this term.
    fn leading(&mut self, term: Option<Term>) -> Option<Tenure> {
        let now = self.clock.now().boot;
        let own = self.view.borrow().leading(now).cloned();
        own.filter(|own| term.is_none_or(|term| own.term() == term))
    }

    /// The own lease, led or kept for work that ends.
    fn kept(&self, term: Term) -> Option<Tenure> {
        let (view, now) = (self.view.borrow(), self.clock.now().boot);
        let own = view.leading(now).or(view.draining(now)).cloned();
        own.filter(|own| own.term() == term)
    }

    fn lease_ends_at(&self, tenure: &Tenure) -> BootTime {
        let timing = self.view.borrow().timing;
        tenure.until + timing.lease_duration().saturating_sub(timing.renew_deadline())
    }

    // --- Waiting --------------------------------------------------------------------------------

    /// Waits until something may have changed, or until then.
    async fn wait(&mut self, until: Option<BootTime>) {
        let now = self.clock.now().boot;
        let lapse = self.view.borrow().decays_at(now);
        let look_at = self.stale.then_some(self.look_at);
        let reread_at = self.known.then_some(self.reread_at);
        let wakes = [until, self.task.give_up_at, lapse, look_at, reread_at];
        let at = wakes.into_iter().flatten().filter(|at| *at > now).min();
        // Never now: what is due now was done.
        let idle = now + self.view.borrow().timing.retry_period();
        let at = at.unwrap_or(idle).max(now + Duration::from_millis(1));
        tokio::select! {
            biased;
            // Without a sender the election is over, and the loop sees that.
            _ = self.view.changed() => {}
            _ = self.hints.next() => self.stale = true,
            () = self.timer.until(at) => {}
        }
    }

    async fn back_off(&mut self) {
        let pause = self.next_backoff();
        self.ledger.pause(pause).await;
    }

    /// As the elector retries.
    fn next_backoff(&mut self) -> Duration {
        let pause = backoff(self.view.borrow().timing.retry_period(), self.failures);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Opens or closes the gate of the election.
    async fn stand(&mut self, stands: bool) {
        if mem::replace(&mut self.standing, stands) != stands {
            self.election.set_gate(stands).await;
        }
    }

    fn time_is_over(&self) -> bool {
        self.task.give_up_at.is_some_and(|at| self.clock.now().boot >= at)
    }

    /// Whether the driver of the election has ended.
    fn has_left(&self) -> bool {
        self.view.has_changed().is_err()
    }

    fn is_leaving(&self) -> bool {
        let (view, now) = (self.view.borrow(), self.clock.now().boot);
        view.standing_down(now) == Some(StandingDown::ShuttingDown)
    }

    fn is_now(&self, stage: Stage) {
        self.stage.send_if_modified(|old| {
            let changed = *old != stage;
            *old = stage;
            changed
        });
    }
}

async fn at(timer: &mut impl Timer, time: Option<BootTime>) {
    match time {
        Some(time) => timer.until(time).await,
        None => std::future::pending().await,
    }
}
