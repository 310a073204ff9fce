//! Calls of many elections in one process, which wait for the same connection and are sent together.

use std::sync::Arc;
use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::lease::{ElectionName, LeaseRecord, Observed, Vacated, Version};
use bellwether::election::term::Term;
use bellwether::store::postgres::PostgresStore;
use bellwether::store::{Hint, Store as _, StoreError};
use sqlx::raw_sql;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::postgres::stores::{
    LIMIT, acquired, eventually, misconfigured, open_with, renewed, unavailable, vacated,
};
use support::network::{Mode, Proxy};
use support::postgres::{Server, url};

/// The elections of these tests. Each has a term of its own, which shows whose record an answer is.
const ELECTIONS: u64 = 200;

fn election(number: u64) -> ElectionName {
    format!("e{number}").parse().unwrap()
}

fn term(number: u64) -> Term {
    Term::new(1000 + number)
}

fn lease(number: u64) -> LeaseRecord {
    LeaseRecord { term: term(number), ..acquired(&format!("holder {number}"), 1) }
}

/// A store behind a network that takes a while, so that calls have to wait for each other.
struct Field {
    server: Arc<Server>,
    database: String,
    proxy: Proxy,
    store: Arc<PostgresStore>,
    /// Of the records, in the order of their elections.
    versions: Vec<Version>,
}

impl Field {
    /// With so many records.
    async fn with(records: u64) -> Self {
        let server = Server::shared();
        let database = server.database().await;
        let proxy = Proxy::before(server.port()).await;
        let store = open_with(&url(proxy.port(), "postgres", &database), Duration::from_secs(120));
        store.init().await.unwrap();
        let mut versions = Vec::new();
        for number in 0..records {
            let won = store.swap(&election(number), None, &lease(number)).await.unwrap();
            let Swapped::Won(version) = won else { panic!("{number}: {won:?}") };
            versions.push(version);
        }
        let field = Self { server, database, proxy, store, versions };
        eventually("notifications arrive", || async { field.store.pushes().then_some(()) }).await;
        // A session that was just opened looks up the table with its first statement.
        field.looks(0..1).await;
        field.proxy.set(Mode::Delay(Duration::from_millis(20)));
        field
    }

    /// Looks at all of them at once. In their order.
    async fn looks(
        &self,
        numbers: impl IntoIterator<Item = u64>,
    ) -> Vec<Result<Option<Observed>, StoreError>> {
        self.at_once(numbers, |store, number| async move { store.observe(&election(number)).await })
            .await
    }

    /// Renews all of them at once. In their order.
    async fn renewals(
        &self,
        numbers: impl IntoIterator<Item = u64>,
    ) -> Vec<Result<Swapped, StoreError>> {
        self.writes(numbers, renewed).await
    }

    async fn writes(
        &self,
        numbers: impl IntoIterator<Item = u64>,
        changed: fn(&LeaseRecord) -> LeaseRecord,
    ) -> Vec<Result<Swapped, StoreError>> {
        self.at_once(numbers, |store, number| {
            let version = self.versions[usize::try_from(number).unwrap()].clone();
            let record = changed(&lease(number));
            async move { store.swap(&election(number), Some(&version), &record).await }
        })
        .await
    }

    async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        numbers: impl IntoIterator<Item = u64>,
        call: impl Fn(Arc<PostgresStore>, u64) -> F,
    ) -> Vec<T> {
        let mut calls = JoinSet::new();
        for (place, number) in numbers.into_iter().enumerate() {
            let call = call(Arc::clone(&self.store), number);
            calls.spawn(async move { (place, call.await) });
        }
        let mut all = calls.join_all().await;
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, response)| response).collect()
    }

    async fn ask(&self, sql: &str) -> String {
        self.server.ask(&self.database, sql).await
    }

    /// The store's sessions on the server.
    async fn sessions(&self) -> String {
        self.ask(
            "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'bellwether'",
        )
        .await
    }

    /// The row of an election, past the network.
    async fn version(&self, number: u64) -> String {
        let sql = format!("SELECT version FROM bellwether.leases WHERE election = 'e{number}'");
        self.ask(&sql).await
    }

    async fn trigger(&self, body: &str) {
        let sql = format!(
            "CREATE FUNCTION obstacle() RETURNS trigger LANGUAGE plpgsql AS \
             $$BEGIN {body} RETURN NEW; END$$; \
             CREATE TRIGGER obstacle BEFORE UPDATE ON bellwether.leases \
             FOR EACH ROW EXECUTE FUNCTION obstacle()"
        );
        self.server.run_sql(&self.database, &sql).await;
    }
}

/// The state in a version, as the row has it.
fn state(version: &Version) -> &str {
    version.as_str().split('@').next().unwrap()
}

fn is_won(response: &Result<Swapped, StoreError>) -> bool {
    matches!(response, Ok(Swapped::Won(_)))
}

#[tokio::test]
async fn looks_that_wait_are_one_statement_and_each_gets_its_record() {
    let records = ELECTIONS - 50;
    let field = Field::with(records).await;
    let session = field.sessions().await;
    let before = field.proxy.requests().count;
    // Each twice, and the last ones have no record.
    let numbers: Vec<_> = (0..ELECTIONS).chain((0..ELECTIONS).rev()).collect();
    let looks = field.looks(numbers.clone()).await;
    let messages = field.proxy.requests().count - before;
    for (number, look) in numbers.into_iter().zip(looks) {
        match look.unwrap() {
            Some(found) => {
                assert_eq!(found.record.term, term(number));
                assert_eq!(found.record.holder, lease(number).holder);
                assert_eq!(
                    Some(&found.version),
                    field.versions.get(usize::try_from(number).unwrap())
                );
                assert!(found.remaining.is_some());
            }
            None => assert!(number >= records, "the record of {number} was not found"),
        }
    }
    assert!((1..=10).contains(&messages), "{messages} messages for 400 looks");
    assert_eq!(field.sessions().await, session, "the one session was enough");
}

#[tokio::test]
async fn renewals_that_wait_go_in_few_messages_and_each_gets_its_version() {
    let field = Field::with(ELECTIONS).await;
    let session = field.sessions().await;
    let before = field.proxy.requests().count;
    let renewals = field.renewals(0..ELECTIONS).await;
    let messages = field.proxy.requests().count - before;
    for (number, renewal) in (0..).zip(renewals) {
        let Ok(Swapped::Won(version)) = renewal else { panic!("{number}: {renewal:?}") };
        assert_eq!(field.version(number).await, state(&version));
    }
    // Each may be followed by one with its announcements.
    assert!((1..=80).contains(&messages), "{messages} messages for {ELECTIONS} renewals");
    assert_eq!(field.sessions().await, session, "the one session was enough");
}

/// As by a process with many elections that ends.
#[tokio::test]
async fn leases_that_are_vacated_at_once_go_in_few_messages_and_each_is_notified() {
    let field = Field::with(ELECTIONS).await;
    let mut hints: Vec<_> = (0..ELECTIONS).map(|n| field.store.hints(&election(n))).collect();
    let before = field.proxy.requests().count;
    let swaps = field.writes(0..ELECTIONS, vacated).await;
    let messages = field.proxy.requests().count - before;
    assert!((1..=40).contains(&messages), "{messages} messages for {ELECTIONS} leases");
    for ((number, swap), hints) in (0..).zip(swaps).zip(&mut hints) {
        let Ok(Swapped::Won(version)) = swap else { panic!("{number}: {swap:?}") };
        let expected = Vacated { term: term(number), version, handover: None };
        let hint = hints.next().await;
        assert!(matches!(&hint, Hint::Vacated(news) if *news == expected), "{hint:?}");
    }
}

#[tokio::test]
async fn a_locked_row_holds_up_its_own_renewal_only() {
    let field = Field::with(9).await;
    let mut locker = field.server.connect(&field.database).await;
    let lock = "BEGIN; SELECT FROM bellwether.leases WHERE election = 'e4' FOR UPDATE";
    raw_sql(lock).execute(&mut locker).await.unwrap();
    let before = field.proxy.requests().count;
    let others = async {
        // Each was written before the lock was released: its response is not waited for.
        for number in (0..9).filter(|number| *number != 4) {
            let old = state(&field.versions[usize::try_from(number).unwrap()]).to_owned();
            eventually("the others are renewed", || async {
                (field.version(number).await != old).then_some(())
            })
            .await;
        }
        assert_eq!(field.version(4).await, state(&field.versions[4]));
        let messages = field.proxy.requests().count - before;
        // One for all, its announcements, and one for the locked row.
        assert!(messages <= 3, "{messages} messages");
        raw_sql("ROLLBACK").execute(&mut locker).await.unwrap();
    };
    let (renewals, ()) = tokio::join!(field.renewals(0..9), others);
    assert!(renewals.iter().all(is_won), "{renewals:?}");
}

/// The fence locks a row as a take-over cannot, and a renewal can.
#[tokio::test]
async fn a_fenced_row_is_renewed_with_the_others() {
    let field = Field::with(9).await;
    let mut fenced = field.server.connect(&field.database).await;
    let fence = "BEGIN; SELECT bellwether.fence('e4', 1004)";
    raw_sql(fence).execute(&mut fenced).await.unwrap();
    let before = field.proxy.requests().count;
    let renewals = field.renewals(0..9).await;
    assert!(renewals.iter().all(is_won), "{renewals:?}");
    assert!(field.proxy.requests().count - before <= 2, "none was sent again");
    raw_sql("COMMIT").execute(&mut fenced).await.unwrap();
}

#[tokio::test]
async fn a_renewal_that_is_refused_fails_alone() {
    let field = Field::with(9).await;
    field.trigger("IF NEW.election = 'e1' THEN RAISE 'not this one'; END IF;").await;
    for (number, renewal) in (0..).zip(field.renewals(0..9).await) {
        match number {
            1 => assert!(unavailable(renewal).contains("not this one")),
            _ => assert!(is_won(&renewal), "{number}: {renewal:?}"),
        }
    }
    assert_eq!(field.version(1).await, state(&field.versions[1]));
}

#[tokio::test]
async fn a_renewal_that_is_not_carried_out_or_loses_does_so_alone() {
    let mut field = Field::with(9).await;
    let body = "IF NEW.election = 'e1' THEN RETURN NULL; END IF; \
                IF NEW.election = 'e2' THEN NEW.term = NEW.term + 1; END IF;";
    field.trigger(body).await;
    let delete = "DELETE FROM bellwether.leases WHERE election = 'e3'";
    field.server.run_sql(&field.database, delete).await;
    field.versions[4] = Version::new("another@");
    for (number, renewal) in (0..).zip(field.renewals(0..9).await) {
        match (number, renewal) {
            (1, renewal) => assert!(misconfigured(renewal).contains("did not carry it out")),
            (2, renewal) => assert!(misconfigured(renewal).contains("not as it was written")),
            (3, renewal) => assert!(matches!(renewal, Ok(Swapped::Lost(None))), "{renewal:?}"),
            (4, Ok(Swapped::Lost(Some(found)))) => assert_eq!(found.record.term, term(4)),
            (_, renewal) => assert!(is_won(&renewal), "{number}: {renewal:?}"),
        }
    }
    assert_eq!(field.version(1).await, state(&field.versions[1]));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_fails_its_own_look_only() {
    let field = Field::with(9).await;
    let edit = "UPDATE bellwether.leases SET expires_at = 'infinity' WHERE election = 'e1'; \
                UPDATE bellwether.leases SET format = 99 WHERE election = 'e2'";
    field.server.run_sql(&field.database, edit).await;
    let looks = field.looks(0..9).await;
    for (number, look) in (0..).zip(looks) {
        match number {
            // An error before Postgres 17.
            1 => {}
            2 => assert!(misconfigured(look).contains("format 99")),
            _ => assert_eq!(look.unwrap().unwrap().record.term, term(number)),
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_leaves_the_outcome_of_each_renewal_unknown() {
    let field = Field::with(9).await;
    // The message reaches the server, and its answer is lost.
    field.proxy.set(Mode::CutAfter("SKIP LOCKED".to_owned()));
    for renewal in field.renewals(0..9).await {
        unavailable(renewal);
    }
    field.proxy.set(Mode::Pass);
    for number in 0..9 {
        let old = &field.versions[usize::try_from(number).unwrap()];
        eventually("the renewal was applied", || async {
            (field.version(number).await != state(old)).then_some(())
        })
        .await;
    }
    // It was applied once.
    for again in field.renewals(0..9).await {
        assert!(matches!(again, Ok(Swapped::Lost(Some(_)))), "{again:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_fails_every_look_and_answers_none() {
    let field = Field::with(9).await;
    field.proxy.set(Mode::CutAfter("(E'e3'), (E'e4')".to_owned()));
    for look in field.looks(0..9).await {
        unavailable(look);
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_harms_none_of_the_others() {
    let field = Field::with(9).await;
    let session = field.sessions().await;
    field.proxy.set(Mode::Delay(Duration::from_millis(300)));
    let looks = field
        .at_once(0..9, |store, number| async move {
            // Some give up when the message is under way.
            let patience = if number % 2 == 0 { 30 } else { 30_000 };
            timeout(Duration::from_millis(patience), store.observe(&election(number))).await
        })
        .await;
    for (number, look) in (0..).zip(looks) {
        match look {
            Ok(found) => assert_eq!(found.unwrap().unwrap().record.term, term(number)),
            Err(_) => assert_eq!(number % 2, 0),
        }
    }
    field.proxy.set(Mode::Pass);
    assert_eq!(field.looks(8..9).await.remove(0).unwrap().unwrap().record.term, term(8));
    assert_eq!(field.sessions().await, session, "the session was kept");
}

#[tokio::test]
async fn calls_that_wait_for_too_long_are_sent_together_on_the_second_connection() {
    let field = Field::with(40).await;
    let mut locker = field.server.connect(&field.database).await;
    let lock = "BEGIN; SELECT FROM bellwether.leases WHERE election = 'e0' FOR UPDATE";
    raw_sql(lock).execute(&mut locker).await.unwrap();
    let store =
        open_with(&url(field.proxy.port(), "postgres", &field.database), Duration::from_secs(16));
    let field = Field { store, ..field };
    field.looks(0..1).await;
    let blocked = field.renewals(0..1);
    let others = async {
        tokio::task::yield_now().await;
        let before = field.proxy.requests().count;
        let renewals = field.renewals(1..21).await;
        let looks = field.looks(21..40).await;
        assert!(renewals.iter().all(is_won), "{renewals:?}");
        for (number, look) in (21..).zip(looks) {
            assert_eq!(look.unwrap().unwrap().record.term, term(number));
        }
        let messages = field.proxy.requests().count - before;
        assert!(messages < 20, "{messages} messages for 39 calls");
        raw_sql("ROLLBACK").execute(&mut locker).await.unwrap();
    };
    let (blocked, ()) = tokio::join!(blocked, others);
    assert!(blocked.iter().all(is_won), "{blocked:?}");
}

#[tokio::test]
async fn renewals_that_go_together_are_announced_each() {
    let field = Field::with(25).await;
    let standby = open_with(&field.server.url(&field.database), Duration::from_secs(120));
    standby.observe(&election(0)).await.unwrap();
    eventually("notifications arrive", || async { standby.pushes().then_some(()) }).await;
    let hints: Vec<_> = (0..25).map(|number| standby.hints(&election(number))).collect();
    let won = field.renewals(0..25).await;
    for ((number, mut hints), won) in (0..).zip(hints).zip(won) {
        let Ok(Swapped::Won(version)) = won else { panic!("{number}: {won:?}") };
        let is_announced = |hint: Hint| match hint {
            Hint::Renewed(news) => (news.term, &news.version) == (term(number), &version),
            Hint::Changed | Hint::Missed | Hint::Vacated(_) | Hint::Acquired(_) => false,
        };
        // Others came when it began to listen.
        let arrives = async { while !is_announced(hints.next().await) {} };
        assert!(timeout(LIMIT, arrives).await.is_ok(), "{number}: not {version:?}");
    }
}
