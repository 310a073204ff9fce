//! Connections: how many there may be, and who is put out when there are too many.
//!
//! A probe gets its answer however many connections others keep open. What holds one for long by
//! right, a stream or a question that waits, is bounded on its own. Of the rest nearly all are
//! quiet: clients that keep a connection for their next request, and clients that are slow to send
//! one, or pretend to be. When there is no room left, the one that has been quiet for the longest
//! is put out.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::election::lease::ElectionName;

/// Event streams at once. An application has one, a browser one for each tab.
const MAX_STREAMS: usize = 1_900;

/// Of them, those of other candidates: all of a thousand, and they leave room for applications.
const MAX_CANDIDATES: usize = 1_024;

/// Questions at once that wait for their answer. A process of the application has one.
const MAX_WAITS: usize = 256;

/// Connections at once: with every stream and every waiting question there are, there is room for
/// more than a thousand others. A usual limit of 4,096 files has room for them.
pub const MAX_CONNECTIONS: usize = 2 * MAX_STREAMS;

/// The connections of this process. Clones are the same.
#[derive(Clone)]
pub(super) struct Connections(Arc<Bounds>);

struct Bounds {
    limit: usize,
    open: Mutex<Open>,
    streams: Arc<Semaphore>,
    candidates: Arc<Semaphore>,
    /// One for each election that a candidate has listened to. Each of its streams has a clone.
    listened: Mutex<BTreeMap<ElectionName, Arc<()>>>,
    waits: Arc<Semaphore>,
}

/// The room of one event stream of another candidate.
pub(super) struct CandidateRoom {
    _permit: OwnedSemaphorePermit,
    listened: Arc<()>,
}

impl CandidateRoom {
    /// How many candidates the election has: this one, and those that listen.
    pub(super) fn candidates(&self) -> u32 {
        // The connections have one clone more than there are streams.
        u32::try_from(Arc::strong_count(&self.listened)).unwrap_or(u32::MAX)
    }
}

#[derive(Default)]
struct Open {
    count: usize,
    turns: u64,
    /// Those that no answer is under way on, the longest quiet first.
    quiet: BTreeMap<u64, Arc<Notify>>,
}

/// Event streams at once, of so many connections.
fn most_streams(limit: usize) -> usize {
    MAX_STREAMS.min(limit / 2)
}

impl Connections {
    /// At most `limit` at once, which may be fewer than wanted.
    pub(super) fn new(limit: usize) -> Self {
        if limit < MAX_CONNECTIONS {
            tracing::warn!(
                connections = limit,
                wanted = MAX_CONNECTIONS,
                event = "few_connections",
                "serving fewer connections because the open-file limit is low; raise it (ulimit \
                 -n, LimitNOFILE)"
            );
        }
        Self::at_most(limit)
    }

    /// At most `limit` at once, as wanted.
    pub(super) fn at_most(limit: usize) -> Self {
        Self(Arc::new(Bounds {
            limit,
            open: Mutex::default(),
            streams: Arc::new(Semaphore::new(most_streams(limit))),
            candidates: Arc::new(Semaphore::new(MAX_CANDIDATES.min(limit / 3))),
            listened: Mutex::default(),
            waits: Arc::new(Semaphore::new(MAX_WAITS.min(limit / 4))),
        }))
    }

    /// Room for one more event stream; none if there is none.
    pub(super) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.streams).try_acquire_owned().ok()
    }

    /// Waits until no event stream is left.
    pub(super) async fn streams_ended(&self) {
        let all = u32::try_from(most_streams(self.0.limit)).unwrap_or(u32::MAX);
        drop(self.0.streams.acquire_many(all).await);
    }

    /// Room for one more event stream of another candidate, beside the room for the stream itself.
    pub(super) fn candidate(&self, election: &ElectionName) -> Option<CandidateRoom> {
        let permit = Arc::clone(&self.0.candidates).try_acquire_owned().ok()?;
        let mut listened = self.0.listened.lock().unwrap_or_else(PoisonError::into_inner);
        let listened = Arc::clone(listened.entry(election.clone()).or_default());
        Some(CandidateRoom { _permit: permit, listened })
    }

    /// Room for one more question that waits; none if there is none.
    pub(super) fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.waits).try_acquire_owned().ok()
    }

    /// Lets a connection in, if need be in the place of a quiet one. None if all are busy.
    pub(super) fn enter(&self) -> Option<Connection> {
        if self.open().count >= self.0.limit && !self.put_one_out() {
            return None;
        }
        self.open().count += 1;
        let place = Place {
            all: self.clone(),
            leave: Arc::new(Notify::new()),
            turn: AtomicU64::new(0),
            gone: AtomicBool::new(false),
        };
        place.is_quiet();
        Some(Connection(Arc::new(place)))
    }

    /// Puts out the connection that has been quiet for the longest. False if none is quiet.
    pub(super) fn put_one_out(&self) -> bool {
        let out = self.open().quiet.pop_first();
        if let Some((_, leave)) = &out {
            leave.notify_one();
        }
        out.is_some()
    }

    /// How many connections are open, and how many of them are event streams.
    pub(super) fn count(&self) -> (usize, usize) {
        let streams = most_streams(self.0.limit) - self.0.streams.available_permits();
        (self.open().count, streams)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that was let in, until it is dropped.
pub(super) struct Connection(Arc<Place>);

struct Place {
    all: Connections,
    leave: Arc<Notify>,
    /// Its place among the quiet ones, if it is quiet.
    turn: AtomicU64,
    gone: AtomicBool,
}

impl Place {
    fn is_quiet(&self) {
        let mut open = self.all.open();
        if !self.gone.load(Ordering::Relaxed) {
            open.turns += 1;
            let turn = open.turns;
            open.quiet.insert(turn, Arc::clone(&self.leave));
            self.turn.store(turn, Ordering::Relaxed);
        }
    }

    fn is_busy(&self) {
        self.all.open().quiet.remove(&self.turn.load(Ordering::Relaxed));
    }
}

impl Connection {
    /// Waits until it has to make room for another one. Safe to cancel.
    pub(super) async fn put_out(&self) {
        self.0.leave.notified().await;
    }

    /// For the reader of a request's body.
    pub(super) fn in_request(&self) -> InRequest {
        InRequest(Arc::clone(&self.0))
    }

    /// From the head of a request to the end of its answer, a connection is busy.
    pub(super) fn in_response(&self) -> InResponse {
        self.0.is_busy();
        InResponse(Arc::clone(&self.0))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
        self.0.is_busy();
        let mut open = self.0.all.open();
        open.count = open.count.saturating_sub(1);
    }
}

/// A request on a connection.
#[derive(Clone)]
pub(super) struct InRequest(Arc<Place>);

impl InRequest {
    /// The connection waits for its client, and counts as quiet until this is dropped. A client
    /// that sends its announced body slowly is disconnected like one that sends its head slowly.
    pub(super) fn waits(self) -> Waiting {
        self.0.is_quiet();
        Waiting(self.0)
    }
}

/// A connection that waits for the body of a request.
pub(super) struct Waiting(Arc<Place>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.is_busy();
    }
}

/// An answer under way on a connection.
pub(super) struct InResponse(Arc<Place>);

impl Drop for InResponse {
    fn drop(&mut self) {
        self.0.is_quiet();
    }
}

/// The body of an answer, which keeps its connection busy until it is sent or given up.
pub(super) struct ResponseBody {
    pub(super) body: Body,
    pub(super) _in_response: InResponse,
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_put_out(connection: &Connection) -> bool {
        tokio::select! {
            biased;
            () = connection.put_out() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn the_longest_quiet_makes_room() {
        let all = Connections::new(3);
        let [a, b, c] = [(); 3].map(|()| all.enter().unwrap());
        drop(a.in_response());
        let d = all.enter().unwrap();
        assert!(is_put_out(&b).await, "a has been busy since");
        for other in [&a, &c, &d] {
            assert!(!is_put_out(other).await);
        }
        drop(b);
        assert_eq!(all.count().0, 3);
    }

    #[tokio::test]
    async fn a_connection_with_a_response_under_way_stays() {
        let all = Connections::new(2);
        let [a, b] = [(); 2].map(|()| all.enter().unwrap());
        let responses = [a.in_response(), b.in_response()];
        assert!(all.enter().is_none(), "both are busy");
        drop(responses);
        assert!(all.enter().is_some());
        assert!(is_put_out(&a).await);
    }

    #[tokio::test]
    async fn a_client_that_is_slow_to_send_a_body_makes_room() {
        let all = Connections::new(2);
        let [slow, busy] = [(); 2].map(|()| all.enter().unwrap());
        let _answers = [slow.in_response(), busy.in_response()];
        let waiting = slow.in_request().waits();
        assert!(all.enter().is_some());
        assert!(is_put_out(&slow).await);
        drop(waiting);
        assert!(!all.put_one_out() || !is_put_out(&busy).await);
    }

    #[tokio::test]
    async fn an_answer_that_outlives_its_connection_leaves_nothing_behind() {
        let all = Connections::new(2);
        let connection = all.enter().unwrap();
        let in_response = connection.in_response();
        drop(connection);
        drop(in_response);
        assert_eq!(all.count().0, 0);
        assert!(!all.put_one_out());
    }

    #[test]
    fn what_waits_leaves_room_for_what_does_not() {
        let all = Connections::new(100);
        let mut kept = Vec::new();
        while let Some(permit) = all.stream().or_else(|| all.wait()) {
            kept.push(permit);
        }
        assert_eq!(kept.len(), 75);
        let of = |name: &str| all.candidate(&name.parse().unwrap());
        let other = of("other").unwrap();
        let mut candidates = std::iter::from_fn(|| of("default")).collect::<Vec<_>>();
        assert_eq!(candidates.len(), 32, "two thirds of the streams");
        assert_eq!((candidates[0].candidates(), other.candidates()), (33, 2));
        candidates.truncate(3);
        assert_eq!(candidates[0].candidates(), 4);
    }
}
