//! Listens to the events of the leader's sidecar: a standby learns at once that the lease was freed or renewed, also
//! where the store pushes nothing.
//!
//! The address is from the record, and any program may answer there. So nothing here is trusted. The only results are
//! hints, which the elector treats as those of a store: to look, or that the lease was renewed. Time, size and rate of
//! everything are bounded, and without a stream a standby looks at each retry period.

use std::convert::Infallible;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, StatusCode, header};
use tokio::sync::watch;

use crate::api::leader::CANDIDATE;
use crate::api::renewal::LeaderEvent;
use crate::driver::Handle;
use crate::election::leadership::Leadership;
use crate::election::lease::ElectionName;
use crate::election::term::Term;
use crate::election::time::BootTime;
use crate::http_client::{self, HttpUrl, StreamedResponse};
use crate::time::clock::HostClock;

/// The files that a stream needs: a connection has two descriptors.
pub const FILES: usize = 2;

/// How long it may take until the first event: name, connection, head, and what is true now.
const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// A sidecar sends something each 15 seconds. A stream that is silent for twice as long, and a little more, is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(35);

/// Pauses between two attempts: doubled from the first to the last. A stream that lasted for longer than the last
/// one begins with the first again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// A leader that follows another meets its candidates within this time, and not all at once.
const SPREAD: Duration = Duration::from_millis(500);

/// The longest line, in bytes. An event of a sidecar has one or two thousand.
const MAX_LINE: usize = 16 * 1024;

/// The most bytes in [`WINDOW`]. A leadership that changes sends a few thousand.
const MAX_BYTES: usize = 64 * 1024;
const WINDOW: Duration = Duration::from_secs(10);

/// The most hints in a row. A leader that leaves sends two events, and ends the stream.
const MAX_HINTS: u32 = 4;

/// Follows the present leader of an election, until the election is over.
pub async fn follow(election: Handle) {
    let mut view = election.watch();
    let mut hints = Hints::new(election.leadership().timing.retry_period());
    // A standby that has just started is alone with that, and until it listens a leader may leave
    // unnoticed.
    let mut spread = Duration::ZERO;
    loop {
        let leader = LeaderPlace::in_view(&view.borrow_and_update(), election.now());
        let Some(leader) = leader else {
            if view.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            never = leader.listen(&election, &mut hints, spread) => match never {},
            changed = leader.is_replaced(&mut view, &election) => if changed.is_err() {
                return;
            }
        }
        spread = SPREAD;
    }
}

/// Where the sidecar of another instance that leads is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LeaderPlace {
    term: Term,
    url: HttpUrl,
}

impl LeaderPlace {
    /// None if none is known to lead, this instance does, or others cannot reach that one's sidecar.
    fn in_view(view: &Leadership, now: BootTime) -> Option<Self> {
        let holder = view.holder(now).filter(|_| !view.is_leading(now))?;
        let url = holder.url.as_ref()?.sidecar()?.parse().ok()?;
        Some(Self { term: holder.term, url })
    }

    /// Ends when another leads than this, or none; with an error when nothing will change any more.
    async fn is_replaced(
        &self,
        view: &mut watch::Receiver<Leadership>,
        election: &Handle,
    ) -> Result<(), watch::error::RecvError> {
        loop {
            view.changed().await?;
            let leader = Self::in_view(&view.borrow_and_update(), election.now());
            if leader.as_ref() != Some(self) {
                return Ok(());
            }
        }
    }

    async fn listen(&self, election: &Handle, hints: &mut Hints, spread: Duration) -> Infallible {
        let name = election.election();
        let mut pause = FIRST_PAUSE;
        tokio::time::sleep(spread.mul_f64(fastrand::f64())).await;
        loop {
            let begun = election.now();
            let end = self.read(election, hints).await;
            tracing::debug!(election = %name, url = %self.url, %end, "no events of the leader");
            let lasted = election.now().since(begun);
            let next = match end {
                End::Broken if lasted > LAST_PAUSE => FIRST_PAUSE,
                End::Broken | End::NotOpened(_) => pause,
                End::Misbehaves(_) => LAST_PAUSE,
            };
            // Its process may have ended, also before this stream was opened.
            if !matches!(end, End::Misbehaves(_)) {
                hints.give(election).await;
            }
            tokio::time::sleep(next.mul_f64(1.0 + 0.2 * fastrand::f64())).await;
            pause = (next * 2).min(LAST_PAUSE);
        }
    }

    /// Reads one stream to its end.
    async fn read(&self, election: &Handle, hints: &mut Hints) -> End {
        let opening = async {
            let mut stream = Stream::open(&self.url, election.election()).await?;
            let first = stream.next().await.map_err(|end| match end {
                End::Broken => End::NotOpened("it sent no event"),
                end => end,
            })?;
            Ok((stream, first))
        };
        let (mut stream, mut message) = match tokio::time::timeout(OPEN_LIMIT, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(end)) => return end,
            Err(_) => return End::NotOpened("it sent no event in time"),
        };
        tracing::debug!(election = %election.election(), url = %self.url, "receiving events of the leader");
        // Twice as often as a leader with the same period renews.
        let mut announcements = Hints::new(election.leadership().timing.retry_period() / 2);
        loop {
            if !message.leader && hints.take(HostClock::boot()) {
                election.hint_vacated().await;
            }
            if let Some(renewed) = message.renewed {
                let Some(renewed) = renewed.read() else {
                    return End::Misbehaves("its renewal is not a sidecar's");
                };
                if renewed.term != self.term {
                    hints.give(election).await;
                } else if announcements.take(HostClock::boot()) {
                    election.announce(renewed).await;
                }
            }
            message = match stream.next().await {
                Ok(message) => message,
                Err(end) => return end,
            };
        }
    }
}

/// Why a stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum End {
    /// It was one, and has ended or fallen silent.
    #[error("the stream has ended")]
    Broken,
    /// It never was one.
    #[error("{0}")]
    NotOpened(&'static str),
    /// No sidecar sends this.
    #[error("{0}")]
    Misbehaves(&'static str),
}

/// An open stream.
struct Stream {
    body: Incoming,
    _connection: http_client::Connection,
    lines: Lines,
}

impl Stream {
    async fn open(url: &HttpUrl, election: &ElectionName) -> Result<Self, End> {
        let target = format!("/elections/{election}/events");
        let request = http_client::request(Method::GET, &target)
            .header(header::ACCEPT, "text/event-stream")
            .header(CANDIDATE, "1");
        let sent = http_client::send(url, request, String::new()).await;
        let sent = sent.map_err(|_| End::NotOpened("it does not answer"))?;
        let StreamedResponse { response, connection } = sent;
        if response.status() != StatusCode::OK {
            return Err(End::NotOpened("it has no events, or no room for one more stream"));
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            return Err(End::NotOpened("its answer is no event stream"));
        }
        Ok(Self { body: response.into_body(), _connection: connection, lines: Lines::default() })
    }

    async fn next(&mut self) -> Result<LeaderEvent, End> {
        loop {
            if let Some(message) = self.lines.next_message()? {
                return Ok(message);
            }
            let bytes = http_client::next_bytes(&mut self.body);
            let Ok(bytes) = tokio::time::timeout(SILENCE_LIMIT, bytes).await else {
                return Err(End::Broken);
            };
            let Some(Ok(bytes)) = bytes else { return Err(End::Broken) };
            self.lines.push(&bytes, HostClock::boot())?;
        }
    }
}

/// What has arrived of a stream and is not read yet.
#[derive(Debug)]
struct Lines {
    buffer: Vec<u8>,
    /// The present window, and how much has arrived in it.
    window: BootTime,
    arrived: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self { buffer: Vec::new(), window: BootTime::ZERO, arrived: 0 }
    }
}

impl Lines {
    fn push(&mut self, bytes: &[u8], now: BootTime) -> Result<(), End> {
        if now.since(self.window) > WINDOW {
            (self.window, self.arrived) = (now, 0);
        }
        self.arrived = self.arrived.saturating_add(bytes.len());
        if self.arrived > MAX_BYTES {
            return Err(End::Misbehaves("it sends more than a sidecar does"));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next event that has arrived in full.
    fn next_message(&mut self) -> Result<Option<LeaderEvent>, End> {
        while let Some(length) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=length).collect();
            // Comments, ids and the ends of events are of no interest.
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            let message = serde_json::from_slice(data);
            return message.map(Some).map_err(|_| End::Misbehaves("its event is not a sidecar's"));
        }
        match self.buffer.len() > MAX_LINE {
            true => Err(End::Misbehaves("its line is longer than a sidecar's")),
            false => Ok(None),
        }
    }
}

/// How many hints may still be given. One more is allowed with each retry period: whatever arrives, the store is
/// looked at no more than twice as often as without a stream.
#[derive(Debug)]
struct Hints {
    left: u32,
    period: Duration,
    counted_from: BootTime,
}

impl Hints {
    fn new(period: Duration) -> Self {
        Self { left: MAX_HINTS, period, counted_from: HostClock::boot() }
    }

    /// Hints that the record may have changed, if that is allowed now.
    async fn give(&mut self, election: &Handle) {
        if self.take(HostClock::boot()) {
            election.hint().await;
        }
    }

    fn take(&mut self, now: BootTime) -> bool {
        while self.left < MAX_HINTS && now >= self.counted_from + self.period {
            self.left += 1;
            self.counted_from = self.counted_from + self.period;
        }
        if self.left == MAX_HINTS {
            self.counted_from = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> BootTime {
        BootTime::from_duration(Duration::from_millis(ms))
    }

    fn messages(lines: &mut Lines) -> Vec<bool> {
        std::iter::from_fn(|| lines.next_message().unwrap()).map(|message| message.leader).collect()
    }

    #[test]
    fn events_are_read_in_whatever_pieces_they_arrive() {
        let text = ": comment\n\nid: a-1\ndata: {\"leader\":true,\"term\":7}\n\nid: a-2\n\
                    data:{\"leader\":false}\r\n\n";
        for piece in [1, 7, text.len()] {
            let (mut lines, mut read) = (Lines::default(), Vec::new());
            for bytes in text.as_bytes().chunks(piece) {
                lines.push(bytes, at(0)).unwrap();
                read.extend(messages(&mut lines));
            }
            assert_eq!(read, [true, false], "{piece}");
            assert!(lines.buffer.is_empty());
        }
    }

    #[test]
    fn what_no_sidecar_sends_ends_the_stream() {
        for bad in
            ["data: {}\n", "data: true\n", "data: [[[\n", "data: \n", "data: {\"leader\":1}\n"]
        {
            let mut lines = Lines::default();
            lines.push(bad.as_bytes(), at(0)).unwrap();
            assert!(matches!(lines.next_message(), Err(End::Misbehaves(_))), "{bad}");
        }
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; MAX_LINE + 1], at(0)).unwrap();
        assert!(matches!(lines.next_message(), Err(End::Misbehaves(_))));
        let mut lines = Lines::default();
        let comment = [b':', b'\n'].repeat(MAX_BYTES / 4);
        assert_eq!(lines.push(&comment, at(0)), Ok(()));
        assert_eq!(lines.push(&comment, at(1)), Ok(()));
        assert!(matches!(lines.push(b"\n", at(2)), Err(End::Misbehaves(_))));
        let later = WINDOW + Duration::from_millis(1);
        assert_eq!(lines.push(b"\n", BootTime::from_duration(later)), Ok(()), "another window");
    }

    #[test]
    fn a_flood_gives_one_hint_a_period() {
        let mut hints = Hints::new(Duration::from_secs(2));
        let given = (0..100_000_u64).filter(|ms| hints.take(at(*ms))).count();
        assert!((50..=54).contains(&given), "{given}");
        assert_eq!((0..10).filter(|_| hints.take(at(1_000_000))).count(), 4, "after a quiet time");
    }
}
