//! Many candidates in one election, and many elections of one candidate.

use std::sync::Arc;
use std::time::Duration;

use bellwether::driver::{DriverConfig, Handle, Health, stand};
use bellwether::election::timing::Timing;
use bellwether::metrics::Metrics;
use bellwether::platform::identity;
use bellwether::store::Store;
use bellwether::time::clock::HostClock;
use tokio::task::JoinHandle;

use crate::dynamodb::calls::default;
use support::dynamodb::{Emulator, SKEW, open};
use support::http_proxy::Proxy;
use support::{LIMIT, eventually, now};

const CROWD: usize = 200;

/// How long a request is on its way: what one within a region takes, and a little more.
const LATENCY: Duration = Duration::from_millis(10);

struct Member {
    handle: Handle,
    driver: JoinHandle<()>,
}

fn timing() -> Timing {
    let secs = Duration::from_secs;
    Timing::new(secs(8), secs(6), secs(2)).unwrap()
}

fn join(name: String, proxy: &Proxy) -> Member {
    let (handle, driver) = stand(DriverConfig {
        election: default(),
        candidate: identity::candidate(name),
        origin: None,
        holder_url: None,
        timing: timing(),
        rank: None,
        gated: None,
        store: open(&proxy.url(), timing().call_timeout(), Some(SKEW)),
        clock: Arc::new(HostClock),
        metrics: Metrics::new("dynamodb", &timing(), now()).unwrap(),
        health: Health::default(),
        url: None,
    })
    .unwrap();
    Member { handle, driver: tokio::spawn(driver.run()) }
}

async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let give_up = now() + LIMIT;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(now() < give_up, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn leaders(crowd: &[Member]) -> Vec<usize> {
    let leads = |at: &usize| crowd[*at].handle.leadership().is_leading(crowd[*at].handle.now());
    (0..crowd.len()).filter(leads).collect()
}

async fn one_leads(crowd: &[Member]) -> usize {
    until("one leads", || {
        let leaders = leaders(crowd);
        assert!(leaders.len() < 2, "{leaders:?}");
        leaders.first().copied()
    })
    .await
}

/// They begin together, and must not continue in step, nor with a connection each.
#[test]
fn a_hundred_elections_share_connections_and_spread_their_renewals() {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    let names: Vec<_> = (0..100).map(|n| format!("e{n}")).collect();
    let mut more: Vec<_> = names.iter().flat_map(|name| ["--election", name]).collect();
    more.extend(["--lease-duration", "15s", "--renew-deadline", "10s", "--retry-period", "2s"]);
    let sidecar = crate::dynamodb::elections::start("a", &proxy.url(), &more);
    eventually("it leads all", || {
        let all = sidecar.get("/elections")?.body["elections"].as_array()?.clone();
        let leads = all.iter().filter(|election| election["leader"] == true).count();
        (leads == names.len()).then_some(())
    });
    proxy.latency(LATENCY);
    // The first renewals, which come early by a random time.
    std::thread::sleep(Duration::from_secs(3));
    let (since, before) = (now(), proxy.count("PutItem"));
    // How many fall into each tenth of a second.
    let mut tenths = Vec::new();
    while now().since(since) < Duration::from_secs(8) {
        let (begun, before) = (now(), proxy.count("PutItem"));
        std::thread::sleep(Duration::from_millis(100));
        let counted = proxy.count("PutItem") - before;
        // A machine that was away for longer shows more of them.
        if now().since(begun) < Duration::from_millis(150) {
            tenths.push(counted);
        }
    }
    let (made, connections) = (proxy.count("PutItem") - before, proxy.connections());
    let most = tenths.iter().max().unwrap();
    println!(
        "{made} renewals over {connections} connections, at most {most} in a tenth of a second"
    );
    assert!(made > 200, "{made} in four retry periods");
    assert!(connections <= 40, "{connections} connections");
    assert!(*most < 50, "in step: {tenths:?}");
}

#[tokio::test]
async fn two_hundred_standbys_elect_one_when_the_lease_ends() {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    proxy.latency(LATENCY);
    open(&emulator.url(), LIMIT, Some(SKEW)).init().await.unwrap();
    let first = [join("leader".to_owned(), &proxy)];
    one_leads(&first).await;
    let [first] = first;
    let crowd: Vec<_> = (0..CROWD).map(|n| join(format!("standby-{n}"), &proxy)).collect();
    until("all follow", || {
        let decided = |m: &Member| m.handle.leadership().decided(m.handle.now()).is_ok();
        crowd.iter().all(decided).then_some(())
    })
    .await;
    // They stand for a while, so that their looks are as they are in the long run: soon after each renewal.
    tokio::time::sleep(timing().retry_period() * 14).await;
    first.driver.abort();
    let _ = first.driver.await;
    let (died, writes) = (now(), proxy.count("PutItem"));
    let next = one_leads(&crowd).await;
    println!("crash to next leader: {:?}", now().since(died));
    tokio::time::sleep(timing().retry_period()).await;
    // The next leader's own renewals are not of the expiry: at most one or two by now.
    let writes = proxy.count("PutItem") - writes;
    println!("{CROWD} standbys, a lease that ended: {writes} writes within a retry period");
    // How few depends on how long this machine takes for a write: that they spread them is a test of the elector.
    assert!(writes < CROWD / 2, "{writes} writes");
    assert_eq!(leaders(&crowd), [next]);
}
