//! What is to be written to standard error waits here for a thread that writes it.
//!
//! A terminal that was stopped, or a collector that does not read, blocks whoever writes. Here that is
//! a thread which does nothing else: the election, the answers and the signals go on. What does not
//! fit is lost, and counted.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::election::clock::HostClock;

/// Lines that can wait: those of a start with 256 elections, and then some. About a third of a
/// megabyte, in use only while nobody reads.
const MAX_WAITING: usize = 1024;

/// So few wait when the log says what it lost: that line must not be lost as well.
const ROOM_AGAIN: u64 = 512;

/// How long an exit waits for the lines to be written, in all and since the last that was. Whoever
/// reads takes microseconds; whoever does not must not hold up the exit.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_FOR_ONE: Duration = Duration::from_millis(500);

/// How often an exit looks whether the last line is written.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How often a writer of its own looks whether a non-blocking standard error takes more.
const FULL: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Lines that were handed over, written, and refused by standard error itself.
static OFFERED: AtomicU64 = AtomicU64::new(0);
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

struct Queue {
    lines: NonBlocking,
    lost: ErrorCounter,
    /// Dropping it would wait for the thread, and complain on standard output: see [`flush`].
    _worker: WorkerGuard,
}

static QUEUE: OnceLock<Queue> = OnceLock::new();

fn queue() -> &'static Queue {
    QUEUE.get_or_init(|| {
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_WAITING);
        let (lines, worker) = builder.thread_name("log").finish(StandardError { reported: 0 });
        let lost = lines.error_counter();
        Queue { lines, lost, _worker: worker }
    })
}

/// Hands over a whole line, or whatever has to be written in one piece. Never waits.
pub(super) fn write(piece: &[u8]) {
    OFFERED.fetch_add(1, Ordering::AcqRel);
    let mut lines = queue().lines.clone();
    // Lines that do not fit are counted by the queue itself.
    let _ = lines.write_all(piece);
}

/// How many lines were lost so far.
pub(super) fn lost() -> u64 {
    let refused = REFUSED.load(Ordering::Acquire);
    QUEUE.get().map_or(refused, |queue| refused.saturating_add(not_queued(queue)))
}

fn not_queued(queue: &Queue) -> u64 {
    u64::try_from(queue.lost.dropped_lines()).unwrap_or(u64::MAX)
}

/// How many lines wait to be written.
pub(super) fn waiting() -> u64 {
    let Some(queue) = QUEUE.get() else { return 0 };
    let offered = OFFERED.load(Ordering::Acquire);
    offered.saturating_sub(not_queued(queue)).saturating_sub(WRITTEN.load(Ordering::Acquire))
}

/// Waits until all is written, but not for a reader that does not read.
pub fn flush() {
    let begun = HostClock::boot();
    let (mut moved, mut before) = (begun, waiting());
    while before > 0 {
        thread::sleep(LOOK_AGAIN);
        let (now, waiting) = (HostClock::boot(), waiting());
        if waiting < before {
            moved = now;
        }
        before = waiting;
        if now.since(begun) >= PATIENCE || now.since(moved) >= PATIENCE_FOR_ONE {
            return;
        }
    }
}

/// What the thread of the queue writes to.
struct StandardError {
    /// Losses that the log has.
    reported: u64,
}

impl Write for StandardError {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let written = write_whole(piece);
        WRITTEN.fetch_add(1, Ordering::AcqRel);
        if written.is_err() {
            // To say so would fail as well.
            REFUSED.fetch_add(1, Ordering::AcqRel);
            return Ok(piece.len());
        }
        let lost = lost();
        if lost > self.reported && waiting() <= ROOM_AGAIN {
            let lines = lost - self.reported;
            self.reported = lost;
            // Has its place behind what waits already.
            tracing::warn!(
                lines,
                "lines of this log were lost: standard error was not read in time"
            );
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_whole(mut rest: &[u8]) -> rustix::io::Result<()> {
    let stderr = io::stderr();
    while !rest.is_empty() {
        match rustix::io::write(&stderr, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Another process that shares the pipe made it so.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&FULL))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
