//! The candidates of one election, and what happens to their leader.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bellwether::driver::{DriverConfig, Handle, Health, stand};
use bellwether::election::continuity::ServiceTime;
use bellwether::election::elector::Swapped;
use bellwether::election::handover::Rank;
use bellwether::election::lease::{ElectionName, LeaseRecord, Observed, Version};
use bellwether::election::time::BootTime;
use bellwether::election::timing::Timing;
use bellwether::metrics::Metrics;
use bellwether::platform::identity;
use bellwether::store::{self, Hints, Listing, Store, StoreError, StoreOptions, StoreUrl};
use bellwether::time::clock::HostClock;
use support::now;
use tokio::task::{JoinHandle, JoinSet};

/// At most so many stores, each with its own connection. More candidates share them.
const STORES: usize = 100;

/// A leader follows within this time, or the measurement fails.
const LIMIT: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);

/// When each request to the store was sent.
type Requests = Arc<Mutex<Vec<BootTime>>>;

/// What followed a crash or a hand-over.
pub struct Disturbed {
    /// From the end of the lease, or from the request to leave, until the next candidate leads.
    pub until_led: Duration,
    /// The most requests in any second, from the disturbance until a second after the next leader.
    pub most_in_a_second: usize,
}

pub struct Crowd {
    stores: Vec<Arc<dyn Store>>,
    members: Vec<Member>,
    joined: usize,
    requests: Requests,
}

struct Member {
    handle: Handle,
    driver: JoinHandle<()>,
}

impl Crowd {
    /// Starts them, and waits until all know a leader and are as they are in the long run.
    pub async fn gather(url: &str, candidates: usize) -> Self {
        let requests = Requests::default();
        let options =
            StoreOptions { patience: Timing::default().call_timeout(), max_clock_skew: None };
        let url = StoreUrl::parse(url, &|_| None).unwrap();
        let open = || -> Arc<dyn Store> {
            let (store, requests) =
                (store::open(&url, options, Arc::new(HostClock)), Arc::clone(&requests));
            Arc::new(Counted { store, requests })
        };
        let stores: Vec<_> = (0..candidates.min(STORES)).map(|_| open()).collect();
        stores[0].init().await.unwrap();
        let mut crowd = Self { stores, members: Vec::new(), joined: 0, requests };
        for _ in 0..candidates {
            crowd.join();
        }
        crowd.settle().await;
        crowd
    }

    fn join(&mut self) {
        let timing = Timing::default();
        let (handle, driver) = stand(DriverConfig {
            election: "default".parse().unwrap(),
            candidate: identity::candidate(format!("candidate-{}", self.joined)),
            origin: None,
            holder_url: None,
            timing,
            rank: Some(Rank { order: None, since: now(), preference: None }),
            gated: None,
            store: Arc::clone(&self.stores[self.joined % self.stores.len()]),
            clock: Arc::new(HostClock),
            metrics: Metrics::new("scale", &timing, now()).unwrap(),
            health: Health::default(),
            url: None,
        })
        .unwrap();
        self.joined += 1;
        self.members.push(Member { handle, driver: tokio::spawn(driver.run()) });
    }

    /// All know the leader, and then a check of the pushes has passed for each.
    async fn settle(&self) {
        let knows = |member: &Member| {
            let (now, view) = (member.handle.now(), member.handle.leadership());
            view.is_leading(now) || view.holder(now).is_some()
        };
        let since = now();
        while !self.members.iter().all(knows) {
            assert!(now().since(since) < LIMIT, "not all know a leader");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Timing::default().renew_deadline() * 2).await;
    }

    pub async fn requests_a_minute(&self, span: Duration) -> f64 {
        let since = now();
        tokio::time::sleep(span).await;
        let (until, sent) = (now(), self.requests.lock().unwrap());
        let sent = sent.iter().filter(|at| (since..until).contains(at)).count();
        count(sent) / until.since(since).as_secs_f64() * 60.0
    }

    /// The leader's task ends, as a process does by `kill -9`.
    pub async fn crash(&mut self) -> Disturbed {
        let leader = self.remove_leader();
        let (now, view) = (leader.handle.now(), leader.handle.leadership());
        let left = view.leading(now).unwrap().until.since(now);
        let timing = Timing::default();
        let lease_end = now + left + (timing.lease_duration() - timing.renew_deadline());
        let next = self.next_leader();
        leader.driver.abort();
        self.followed(now, lease_end, next).await
    }

    /// The leader leaves as by SIGTERM.
    pub async fn hand_over(&mut self) -> Disturbed {
        let leader = self.remove_leader();
        let next = self.next_leader();
        let begun = now();
        leader.handle.shut_down(LIMIT).await;
        self.followed(begun, begun, next).await
    }

    async fn followed(
        &mut self,
        disturbed: BootTime,
        since: BootTime,
        mut next: JoinSet<BootTime>,
    ) -> Disturbed {
        let led = tokio::time::timeout(LIMIT, next.join_next()).await.expect("a next leader");
        let led = led.unwrap().unwrap();
        tokio::time::sleep(SECOND).await;
        let most_in_a_second = most_in_a_second(&self.requests.lock().unwrap(), disturbed);
        self.join();
        self.settle().await;
        Disturbed { until_led: led.since(since), most_in_a_second }
    }

    fn remove_leader(&mut self) -> Member {
        let leads = |member: &Member| member.handle.leadership().is_leading(member.handle.now());
        let leader = self.members.iter().position(leads).expect("one leads");
        self.members.remove(leader)
    }

    /// When the first of them leads.
    fn next_leader(&self) -> JoinSet<BootTime> {
        let mut waiting = JoinSet::new();
        for member in &self.members {
            let handle = member.handle.clone();
            waiting.spawn(async move {
                let mut view = handle.watch();
                loop {
                    let now = handle.now();
                    if view.borrow_and_update().is_leading(now) {
                        return now;
                    }
                    view.changed().await.unwrap();
                }
            });
        }
        waiting
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.members.iter().for_each(|member| member.driver.abort());
    }
}

fn most_in_a_second(sent: &[BootTime], since: BootTime) -> usize {
    let mut sent: Vec<_> = sent.iter().copied().filter(|at| *at >= since).collect();
    sent.sort();
    let within =
        |first: usize| sent[first..].iter().take_while(|at| **at < sent[first] + SECOND).count();
    (0..sent.len()).map(within).max().unwrap_or_default()
}

/// A small number as one with a fraction.
pub fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

/// A store that takes down when each request was sent.
struct Counted {
    store: Arc<dyn Store>,
    requests: Requests,
}

impl Counted {
    fn count(&self) {
        self.requests.lock().unwrap().push(now());
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl Store for Counted {
    async fn init(&self) -> Result<(), StoreError> {
        self.store.init().await
    }

    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError> {
        self.count();
        self.store.observe(election).await
    }

    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError> {
        self.count();
        self.store.swap(election, expected, record).await
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        self.store.list().await
    }

    fn service_time(&self) -> Option<ServiceTime> {
        self.store.service_time()
    }

    fn hints(&self, election: &ElectionName) -> Hints {
        self.store.hints(election)
    }
}
