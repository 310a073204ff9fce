//! The driver: joins an elector, a store and a clock. It decides nothing.
//!
//! It carries out the actions of the elector and returns their results to it. After every step it
//! publishes what readers may know, and it writes the log. One task runs one election.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::election::elector::{Action, Call, CallFailed, Elector, Event, Sign, Step, Swapped};
use crate::election::handover::Rank;
use crate::election::holder_url::HolderUrl;
use crate::election::leadership::{Gated, Leadership};
use crate::election::lease::{Candidate, ElectionName, Observed, Origin, Renewed, Version};
use crate::election::time::{BootTime, Clock};
use crate::election::timing::Timing;
use crate::metrics::{Metrics, Verb};
use crate::platform::identity;
use crate::store::{Hint, Hints, Store, StoreError};
use crate::time::alarm::{Alarm, Timer};

mod gate;
mod health;
mod hold;
mod leave;
mod news;
mod under_way;

pub use gate::obey;
pub use health::Health;
pub use hold::Hold;
pub use leave::Leaving;
pub use under_way::Work;
use under_way::{Reporter, Reports};

/// How many requests can wait for the driver. A caller that sends one more waits.
const REQUESTS: usize = 16;

/// What to run: one candidate in one election.
pub struct DriverConfig {
    /// The election.
    pub election: ElectionName,
    /// Who stands.
    pub candidate: Candidate,
    /// Where the candidate runs, if known.
    pub origin: Option<Origin>,
    /// Where the candidate can be reached while it leads, if it says so.
    pub holder_url: Option<HolderUrl>,
    /// Its settings.
    pub timing: Timing,
    /// When it claims a vacated lease; none: at once.
    pub rank: Option<Rank>,
    /// Whether it stands only once [`Handle::set_gate`] has opened the gate, and what the gate
    /// depends on.
    pub gated: Option<Gated>,
    /// Where the record lives.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where to count.
    pub metrics: Metrics,
    /// The health of the store. All elections on it share this.
    pub health: Health,
    /// The URL of the answers, for the log.
    pub url: Option<String>,
}

/// A running candidate, as the other parts of the program see it: its view, and requests to it.
/// Clones are the same.
#[derive(Clone)]
pub struct Handle(Arc<Running>);

struct Running {
    election: ElectionName,
    view: watch::Receiver<Leadership>,
    requests: mpsc::Sender<Event>,
    work: Reporter,
    turned_at: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    health: Health,
    /// Whether a renewal can be announced by another source than the store.
    takes_announcements: bool,
}

/// The candidate has left the election: it accepts no more requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this instance has left the election")]
pub struct Left;

impl Handle {
    /// Which election this is.
    pub fn election(&self) -> &ElectionName {
        &self.0.election
    }

    /// What is known of it now.
    pub fn leadership(&self) -> Leadership {
        self.0.view.borrow().clone()
    }

    /// The same without a copy.
    pub fn read<T>(&self, of: impl FnOnce(&Leadership) -> T) -> T {
        of(&self.0.view.borrow())
    }

    /// The same, to wait for changes.
    pub fn watch(&self) -> watch::Receiver<Leadership> {
        self.0.view.clone()
    }

    /// The error of the store, for people, while there is one. Checked, and without secrets.
    pub fn store_error(&self) -> Option<String> {
        self.0.health.trouble(&self.0.election)
    }

    /// The time with which to call the methods of [`Leadership`].
    pub fn now(&self) -> BootTime {
        self.0.clock.now().boot
    }

    /// Announces leader-only work, until the returned value is dropped.
    pub fn begin_work(&self) -> Work {
        self.0.work.begin()
    }

    /// Requests to step down and stay down for `cooldown`, and to name who claims the lease first.
    ///
    /// # Errors
    ///
    /// When the candidate has left.
    pub async fn resign(
        &self,
        cooldown: Duration,
        successor: Option<Box<str>>,
    ) -> Result<(), Left> {
        self.request(Event::Resign { cooldown, successor }).await
    }

    /// Hints that the record may have changed, as a store does.
    pub async fn hint(&self) {
        // A candidate that has left does not look.
        let _ = self.request(Event::Changed).await;
    }

    /// Hints that the holder may have vacated the record. All candidates look at once: the lease waits
    /// for one of them.
    pub async fn hint_vacated(&self) {
        // A candidate that has left does not look.
        let _ = self.request(Event::MayBeVacated).await;
    }

    /// Announces that the holder renewed the lease, as some stores do. Where the source could have known the
    /// version of the record before the renewal, only the number of candidates is taken from it.
    pub async fn announce(&self, renewed: Renewed) {
        // A candidate that has left does not wait for the lease.
        let _ = self.request(self.announcement(renewed)).await;
    }

    fn announcement(&self, renewed: Renewed) -> Event {
        if self.0.takes_announcements {
            Event::Renewed(renewed)
        } else {
            Event::Counted(renewed.listeners)
        }
    }

    /// Opens or closes the gate.
    pub async fn set_gate(&self, open: bool) {
        // A candidate that has left does not stand.
        let _ = self.request(Event::Gate { open }).await;
    }

    /// Reports that this process may have been copied.
    pub async fn was_copied(&self, sign: Sign) {
        // A candidate that has left has no name to give up.
        let _ = self.request(Event::Copied(sign)).await;
    }

    /// Requests to leave the election, and gives up on work and store after `at_most`.
    pub async fn shut_down(&self, at_most: Duration) {
        // A candidate that has left needs no request.
        let _ = self.request(Event::Shutdown { give_up_at: self.now() + at_most }).await;
    }

    /// How long ago the election's loop turned last.
    pub fn stalled_for(&self) -> Duration {
        let turned_at = Duration::from_millis(self.0.turned_at.load(Ordering::Relaxed));
        self.now().since(BootTime::from_duration(turned_at))
    }

    async fn request(&self, event: Event) -> Result<(), Left> {
        self.0.requests.send(event).await.map_err(|_| Left)
    }
}

/// The sources that a driver checks to learn what happened. The work under way is not among them,
/// because it comes first: if work begins and finds itself leading, another event of the same
/// moment must not vacate the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventSource {
    /// The answer to the call under way.
    Response,
    /// The requests of a [`Handle`].
    Request,
    /// The store's hints.
    Hint,
    /// The time to wake.
    Timer,
}

/// The order in which a driver checks its sources when it starts to wait. No code may rely on it.
pub trait SourceOrder: Send {
    /// The next order.
    fn next(&mut self) -> [EventSource; 4];
}

/// The awaited answer comes before the sources that may cause the next call.
#[derive(Clone, Copy, Debug)]
pub struct FixedOrder;

impl SourceOrder for FixedOrder {
    fn next(&mut self) -> [EventSource; 4] {
        [EventSource::Response, EventSource::Request, EventSource::Hint, EventSource::Timer]
    }
}

/// Prepares a candidate: a handle to it, and the driver to run.
///
/// # Errors
///
/// When the system has no timer to spare.
pub fn stand(standing: DriverConfig) -> std::io::Result<(Handle, Driver)> {
    Ok(stand_by(standing, Alarm::new()?, FixedOrder))
}

/// The same with another timer and another order: both belong to the driver's environment.
pub fn stand_by<T: Timer, O: SourceOrder>(
    standing: DriverConfig,
    timer: T,
    order: O,
) -> (Handle, Driver<T, O>) {
    let DriverConfig { election, candidate, origin, timing, gated, .. } = standing;
    let DriverConfig { store, clock, metrics, health, url, holder_url, rank, .. } = standing;
    let seed = seed(&candidate.incarnation, &election);
    let elector = Elector::new(candidate, timing, seed).running_in(origin, holder_url);
    let elector = elector.ranked(rank).spreading_renewals().following_renewals();
    let elector = if store.combines_calls() { elector } else { elector.in_turns_of_its_own() };
    let elector = match gated {
        Some(gated) => elector.behind_gate(gated),
        None => elector,
    };
    let (view, readers) = watch::channel(elector.leadership());
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let (work, reports) = under_way::channel();
    let turned_at = Arc::new(AtomicU64::new(millis(clock.now().boot)));
    let handle = Handle(Arc::new(Running {
        election: election.clone(),
        view: readers,
        requests,
        work,
        turned_at: Arc::clone(&turned_at),
        clock: Arc::clone(&clock),
        health: health.clone(),
        takes_announcements: store.has_random_versions(),
    }));
    let hints = store.hints(&election);
    metrics.begin(&election);
    health.join();
    let driver = Driver {
        election,
        elector,
        store,
        clock,
        hints,
        inbox,
        work: reports,
        view,
        turned_at,
        timer,
        order,
        incarnations: Box::new(identity::incarnation),
        call_limit: whole_millis(timing.call_timeout()),
        health,
        metrics,
        url,
    };
    (handle, driver)
}

/// Runs one election.
pub struct Driver<T = Alarm, O = FixedOrder> {
    election: ElectionName,
    elector: Elector,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    hints: Hints,
    inbox: mpsc::Receiver<Event>,
    work: Reports,
    view: watch::Sender<Leadership>,
    turned_at: Arc<AtomicU64>,
    timer: T,
    order: O,
    incarnations: Box<dyn FnMut() -> String + Send>,
    /// How long a call may take, as the log shows it.
    call_limit: Duration,
    health: Health,
    metrics: Metrics,
    url: Option<String>,
}

impl<T: Timer, O: SourceOrder> Driver<T, O> {
    /// Replaces the source of the incarnations that a process takes after it was copied.
    #[must_use]
    pub fn with_incarnations(self, source: impl FnMut() -> String + Send + 'static) -> Self {
        Self { incarnations: Box::new(source), ..self }
    }

    /// Runs until the candidate has left the election after a shutdown.
    pub async fn run(mut self) {
        let mut event = Event::Wake;
        loop {
            event = match self.step(event) {
                Action::Finished => return,
                Action::Wait { until } => match self.next(None, until).await {
                    Next::Event(event) => event,
                    Next::Response(response) => response.into_event(),
                },
                Action::Call(call) => match self.call(call).await {
                    Some(event) => event,
                    None => return,
                },
            };
        }
    }

    /// Takes one step of the elector, and publishes what came of it before anything else happens.
    fn step(&mut self, event: Event) -> Action {
        let now = self.clock.now();
        let Step { mut action, mut news } = self.elector.step(now, event);
        if self.elector.needs_incarnation() {
            let incarnation = (self.incarnations)();
            let seed = seed(&incarnation, &self.election);
            let reborn = self.elector.step(now, Event::Reborn { incarnation, seed });
            news.extend(reborn.news);
            action = reborn.action;
        }
        self.turned_at.store(millis(now.boot), Ordering::Relaxed);
        let view = self.elector.leadership();
        for item in &news {
            self.metrics.count_news(&self.election, item);
            news::log(&self.election, self.url.as_deref(), item, &view, now.boot);
        }
        self.view.send_replace(view);
        if let Action::Finished = action {
            self.log_what_is_left();
        }
        action
    }

    /// Other candidates then wait for a lease, and the log says why.
    fn log_what_is_left(&self) {
        let Some((term, why)) = self.elector.left_to_run_out() else { return };
        let election = &self.election;
        tracing::warn!(
            %election, term = term.get(), why, event = "lease_not_freed",
            "left without freeing the lease; it runs out on its own"
        );
    }

    /// Waits for the next event, until `until` at most. The caller has to step the result, because
    /// it is removed from its source: rule `no-event-lost`.
    async fn next(&mut self, mut response: Option<&mut PendingCall>, until: BootTime) -> Next {
        let order = self.order.next();
        let mut work = pin!(self.work.next());
        let mut request = pin!(next_request(&mut self.inbox));
        let mut hint = pin!(self.hints.next());
        let mut timer = pin!(self.timer.until(until));
        poll_fn(|context| {
            if let Poll::Ready(event) = work.as_mut().poll(context) {
                return Poll::Ready(Next::Event(event));
            }
            let mut ready = order.into_iter().map(|source| match source {
                EventSource::Response => match &mut response {
                    Some(response) => response.as_mut().poll(context).map(Next::Response),
                    None => Poll::Pending,
                },
                EventSource::Request => request.as_mut().poll(context).map(Next::Event),
                EventSource::Hint => {
                    hint.as_mut().poll(context).map(|hint| Next::Event(hint.into()))
                }
                EventSource::Timer => {
                    timer.as_mut().poll(context).map(|()| Next::Event(Event::Wake))
                }
            });
            ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }

    /// Carries out a call. Everything else that happens meanwhile is stepped through at once, so
    /// that a "no" never waits for a store. None when the elector finished in the meantime.
    async fn call(&mut self, call: Call) -> Option<Event> {
        let (store, election) = (Arc::clone(&self.store), self.election.clone());
        let (deadline, verb) = match &call {
            Call::Observe { deadline } => (*deadline, Verb::Observe),
            Call::Swap { deadline, .. } => (*deadline, Verb::Swap),
        };
        let started = self.clock.now().boot;
        let mut response: PendingCall = Box::pin(async move {
            match call {
                Call::Observe { .. } => CallResult::Observed(store.observe(&election).await),
                Call::Swap { expected, record, .. } => {
                    let response = store.swap(&election, expected.as_ref(), &record).await;
                    CallResult::Swapped(
                        response.and_then(|swapped| refused_for_a_reason(swapped, expected)),
                    )
                }
            }
        });
        let mut wake_at = started;
        let response = loop {
            let event = match self.next(Some(&mut response), wake_at.min(deadline)).await {
                Next::Event(event) => event,
                Next::Response(response) => break response,
            };
            // Whatever was taken is stepped, also what meets the deadline: it comes but once.
            match self.step(event) {
                Action::Wait { until } => wake_at = until,
                Action::Finished => return None,
                // The elector has one call under way at a time: this one.
                Action::Call(_) => {}
            }
            if self.clock.now().boot >= deadline {
                break verb.timed_out(self.call_limit);
            }
        };
        let took = self.clock.now().boot.since(started);
        self.metrics.count_call(verb, took, response.error());
        tracing::debug!(
            election = %self.election, ?verb, ?took, failed = response.error().is_some(),
            "store call"
        );
        let (error, version) = (response.error(), response.version());
        let ended = health::Call { election: &self.election, verb, error, version };
        self.health.note(self.clock.now().boot, &ended);
        if let Some(time) = self.store.service_time()
            && let Action::Finished = self.step(Event::ServiceTime(time))
        {
            return None;
        }
        Some(response.into_event())
    }
}

/// A call under way.
type PendingCall = Pin<Box<dyn Future<Output = CallResult> + Send>>;

/// The next event.
enum Next {
    Event(Event),
    Response(CallResult),
}

/// The incarnation is random. It is the seed, so that candidates that start together do not stay in
/// step. The elections of one candidate do not either, because each has its own name.
fn seed(incarnation: &str, election: &ElectionName) -> u64 {
    let bytes = incarnation.bytes().chain(election.as_str().bytes());
    bytes.fold(0, |seed: u64, byte| seed.rotate_left(7) ^ u64::from(byte))
}

impl From<Hint> for Event {
    fn from(hint: Hint) -> Self {
        match hint {
            Hint::Changed => Self::Changed,
            Hint::Missed => Self::PushesMissed,
            Hint::Vacated(news) => Self::Vacated(news),
            Hint::Renewed(news) => Self::Renewed(news),
            Hint::Acquired(shown) => Self::Acquired(*shown),
        }
    }
}

/// The next request; never, when no requester is left.
async fn next_request(inbox: &mut mpsc::Receiver<Event>) -> Event {
    match inbox.recv().await {
        Some(event) => event,
        None => std::future::pending().await,
    }
}

/// The store refuses a swap because the record has changed. If it refuses one although the record
/// has not changed, it would refuse the next at once, and forever. So such a refusal counts as a
/// failed call, which is repeated slowly.
fn refused_for_a_reason(
    swapped: Swapped,
    expected: Option<Version>,
) -> Result<Swapped, StoreError> {
    match swapped {
        Swapped::Lost(seen) if seen.as_ref().map(|o| &o.version) == expected.as_ref() => {
            Err(StoreError::Misconfigured(
                "it refused a write although the record has not changed; look for a trigger, a \
                 row-level security policy or a proxy that drops writes"
                    .to_owned(),
            ))
        }
        swapped => Ok(swapped),
    }
}

fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(millis(BootTime::from_duration(duration)))
}

fn millis(at: BootTime) -> u64 {
    u64::try_from(at.as_duration().as_millis()).unwrap_or(u64::MAX)
}

/// The result of a call to the store.
enum CallResult {
    Observed(Result<Option<Observed>, StoreError>),
    Swapped(Result<Swapped, StoreError>),
}

impl CallResult {
    fn error(&self) -> Option<&StoreError> {
        match self {
            Self::Observed(response) => response.as_ref().err(),
            Self::Swapped(response) => response.as_ref().err(),
        }
    }

    /// The version that the store has now, as far as this shows it.
    fn version(&self) -> Option<&Version> {
        match self {
            Self::Observed(Ok(Some(observed)))
            | Self::Swapped(Ok(Swapped::Lost(Some(observed)))) => Some(&observed.version),
            Self::Swapped(Ok(Swapped::Won(version))) => Some(version),
            Self::Observed(_) | Self::Swapped(_) => None,
        }
    }

    fn into_event(self) -> Event {
        match self {
            Self::Observed(response) => Event::Observed(response.map_err(|_| CallFailed)),
            Self::Swapped(response) => Event::Swapped(response.map_err(|_| CallFailed)),
        }
    }
}

impl Verb {
    /// Shows the limit, not the elapsed time: an unchanged text is one line in the log.
    fn timed_out(self, limit: Duration) -> CallResult {
        let limit = humantime::format_duration(limit);
        let error = format!("no response from the store in time: a call may take {limit}");
        let error = StoreError::Unavailable(error);
        match self {
            Self::Observe => CallResult::Observed(Err(error)),
            Self::Swap => CallResult::Swapped(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests;
