//! Answers that prove nothing, and wrong answers: a device between a sidecar and DynamoDB may
//! answer in its place, repeat requests, and send any bytes.

use std::fs;
use std::thread;
use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::store::{Store, StoreError};

use crate::dynamodb::calls::{Scene, candidate, default, held, scene, seen, unavailable, won};
use crate::dynamodb::elections::{Pasture, start};
use support::dynamodb::{Emulator, PATIENCE, SKEW, open};
use support::http_proxy::{Dates, Fault, Proxy};
use support::{QUICK, Witness, eventually, with_credentials};

/// As DynamoDB would send it, except for the error of each case.
fn raw(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

const JSON: &str = "content-type: application/x-amz-json-1.0\r\nx-amzn-requestid: 1\r\n";

/// Answers of success without a write or a read behind them.
fn pretended() -> Vec<String> {
    let error = r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":""}"#;
    vec![
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        raw("200 OK", "content-type: text/html\r\n", "<html>We will be back soon.</html>"),
        raw("200 OK", "content-type: application/json\r\n", "{}"),
        raw("200 OK", "", "{}"),
        raw("200 OK", JSON, ""),
        raw("200 OK", JSON, error),
        raw("200 OK", JSON, r#"{"message":"upstream is overloaded"}"#),
        raw("200 OK", JSON, r#"{"Table":{"TableName":"leases"}}"#),
        raw("202 Accepted", JSON, "{}"),
        raw("200 OK", &format!("{JSON}x-amz-crc32: 1\r\n"), "{}"),
    ]
}

/// Texts that only look like the answer to a write.
fn of_other_writes() -> Vec<String> {
    let old = r#"{"Attributes":{"election":{"S":"default"},"version":{"S":"of another write"},
        "format":{"N":"1"},"term":{"N":"1"},"lease_duration_ms":{"N":"15000"},
        "acquire_time":{"S":""},"renew_time":{"S":""}}}"#;
    let other = old.replace("\"default\"", "\"another\"");
    vec![raw("200 OK", JSON, "{}"), raw("200 OK", JSON, old), raw("200 OK", JSON, &other)]
}

#[tokio::test]
async fn a_success_that_shows_no_write_is_no_win() {
    let Scene { emulator, proxy, store, version } = scene(PATIENCE).await;
    let before = emulator.item("default").await;
    for answer in pretended().into_iter().chain(of_other_writes()) {
        proxy.once("PutItem", Fault::Raw(answer.clone()));
        let first = unavailable(store.swap(&default(), Some(&version), &held("a", 1)).await);
        proxy.once("PutItem", Fault::Raw(answer));
        let again = unavailable(store.swap(&default(), Some(&version), &held("a", 1)).await);
        assert_eq!(first, again, "the same for every attempt, so that it is logged once");
        assert_eq!(emulator.item("default").await, before);
    }
    won(&store, Some(&version), &held("a", 1)).await;
}

#[tokio::test]
async fn a_first_write_that_a_look_does_not_show_is_no_win() {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    open(&emulator.url(), PATIENCE, Some(SKEW)).init().await.unwrap();
    let store = open(&proxy.url(), PATIENCE, Some(SKEW));
    for answer in pretended().into_iter().chain(of_other_writes()) {
        proxy.once("PutItem", Fault::Raw(answer));
        unavailable(store.swap(&default(), None, &held("a", 1)).await);
        assert!(store.observe(&default()).await.unwrap().is_none());
    }
    // Another candidate wrote the version that the read shows.
    let other = open(&emulator.url(), PATIENCE, Some(SKEW));
    won(&other, None, &held("b", 1)).await;
    proxy.once("PutItem", Fault::Raw(raw("200 OK", JSON, "{}")));
    let outcome = store.swap(&default(), None, &held("a", 1)).await;
    let Ok(Swapped::Lost(Some(found))) = outcome else { panic!("{outcome:?}") };
    assert!(found.record.is_held_by(&candidate("b")));
}

#[tokio::test]
async fn an_answer_of_something_else_is_not_the_absence_of_a_record() {
    let Scene { emulator: _emulator, proxy, store, version } = scene(PATIENCE).await;
    for answer in pretended() {
        proxy.once("GetItem", Fault::Raw(answer.clone()));
        match store.observe(&default()).await {
            Err(StoreError::Unavailable(_)) => {}
            other => panic!("{answer}: {other:?}"),
        }
        proxy.once("Scan", Fault::Raw(answer));
        assert!(matches!(store.list().await, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(seen(&store).await.version, version);
}

/// The network path repeats requests, and returns the second answer: a refusal of the own write.
#[tokio::test]
async fn a_refusal_that_shows_the_own_write_is_a_win() {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    open(&emulator.url(), PATIENCE, Some(SKEW)).init().await.unwrap();
    let store = open(&proxy.url(), PATIENCE, Some(SKEW));
    proxy.always(Fault::Twice);
    let mut version = won(&store, None, &held("a", 1)).await;
    for _ in 0..3 {
        version = won(&store, Some(&version), &held("a", 1)).await;
        assert_eq!(seen(&store).await.version, version);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let Scene { emulator: _emulator, proxy, store, version } = scene(PATIENCE).await;
    proxy.always(Fault::Endless);
    let message = unavailable(store.swap(&default(), Some(&version), &held("a", 1)).await);
    assert!(message.contains("longer than 4194304 bytes"), "{message}");
}

#[test]
fn an_answer_without_end_does_not_fill_the_memory() {
    let pasture = Pasture::new(&["a"], &[]);
    pasture.flock.settled();
    pasture.proxies[0].always(Fault::Endless);
    thread::sleep(Duration::from_secs(4));
    let status = format!("/proc/{}/status", pasture.flock.members[0].id());
    let status = fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 100 * 1024, "{peak} KiB");
    pasture.proxies[0].always(Fault::Pass);
    pasture.flock.settled();
}

/// More than a second between requests: the time to sign with is then beyond the end of time.
const SLOW: [&str; 6] =
    ["--lease-duration", "8s", "--renew-deadline", "6s", "--retry-period", "1500ms"];

#[test]
fn a_date_at_the_end_of_time_stops_no_candidate() {
    let pasture = Pasture::new(&["a", "b"], &SLOW);
    let leader = pasture.flock.settled();
    let term = pasture.term(leader);
    for date in [
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "never",
    ] {
        let writes = pasture.proxies[leader].count("PutItem");
        pasture.proxies.iter().for_each(|proxy| proxy.dates(Dates::Frozen(date.to_owned())));
        eventually("the leader renews all the same", || {
            (pasture.proxies[leader].count("PutItem") > writes + 2).then_some(())
        });
        assert_eq!(pasture.flock.settled(), leader, "{date}");
        assert_eq!(pasture.term(leader), term, "{date}");
    }
}

/// A device answers each write with a success: no instance leads, and no work runs.
#[test]
fn a_path_that_drops_writes_elects_no_leader_and_does_no_work() {
    for answer in
        [raw("200 OK", JSON, "{}"), pretended().swap_remove(0), pretended().swap_remove(1)]
    {
        let (emulator, folder) = (Emulator::start(), tempfile::tempdir().unwrap());
        let proxies = [(); 2].map(|()| Proxy::before(emulator.port()));
        for proxy in &proxies {
            let answer = answer.clone();
            proxy.on(move |request| match request.operation == "PutItem" {
                true => Fault::Raw(answer.clone()),
                false => Fault::Pass,
            });
        }
        let sidecars: Vec<_> = proxies.iter().map(|proxy| start("a", &proxy.url(), &[])).collect();
        let mut once = with_credentials();
        once.args(["once", "--key", "k", "--timeout", "4s", "--store", &proxies[0].url()]);
        once.args(QUICK).args(["--", "sh", "-c", "echo run >> runs"]).current_dir(folder.path());
        assert_eq!(once.output().unwrap().status.code(), Some(75));
        assert!(!folder.path().join("runs").exists());
        for sidecar in &sidecars {
            assert!(!sidecar.leader().leads());
            assert_eq!(sidecar.log().events("elected"), 0, "{}", sidecar.log().text());
        }
        proxies.iter().for_each(|proxy| proxy.always(Fault::Pass));
        eventually("one leads", || sidecars.iter().any(|s| s.leader().leads()).then_some(()));
    }
}

/// The term stays, and the requests are as many as without the repetitions.
#[test]
fn a_way_that_repeats_requests_leaves_the_leader_alone() {
    let pasture = Pasture::new(&["a", "b", "c"], &[]);
    pasture.proxies.iter().for_each(|proxy| proxy.always(Fault::Twice));
    let leader = pasture.flock.settled();
    let witness = Witness::of(&pasture.flock);
    let (term, writes) = (pasture.term(leader), pasture.proxies[leader].count("PutItem"));
    thread::sleep(Duration::from_secs(6));
    let writes = pasture.proxies[leader].count("PutItem") - writes;
    assert!(writes < 60, "{writes} writes in six seconds, of one each 300ms");
    assert_eq!((pasture.flock.settled(), pasture.term(leader)), (leader, term));
    witness.saw_never_two();
}
