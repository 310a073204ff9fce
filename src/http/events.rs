//! `/events`: the changes of leadership as this process sees them, as server-sent events.
//!
//! A change is noted when the election publishes it, and when validity ends: that is read from the
//! clock, so that a "no" is told in time also if the election itself is stuck.
//!
//! # Streams
//!
//! A stream is a place in the log of changes, and not a queue: a slow reader costs no
//! memory, and misses what is no longer remembered when its turn comes. The last change of an
//! election always is.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::app::App;
use super::changes::{Notification, Seen};
use super::connections::CandidateRoom;
use super::election_state::ElectionState;
use super::leader;
use super::query::FromQuery;
use super::reply::{busy, problem};
use crate::api::leader::{CANDIDATE, Leader, Name};
use crate::api::renewal::{LeaderEvent, RENEWAL, Renewal};
use crate::election::leadership::Leadership;
use crate::election::lease::Version;
use crate::election::time::BootTime;
use crate::time::alarm::{Alarm, Timer};

/// How often something is sent on a stream at least: proxies cut what is silent for 30 s or more,
/// and a reader that is gone is found out by it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `{"name", "last_update"}`, with everything that `/leader` says.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(flatten)]
    name: Name<'a>,
    #[serde(flatten)]
    leader: &'a Leader<'a>,
}

/// Notes the state of an election at `now`, if that is a change.
fn note(app: &App, election_state: &ElectionState, view: &Leadership, now: BootTime) {
    let text = |noted: &str| message(app, election_state, view, now, noted);
    app.events.note(election_state.election.election(), Seen::at(view, now), text);
}

/// The last change of an election, with what is true of it now.
fn latest(app: &App, election_state: &ElectionState) -> Option<(u64, Notification)> {
    let (view, now) = (election_state.election.leadership(), election_state.election.now());
    note(app, election_state, &view, now);
    let text = |noted: &str| message(app, election_state, &view, now, noted);
    app.events.latest(election_state.election.election(), text)
}

fn message(
    app: &App,
    election_state: &ElectionState,
    view: &Leadership,
    now: BootTime,
    noted: &str,
) -> Option<String> {
    let leader = leader::body(app, election_state, view, now);
    let name =
        Name { name: leader.holder_identity.as_deref().unwrap_or_default(), last_update: noted };
    serde_json::to_string(&Message { name, leader: &leader }).ok()
}

/// Notes the changes of every election from now on, each in a task of its own.
///
/// # Errors
///
/// When the system has no timer to spare.
pub(super) fn record(app: &Arc<App>) -> io::Result<()> {
    for election_state in app.elections.iter() {
        let (app, election_state, alarm) = (Arc::clone(app), election_state.clone(), Alarm::new()?);
        tokio::spawn(watch_over(app, election_state, alarm));
    }
    Ok(())
}

/// Ends every stream, after its last change.
pub(super) async fn end(app: &App) {
    for election_state in app.elections.iter() {
        // The task that notes changes may not have run since the last step of the election.
        let election = &election_state.election;
        election.read(|view| note(app, election_state, view, election.now()));
    }
    app.events.end();
    app.connections.streams_ended().await;
}

async fn watch_over(app: Arc<App>, election_state: ElectionState, mut alarm: Alarm) {
    let mut views = election_state.election.watch();
    let mut is_over = false;
    loop {
        let now = election_state.election.now();
        let decays_at = {
            let view = views.borrow_and_update();
            note(&app, &election_state, &view, now);
            view.decays_at(now)
        };
        let decay = async {
            match decays_at {
                Some(at) => alarm.until(at).await,
                None => std::future::pending().await,
            }
        };
        if is_over && decays_at.is_none() {
            return;
        }
        tokio::select! {
            changed = views.changed(), if !is_over => is_over = changed.is_err(),
            () = decay => {}
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct EventsQuery {
    since: Option<String>,
    elections: Option<String>,
}

/// The changes of the election that is meant without a name, or of all.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    FromQuery(query): FromQuery<EventsQuery>,
    headers: HeaderMap,
) -> Response {
    let which = match query.elections.as_deref() {
        None => Some(app.elections.first().clone()),
        Some("all") => None,
        Some(_) => {
            let words = "'elections' can only be 'all'; for one election use \
                         /elections/NAME/events";
            return problem(StatusCode::BAD_REQUEST, words);
        }
    };
    stream(app, which, Form::Whole, query.since.as_deref(), &headers)
}

/// The changes of one election.
pub(super) async fn events_of(
    State(app): State<Arc<App>>,
    election_state: ElectionState,
    FromQuery(query): FromQuery<EventsQuery>,
    headers: HeaderMap,
) -> Response {
    stream(app, Some(election_state), Form::Whole, query.since.as_deref(), &headers)
}

/// The changes as the sidecars that came before tell them, for their clients.
pub(super) async fn names(
    State(app): State<Arc<App>>,
    election_state: ElectionState,
    headers: HeaderMap,
) -> Response {
    stream(app, Some(election_state), Form::Name, None, &headers)
}

fn stream(
    app: Arc<App>,
    which: Option<ElectionState>,
    form: Form,
    since: Option<&str>,
    headers: &HeaderMap,
) -> Response {
    let Some(room) = Room::take(&app, which.as_ref(), headers) else {
        return busy("there are too many event streams; close some, or read /leader");
    };
    let last_seen = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let events = &app.events;
    let since = match since {
        Some("0") => Some(0),
        Some(id) => events.number_of(id),
        None => None,
    };
    // A browser that reconnects repeats its first URL: what it has seen since is in the header.
    let resumed = last_seen.and_then(|id| events.number_of(id)).or(since);
    let (after, present) = match resumed {
        Some(number) => (number, Vec::new()),
        None => present(&app, which.as_ref()),
    };
    let news = events.subscribe();
    let candidate = which.as_ref().filter(|_| room.candidate.is_some());
    let renewals = candidate.and_then(Renewals::of);
    let stream = Stream { app, which, form, after, present, news, renewals, room };
    let stream = futures_util::stream::unfold(stream, Stream::next);
    let stream = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let mut response = stream.into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}

/// The elections whose state is to be told first, the one that changed last at the front, and the
/// number of the last change until now.
fn present(app: &App, which: Option<&ElectionState>) -> (u64, Vec<ElectionState>) {
    let states: Vec<_> = match which {
        Some(election_state) => vec![election_state.clone()],
        None => app.elections.iter().cloned().collect(),
    };
    let mut numbered: Vec<_> = states
        .into_iter()
        .filter_map(|election_state| Some((latest(app, &election_state)?.0, election_state)))
        .collect();
    numbered.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    (app.events.last(), numbered.into_iter().map(|(_, election_state)| election_state).collect())
}

/// The room that a stream takes, until this is dropped.
struct Room {
    _stream: OwnedSemaphorePermit,
    candidate: Option<CandidateRoom>,
}

impl Room {
    /// A candidate listens to one election.
    fn take(app: &App, which: Option<&ElectionState>, headers: &HeaderMap) -> Option<Self> {
        let candidate = match which.filter(|_| headers.contains_key(CANDIDATE)) {
            Some(which) => Some(app.connections.candidate(which.election.election())?),
            None => None,
        };
        Some(Self { _stream: app.connections.stream()?, candidate })
    }
}

/// How a change is told.
#[derive(Clone, Copy, Debug)]
enum Form {
    Whole,
    Name,
}

/// The shortest retry period whose renewals are announced. With a shorter one the announcements would be
/// more than a standby reads ([`leader_stream`](crate::sidecar)), and would spare it nothing.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

/// The renewals of this instance, for a candidate that listens.
struct Renewals {
    view: watch::Receiver<Leadership>,
    announced: Option<Version>,
}

impl Renewals {
    fn of(election_state: &ElectionState) -> Option<Self> {
        let election = &election_state.election;
        let view = election.watch();
        let is_long = view.borrow().timing.retry_period() >= SHORTEST_PERIOD;
        is_long.then_some(Self { view, announced: None })
    }

    /// The last one, if it was not announced, to so many candidates.
    fn next(&mut self, now: BootTime, candidates: u32) -> Option<Renewal> {
        let view = self.view.borrow_and_update();
        let own = view.leading(now).filter(|own| self.announced.as_ref() != Some(&own.version))?;
        self.announced = Some(own.version.clone());
        Some(Renewal::of(own.term(), &own.version, candidates))
    }
}

async fn renewed(renewals: Option<&mut Renewals>) {
    if let Some(renewals) = renewals
        && renewals.view.changed().await.is_ok()
    {
        return;
    }
    // The election is over, or this reader is no candidate.
    std::future::pending().await
}

/// One reader's place in the log.
struct Stream {
    app: Arc<App>,
    /// None: all elections.
    which: Option<ElectionState>,
    form: Form,
    after: u64,
    /// Whose present state is still to be told, the last first.
    present: Vec<ElectionState>,
    news: watch::Receiver<u64>,
    /// For a candidate.
    renewals: Option<Renewals>,
    room: Room,
}

impl Stream {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            self.news.borrow_and_update();
            if let Some((number, notification)) = self.next_present().or_else(|| self.next_change())
            {
                let event = self.event(number, &notification)?;
                return Some((Ok(event), self));
            }
            if let Some(event) = self.next_renewal() {
                return Some((Ok(event), self));
            }
            if self.app.events.is_over() {
                return None;
            }
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = renewed(self.renewals.as_mut()) => {}
            }
        }
    }

    fn next_renewal(&mut self) -> Option<Event> {
        let now = self.which.as_ref()?.election.now();
        let candidates = self.room.candidate.as_ref()?.candidates();
        let renewed = Some(self.renewals.as_mut()?.next(now, candidates)?);
        let data = serde_json::to_string(&LeaderEvent { leader: true, renewed }).ok()?;
        Some(Event::default().event(RENEWAL).data(data))
    }

    fn next_present(&mut self) -> Option<(u64, Notification)> {
        while let Some(election_state) = self.present.pop() {
            let found = latest(&self.app, &election_state);
            // What has changed in the meantime comes in its turn.
            if let Some((number, notification)) = found.filter(|(number, _)| *number <= self.after)
            {
                return Some((number, notification));
            }
        }
        None
    }

    fn next_change(&mut self) -> Option<(u64, Notification)> {
        let election = self.which.as_ref().map(|election_state| election_state.election.election());
        let (number, notification) = self.app.events.after(election, self.after)?;
        self.after = number;
        Some((number, notification))
    }

    fn event(&self, number: u64, notification: &Notification) -> Option<Event> {
        let event = Event::default().id(self.app.events.id_of(number));
        match self.form {
            Form::Whole => Some(event.data(&notification.text)),
            Form::Name => {
                let name = Name { name: &notification.name, last_update: &notification.noted };
                Some(event.data(serde_json::to_string(&name).ok()?))
            }
        }
    }
}
