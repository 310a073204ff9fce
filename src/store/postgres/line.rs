//! The line to the server: one connection that is asked and listened on, and its operator, a task
//! that opens it, loses it, opens it again and hands on what it hears.
//!
//! # Connections
//!
//! One at rest. A second is opened for a moment, by one task at a time, for `init`, for the
//! self-test, and for a call that finds the first one busy with another election's call that
//! waits for a lock.
//!
//! # Calls that are given up
//!
//! A caller that stops waiting drops its end of the reply. If the question was sent, the operator
//! closes the connection: what comes back on it would be taken for another call's answer. The
//! server may still carry the question out, as with any lost connection.
//!
//! # Push
//!
//! Whether notifications arrive is tested once, on a channel of the test's own: behind a pooler
//! that lends its connections by the transaction they do not, and a LISTEN would stay behind on a
//! connection that other clients use. The test therefore says NOTIFY on a second connection; on
//! the same one even such a pooler would deliver it. And it says it three times, a while apart: one
//! can arrive by chance, if this connection happens to be lent the one that listens just then.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::super::{Bell, Hint, Hints};
use super::errors::{Failure, explain};
use super::session::{Session, ask_once, ask_repeatedly};
use super::statement::{self, Dialect, Statement, literal};
use super::url::Target;
use crate::election::lease::ElectionName;

/// How long the self-test waits for its own notification. They arrive within a commit's time; this
/// much later a server is overloaded, and polling does as well.
const TEST_PATIENCE: Duration = Duration::from_secs(5);

/// How many notifications have to arrive, and how far they are apart: farther than a question and its
/// answer take, so that each needs a chance of its own.
const TEST_NOTIFICATIONS: u32 = 3;
const TEST_GAP: Duration = Duration::from_millis(50);

/// How long until a self-test that could not be made (no second connection) is made again.
const TEST_AGAIN: Duration = Duration::from_secs(30);

/// Bounds of the pause before a lost connection is opened again without being asked to.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The least time given to opening a connection: with TLS, several round trips to another region.
const MIN_CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// The line, as the store holds it.
pub struct Line {
    shared: Arc<Shared>,
    /// To the operator; it starts with the first call.
    operator: OnceLock<mpsc::Sender<Question>>,
    /// Held by the call that uses the first connection.
    first: tokio::sync::Mutex<()>,
}

struct Shared {
    target: Target,
    dialect: Dialect,
    call_timeout: Duration,
    bells: Mutex<BTreeMap<ElectionName, Bell>>,
    /// Whether the server tells its timeline; unset until it was asked.
    tells_timeline: OnceLock<bool>,
    /// Held by whoever uses the second connection.
    second: tokio::sync::Mutex<()>,
    pushes: AtomicBool,
}

struct Question {
    /// None: only connect.
    statement: Option<Statement>,
    reply: oneshot::Sender<Result<Vec<PgRow>, Failure>>,
}

impl Line {
    /// A line that is not opened yet. `call_timeout` is the deadline of a caller's calls.
    pub fn new(target: Target, dialect: Dialect, call_timeout: Duration) -> Self {
        let shared = Shared {
            target,
            dialect,
            call_timeout,
            bells: Mutex::default(),
            tells_timeline: OnceLock::new(),
            second: tokio::sync::Mutex::default(),
            pushes: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            operator: OnceLock::new(),
            first: tokio::sync::Mutex::default(),
        }
    }

    /// Asks the server. Cancelled by dropping.
    pub async fn ask(&self, statement: Statement) -> Result<Vec<PgRow>, Failure> {
        // Another election's call may wait for a lock on the first connection; this one must not
        // wait for it as well.
        match timeout(self.shared.call_timeout / 4, self.first.lock()).await {
            Ok(_first) => self.put(Some(statement)).await,
            Err(_busy) => self.shared.ask_aside(statement).await,
        }
    }

    /// Opens the first connection if it is not open, without waiting for it.
    pub fn open(&self) {
        let (reply, _) = oneshot::channel();
        // A full queue has questions in it, which open the connection too.
        let _ = self.operator().try_send(Question { statement: None, reply });
    }

    /// Keeps the second connection to the caller.
    pub async fn second(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.second.lock().await
    }

    /// Hints for one election.
    pub fn hints(&self, election: &ElectionName) -> Hints {
        self.shared.bells().entry(election.clone()).or_default().hints()
    }

    /// Whether notifications were found to arrive.
    pub fn pushes(&self) -> bool {
        self.shared.pushes.load(Ordering::Relaxed)
    }

    async fn put(&self, statement: Option<Statement>) -> Result<Vec<PgRow>, Failure> {
        let (reply, answer) = oneshot::channel();
        let gone = || Failure::Sql(sqlx::Error::WorkerCrashed);
        self.operator().send(Question { statement, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    fn operator(&self) -> &mpsc::Sender<Question> {
        self.operator.get_or_init(|| {
            let (sender, questions) = mpsc::channel(4);
            tokio::spawn(Operator::new(Arc::clone(&self.shared), questions).run());
            sender
        })
    }
}

impl Shared {
    fn bells(&self) -> std::sync::MutexGuard<'_, BTreeMap<ElectionName, Bell>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on what a notification said. It is no question of trust: a swap decides.
    fn ring(&self, payload: &str) {
        let (election, hint) = statement::read_notification(payload);
        for (name, bell) in self.bells().iter() {
            if name.as_str() == election {
                bell.ring(hint.clone());
            }
        }
    }

    fn ring_all(&self) {
        self.bells().values().for_each(|bell| bell.ring(Hint::Changed));
    }

    fn tells_timeline(&self) -> bool {
        self.tells_timeline.get().copied().unwrap_or(false)
    }

    /// Notes what the server answered to [`statement::ask_timeline`].
    fn note_timeline(&self, answer: &Result<Vec<PgRow>, sqlx::Error>) {
        match answer {
            Ok(rows) => {
                let told = rows.first().and_then(|row| row.try_get::<Option<&str>, _>(0).ok());
                // A replica has none to tell, and is refused anyway.
                if told.flatten().is_some() {
                    let _ = self.tells_timeline.set(true);
                }
            }
            Err(error) if Failure::leaves_connection_usable(error) => {
                tracing::info!(
                    store = %self.target.place(), %error,
                    "this server does not tell its WAL timeline: a fail-over that lost writes \
                     will not be recognised as one"
                );
                let _ = self.tells_timeline.set(false);
            }
            Err(_) => {}
        }
    }

    /// Asks on the second connection, which is opened and closed for this question.
    async fn ask_aside(&self, statement: Statement) -> Result<Vec<PgRow>, Failure> {
        let _second = self.second.lock().await;
        let options = self.target.options().await.map_err(Failure::Explained)?;
        let text = statement.text(&self.dialect, self.tells_timeline());
        Ok(ask_once(&options, text).await?)
    }

    fn connect_limit(&self) -> Duration {
        self.call_timeout.max(MIN_CONNECT_LIMIT)
    }
}

/// What is known of notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Push {
    Untested,
    Arrives,
    Absent,
}

/// What a self-test found out, besides hearing its own notification.
enum Tested {
    /// The notification was sent and not heard.
    Unheard,
    /// It could not be sent.
    Unsent,
}

struct Operator {
    shared: Arc<Shared>,
    questions: mpsc::Receiver<Question>,
    session: Option<Session>,
    push: Push,
    /// The self-test under way: its channel and its end.
    test: Option<(String, tokio::task::JoinHandle<Tested>)>,
    /// Notifications that it has heard.
    test_heard: u32,
    test_pause: Duration,
    /// Attempts to connect that failed in a row.
    failures: u32,
}

/// What woke the operator.
enum Turn {
    Asked(Option<Question>),
    Heard(Option<(String, String)>),
    Tested(Tested),
    Reconnect,
}

impl Operator {
    fn new(shared: Arc<Shared>, questions: mpsc::Receiver<Question>) -> Self {
        Self {
            shared,
            questions,
            session: None,
            push: Push::Untested,
            test: None,
            test_heard: 0,
            test_pause: Duration::ZERO,
            failures: 0,
        }
    }

    /// Works until the store is dropped.
    async fn run(mut self) {
        loop {
            match self.turn().await {
                Turn::Asked(Some(question)) => self.answer(question).await,
                Turn::Asked(None) => return self.stop_test(),
                Turn::Heard(Some((channel, payload))) => self.hear(&channel, &payload).await,
                Turn::Heard(None) => self.lose("the connection was closed"),
                Turn::Tested(tested) => self.end_test(tested).await,
                Turn::Reconnect => drop(self.connect().await),
            }
        }
    }

    async fn turn(&mut self) -> Turn {
        let pause = self.pause();
        let (session, test) = (self.session.as_mut(), self.test.as_mut());
        // The connection is kept open for the notifications' sake; without them, calls open it.
        let reconnects = session.is_none() && self.push != Push::Absent && self.failures > 0;
        let heard = async {
            match session {
                Some(session) => session.heard().await,
                None => std::future::pending().await,
            }
        };
        let tested = async {
            match test {
                Some((_, test)) => test.await.unwrap_or(Tested::Unsent),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            question = self.questions.recv() => Turn::Asked(question),
            heard = heard => Turn::Heard(heard),
            tested = tested => Turn::Tested(tested),
            () = sleep(pause), if reconnects => Turn::Reconnect,
        }
    }

    /// Longer with each failure, and up to twice as long at random: when a server comes back, not
    /// everybody should come at once.
    fn pause(&self) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(8)).min(LONGEST_PAUSE);
        pause.mul_f64(1.0 + fastrand::f64())
    }

    async fn answer(&mut self, mut question: Question) {
        if question.reply.is_closed() && question.statement.is_some() {
            return;
        }
        if let Err(failure) = self.connect().await {
            let _ = question.reply.send(Err(failure));
            return;
        }
        let Some(statement) = question.statement else { return };
        let Some(session) = &mut self.session else { return };
        let text = statement.text(&self.shared.dialect, self.shared.tells_timeline());
        let answer = tokio::select! {
            answer = session.ask(text) => answer,
            () = question.reply.closed() => return self.lose("a call on it was given up"),
        };
        if let Err(error) = &answer
            && !Failure::leaves_connection_usable(error)
        {
            self.lose("a call on it failed");
        }
        let _ = question.reply.send(answer.map_err(Failure::from));
    }

    fn lose(&mut self, why: &str) {
        if self.session.take().is_some() {
            tracing::debug!(store = %self.shared.target.place(), why, "connection lost");
            self.failures = self.failures.max(1);
            self.stop_test();
        }
    }

    fn stop_test(&mut self) {
        if let Some((_, test)) = self.test.take() {
            test.abort();
        }
    }

    /// Opens the connection if it is not open.
    async fn connect(&mut self) -> Result<(), Failure> {
        if self.session.is_some() {
            return Ok(());
        }
        let opened = self.open().await;
        match opened {
            Ok(session) => {
                self.session = Some(session);
                self.failures = 0;
                self.listen().await;
                Ok(())
            }
            Err(failure) => {
                self.failures = self.failures.saturating_add(1);
                Err(failure)
            }
        }
    }

    async fn open(&self) -> Result<Session, Failure> {
        let options = self.shared.target.options().await.map_err(Failure::Explained)?;
        let limit = self.shared.connect_limit();
        if self.failures > 0 {
            // A pool repeats an attempt that was refused until its time is up, and forgets why. A
            // connection without one says at once what is wrong.
            let probe = ask_once(&options, String::new());
            timeout(limit, probe).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        }
        let mut session = Session::open(options, limit).await?;
        if self.shared.tells_timeline.get().is_none() {
            let asked = timeout(limit, session.ask(statement::ask_timeline())).await;
            let answer = asked.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            self.shared.note_timeline(&answer);
            if let Err(error) = answer
                && !Failure::leaves_connection_usable(&error)
            {
                return Err(error.into());
            }
        }
        Ok(session)
    }

    // --- Push -----------------------------------------------------------------------------------

    /// Listens on the new connection, or begins to find out whether that is any use.
    async fn listen(&mut self) {
        match self.push {
            Push::Arrives => {
                let channel = self.shared.dialect.names.channel();
                self.say(format!("LISTEN \"{channel}\"")).await;
                let (dialect, tells_timeline) =
                    (&self.shared.dialect, self.shared.tells_timeline());
                self.say(statement::rehearsal(dialect, tells_timeline)).await;
                // Whatever was said while nobody listened.
                self.shared.ring_all();
            }
            Push::Untested => self.begin_test().await,
            Push::Absent => {}
        }
    }

    /// Says something whose answer does not matter, except for what it means for the connection.
    async fn say(&mut self, text: String) {
        let Some(session) = &mut self.session else { return };
        let limit = self.shared.connect_limit();
        let said = timeout(limit, session.ask(text)).await;
        if !matches!(said, Ok(Ok(_)))
            && !matches!(said, Ok(Err(error)) if Failure::leaves_connection_usable(&error))
        {
            self.lose("LISTEN failed");
        }
    }

    async fn begin_test(&mut self) {
        let channel = format!("bellwether_test_{}", uuid::Uuid::new_v4().simple());
        self.say(format!("LISTEN \"{channel}\"")).await;
        if self.session.is_none() {
            return;
        }
        let test = tokio::spawn(test(Arc::clone(&self.shared), channel.clone(), self.test_pause));
        self.test = Some((channel, test));
        self.test_heard = 0;
    }

    async fn hear(&mut self, channel: &str, payload: &str) {
        if self.test.as_ref().is_some_and(|(tested, _)| tested == channel) {
            self.test_heard += 1;
            if self.test_heard < TEST_NOTIFICATIONS {
                return;
            }
            self.stop_test();
            self.push = Push::Arrives;
            self.shared.pushes.store(true, Ordering::Relaxed);
            self.say(format!("UNLISTEN \"{channel}\"")).await;
            self.listen().await;
        } else {
            self.shared.ring(payload);
        }
    }

    async fn end_test(&mut self, tested: Tested) {
        let Some((channel, _)) = self.test.take() else { return };
        match tested {
            Tested::Unheard => {
                self.push = Push::Absent;
                tracing::warn!(
                    store = %self.shared.target.place(),
                    "notifications do not arrive, as behind a pooler that lends connections by the \
                     transaction: hand-overs are noticed by polling, every retry period"
                );
                self.say(format!("UNLISTEN \"{channel}\"")).await;
            }
            Tested::Unsent => {
                self.test_pause = TEST_AGAIN;
                self.begin_test().await;
            }
        }
    }
}

/// Sends notifications on a second connection and waits; whoever hears them all ends this task.
async fn test(shared: Arc<Shared>, channel: String, pause: Duration) -> Tested {
    sleep(pause).await;
    let Ok(options) = shared.target.options().await else { return Tested::Unsent };
    let text = format!("SELECT pg_notify({}, '')::text", literal(&channel));
    let sent = {
        let _second = shared.second.lock().await;
        let limit = shared.connect_limit() + TEST_GAP * TEST_NOTIFICATIONS;
        timeout(limit, ask_repeatedly(&options, &text, TEST_NOTIFICATIONS, TEST_GAP)).await
    };
    match sent {
        // Behind a pooler it may come back as an answer that sqlx does not expect here.
        Ok(Ok(_) | Err(sqlx::Error::Protocol(_))) => {
            sleep(TEST_PATIENCE).await;
            Tested::Unheard
        }
        Ok(Err(error)) => {
            let error = explain(&shared.target, error.into());
            tracing::debug!(%error, "the self-test of notifications has to wait");
            Tested::Unsent
        }
        Err(_) => Tested::Unsent,
    }
}
