//! Output for standard error waits here for a thread that writes it.
//!
//! A stopped terminal, or a collector that does not read, blocks the writer. Here the writer is a
//! thread with no other work: the election, the answers and the signals continue. Lines that do not
//! fit are lost, and counted.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

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

/// How often an exit checks whether the last line is written, should nothing wake it: of two that wait, one is woken.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Lines that were to be queued, found no room, were written, and were refused by standard error itself.
static OFFERED: AtomicU64 = AtomicU64::new(0);
static NOT_QUEUED: AtomicU64 = AtomicU64::new(0);
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Waits until all is written.
static AT_EXIT: Mutex<Option<Thread>> = Mutex::new(None);

/// Losses that the log has reported.
static REPORTED: AtomicU64 = AtomicU64::new(0);

/// None if the system refused a thread. Then each line is written at once, and waits for the reader.
static QUEUE: OnceLock<Option<SyncSender<Vec<u8>>>> = OnceLock::new();

fn queue() -> Option<&'static SyncSender<Vec<u8>>> {
    let begin = || {
        let (lines, waiting) = mpsc::sync_channel::<Vec<u8>>(MAX_WAITING);
        let write = move || waiting.iter().for_each(|line| write_out(&line));
        let thread = thread::Builder::new().name("log".to_owned()).spawn(write);
        thread.ok().map(|_| lines)
    };
    QUEUE.get_or_init(begin).as_ref()
}

/// Queues a whole line, or a text that has to be written in one piece. Never waits.
pub(super) fn write(piece: &[u8]) {
    OFFERED.fetch_add(1, Ordering::AcqRel);
    match queue() {
        None => write_out(piece),
        Some(lines) => {
            if lines.try_send(piece.to_vec()).is_err() {
                NOT_QUEUED.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}

/// How many lines were lost so far.
pub(super) fn lost() -> u64 {
    let refused = REFUSED.load(Ordering::Acquire);
    refused.saturating_add(NOT_QUEUED.load(Ordering::Acquire))
}

/// How many lines wait to be written.
pub(super) fn waiting() -> u64 {
    let queued = OFFERED.load(Ordering::Acquire).saturating_sub(NOT_QUEUED.load(Ordering::Acquire));
    queued.saturating_sub(WRITTEN.load(Ordering::Acquire))
}

/// Waits until all is written, but only as long as the reader reads.
pub fn flush() {
    *at_exit() = Some(thread::current());
    let begun = HostClock::boot();
    let (mut moved, mut before) = (begun, waiting());
    while before > 0 {
        thread::park_timeout(LOOK_AGAIN);
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

fn at_exit() -> MutexGuard<'static, Option<Thread>> {
    AT_EXIT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes what was queued.
fn write_out(piece: &[u8]) {
    let written = whole::write(&io::stderr(), piece);
    WRITTEN.fetch_add(1, Ordering::AcqRel);
    if let Some(thread) = &*at_exit() {
        thread.unpark();
    }
    if written.is_err() {
        // A report of this would fail as well.
        REFUSED.fetch_add(1, Ordering::AcqRel);
        return;
    }
    if waiting() > ROOM_AGAIN {
        return;
    }
    let lost = lost();
    let lines = lost.saturating_sub(REPORTED.swap(lost, Ordering::AcqRel));
    if lines > 0 {
        // It comes after the lines that already wait.
        tracing::warn!(
            lines,
            event = "log_lines_lost",
            "lines of this log were lost because standard error was not read in time; check \
             the log collector"
        );
    }
}
