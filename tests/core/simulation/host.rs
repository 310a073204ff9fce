//! What a process has of its host: a clock, timers, a connection to the store. Its actions go to
//! the [`World`](crate::simulation::world::World) as a list of [`Deed`]s, after each poll.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use bellwether::driver::{EventSource, SourceOrder};
use bellwether::election::continuity::ServiceTime;
use bellwether::election::elector::Swapped;
use bellwether::election::history::{Goal, Key, Order};
use bellwether::election::lease::{ElectionName, LeaseRecord, Observed, RecordKind, Version};
use bellwether::election::term::Term;
use bellwether::election::time::BootTime;
use bellwether::election::work::Deadlines;
use bellwether::once::Settled;
use bellwether::store::{Hint, Hints, Listing, Notifier, Store, StoreError};
use bellwether::time::alarm::Timer;
use fastrand::Rng;
use tokio::sync::oneshot;

use crate::simulation::time::HostTime;

/// A task that is woken more often than this in one instant spins.
pub const AT_ONCE: u32 = 500;

/// An action of a process.
#[derive(Debug)]
pub enum Deed {
    /// It calls the store.
    Sends { request: Request, answer: oneshot::Sender<Answer> },
    /// It received an answer of the store.
    Takes(Answer),
    /// It sets a timer at a time of its clock.
    Sets { at: BootTime, ring: Arc<Ring> },
    /// It started a command.
    Starts { id: u64, run: Run, deadlines: Deadlines, end: oneshot::Sender<End> },
    /// It allows a command to run for longer.
    Extends { id: u64, deadlines: Deadlines },
    /// It stops a command.
    Stops { id: u64, kill_at: BootTime },
    /// It waits for a time that has passed, again and again.
    Spins,
    /// It saw how the command of an attempt ended.
    Finishes { term: Term },
    /// It found that it has nothing left to do.
    Settles { key: Key, goal: Goal, order: Order, settled: Settled },
}

/// The command of an attempt.
#[derive(Clone, Debug)]
pub struct Run {
    pub key: Key,
    pub goal: Goal,
    pub term: Term,
}

/// Which record a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Lease,
    History,
}

impl Of {
    pub fn named(name: &ElectionName) -> Self {
        match name.kind() {
            RecordKind::History(_) => Self::History,
            RecordKind::Election(_) | RecordKind::Work(_) => Self::Lease,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Request {
    pub record: ElectionName,
    pub verb: Verb,
}

impl Request {
    pub fn of(&self) -> Of {
        Of::named(&self.record)
    }
}

#[derive(Clone, Debug)]
pub enum Verb {
    Observe,
    Swap { expected: Option<Version>, record: LeaseRecord },
}

#[derive(Clone, Debug)]
pub enum Answer {
    Observed(Option<Observed>),
    Swapped(Swapped),
    Failed,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// On its own.
    Own { succeeded: bool },
    /// On request, or killed.
    Stopped,
}

/// The host as a process sees it. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Host {
    pub time: HostTime,
    deeds: Arc<Mutex<Vec<Deed>>>,
    /// Where hints about a record go.
    notifiers: Arc<Mutex<HashMap<ElectionName, Arc<Notifier>>>>,
}

impl Host {
    pub fn new(time: HostTime) -> Self {
        let (deeds, notifiers) = Default::default();
        Self { time, deeds, notifiers }
    }

    pub fn note(&self, deed: Deed) {
        self.deeds.lock().unwrap().push(deed);
    }

    /// The actions since the last call of this.
    pub fn deeds(&self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds.lock().unwrap())
    }

    /// The store pushes a hint about a record.
    pub fn hint(&self, record: &ElectionName, hint: Hint) {
        if let Some(notifier) = self.notifiers.lock().unwrap().get(record) {
            notifier.notify(hint);
        }
    }

    pub fn timer(&self) -> SimTimer {
        SimTimer { host: self.clone(), set: None, rung: (BootTime::ZERO, 0) }
    }

    async fn sends(&self, request: Request) -> Result<Answer, StoreError> {
        let (of, (answer, answered)) = (request.of(), oneshot::channel());
        self.note(Deed::Sends { request, answer });
        let answer = answered.await.unwrap_or(Answer::Failed);
        if of == Of::Lease {
            self.note(Deed::Takes(answer.clone()));
        }
        match answer {
            Answer::Failed => Err(StoreError::Unavailable("refused".to_owned())),
            answer => Ok(answer),
        }
    }
}

#[async_trait]
impl Store for Host {
    async fn init(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn observe(&self, name: &ElectionName) -> Result<Option<Observed>, StoreError> {
        match self.sends(Request { record: name.clone(), verb: Verb::Observe }).await? {
            Answer::Observed(observed) => Ok(observed),
            other => panic!("a look is answered by {other:?}"),
        }
    }

    async fn swap(
        &self,
        name: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError> {
        let verb = Verb::Swap { expected: expected.cloned(), record: record.clone() };
        match self.sends(Request { record: name.clone(), verb }).await? {
            Answer::Swapped(swapped) => Ok(swapped),
            other => panic!("a swap is answered by {other:?}"),
        }
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        Ok(Listing::default())
    }

    fn service_time(&self) -> Option<ServiceTime> {
        None
    }

    fn hints(&self, name: &ElectionName) -> Hints {
        let mut notifiers = self.notifiers.lock().unwrap();
        notifiers.entry(name.clone()).or_default().hints()
    }
}

/// A timer that was set, until it rings or is set to another time.
#[derive(Debug)]
pub struct Ring {
    waker: Waker,
    over: AtomicBool,
}

impl Ring {
    /// Whether it woke a task.
    pub fn rings(&self) -> bool {
        let wakes = !self.over.swap(true, Ordering::Relaxed);
        if wakes {
            self.waker.wake_by_ref();
        }
        wakes
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// A timer in virtual time.
#[derive(Debug)]
pub struct SimTimer {
    host: Host,
    set: Option<(BootTime, Arc<Ring>)>,
    /// When it rang last, and how often in this instant.
    rung: (BootTime, u32),
}

impl SimTimer {
    fn poll(&mut self, at: BootTime, context: &Context<'_>) -> Poll<()> {
        let now = self.host.time.read();
        if now >= at {
            self.rung = if self.rung.0 == now { (now, self.rung.1 + 1) } else { (now, 0) };
            if self.rung.1 > AT_ONCE {
                // A task that sets it again in the same instant would do so forever.
                self.host.note(Deed::Spins);
                return Poll::Pending;
            }
            return Poll::Ready(());
        }
        let is_set = |(set, ring): &(BootTime, Arc<Ring>)| *set == at && !ring.is_over();
        if !self.set.as_ref().is_some_and(is_set) {
            let ring = Ring { waker: context.waker().clone(), over: AtomicBool::new(false) };
            let ring = Arc::new(ring);
            if let Some((_, old)) = self.set.replace((at, Arc::clone(&ring))) {
                old.over.store(true, Ordering::Relaxed);
            }
            self.host.note(Deed::Sets { at, ring });
        }
        Poll::Pending
    }
}

impl Timer for SimTimer {
    fn until(&mut self, at: BootTime) -> impl Future<Output = ()> + Send {
        poll_fn(move |context| self.poll(at, context))
    }
}

/// Another order each time.
#[derive(Debug)]
pub struct DrawnOrder(pub Rng);

impl SourceOrder for DrawnOrder {
    fn next(&mut self) -> [EventSource; 4] {
        let mut order =
            [EventSource::Response, EventSource::Request, EventSource::Hint, EventSource::Timer];
        self.0.shuffle(&mut order);
        order
    }
}

/// A task of a process, polled by hand.
pub struct Task<W> {
    pub what: W,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    flag: Arc<Flag>,
}

#[derive(Debug)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<W> Task<W> {
    pub fn new(what: W, future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { what, future: Box::pin(future), flag: Arc::new(Flag(AtomicBool::new(true))) }
    }

    pub fn is_woken(&self) -> bool {
        self.flag.0.load(Ordering::Relaxed)
    }

    /// Whether it is done.
    pub fn poll(&mut self) -> bool {
        self.flag.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.flag));
        self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
    }
}

impl<W: std::fmt::Debug> std::fmt::Debug for Task<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.what.fmt(f)
    }
}
