//! A label on the leader's pod, by which a Service of Kubernetes finds it.
//!
//! For each election one task looks at the leadership, as any reader does, so that the API of Kubernetes
//! is never a part of the election. Each label carries the term of the leader that set it:
//!
//! - A leader takes the label from every other pod, and then gives it to its own. It does so in two
//!   writes: the first gives the label an empty value, which no Service selects, and the second is
//!   refused if the pod has changed since. A later leader, which removes the label of an earlier term
//!   first, thereby stops every write that an earlier one has under way.
//! - A candidate that does not lead takes the label from its own pod. As long as it may still be there,
//!   the lease is not vacated, but for no longer than [`KEEPS_LEASE`].
//! - A candidate that sees that the last lease is over, and no new one, takes every label of that term
//!   or an earlier one away.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::driver::{Handle, Work};
use crate::election::leadership::{Leadership, Undecided};
use crate::election::term::Term;
use crate::election::time::BootTime;
use crate::store::{LabelledPod, Labels, Patched, StoreError};
use crate::time::alarm::{Alarm, Sleep, Timer};
use crate::time::clock::HostClock;

/// How long the label of an instance that has lost the lease keeps the lease from being vacated: for
/// one request that hangs, and another one.
const KEEPS_LEASE: Duration = Duration::from_secs(4);

/// Pauses after failures: doubled from the first to the last. The last is short, so that the label
/// follows within a second or two when the API server is back.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Which label, on which pod.
#[derive(Clone, Debug)]
pub struct LabelConfig {
    /// Its key.
    pub key: String,
    /// The value that a Service selects.
    pub value: String,
    /// The pod of this process.
    pub pod: String,
    /// The namespace of the pod.
    pub namespace: String,
}

/// What the labels have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// This instance leads in this term: its pod has the label, and no other.
    Own(Term),
    /// This instance does not lead, and another one may: its pod does not have it.
    NotOwn,
    /// The leaders up to this term lead no more: their pods do not have it.
    NoneUpTo(Term),
}

/// Why a goal is not reached yet.
enum Obstacle {
    /// Another program has changed a pod, or the election has: look again.
    Changed,
    /// A pod has the label of a later term, in which this instance does not believe.
    LaterTerm(String),
    /// There is no pod of the own name.
    NoPod(String),
    /// The API.
    Failed(StoreError),
}

impl From<StoreError> for Obstacle {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Keeps the label of one election right, until the election is over.
///
/// # Errors
///
/// When the system has no timer to spare.
pub fn follow(
    config: LabelConfig,
    election: Handle,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let labels = Labels::new(&config.namespace, config.key.clone(), Arc::new(HostClock));
    let labels = labels.ok_or_else(|| io::Error::other("no namespace"))?;
    let task = LeaderLabel {
        view: election.watch(),
        alarm: Alarm::new()?,
        election,
        labels,
        config,
        reached: None,
        look_at: BootTime::ZERO,
        work: None,
        lost_at: None,
        doubted_at: None,
        failing: None,
        pause: FIRST_PAUSE,
        over: false,
    };
    Ok(task.run())
}

struct LeaderLabel {
    config: LabelConfig,
    labels: Labels,
    election: Handle,
    view: watch::Receiver<Leadership>,
    alarm: Alarm,
    /// The goal that was reached last.
    reached: Option<Goal>,
    /// When to look again although nothing seems to have changed.
    look_at: BootTime,
    /// Keeps the lease while the label may be on this pod.
    work: Option<Work>,
    /// Since when the lease is kept only for the label.
    lost_at: Option<BootTime>,
    /// When the label of a later term was first seen.
    doubted_at: Option<BootTime>,
    /// The failure that was logged last.
    failing: Option<String>,
    pause: Duration,
    /// The election is over: nothing will change any more.
    over: bool,
}

impl LeaderLabel {
    async fn run(mut self) {
        loop {
            // In this order: what the election was last is seen before its end counts.
            self.over |= self.view.has_changed().is_err();
            let goal = self.goal();
            let now = HostClock::boot();
            if self.reached == Some(goal) && now < self.look_at {
                if self.over {
                    return;
                }
                self.change(self.look_at).await;
                continue;
            }
            if self.over && self.is_late(now) {
                return;
            }
            match self.reach_in_time(goal).await {
                Ok(()) => self.note_reached(goal),
                Err(obstacle) => {
                    self.note(obstacle);
                    self.pause_after(goal).await;
                }
            }
        }
    }

    /// Whether the label has no more time to keep the lease, or nothing to keep it for.
    fn is_late(&self, now: BootTime) -> bool {
        self.lost_at.is_none_or(|lost| now >= lost + KEEPS_LEASE)
    }

    /// What is to be true now.
    fn goal(&mut self) -> Goal {
        let now = HostClock::boot();
        let leads = |view: &Leadership| view.leading(now).map(|own| own.term());
        if self.work.is_none() && leads(&self.view.borrow()).is_some() {
            // First announce the label, then look again: in this order the lease cannot be vacated
            // between the look and the write.
            self.work = Some(self.election.begin_work());
        }
        let view = self.view.borrow_and_update();
        let goal = match (leads(&view), view.decided(now), view.term()) {
            (Some(term), _, _) => Goal::Own(term),
            (None, Err(Undecided::NoLeader), Some(term)) => Goal::NoneUpTo(term),
            // It is paused.
            (None, Ok(()), Some(term)) if view.holder(now).is_none() => Goal::NoneUpTo(term),
            _ => Goal::NotOwn,
        };
        drop(view);
        match goal {
            Goal::Own(_) => self.lost_at = None,
            Goal::NotOwn | Goal::NoneUpTo(_) => {
                let lost_at = *self.lost_at.get_or_insert(now);
                if now >= lost_at + KEEPS_LEASE {
                    self.free();
                }
            }
        }
        goal
    }

    /// The lease may be vacated although the label may still be there: the next leader takes it away.
    fn free(&mut self) {
        if self.work.take().is_some() {
            tracing::warn!(
                election = %self.election.election(), pod = self.config.pod,
                event = "label_kept_too_long",
                "the leader's label could not be removed in time; the lease is no longer kept for \
                 it"
            );
        }
    }

    fn note_reached(&mut self, goal: Goal) {
        let now = HostClock::boot();
        if self.reached != Some(goal) {
            let election = self.election.election();
            let (key, pod) = (&self.config.key, &self.config.pod);
            match goal {
                Goal::Own(term) => {
                    tracing::info!(%election, term = term.get(), label = key, pod, event = "label_set", "this pod has the leader's label");
                }
                Goal::NotOwn | Goal::NoneUpTo(_) => {
                    tracing::debug!(%election, label = key, pod, event = "label_absent", "this pod does not have the leader's label");
                }
            }
        }
        if self.failing.take().is_some() {
            tracing::info!(
                election = %self.election.election(), label = self.config.key,
                event = "label_right", "the leader's label is right again"
            );
        }
        if !matches!(goal, Goal::Own(_)) {
            self.work = None;
        }
        (self.reached, self.pause, self.doubted_at) = (Some(goal), FIRST_PAUSE, None);
        // Another program, or a write that was late, may change the labels.
        let lease = self.view.borrow().timing.lease_duration();
        self.look_at = match goal {
            Goal::NotOwn => BootTime::from_duration(Duration::MAX),
            Goal::Own(_) | Goal::NoneUpTo(_) => now + lease,
        };
    }

    /// Logs each failure once.
    fn note(&mut self, obstacle: Obstacle) {
        let why = match obstacle {
            Obstacle::Changed => None,
            Obstacle::LaterTerm(pod) => Some(format!(
                "the pod {pod} has the label of a later term; check whether another \
                              election sets it"
            )),
            Obstacle::NoPod(pod) => Some(format!(
                "there is no pod {pod} in this namespace; set POD_NAME and POD_NAMESPACE"
            )),
            Obstacle::Failed(error) => Some(error.to_string()),
        };
        self.reached = None;
        if let Some(why) = why
            && self.failing.as_ref() != Some(&why)
        {
            tracing::warn!(
                election = %self.election.election(), label = self.config.key, why,
                event = "label_wrong", "the leader's label may be wrong; trying again"
            );
            self.failing = Some(why);
        }
    }

    /// Waits before the next try, but for no longer than this goal is the one to reach, and the lease
    /// may be kept for the label. A change that leaves the goal as it is ends no pause: it arrives at
    /// all candidates in one moment, and their requests would, too.
    async fn pause_after(&mut self, tried: Goal) {
        let began = HostClock::boot();
        let until = began + self.pause.mul_f64(0.5 + 0.5 * fastrand::f64());
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        let late_at = self.lost_at.map(|lost| lost + KEEPS_LEASE).filter(|at| *at > began);
        let until = late_at.map_or(until, |at| until.min(at));
        loop {
            let (goal, now) = (self.goal(), HostClock::boot());
            if goal != tried || now >= until || (self.over && self.is_late(now)) {
                return;
            }
            if self.over {
                // There are no more changes, and a wait for one would return at once.
                self.alarm.until(until).await;
            } else {
                self.change(until).await;
            }
        }
    }

    /// Waits until something may have to be done: at a change, at the end of validity, and at `until`.
    async fn change(&mut self, until: BootTime) {
        let now = HostClock::boot();
        let decays = self.view.borrow().decays_at(now);
        let until = decays.map_or(until, |decays| decays.min(until));
        tokio::select! {
            biased;
            changed = self.view.changed() => self.over = changed.is_err(),
            () = self.alarm.until(until) => {}
        }
    }

    /// Reaches it, but a request that hangs keeps neither a leader that leads no more, nor the lease
    /// for longer than [`KEEPS_LEASE`], nor then the end of the process.
    async fn reach_in_time(&mut self, goal: Goal) -> Result<(), Obstacle> {
        let (view, late_at) = (self.view.clone(), self.lost_at.map(|lost| lost + KEEPS_LEASE));
        let in_vain = async {
            match (goal, late_at) {
                (Goal::Own(term), _) => lost(view, term).await,
                (Goal::NotOwn | Goal::NoneUpTo(_), Some(at)) if HostClock::boot() < at => {
                    Sleep.until(at).await;
                }
                (Goal::NotOwn | Goal::NoneUpTo(_), _) => ended(view).await,
            }
        };
        tokio::select! {
            biased;
            reached = self.reach(goal) => reached,
            () = in_vain => Err(Obstacle::Changed),
        }
    }

    async fn reach(&mut self, goal: Goal) -> Result<(), Obstacle> {
        match goal {
            Goal::Own(term) => self.take(term).await,
            Goal::NotOwn => match self.labels.remove(&self.config.pod, None).await? {
                Patched::Done(_) | Patched::Gone => Ok(()),
                Patched::Changed => Err(Obstacle::Changed),
            },
            Goal::NoneUpTo(term) => {
                for pod in self.labels.list().await? {
                    if pod.name == self.config.pod || pod.term.is_none_or(|of| of <= term) {
                        self.take_away(&pod).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Takes the label from all others, and gives it to the own pod.
    async fn take(&mut self, term: Term) -> Result<(), Obstacle> {
        let listed_at = HostClock::boot();
        let pods = self.labels.list().await?;
        let (own, others): (Vec<_>, Vec<_>) =
            pods.into_iter().partition(|pod| pod.name == self.config.pod);
        for pod in &others {
            if pod.term.is_some_and(|of| of > term) && !self.is_confirmed_since(listed_at) {
                return Err(Obstacle::LaterTerm(pod.name.clone()));
            }
            self.take_away(pod).await?;
        }
        let pod = self.config.pod.clone();
        let version = match own.into_iter().next() {
            Some(own) if own.value == self.config.value && own.term == Some(term) => return Ok(()),
            Some(own) => own.version,
            None => match self.labels.set(&pod, "", term, None).await? {
                Patched::Done(version) => version,
                Patched::Changed => return Err(Obstacle::Changed),
                Patched::Gone => return Err(Obstacle::NoPod(pod)),
            },
        };
        if !self.leads(term) {
            return Err(Obstacle::Changed);
        }
        match self.labels.set(&pod, &self.config.value, term, Some(&version)).await? {
            Patched::Done(_) if self.leads(term) => Ok(()),
            Patched::Done(_) | Patched::Changed | Patched::Gone => Err(Obstacle::Changed),
        }
    }

    async fn take_away(&self, pod: &LabelledPod) -> Result<(), Obstacle> {
        match self.labels.remove(&pod.name, Some(&pod.version)).await? {
            Patched::Done(_) | Patched::Gone => Ok(()),
            Patched::Changed => Err(Obstacle::Changed),
        }
    }

    fn leads(&self, term: Term) -> bool {
        self.view.borrow().leading(HostClock::boot()).is_some_and(|own| own.term() == term)
    }

    /// Whether this instance has renewed its lease since the label of a later term was first seen: then
    /// no later term has begun, and the label is of a record that was lost, or of another election.
    fn is_confirmed_since(&mut self, listed_at: BootTime) -> bool {
        let doubted_at = *self.doubted_at.get_or_insert(listed_at);
        let now = HostClock::boot();
        let silence = self.view.borrow().store_silence(now);
        silence.is_some_and(|silence| silence < now.since(doubted_at))
    }
}

/// Waits until the election is over.
async fn ended(mut view: watch::Receiver<Leadership>) {
    while view.changed().await.is_ok() {}
}

/// Waits until the instance does not lead in this term.
async fn lost(mut view: watch::Receiver<Leadership>, term: Term) {
    loop {
        let now = HostClock::boot();
        let left = {
            let view = view.borrow_and_update();
            view.leading(now).filter(|own| own.term() == term).map(|own| own.until.since(now))
        };
        let Some(left) = left else { return };
        if let Ok(Err(_)) = tokio::time::timeout(left, view.changed()).await {
            return;
        }
    }
}
