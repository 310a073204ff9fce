//! The peer at the address in the record is no sidecar: the standby reads the store as often as ever, keeps few
//! connections, follows no redirect, and ends on request.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use bellwether::election::lease::{Candidate, LeaseRecord};
use bellwether::election::term::Term;
use bellwether::election::time::WallTime;
use bellwether::store::Store as _;

use super::SLOW;
use support::dynamodb::{Emulator, PATIENCE, open};
use support::http_proxy::Proxy;
use support::{Sidecar, eventually, with_credentials};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const STOPPED: &str = "data: {\"leader\":false}\n\n";

/// A listener that does the same to every connection, and counts them.
struct Peer {
    port: u16,
    connections: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
}

impl Peer {
    fn that(harms: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, finished) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (opened, ended, harms) =
            (Arc::clone(&connections), Arc::clone(&finished), Arc::new(harms));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                opened.fetch_add(1, Ordering::Relaxed);
                let (harms, ended) = (Arc::clone(&harms), Arc::clone(&ended));
                thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = harms(&mut stream);
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { port, connections, finished }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn finished(&self) -> usize {
        self.finished.load(Ordering::Relaxed)
    }
}

fn forever(stream: &mut TcpStream, text: &str, pause: Duration) -> std::io::Result<()> {
    loop {
        stream.write_all(text.as_bytes())?;
        thread::sleep(pause);
    }
}

/// Announces renewals without end, more often than a leader.
fn renewals(stream: &mut TcpStream, term: u64, version: &str) -> std::io::Result<()> {
    stream.write_all(HEAD.as_bytes())?;
    let renewed = format!(r#"{{"term":{term},"version":"{version}"}}"#);
    let event = format!("event: renewal\ndata: {{\"leader\":true,\"renewed\":{renewed}}}\n\n");
    forever(stream, &event, Duration::from_millis(20))
}

/// These keep to what a sidecar may send, and so they keep their stream.
const STAY: [&str; 3] = ["steady-lies", "renewals-of-another-term", "false-renewals"];

/// The peers, by the names of the elections that they claim to lead.
fn peers(elsewhere: u16) -> Vec<(&'static str, Peer)> {
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
    );
    let endless = "x".repeat(4096);
    vec![
        (
            "endless-line",
            Peer::that(move |to| {
                to.write_all(HEAD.as_bytes())?;
                forever(to, &endless, Duration::ZERO)
            }),
        ),
        (
            "flood",
            Peer::that(|to| {
                to.write_all(HEAD.as_bytes())?;
                forever(to, STOPPED, Duration::ZERO)
            }),
        ),
        (
            "steady-lies",
            Peer::that(|to| {
                to.write_all(HEAD.as_bytes())?;
                forever(to, STOPPED, Duration::from_millis(10))
            }),
        ),
        (
            "html",
            Peer::that(|to| {
                to.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n")?;
                forever(to, STOPPED, Duration::from_millis(10))
            }),
        ),
        (
            "no-sidecar",
            Peer::that(|to| {
                to.write_all(HEAD.as_bytes())?;
                to.write_all(b"data: [1,2,3]\n\n")
            }),
        ),
        (
            "drip",
            Peer::that(|to| {
                HEAD.chars().cycle().try_for_each(|letter| {
                    to.write_all(letter.to_string().as_bytes())?;
                    thread::sleep(Duration::from_millis(200));
                    Ok(())
                })
            }),
        ),
        (
            "huge-head",
            Peer::that(|to| {
                to.write_all(b"HTTP/1.1 200 OK\r\nx: ")?;
                forever(to, &"y".repeat(1000), Duration::ZERO)
            }),
        ),
        ("renewals-of-another-term", Peer::that(|to| renewals(to, 2, "none"))),
        ("false-renewals", Peer::that(|to| renewals(to, 1, "none"))),
        ("a-version-of-no-store", Peer::that(|to| renewals(to, 1, &"v".repeat(1000)))),
        ("redirect", Peer::that(move |to| to.write_all(redirect.as_bytes()))),
        ("encrypted", Peer::that(|to| to.write_all(b"\x15\x03\x01\x00\x02\x02\x28"))),
        ("closes", Peer::that(|to| to.write_all(format!("{HEAD}{STOPPED}").as_bytes()))),
        (
            "mute",
            // Until it closes the connection.
            Peer::that(|from| from.read(&mut [0]).map(|_| ())),
        ),
    ]
}

/// What a record must not make a standby connect to.
fn bad_urls(port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("login", format!("i http://u:p@127.0.0.1:{port} {port}")),
        ("file", format!("i file:///127.0.0.1:{port} {port}")),
        ("tls", format!("i https://127.0.0.1:{port} {port}")),
        ("path", format!("i http://127.0.0.1:{port}/?x=y {port}")),
        ("more", format!("i http://127.0.0.1:{port} {port} {port}")),
        ("other", format!("j http://127.0.0.1:{port} {port}")),
        ("huge", format!("i http://127.0.0.1:{port}/{} {port}", "x".repeat(60_000))),
    ]
}

fn record() -> LeaseRecord {
    LeaseRecord {
        holder: Some(Candidate { identity: "peer".to_owned(), incarnation: "i".to_owned() }),
        term: Term::new(1),
        ..LeaseRecord::without_holder(Duration::from_secs(3600), WallTime::EPOCH)
    }
}

async fn write_records(emulator: &Emulator, urls: &[(&'static str, String)]) {
    let store = open(&emulator.url(), PATIENCE, None);
    store.init().await.unwrap();
    for (election, url) in urls {
        store.swap(&election.parse().unwrap(), None, &record()).await.unwrap();
        let request = emulator.client().update_item().table_name("leases");
        let request = request.key("election", AttributeValue::S((*election).to_owned()));
        let request = request.update_expression("SET holder_url = :url");
        request
            .expression_attribute_values(":url", AttributeValue::S(url.clone()))
            .send()
            .await
            .unwrap();
    }
}

#[test]
fn a_peer_in_the_leaders_place_gains_nothing() {
    let never = Peer::that(|_| Ok(()));
    let peers = peers(never.port);
    let of = |(election, peer): &(&'static str, Peer)| {
        (*election, format!("i http://127.0.0.1:1 {}", peer.port))
    };
    let urls: Vec<_> = peers.iter().map(of).chain(bad_urls(never.port)).collect();
    let emulator = Emulator::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(write_records(&emulator, &urls));

    let proxy = Proxy::before(emulator.port());
    let elections: Vec<_> = urls.iter().map(|(election, _)| *election).collect();
    let store = proxy.url();
    let words = ["--identity", "standby", "--store", &store, "--advertise", "http://127.0.0.1:1"];
    let names = elections.join(",");
    let words = [&words[..], &["--election", &names]].concat();
    let mut standby = Sidecar::start_lasting("standby", &SLOW, &words, with_credentials());
    for (election, peer) in &peers {
        eventually(election, || (peer.connections() > 0).then_some(()));
    }
    for (election, peer) in peers.iter().filter(|(name, _)| !STAY.contains(name)) {
        eventually(&format!("{election} is left"), || (peer.finished() > 0).then_some(()));
    }
    // Those that are left at once are tried again, ever more slowly.
    let (_, encrypted) = peers.iter().find(|(name, _)| *name == "encrypted").unwrap();
    eventually("tried again", || (encrypted.connections() > 2).then_some(()));
    for (election, peer) in &peers {
        assert!(peer.connections() < 8, "{election}: {}", peer.connections());
        let open = || peer.connections() - peer.finished();
        eventually(&format!("{election} has one stream"), || (open() < 2).then_some(()));
    }
    assert_eq!(never.connections(), 0, "from a redirect or a bad URL");
    // At the start and once more in a random part of the period, and the hints that are allowed in a row.
    let most = elections.len() * 2 + peers.len() * 4;
    assert!(proxy.count("GetItem") <= most, "{:?}", proxy.counts());
    assert_eq!(proxy.count("PutItem"), 0, "it claimed what it does not see free");
    for election in elections {
        let path = format!("/elections/{election}/leader");
        let answer = standby.get(&path).unwrap();
        assert_eq!((answer.leads(), answer.holder()), (false, Some("peer")), "{election}");
    }
    standby.signal("TERM");
    assert!(standby.wait().success());
}
