//! `POST /hold`: leader-only work in another process, which the sidecar knows of.
//!
//! The record is not vacated as long as the connection lives. At its other end is a process that
//! ends the work by the deadlines that it is told, and that closes the connection when the work is
//! gone. One that does not is waited for as long as the grace lasts; then the lease runs out.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::access::Permitted;
use super::{App, Seat, leader, problem, read_body};
use crate::candidate::Work;
use crate::election::clock::BootTime;
use crate::election::grace::Grace;
use crate::election::leadership::Leadership;
use crate::election::order::{Charge, Order};
use crate::hold::HoldLine;
use crate::host::Host;

/// Holds at once. Each is a cron job or a hook that runs now: more than this many is a mistake.
const MAX_HOLDS: usize = 64;

/// The holds of one election.
#[derive(Clone, Debug)]
pub struct Holds {
    free: Arc<Semaphore>,
    grace: Grace,
}

impl Holds {
    /// None yet. When stepping down on purpose, held work has `grace` to end.
    pub fn new(grace: Grace) -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_HOLDS)), grace }
    }

    /// How many there are now.
    pub(super) fn count(&self) -> usize {
        MAX_HOLDS - self.free.available_permits()
    }
}

/// A stream of [`HoldLine`]s while this instance leads, else the answer of `/leader`.
pub(super) async fn hold(
    _: Permitted,
    State(app): State<App>,
    seat: Seat,
    request: Request,
) -> Response {
    // Nothing is expected in it, but an unread body would hide the end of the connection.
    if let Err(refusal) = read_body(request).await {
        return refusal;
    }
    // Most who ask are standbys: their question must not look like work to the election.
    let (seen, now) = (seat.election.leadership(), seat.election.now());
    if !seen.is_leading(now) {
        return leader::answer(&app, &seat, &seen, now, Duration::ZERO);
    }
    let Ok(permit) = Arc::clone(&seat.holds.free).try_acquire_owned() else {
        let words = format!("there are {MAX_HOLDS} holds already: wait until one of them ends");
        return problem(StatusCode::TOO_MANY_REQUESTS, &words);
    };
    let host = match Host::this() {
        Ok(host) => host,
        Err(error) => {
            let words = format!("cannot tell which clock this is: {error}");
            return problem(StatusCode::INTERNAL_SERVER_ERROR, &words);
        }
    };
    // First announce the work, then look once more: in this order the record cannot be vacated
    // between the look and the start.
    let work = seat.election.begin_work();
    let mut view = seat.election.watch();
    let seen = view.borrow_and_update().clone();
    let now = seat.election.now();
    let Some(tenure) = seen.leading(now).cloned() else {
        drop(permit);
        return leader::answer(&app, &seat, &seen, now, Duration::ZERO);
    };
    tracing::info!(target: "bellwether::ordinary", term = tenure.term, "a hold begins");
    let (lines, stream) = mpsc::channel(1);
    let clock = host.clock().to_owned();
    let charge = Charge::new(tenure, seat.holds.grace.of_work());
    let (overdue_at, given_up, work) = (None, false, Some(work));
    let hold = Hold { seat, view, charge, clock, lines, overdue_at, given_up, work, permit };
    tokio::spawn(hold.run());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::new(Stream(stream))).into_response()
}

/// The lines of one hold, on their way to the connection.
struct Stream(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

/// One hold.
struct Hold {
    seat: Seat,
    view: watch::Receiver<Leadership>,
    charge: Charge,
    clock: String,
    /// Closed when the connection ends.
    lines: mpsc::Sender<Bytes>,
    /// When the work, which had to end, is not waited for any longer.
    overdue_at: Option<BootTime>,
    /// The election has been told that it is overdue.
    given_up: bool,
    work: Option<Work>,
    permit: OwnedSemaphorePermit,
}

impl Hold {
    /// Tells every change until the connection ends. Never waits for the other end to read: what
    /// it would have read meanwhile is replaced by what is true then.
    async fn run(mut self) {
        let mut said = None;
        loop {
            let order = self.order();
            let wait = self.overdue().await;
            tokio::select! {
                biased;
                () = self.lines.closed() => break,
                room = self.lines.reserve(), if said != Some(order) => {
                    let text = serde_json::to_vec(&self.line(order));
                    let (Ok(room), Ok(mut text)) = (room, text) else { break };
                    text.push(b'\n');
                    room.send(text.into());
                    said = Some(order);
                }
                changed = self.view.changed() => if changed.is_err() {
                    // The election is over, and this process about to end.
                    self.lines.closed().await;
                    break;
                },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
        drop(self.permit);
        let term = self.charge.tenure().term;
        tracing::info!(target: "bellwether::ordinary", term, "a hold has ended");
    }

    /// What the work is to do now.
    fn order(&mut self) -> Order {
        let now = self.seat.election.now();
        let order = self.charge.order(&self.view.borrow_and_update(), now);
        if let Order::End { .. } = order {
            self.overdue_at.get_or_insert(now + self.seat.holds.grace.until_work_is_overdue());
        }
        order
    }

    fn line(&self, order: Order) -> HoldLine {
        let clock = (self.clock.as_str(), self.seat.election.now());
        let (election, tenure) = (self.seat.election.election(), self.charge.tenure());
        HoldLine::new(election.as_str(), &tenure.identity, tenure.term, clock, order)
    }

    /// Sees to work that had to end and has not, and says when to do so again.
    ///
    /// First the lease is not kept for it any longer; it is not vacated either, because the work may
    /// still be there. When it has run out others may lead, and so may this instance.
    async fn overdue(&mut self) -> Option<Duration> {
        let (overdue_at, now) = (self.overdue_at?, self.seat.election.now());
        if now < overdue_at {
            return Some(overdue_at.since(now));
        }
        if !std::mem::replace(&mut self.given_up, true) {
            tracing::warn!("a hold has not ended in time: the lease runs out by itself");
            self.seat.election.work_is_overdue().await;
        }
        let lease = self.seat.election.leadership().timing.lease_duration();
        if now < overdue_at + lease {
            return Some((overdue_at + lease).since(now));
        }
        self.work = None;
        None
    }
}
