//! The calls that wait for the file, and the worker that carries them out.
//!
//! One worker with one connection takes all waiting calls: reads one after the other, and all
//! writes in one transaction. So two hundred elections cost the disk one commit instead of two
//! hundred. It has a thread of its own, which waits for the file and for calls: an idle leader's CPU
//! time is mostly that of threads which wake each other.
//!
//! # Locks
//!
//! While another process keeps the file locked, writes wait in line, each for as long as its own
//! patience lasts, and reads continue. A write that is given up meanwhile is never made.
//!
//! # Hangs
//!
//! If a caller gives up a call that is being carried out, the disk hangs. The worker of the call is
//! left behind with its connection, and another worker takes its place. When too many workers are
//! left behind, calls fail at once. So a disk that hangs for a day costs no more than one that
//! hangs for a minute.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{mem, thread};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::errors::{self, SqliteError};
use super::file::{self, DatabaseFile, Open, Write, Written};
use super::mutex::lock;
use crate::election::elector::Swapped;
use crate::election::lease::{ElectionName, Observed};
use crate::election::time::BootTime;
use crate::store::contract::{Listing, StoreError, no_thread};
use crate::time::clock::HostClock;

/// Workers at once, those that were left behind included. One is the normal case.
const MAX_WORKERS: usize = 4;

/// The pause before a locked file is tried again, beside the time that SQLite itself waits.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Where a call's answer goes.
pub(super) type ResponseSender<T> = oneshot::Sender<Result<T, StoreError>>;

/// What is asked of the file.
pub(super) enum Request {
    Open(ResponseSender<()>),
    List(ResponseSender<Listing>),
    Look(ElectionName, ResponseSender<Option<Observed>>),
    Write(Write, ResponseSender<Swapped>),
}

impl Request {
    fn refuse(self, error: StoreError) {
        // A caller that gave up in the meantime does not receive it.
        match self {
            Self::Open(sender) => drop(sender.send(Err(error))),
            Self::List(sender) => drop(sender.send(Err(error))),
            Self::Look(_, sender) => drop(sender.send(Err(error))),
            Self::Write(_, sender) => drop(sender.send(Err(error))),
        }
    }

    fn is_given_up(&self) -> bool {
        match self {
            Self::Open(sender) => sender.is_closed(),
            Self::List(sender) => sender.is_closed(),
            Self::Look(_, sender) => sender.is_closed(),
            Self::Write(_, sender) => sender.is_closed(),
        }
    }
}

/// A call in line.
struct Call {
    ticket: u64,
    ask: Request,
    /// Until when it waits for another process's lock, by the host's clock: whatever clock judges
    /// the leases, this wait is a real one.
    patient_until: BootTime,
}

/// Who waits, and who works.
#[derive(Default)]
struct WorkQueue {
    waiting: Vec<Call>,
    tickets: u64,
    at_work: Option<AtWork>,
    /// Those at work or left behind.
    workers: usize,
    /// The store is gone.
    is_over: bool,
}

/// The worker that takes what waits, or waits itself.
struct AtWork {
    number: u64,
    /// The calls that it carries out now.
    taken: Vec<u64>,
}

/// The file, and the calls that wait for it.
pub(super) struct Workers {
    pub(super) file: DatabaseFile,
    queue: Mutex<WorkQueue>,
    /// Wakes the worker.
    arrived: Condvar,
}

impl Workers {
    /// No worker has started yet.
    pub(super) fn of(file: DatabaseFile) -> Self {
        Self { file, queue: Mutex::default(), arrived: Condvar::new() }
    }

    /// Waits in line until the call is carried out. Cancelled by dropping.
    pub(super) async fn request<T>(
        self: &Arc<Self>,
        ask: impl FnOnce(ResponseSender<T>) -> Request,
    ) -> Result<T, StoreError> {
        let (sender, response) = oneshot::channel();
        let ticket = self.enqueue(ask(sender))?;
        let mut caller = Caller { workers: self, ticket: Some(ticket) };
        let response = response.await;
        caller.ticket = None;
        response.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(format!("{}: the call ended early", self.file)))
        })
    }

    /// No more calls come. The worker closes its connection, which may copy the log into the database: the disk may
    /// hang.
    pub(super) fn end(&self) {
        self.queue().is_over = true;
        self.arrived.notify_one();
    }

    fn enqueue(self: &Arc<Self>, ask: Request) -> Result<u64, StoreError> {
        let patient_until = HostClock::boot() + self.file.patience;
        let mut queue = self.queue();
        if queue.at_work.is_none() {
            self.hire(&mut queue)?;
        }
        queue.tickets += 1;
        let ticket = queue.tickets;
        queue.waiting.push(Call { ticket, ask, patient_until });
        drop(queue);
        self.arrived.notify_one();
        Ok(ticket)
    }

    fn hire(self: &Arc<Self>, queue: &mut WorkQueue) -> Result<(), StoreError> {
        if queue.workers >= MAX_WORKERS {
            return Err(StoreError::Unavailable(format!(
                "{}: {MAX_WORKERS} earlier calls still hang; check the disk",
                self.file
            )));
        }
        queue.tickets += 1;
        let (workers, number) = (Arc::clone(self), queue.tickets);
        let work = move || Worker { workers, number }.work();
        thread::Builder::new().name("store".to_owned()).spawn(work).map_err(|error| {
            StoreError::Unavailable(format!("{}: {}", self.file, no_thread(&error)))
        })?;
        queue.workers += 1;
        queue.at_work = Some(AtWork { number, taken: Vec::new() });
        Ok(())
    }

    /// A caller does not wait any longer.
    fn gave_up(self: &Arc<Self>, ticket: u64) {
        let mut queue = self.queue();
        queue.waiting.retain(|call| call.ticket != ticket);
        if queue.at_work.as_ref().is_some_and(|at_work| at_work.taken.contains(&ticket)) {
            self.leave_behind(&mut queue);
        }
    }

    /// Gives what still waits to another worker.
    fn leave_behind(self: &Arc<Self>, queue: &mut WorkQueue) {
        queue.at_work = None;
        if !queue.waiting.is_empty()
            && let Err(error) = self.hire(queue)
        {
            queue.waiting.drain(..).for_each(|call| call.ask.refuse(error.clone()));
        }
    }

    fn queue(&self) -> MutexGuard<'_, WorkQueue> {
        lock(&self.queue)
    }
}

/// Gives the call up when it is dropped before its answer came.
struct Caller<'a> {
    workers: &'a Arc<Workers>,
    ticket: Option<u64>,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.workers.gave_up(ticket);
        }
    }
}

struct Worker {
    workers: Arc<Workers>,
    number: u64,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut queue = self.workers.queue();
        queue.workers = queue.workers.saturating_sub(1);
        if self.is_at_work(&queue) {
            // Only when it panicked, or the store is gone.
            queue.at_work = None;
        }
    }
}

impl Worker {
    fn work(self) {
        let mut open = None;
        while let Some(calls) = self.take() {
            let left = self.carry_out(&mut open, calls);
            if !left.is_empty() {
                self.put_back(left);
                thread::sleep(LOCK_PAUSE);
            }
        }
        if let Some(open) = open {
            open.close();
        }
    }

    fn is_at_work(&self, queue: &WorkQueue) -> bool {
        queue.at_work.as_ref().is_some_and(|at_work| at_work.number == self.number)
    }

    /// What waits, once something does; none if another worker has taken over, or the store is gone.
    fn take(&self) -> Option<Vec<Call>> {
        let mut queue = self.workers.queue();
        loop {
            let WorkQueue { waiting, at_work, is_over, .. } = &mut *queue;
            let at_work = at_work.as_mut().filter(|at_work| at_work.number == self.number)?;
            at_work.taken = waiting.iter().map(|call| call.ticket).collect();
            if !waiting.is_empty() {
                return Some(mem::take(waiting));
            }
            if *is_over {
                return None;
            }
            queue = self.workers.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts calls that met a lock back in line. Those that have waited for their whole time fail.
    fn put_back(&self, calls: Vec<Call>) {
        let now = HostClock::boot();
        let calls = calls.into_iter().filter(|call| !call.ask.is_given_up());
        let (patient, impatient): (Vec<_>, Vec<_>) =
            calls.partition(|call| now < call.patient_until);
        let locked = errors::locked(&self.workers.file.path);
        impatient.into_iter().for_each(|call| call.ask.refuse(locked.clone()));
        let mut queue = self.workers.queue();
        queue.waiting.splice(..0, patient);
        match &mut queue.at_work {
            Some(at_work) if at_work.number == self.number => at_work.taken.clear(),
            Some(_) => self.workers.arrived.notify_one(),
            None => self.workers.leave_behind(&mut queue),
        }
    }

    /// Carries out what it can, and gives back what met a lock.
    fn carry_out(&self, open: &mut Option<Open>, calls: Vec<Call>) -> Vec<Call> {
        let mut connection = match self.workers.file.connect(open.take()) {
            Ok(connection) => connection,
            Err(failure) => return self.failed(failure, calls),
        };
        let is_write = |call: &Call| matches!(call.ask, Request::Write(..));
        let (writes, mut others): (Vec<_>, Vec<_>) = calls.into_iter().partition(is_write);
        others.reverse();
        while let Some(call) = others.pop() {
            if let Err(failed) = self.response(&connection.database, call) {
                let (failure, call) = *failed;
                others.push(call);
                others.extend(writes);
                // While its calls are not answered: if that hangs, another worker takes over.
                connection.close();
                return self.failed(failure, others);
            }
        }
        match self.write(&mut connection, writes) {
            Ok(()) => {
                *open = Some(connection);
                Vec::new()
            }
            Err((failure, writes)) if failure.is_lock() => {
                *open = Some(connection);
                writes
            }
            Err((failure, writes)) => {
                match failure.is_of_one_record() {
                    true => *open = Some(connection),
                    false => connection.close(),
                }
                self.failed(failure, writes)
            }
        }
    }

    /// Gives back the calls if a lock was in the way, and answers them otherwise. The connection is
    /// not used again.
    fn failed(&self, failure: SqliteError, calls: Vec<Call>) -> Vec<Call> {
        if failure.is_lock() {
            return calls;
        }
        let error = errors::explain(&self.workers.file.path, failure);
        calls.into_iter().for_each(|call| call.ask.refuse(error.clone()));
        Vec::new()
    }

    /// Answers a call that writes nothing.
    fn response(&self, database: &Connection, call: Call) -> Result<(), Box<(SqliteError, Call)>> {
        let Call { ticket, ask, patient_until } = call;
        let again = |failure, ask| Err(Box::new((failure, Call { ticket, ask, patient_until })));
        match ask {
            Request::Open(sender) => drop(sender.send(Ok(()))),
            Request::List(sender) => match self.own(self.workers.file.select_all(database)) {
                Ok(outcomes) => drop(sender.send(outcomes)),
                Err(failure) => return again(failure, Request::List(sender)),
            },
            Request::Look(election, sender) => {
                match self.own(self.workers.file.select(database, &election)) {
                    Ok(outcomes) => drop(sender.send(outcomes)),
                    Err(failure) => return again(failure, Request::Look(election, sender)),
                }
            }
            Request::Write(..) => {
                return again(SqliteError::from(rusqlite::Error::InvalidQuery), ask);
            }
        }
        Ok(())
    }

    /// Makes all writes in one transaction. After a failure none of them is known to be applied.
    fn write(&self, open: &mut Open, calls: Vec<Call>) -> Result<(), (SqliteError, Vec<Call>)> {
        if calls.is_empty() {
            return Ok(());
        }
        let outcomes = match self.write_all(open, &calls) {
            Ok(outcomes) => outcomes,
            Err(failure) => return Err((failure, calls)),
        };
        for (call, outcomes) in calls.into_iter().zip(outcomes) {
            if let Request::Write(_, sender) = call.ask {
                let _ = sender.send(outcomes);
            }
        }
        Ok(())
    }

    fn write_all(
        &self,
        open: &mut Open,
        calls: &[Call],
    ) -> Result<Vec<Result<Swapped, StoreError>>, SqliteError> {
        let mut outcomes = Vec::with_capacity(calls.len());
        let mut written = Vec::new();
        // A single write has a transaction, too: what was given up before it has the lock is not made.
        let transaction = file::begin(&mut open.database)?;
        for call in calls {
            let Request::Write(write, _) = &call.ask else { continue };
            if call.ask.is_given_up() {
                outcomes.push(Err(errors::locked(&self.workers.file.path)));
                continue;
            }
            let swapped = self.own(self.workers.file.swap(&transaction, write))?;
            if let Ok(Swapped::Won(version)) = &swapped {
                let Write { election, record, .. } = write.clone();
                written.push(Written { election, record, version: version.clone() });
            }
            outcomes.push(swapped);
        }
        transaction.commit()?;
        if !written.is_empty() {
            self.workers.file.notify(open, &written)?;
        }
        Ok(outcomes)
    }

    /// Tells an error of one record from an error of the file. The former is the answer to that
    /// call only.
    fn own<T>(&self, result: Result<T, SqliteError>) -> Result<Result<T, StoreError>, SqliteError> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(failure) if failure.is_of_one_record() => {
                Ok(Err(errors::explain(&self.workers.file.path, failure)))
            }
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::election::lease::LeaseRecord;
    use crate::election::time::WallTime;

    #[tokio::test]
    async fn a_write_to_a_log_that_is_lost_before_its_end_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        let worker = Worker { workers: workers(path.clone()), number: 0 };
        let mut open = worker.workers.file.connect(None).unwrap();
        let record = LeaseRecord::without_holder(Duration::from_secs(15), WallTime::EPOCH);
        for is_lost in [false, true] {
            if is_lost {
                std::fs::remove_file(super::super::files::log_of(&path)).unwrap();
            }
            let election = if is_lost { "lost" } else { "kept" }.parse().unwrap();
            let write = Write { election, expected: None, record: record.clone() };
            let (sender, mut response) = oneshot::channel();
            let ask = Request::Write(write, sender);
            let call = Call { ticket: 1, ask, patient_until: HostClock::boot() };
            let written = worker.write(&mut open, vec![call]);
            assert_eq!(written.is_err(), is_lost);
            assert_eq!(response.try_recv().is_ok(), !is_lost, "it is answered with the error");
        }
    }

    fn workers(path: PathBuf) -> Arc<Workers> {
        let file = DatabaseFile::new(path, Duration::from_secs(1), Arc::new(HostClock));
        Arc::new(Workers::of(file))
    }

    #[tokio::test]
    async fn one_worker_waits_for_the_next_call_and_ends_with_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        let workers = workers(path.clone());
        let number = || workers.queue().at_work.as_ref().map(|at_work| at_work.number);
        workers.request(Request::Open).await.unwrap();
        let first = number();
        assert!(first.is_some());
        workers.request(Request::List).await.unwrap();
        assert_eq!(number(), first);
        let log = super::super::files::log_of(&path);
        assert!(log.exists(), "the connection is kept");
        workers.end();
        let left = Arc::downgrade(&workers);
        drop(workers);
        let until = HostClock::boot() + Duration::from_secs(30);
        while left.strong_count() > 0 && HostClock::boot() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(left.strong_count(), 0, "the thread has ended");
        assert!(!log.exists(), "the last connection that closes deletes it");
    }

    #[tokio::test]
    async fn what_a_worker_that_was_left_behind_puts_back_wakes_the_one_that_waits() {
        let folder = tempfile::tempdir().unwrap();
        let workers = workers(folder.path().join("leases.db"));
        workers.request(Request::Open).await.unwrap();
        let is_waiting =
            || workers.queue().at_work.as_ref().is_some_and(|at_work| at_work.taken.is_empty());
        while !is_waiting() {
            tokio::task::yield_now().await;
        }
        let (sender, response) = oneshot::channel();
        let patient_until = HostClock::boot() + Duration::from_secs(3600);
        let left_behind = Worker { workers: Arc::clone(&workers), number: 0 };
        left_behind.put_back(vec![Call { ticket: 0, ask: Request::List(sender), patient_until }]);
        let response = tokio::time::timeout(Duration::from_secs(30), response).await;
        assert!(response.is_ok_and(|response| response.is_ok_and(|listing| listing.is_ok())));
        workers.end();
    }
}
