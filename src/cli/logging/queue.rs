//! Output for standard error waits here for a thread that writes it.
//!
//! A stopped terminal, or a collector that does not read, blocks the writer. Here the writer is a
//! thread with no other work: the election, the answers and the signals continue. Lines that do not
//! fit are lost, and counted.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::command::whole;
use crate::time::clock::HostClock;

/// Lines that can wait: those of a start with 256 elections, and some more. About a third of a
/// megabyte, in use only while standard error is not read.
const MAX_WAITING: usize = 1024;

/// How few lines may wait when the log reports its losses: that line must not be lost as well.
const ROOM_AGAIN: u64 = 512;

/// How long an exit waits for the lines to be written: in all, and since the last written line. A
/// reader needs microseconds; a missing reader must not delay the exit.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_FOR_ONE: Duration = Duration::from_millis(500);

/// How often an exit checks whether the last line is written: soon, and then less often.
const FIRST_LOOK: Duration = Duration::from_micros(50);
const LONGEST_LOOK: Duration = Duration::from_millis(1);

/// Lines that were queued, written, and refused by standard error itself.
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

/// Queues a whole line, or a text that has to be written in one piece. Never waits.
pub(super) fn write(piece: &[u8]) {
    OFFERED.fetch_add(1, Ordering::AcqRel);
    let mut lines = queue().lines.clone();
    // The queue itself counts the lines that do not fit.
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

/// Waits until all is written, but only as long as the reader reads.
pub fn flush() {
    let begun = HostClock::boot();
    let (mut moved, mut before, mut pause) = (begun, waiting(), FIRST_LOOK);
    while before > 0 {
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_LOOK);
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

/// The output of the queue's thread.
struct StandardError {
    /// Losses that the log has reported.
    reported: u64,
}

impl Write for StandardError {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let written = whole::write(&io::stderr(), piece);
        WRITTEN.fetch_add(1, Ordering::AcqRel);
        if written.is_err() {
            // A report of this would fail as well.
            REFUSED.fetch_add(1, Ordering::AcqRel);
            return Ok(piece.len());
        }
        let lost = lost();
        if lost > self.reported && waiting() <= ROOM_AGAIN {
            let lines = lost - self.reported;
            self.reported = lost;
            // It comes after the lines that already wait.
            tracing::warn!(
                lines,
                event = "log_lines_lost",
                "lines of this log were lost because standard error was not read in time; check \
                 the log collector"
            );
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
