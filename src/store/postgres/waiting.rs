//! The calls that wait for a connection, and which of them one message carries.
//!
//! # Calls that are sent together
//!
//! While a message is under way, calls wait. The next message carries several of them:
//!
//! - Looks: one statement reads the records of all, with a row for each look.
//! - Writes that renew or vacate, each of another election: a statement for each, in one
//!   transaction, so with one commit. A write whose row is locked is left out, so that the others
//!   do not wait for it.
//!
//! Such a message can only succeed. What it did not do for a call decides nothing: that call is
//! then sent alone, and fails alone. This is safe, because the server carries out a message as one
//! transaction. If it refuses the message, it has applied no write of it. If it did not return the
//! row of a write, it has not written that row.
//!
//! If the answer is lost, the outcome of every write in the message is unknown, as with one write:
//! rule `resolve-ambiguity`.
//!
//! # Order
//!
//! Writes go before looks: a leadership may end without its renewal.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::postgres::PgRow;
use tokio::sync::{Notify, oneshot};

use super::announcement;
use super::answer;
use super::errors::PostgresError;
use super::opened::Opened;
use super::statement::{self, Dialect, Statement};

/// The response to a call: every row that came with the message, also those of other calls.
pub type Response = Result<Arc<Vec<PgRow>>, PostgresError>;

/// The calls that wait. There is at most one for each caller.
#[derive(Default)]
pub struct Waiting {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    calls: VecDeque<Call>,
    /// Whether a task sends late calls on the second connection.
    has_helper: bool,
}

struct Call {
    statement: Statement,
    /// Where the response goes. Closed if the caller has given up.
    sender: oneshot::Sender<Response>,
    /// It has waited for too long.
    late: Arc<AtomicBool>,
    /// It was sent with others before.
    is_alone: bool,
}

/// A call, as its caller holds it.
pub struct Ticket {
    pub response: oneshot::Receiver<Response>,
    /// Set by the caller when it has waited for too long.
    pub late: Arc<AtomicBool>,
}

impl Waiting {
    pub fn push(&self, statement: Statement) -> Ticket {
        let (sender, response) = oneshot::channel();
        let late = Arc::<AtomicBool>::default();
        let call = Call { statement, sender, late: Arc::clone(&late), is_alone: false };
        self.queue().calls.push_back(call);
        self.arrived.notify_one();
        Ticket { response, late }
    }

    /// Responds to the calls of a message. Takes back those that it carried in vain: each is sent
    /// alone, after the others that wait, because it may have to wait for a lock.
    pub fn respond(&self, message: Message, response: Result<Vec<PgRow>, PostgresError>) {
        let unanswered = message.respond(response).into_iter();
        self.queue().calls.extend(unanswered.map(|call| Call { is_alone: true, ..call }));
        self.arrived.notify_one();
    }

    /// Waits for a call. Safe to cancel, for one waiter.
    pub async fn arrived(&self) {
        while self.queue().calls.is_empty() {
            self.arrived.notified().await;
        }
    }

    /// The next message.
    pub fn next(&self) -> Option<Message> {
        self.queue().next()
    }

    /// Whether a late call waits, and the caller has to start a task for it.
    pub fn needs_helper(&self) -> bool {
        let mut queue = self.queue();
        let needs = !queue.has_helper && queue.is_late();
        queue.has_helper |= needs;
        needs
    }

    /// The next message of the task for late calls; none if it is done.
    pub fn next_for_helper(&self) -> Option<Message> {
        let mut queue = self.queue();
        let message = if queue.is_late() { queue.next() } else { None };
        queue.has_helper = message.is_some();
        message
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn next(&mut self) -> Option<Message> {
        self.calls.retain(Call::is_awaited);
        let first = self.calls.iter().position(|call| call.statement.writes()).unwrap_or(0);
        let mut message = Message { calls: vec![self.calls.remove(first)?] };
        let mut rest = VecDeque::new();
        for call in self.calls.drain(..) {
            if message.has_room_for(&call) {
                message.calls.push(call)
            } else {
                rest.push_back(call)
            }
        }
        self.calls = rest;
        Some(message)
    }

    fn is_late(&self) -> bool {
        self.calls.iter().any(|call| call.is_awaited() && call.late.load(Ordering::Relaxed))
    }
}

impl Call {
    fn is_awaited(&self) -> bool {
        !self.sender.is_closed()
    }

    fn is_in(&self, rows: &[PgRow]) -> bool {
        self.statement.election().is_some_and(|name| answer::row_for(rows, name).is_some())
    }
}

/// The calls that are sent in one message: one call, several looks, or several
/// writes.
pub struct Message {
    calls: Vec<Call>,
}

impl Message {
    /// Whether a caller still waits. Forgets the others.
    pub fn is_awaited(&mut self) -> bool {
        self.calls.retain(Call::is_awaited);
        !self.calls.is_empty()
    }

    /// Whether it writes.
    pub fn writes(&self) -> bool {
        self.calls.iter().any(|call| call.statement.writes())
    }

    /// Whether it waits for a lock for as long as its callers wait.
    pub fn is_patient(&self) -> bool {
        statement::is_patient(&self.statements())
    }

    /// Sends it; none if all callers have given up meanwhile.
    pub async fn send(
        &mut self,
        opened: &mut Opened,
        dialect: &Dialect,
    ) -> Option<Result<Vec<PgRow>, sqlx::Error>> {
        let Opened { session, server } = opened;
        let text = statement::message(&self.statements(), dialect, server.reports_timeline);
        tokio::select! {
            response = session.query(text) => Some(response),
            () = self.given_up() => None,
        }
    }

    /// The message that announces the renewals that `rows` show.
    pub fn announcements(&self, rows: &[PgRow], dialect: &Dialect) -> Option<String> {
        announcement::message(&self.statements(), rows, dialect)
    }

    /// Responds to its calls, and returns those that it was sent for in vain.
    fn respond(self, response: Result<Vec<PgRow>, PostgresError>) -> Vec<Call> {
        let were_together = self.calls.len() > 1;
        let mut unanswered = Vec::new();
        match response.map(Arc::new) {
            Ok(rows) => {
                for call in self.calls {
                    if were_together && !call.is_in(&rows) {
                        unanswered.push(call);
                    } else {
                        let _ = call.sender.send(Ok(Arc::clone(&rows)));
                    }
                }
            }
            Err(failure) if were_together && failure.is_refusal() => unanswered = self.calls,
            Err(failure) => self.fail(&failure),
        }
        unanswered
    }

    /// Responds with a failure.
    pub fn fail(self, failure: &PostgresError) {
        for call in self.calls {
            let _ = call.sender.send(Err(failure.clone()));
        }
    }

    fn has_room_for(&self, other: &Call) -> bool {
        !other.is_alone
            && self.calls.iter().all(|call| !call.is_alone)
            && statement::go_together(&self.statements(), &other.statement)
    }

    fn statements(&self) -> Vec<&Statement> {
        self.calls.iter().map(|call| &call.statement).collect()
    }

    async fn given_up(&mut self) {
        for call in &mut self.calls {
            call.sender.closed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::election::lease::{Candidate, ElectionName, LeaseRecord, Version};
    use crate::election::time::WallTime;

    fn name(election: &str) -> ElectionName {
        election.parse().unwrap()
    }

    fn look(election: &str) -> Statement {
        Statement::Observe(name(election))
    }

    fn swap(election: &str, renew_time: u64) -> Statement {
        let holder = Candidate { identity: "a".to_owned(), incarnation: "1".to_owned() };
        let record = LeaseRecord {
            holder: Some(holder),
            renew_time: WallTime::from_unix(Duration::from_secs(renew_time)),
            ..LeaseRecord::without_holder(Duration::from_secs(15), WallTime::EPOCH)
        };
        let expected = Some(Version::new("v"));
        let (record, state) = (Box::new(record), "w".to_owned());
        Statement::Swap { election: name(election), expected, record, state }
    }

    fn renewal(election: &str) -> Statement {
        swap(election, 2)
    }

    fn take_over(election: &str) -> Statement {
        swap(election, 0)
    }

    fn vacated(election: &str) -> Statement {
        match renewal(election) {
            Statement::Swap { election, expected, mut record, state } => {
                record.holder = None;
                Statement::Swap { election, expected, record, state }
            }
            other => other,
        }
    }

    fn created(election: &str) -> Statement {
        match renewal(election) {
            Statement::Swap { election, record, state, .. } => {
                Statement::Swap { election, expected: None, record, state }
            }
            other => other,
        }
    }

    fn queue(calls: Vec<Statement>) -> (Waiting, Vec<Ticket>) {
        let waiting = Waiting::default();
        let tickets = calls.into_iter().map(|call| waiting.push(call)).collect();
        (waiting, tickets)
    }

    /// The elections of each message, until no call waits.
    fn messages(waiting: &Waiting) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(message) = waiting.next() {
            let names = message.calls.iter().map(|call| call.statement.election());
            let names: Vec<_> =
                names.map(|name| name.map_or("all", ElectionName::as_str)).collect();
            all.push(names.join(" "));
        }
        all
    }

    #[test]
    fn writes_go_before_looks_and_take_overs_go_alone() {
        let (waiting, _tickets) = queue(vec![
            look("a"),
            Statement::List,
            renewal("b"),
            look("c"),
            take_over("d"),
            renewal("e"),
            take_over("f"),
            vacated("g"),
            created("h"),
            renewal("b"),
            look("a"),
        ]);
        assert_eq!(messages(&waiting), ["b e g", "d", "f", "h", "b", "a c a", "all"]);
    }

    #[test]
    fn a_message_has_a_limit() {
        let (waiting, _tickets) = queue((0..250).map(|n| look(&format!("l{n}"))).collect());
        let lengths = |waiting: &Waiting| -> Vec<_> {
            messages(waiting).iter().map(|names| names.split(' ').count()).collect()
        };
        assert_eq!(lengths(&waiting), [100, 100, 50]);
        let (waiting, _tickets) = queue((0..25).map(|n| renewal(&format!("r{n}"))).collect());
        assert_eq!(lengths(&waiting), [10, 10, 5]);
    }

    #[test]
    fn a_call_without_an_answer_in_the_message_is_sent_alone_after_the_others() {
        let (waiting, mut tickets) = queue(vec![renewal("a"), renewal("b")]);
        let message = waiting.next().unwrap();
        tickets.push(waiting.push(renewal("c")));
        waiting.respond(message, Ok(Vec::new()));
        assert!(tickets[0].response.try_recv().is_err(), "no response yet");
        assert_eq!(messages(&waiting), ["c", "a", "b"]);
        // Alone, it gets whatever the answer is.
        let (waiting, mut tickets) = queue(vec![renewal("a")]);
        let message = waiting.next().unwrap();
        waiting.respond(message, Ok(Vec::new()));
        assert!(tickets[0].response.try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_lost_answer_is_the_failure_of_every_call() {
        let (waiting, tickets) = queue(vec![renewal("a"), renewal("b")]);
        let message = waiting.next().unwrap();
        waiting.respond(message, Err(sqlx::Error::WorkerCrashed.into()));
        for mut ticket in tickets {
            assert!(ticket.response.try_recv().unwrap().is_err());
        }
        assert!(waiting.next().is_none(), "its outcome is unknown: it is not repeated");
    }

    #[test]
    fn a_call_that_was_given_up_is_not_sent() {
        let (waiting, mut tickets) = queue(vec![renewal("a"), look("b"), look("c")]);
        drop(tickets.drain(..2));
        assert_eq!(messages(&waiting), ["c"]);
    }

    #[test]
    fn one_task_helps_while_late_calls_wait() {
        let (waiting, tickets) = queue(vec![look("a"), renewal("b")]);
        assert!(!waiting.needs_helper());
        tickets[0].late.store(true, Ordering::Relaxed);
        assert!(waiting.needs_helper());
        assert!(!waiting.needs_helper(), "there is one");
        let sent = [waiting.next_for_helper(), waiting.next_for_helper()];
        assert!(sent.iter().all(Option::is_some), "until the late one was sent");
        assert!(waiting.next_for_helper().is_none());
        let late = waiting.push(look("c"));
        late.late.store(true, Ordering::Relaxed);
        assert!(waiting.needs_helper(), "the one before is done");
    }
}
