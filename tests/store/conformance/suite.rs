//! What every store promises.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::handover::Handover;
use bellwether::election::holder_url::HolderUrl;
use bellwether::election::lease::{
    Candidate, ElectionName, LeaseRecord, Observed, Origin, Version,
};
use bellwether::election::pause::Pause;
use bellwether::election::term::Term;
use bellwether::election::time::WallTime;
use bellwether::store::{Hint, Store, StoreError};
use tokio::task::JoinSet;

use crate::conformance::subject::Subject;

fn election(name: &str) -> ElectionName {
    name.parse().unwrap()
}

fn candidate(name: &str) -> Candidate {
    Candidate { identity: name.to_owned(), incarnation: format!("incarnation of {name}") }
}

fn record(subject: &dyn Subject, holder: Option<&str>, term: u64) -> LeaseRecord {
    LeaseRecord {
        holder: holder.map(candidate),
        term: Term::new(term),
        ..LeaseRecord::without_holder(
            subject.lease_duration(),
            WallTime::parse("2026-11-23T07:39:46.125Z").unwrap(),
        )
    }
}

fn url(text: &str) -> Option<HolderUrl> {
    Some(text.parse().unwrap())
}

fn pause(reason: &str) -> Option<Pause> {
    let since = WallTime::parse("2026-11-23T07:39:46.125Z").unwrap();
    Some(Pause::new(since, Some(Duration::from_secs(1800)), reason.parse().ok()))
}

fn renewed(record: &LeaseRecord) -> LeaseRecord {
    let renew_time = WallTime::parse("2026-11-23T07:39:48.250Z").unwrap();
    LeaseRecord { renew_time, ..record.clone() }
}

/// As a history is kept: JSON, with what others find hard to quote.
fn payload() -> Option<Box<str>> {
    let text = "it's \"broken\"\n\u{1F411} 100 % $1 \\ ;";
    Some(serde_json::json!({ "format": 1, "text": text }).to_string().into())
}

async fn won(
    store: &dyn Store,
    name: &ElectionName,
    expected: Option<&Version>,
    record: &LeaseRecord,
) -> Version {
    match store.swap(name, expected, record).await.unwrap() {
        Swapped::Won(version) => version,
        Swapped::Lost(found) => panic!("lost against {found:?}"),
    }
}

async fn lost(
    store: &dyn Store,
    name: &ElectionName,
    expected: Option<&Version>,
    record: &LeaseRecord,
) -> Option<Observed> {
    match store.swap(name, expected, record).await.unwrap() {
        Swapped::Lost(found) => found,
        Swapped::Won(version) => panic!("won as {version:?}"),
    }
}

async fn observed(store: &dyn Store, name: &ElectionName) -> Observed {
    store.observe(name).await.unwrap().expect("there is a record")
}

pub async fn first_acquire_creates_the_record(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    assert!(store.observe(&name).await.unwrap().is_none());
    let version = won(&*store, &name, None, &record(subject, Some("a"), 1)).await;
    let found = observed(&*subject.from_another_process(), &name).await;
    assert_eq!(found.version, version);
    assert!(found.record.is_held_by(&candidate("a")));
    assert_eq!(found.record.term, Term::new(1));
}

pub async fn two_elections_do_not_touch_each_other(subject: &dyn Subject) {
    let store = subject.store();
    store.init().await.unwrap();
    let (a, b) = (election("a"), election("a.b"));
    let version = won(&*store, &a, None, &record(subject, Some("one"), 1)).await;
    won(&*store, &b, None, &record(subject, Some("two"), 9)).await;
    assert_eq!(observed(&*store, &a).await.version, version);
    assert_eq!(observed(&*store, &b).await.record.term, Term::new(9));
}

pub async fn a_swap_against_another_version_is_refused_and_shows_the_record(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let first = won(&*store, &name, None, &record(subject, Some("a"), 1)).await;
    let second = won(&*store, &name, Some(&first), &record(subject, Some("b"), 2)).await;
    let found = lost(&*store, &name, Some(&first), &record(subject, Some("c"), 3)).await;
    let found = found.expect("the record comes back with the refusal");
    assert_eq!(found.version, second);
    assert!(found.record.is_held_by(&candidate("b")));
    assert_eq!(observed(&*store, &name).await.version, second, "nothing was written");
}

pub async fn a_swap_for_no_record_is_refused_when_there_is_one(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let stale = Version::new("never seen");
    let found = lost(&*store, &name, Some(&stale), &record(subject, Some("a"), 1)).await;
    assert!(found.is_none(), "there is no record to replace: {found:?}");
    let version = won(&*store, &name, None, &record(subject, Some("a"), 1)).await;
    let found = lost(&*store, &name, None, &record(subject, Some("b"), 1)).await;
    assert_eq!(found.unwrap().version, version);
}

pub async fn a_renewal_keeps_the_term_and_changes_the_version(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let held = record(subject, Some("a"), 7);
    let mut versions = HashSet::new();
    let mut version = won(&*store, &name, None, &held).await;
    for _ in 0..5 {
        assert!(versions.insert(version.clone()), "a version came twice");
        version = won(&*store, &name, Some(&version), &renewed(&held)).await;
    }
    let found = observed(&*store, &name).await;
    assert_eq!((found.record.term, found.version), (Term::new(7), version));
}

pub async fn vacating_keeps_the_term(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let held = won(&*store, &name, None, &record(subject, Some("a"), 7)).await;
    won(&*store, &name, Some(&held), &record(subject, None, 7)).await;
    let found = observed(&*subject.from_another_process(), &name).await;
    assert!(found.record.holder.is_none());
    assert_eq!(found.record.term, Term::new(7));
}

pub async fn every_field_comes_back_as_written(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let identity = "pod/web-0 'quoted' \"twice\" \\ % ; ü $1 {}";
    let written = renewed(&record(subject, Some(identity), u64::from(u32::MAX) * 4));
    let (origin, holder_url) = (Origin::new(identity), url("https://web-0.example:8443/app"));
    let pause = pause("it's \"late\" \\ 100 % \u{1F411} $1 ;");
    let written = LeaseRecord { payload: payload(), origin, holder_url, pause, ..written };
    won(&*store, &name, None, &written).await;
    let found = observed(&*subject.from_another_process(), &name).await.record;
    assert_eq!(found.holder, written.holder);
    assert_eq!(found.term, written.term);
    assert_eq!(found.lease_duration, written.lease_duration);
    assert_eq!(found.acquire_time.to_string(), written.acquire_time.to_string());
    assert_eq!(found.renew_time.to_string(), written.renew_time.to_string());
    assert_eq!(found.payload, written.payload);
    assert_eq!(found.origin, written.origin);
    assert!(found.holder_url.is_some());
    assert_eq!(found.holder_url, written.holder_url);
    assert!(found.pause.is_some());
    assert_eq!(found.pause, written.pause);
}

pub async fn what_the_last_holder_left_is_shown_until_the_next_one(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let handover = |term: u64| {
        let text = format!(
            "{{\"term\":{term},\"uptimeMs\":5,\"order\":3,\"successor\":\"it's \\\"b\\\" 2\"}}"
        );
        Some(Handover::from_store(&text, Term::new(term)).unwrap())
    };
    let held = record(subject, Some("a"), 7);
    let mut version = won(&*store, &name, None, &held).await;
    let left = LeaseRecord { handover: handover(7), ..record(subject, None, 7) };
    version = won(&*store, &name, Some(&version), &left).await;
    let found = observed(&*subject.from_another_process(), &name).await;
    assert_eq!(found.record.handover, handover(7));
    let listing = store.list().await.unwrap();
    let [(_, listed)] = &listing.records[..] else { panic!("one record") };
    assert_eq!(listed.record.handover, handover(7));
    let of_another_term = LeaseRecord { handover: handover(6), ..left.clone() };
    version = won(&*store, &name, Some(&version), &of_another_term).await;
    assert_eq!(observed(&*store, &name).await.record.handover, None, "it is of another term");
    version = won(&*store, &name, Some(&version), &left).await;
    let next = LeaseRecord { handover: handover(8), ..record(subject, Some("b"), 8) };
    version = won(&*store, &name, Some(&version), &next).await;
    assert_eq!(observed(&*store, &name).await.record.handover, None, "there is a holder");
    won(&*store, &name, Some(&version), &record(subject, None, 8)).await;
    assert_eq!(observed(&*store, &name).await.record.handover, None);
}

/// Written before records contained where their holder runs.
pub async fn what_a_terminal_would_obey_does_not_come_back(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let hostile = "a\u{1b}[2J\r\nb\u{9b}\u{202e}".to_owned();
    let shown = "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}\u{fffd}";
    let written = LeaseRecord {
        holder: Some(Candidate { identity: hostile.clone(), incarnation: hostile.clone() }),
        ..record(subject, None, 1)
    };
    let version = won(&*store, &name, None, &written).await;
    let found = observed(&*store, &name).await;
    let refused = lost(&*store, &name, None, &written).await.unwrap();
    let listing = store.list().await.unwrap();
    let [(_, listed)] = &listing.records[..] else { panic!("one record") };
    assert_eq!(found.version, version);
    for LeaseRecord { holder, .. } in [&found.record, &refused.record, &listed.record] {
        let holder = holder.clone().unwrap();
        for text in [holder.identity, holder.incarnation] {
            assert_eq!(text, shown);
        }
    }
}

pub async fn a_table_of_an_older_version_keeps_working(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    won(&*store, &name, None, &record(subject, Some("a"), 1)).await;
    subject.forget_later_columns().await;
    let (looks, writes) = (subject.from_another_process(), subject.from_another_process());
    let found = observed(&*looks, &name).await;
    assert_eq!((found.record.term, found.record.origin.as_ref()), (Term::new(1), None));
    assert_eq!((&found.record.holder_url, &found.record.pause), (&None, &None));
    writes.init().await.unwrap();
    assert_eq!(found.record.handover, None);
    let origin = Origin::new("ECS cluster prod");
    let next = record(subject, Some("b"), 2);
    let next = LeaseRecord { origin: origin.clone(), holder_url: url("http://b:8080"), ..next };
    won(&*writes, &name, Some(&found.version), &next).await;
    let found = observed(&*looks, &name).await.record;
    assert_eq!((found.origin, found.holder_url), (origin, next.holder_url));
}

/// Without [`Store::init`]: the store did not respond when this process started.
pub async fn a_start_without_the_store_leaves_no_field_out(subject: &dyn Subject) {
    let (other, name) = (subject.from_another_process(), election("default"));
    other.init().await.unwrap();
    won(&*other, &name, None, &record(subject, Some("a"), 1)).await;
    let store = subject.from_another_process();
    let version = observed(&*store, &name).await.version;
    let origin = Origin::new("ECS cluster prod");
    let next = record(subject, Some("b"), 2);
    let next = LeaseRecord { origin: origin.clone(), holder_url: url("http://b:8080"), ..next };
    let version = won(&*store, &name, Some(&version), &next).await;
    let found = observed(&*other, &name).await.record;
    assert_eq!((&found.origin, &found.holder_url), (&origin, &next.holder_url));
    let handover = Handover::from_store("{\"term\":2,\"successor\":\"c\"}", Term::new(2));
    assert!(handover.is_some());
    let left = LeaseRecord { handover: handover.clone(), ..record(subject, None, 2) };
    won(&*store, &name, Some(&version), &left).await;
    assert_eq!(observed(&*other, &name).await.record.handover, handover);
}

/// Without [`Store::init`]: a command that pauses reads and writes only.
pub async fn a_pause_is_hinted_and_stays_until_it_is_taken_away(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let version = won(&*store, &name, None, &record(subject, Some("a"), 7)).await;
    let renewed = renewed(&record(subject, Some("a"), 7));
    won(&*store, &name, Some(&version), &renewed).await;
    subject.forget_later_columns().await;
    let (leader, operator) = (subject.from_another_process(), subject.from_another_process());
    let mut hints = leader.hints(&name);
    leader.init().await.unwrap();
    let Observed { record: found, version, .. } = observed(&*operator, &name).await;
    while hinted_within(&mut hints, Duration::from_millis(50)).await {}
    let paused = LeaseRecord { pause: pause("new disks"), ..found };
    let version = won(&*operator, &name, Some(&version), &paused).await;
    assert!(!subject.pushes_hints() || hinted(&mut hints).await, "no hint of a pause");
    let found = observed(&*leader, &name).await;
    assert_eq!((found.version, &found.record.pause), (version.clone(), &paused.pause));
    assert!(found.record.is_held_by(&candidate("a")) && found.record.term == Term::new(7));
    let kept = won(&*leader, &name, Some(&version), &LeaseRecord { ..paused.clone() }).await;
    let vacated = LeaseRecord { holder: None, holder_url: None, ..paused.clone() };
    while hinted_within(&mut hints, Duration::from_millis(50)).await {}
    let version = won(&*leader, &name, Some(&kept), &vacated).await;
    if subject.pushes_hints() {
        let hint = tokio::time::timeout(Duration::from_secs(20), hints.next()).await;
        assert!(matches!(hint, Ok(Hint::Changed)), "a look has to show the pause: {hint:?}");
    }
    let other = subject.from_another_process();
    assert_eq!(observed(&*other, &name).await.record.pause, paused.pause);
    won(&*other, &name, Some(&version), &LeaseRecord { pause: None, ..vacated }).await;
    let found = observed(&*operator, &name).await.record;
    assert_eq!((found.pause, found.term), (None, Term::new(7)));
}

pub async fn a_pause_begins_where_there_is_no_record(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let paused = LeaseRecord { pause: pause("not yet"), ..record(subject, None, 0) };
    let version = won(&*store, &name, None, &paused).await;
    let found = observed(&*subject.from_another_process(), &name).await.record;
    assert_eq!((found.term, &found.holder, found.pause), (Term::ZERO, &None, paused.pause));
    let first = record(subject, Some("a"), 1);
    let version = won(&*store, &name, Some(&version), &first).await;
    won(&*store, &name, Some(&version), &record(subject, Some("b"), 2)).await;
    let found = observed(&*store, &name).await.record;
    assert_eq!((found.term, found.pause), (Term::new(2), None));
}

/// In a rolling upgrade, an instance of the version before takes over from one that has a URL.
pub async fn a_url_is_shown_of_its_own_holder_only(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let held = LeaseRecord { holder_url: url("http://a:8080"), ..record(subject, Some("a"), 1) };
    let mut version = won(&*store, &name, None, &held).await;
    assert_eq!(observed(&*store, &name).await.record.holder_url, held.holder_url);
    let renewed = LeaseRecord { holder_url: url("https://a.example/new"), ..renewed(&held) };
    version = won(&*store, &name, Some(&version), &renewed).await;
    assert_eq!(observed(&*store, &name).await.record.holder_url, renewed.holder_url);
    if subject.write_as_older_version(&name, "b").await {
        let found = observed(&*subject.from_another_process(), &name).await;
        assert_eq!(found.record.holder.unwrap().incarnation, "b");
        assert_eq!(found.record.holder_url, None, "this is the URL of another process");
        version = found.version;
    }
    let without = LeaseRecord { holder_url: None, ..record(subject, Some("c"), 2) };
    version = won(&*store, &name, Some(&version), &without).await;
    assert_eq!(observed(&*store, &name).await.record.holder_url, None);
    let vacated = LeaseRecord { holder_url: url("http://c:8080"), ..record(subject, None, 2) };
    won(&*store, &name, Some(&version), &vacated).await;
    assert_eq!(observed(&*store, &name).await.record.holder_url, None, "it has no holder");
}

pub async fn expiry_is_judged_by_the_store(subject: &dyn Subject) {
    let (store, name, lease) = (subject.store(), election("default"), subject.lease_duration());
    store.init().await.unwrap();
    won(&*store, &name, None, &record(subject, Some("a"), 1)).await;
    let other = subject.from_another_process();
    let fresh = observed(&*other, &name).await.remaining;
    if !subject.has_a_clock() {
        assert_eq!(fresh, None, "a store without a clock must not pretend to have one");
        return;
    }
    let lease = lease + subject.judges_late_by();
    assert!(fresh.is_some_and(|left| !left.is_zero() && left <= lease), "{fresh:?}");
    subject.let_pass(lease + Duration::from_millis(1)).await;
    let over = observed(&*other, &name).await;
    assert_eq!(over.remaining, Some(Duration::ZERO));
    won(&*store, &name, Some(&over.version), &record(subject, Some("a"), 1)).await;
    let renewed = observed(&*other, &name).await.remaining;
    assert!(renewed.is_some_and(|left| !left.is_zero()), "a renewal begins a new lease");
}

pub async fn a_record_of_unknown_shape_is_refused_without_damage(subject: &dyn Subject) {
    let (store, name) = (subject.store(), election("default"));
    store.init().await.unwrap();
    let version = won(&*store, &name, None, &record(subject, Some("a"), 1)).await;
    let Some(before) = subject.write_future_shape(&name).await else { return };
    let refused = |result: Result<(), StoreError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Misconfigured(_)), "{error:?}");
        assert!(error.to_string().contains("upgrade"), "{error}");
    };
    let rival = record(subject, Some("b"), 2);
    refused(store.observe(&name).await.map(drop));
    refused(store.swap(&name, None, &rival).await.map(drop));
    refused(store.swap(&name, Some(&version), &rival).await.map(drop));
    // The others are shown, and the unreadable one is named.
    won(&*store, &election("other"), None, &record(subject, Some("a"), 1)).await;
    let listing = store.list().await.unwrap();
    let listed: Vec<_> = listing.records.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(listed, ["other"]);
    let [(unreadable, why)] = &listing.unreadable[..] else { panic!("{listing:?}") };
    assert_eq!(unreadable, "default");
    assert!(why.to_string().contains("'default'"), "{why}");
    assert_eq!(subject.raw(&name).await, before, "the record is as it was");
}

pub async fn init_by_many_at_once_is_fine(subject: &dyn Subject) {
    let mut starts = JoinSet::new();
    for _ in 0..8 {
        let store = subject.from_another_process();
        starts.spawn(async move { store.init().await });
    }
    for result in starts.join_all().await {
        result.unwrap();
    }
    subject.store().init().await.unwrap();
}

pub async fn list_shows_every_record(subject: &dyn Subject) {
    let store = subject.store();
    store.init().await.unwrap();
    assert!(store.list().await.unwrap().records.is_empty());
    for (name, term) in [("b", 2), ("a", 1), ("c", 3)] {
        won(&*store, &election(name), None, &record(subject, Some("x"), term)).await;
    }
    let once = ElectionName::of_work(&"sha256:00ff/web@1".parse().unwrap());
    won(&*store, &once, None, &record(subject, None, 4)).await;
    let listed = subject.from_another_process().list().await.unwrap().records;
    let mut listed: Vec<_> =
        listed.iter().map(|(name, found)| (name.to_string(), found.record.term)).collect();
    listed.sort();
    let expected = [("a", 1), ("b", 2), ("c", 3), (once.as_str(), 4)];
    assert_eq!(listed, expected.map(|(name, term)| (name.to_owned(), Term::new(term))));
}

/// The store as two processes have it open, and an election.
async fn of_two_processes(subject: &dyn Subject) -> (Arc<dyn Store>, Arc<dyn Store>, ElectionName) {
    let (store, other) = (subject.store(), subject.from_another_process());
    store.init().await.unwrap();
    other.init().await.unwrap();
    (store, other, election("default"))
}

pub async fn changes_of_leader_are_hinted(subject: &dyn Subject) {
    if !subject.pushes_hints() {
        return;
    }
    let (store, other, name) = of_two_processes(subject).await;
    let mut hints = other.hints(&name);
    let held = won(&*store, &name, None, &record(subject, Some("a"), 1)).await;
    assert!(hinted(&mut hints).await, "no hint of an acquisition");
    while hinted_within(&mut hints, Duration::from_millis(50)).await {}
    let free = won(&*store, &name, Some(&held), &record(subject, None, 1)).await;
    assert!(hinted(&mut hints).await, "no hint of a vacated lease");
    while hinted_within(&mut hints, Duration::from_millis(50)).await {}
    won(&*store, &name, Some(&free), &record(subject, Some("b"), 2)).await;
    let hint = tokio::time::timeout(Duration::from_secs(20), hints.next()).await;
    match hint.expect("a hint of the next acquisition") {
        Hint::Acquired(shown) => {
            assert!(subject.shows_records());
            let found = observed(&*other, &name).await;
            assert_eq!((shown.version, shown.record.term), (found.version, found.record.term));
            assert!(shown.record.is_held_by(&candidate("b")) && !shown.outlived);
            assert_eq!(shown.record.lease_duration, found.record.lease_duration);
            assert_eq!(shown.remaining, None, "nothing judged the lease since it was written");
        }
        hint => assert!(!subject.shows_records(), "a look is needed: {hint:?}"),
    }
}

/// Without a look: its term and its version.
pub async fn renewals_are_announced(subject: &dyn Subject) {
    if !subject.announces_renewals() {
        return;
    }
    let (store, other, name) = of_two_processes(subject).await;
    let mut hints = other.hints(&name);
    let mut elsewhere = other.hints(&election("other"));
    let acquired = record(subject, Some("a"), 7);
    let mut version = won(&*store, &name, None, &acquired).await;
    assert!(hinted(&mut hints).await, "no hint of an acquisition");
    for hints in [&mut hints, &mut elsewhere] {
        while hinted_within(hints, Duration::from_millis(200)).await {}
    }
    for after in [2, 4] {
        let renew_time = WallTime::from_unix(Duration::from_secs(after));
        let renewed = LeaseRecord { renew_time, ..acquired.clone() };
        version = won(&*store, &name, Some(&version), &renewed).await;
        let hint = tokio::time::timeout(Duration::from_secs(20), hints.next()).await;
        let Ok(Hint::Renewed(news)) = hint else { panic!("a look is needed: {hint:?}") };
        assert_eq!((news.term, news.version), (Term::new(7), version.clone()));
    }
    assert!(!hinted_within(&mut elsewhere, Duration::from_millis(1)).await);
}

async fn hinted(hints: &mut bellwether::store::Hints) -> bool {
    hinted_within(hints, Duration::from_secs(20)).await
}

async fn hinted_within(hints: &mut bellwether::store::Hints, limit: Duration) -> bool {
    tokio::time::timeout(limit, hints.next()).await.is_ok()
}

/// 64 candidates, 200 rounds: in each, all look and swap, and exactly one wins.
pub async fn one_of_many_contenders_wins_each_round(subject: &dyn Subject) {
    const CONTENDERS: usize = 64;
    const ROUNDS: u64 = 200;
    /// Processes share a connection each; tasks of one process take turns.
    const PROCESSES: usize = 4;

    let name = election("default");
    let stores: Vec<Arc<dyn Store>> =
        (0..PROCESSES).map(|_| subject.from_another_process()).collect();
    subject.store().init().await.unwrap();
    let turns: Vec<_> = (0..PROCESSES).map(|_| Arc::new(tokio::sync::Mutex::new(()))).collect();
    let mut version: Option<Version> = None;
    for round in 1..=ROUNDS {
        let mut contenders = JoinSet::new();
        for contender in 0..CONTENDERS {
            let (store, turn) =
                (stores[contender % PROCESSES].clone(), turns[contender % PROCESSES].clone());
            let record = record(subject, Some(&format!("candidate-{contender}")), round);
            let (name, expected) = (name.clone(), version.clone());
            contenders.spawn(async move {
                let _turn = turn.lock().await;
                store.swap(&name, expected.as_ref(), &record).await
            });
        }
        let outcomes = contenders.join_all().await;
        let mut winners = Vec::new();
        for outcome in outcomes {
            if let Swapped::Won(version) = outcome.unwrap() {
                winners.push(version);
            }
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        let found = observed(&*subject.store(), &name).await;
        assert_eq!((&found.version, found.record.term), (&winners[0], Term::new(round)));
        version = winners.pop();
    }
}
