//! The driver between a store that hangs, a clock that jumps and requests that come at that moment.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Waker};

use async_trait::async_trait;

use super::*;
use crate::election::continuity::ServiceTime;
use crate::election::lease::{LeaseRecord, Listeners, Version};
use crate::election::term::Term;
use crate::election::time::{ManualClock, WallTime};
use crate::store::Listing;
use crate::store::memory::MemoryStore;

/// A store whose calls hang while it is set to hang.
#[derive(Debug)]
struct Hanging {
    store: MemoryStore,
    hangs: AtomicBool,
    has_random_versions: bool,
    combines_calls: bool,
    /// How many there were.
    looks: AtomicUsize,
}

impl Hanging {
    fn on(clock: &ManualClock) -> Self {
        Self {
            store: MemoryStore::new(Arc::new(clock.clone())),
            hangs: AtomicBool::new(false),
            has_random_versions: false,
            combines_calls: false,
            looks: AtomicUsize::new(0),
        }
    }

    async fn responses(&self) {
        while self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Store for Hanging {
    async fn init(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.responses().await;
        self.store.observe(election).await
    }

    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError> {
        self.responses().await;
        self.store.swap(election, expected, record).await
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        self.store.list().await
    }

    fn service_time(&self) -> Option<ServiceTime> {
        None
    }

    fn hints(&self, _election: &ElectionName) -> Hints {
        Hints::never()
    }

    fn has_random_versions(&self) -> bool {
        self.has_random_versions
    }

    fn combines_calls(&self) -> bool {
        self.combines_calls
    }
}

struct ByHand(ManualClock);

impl Timer for ByHand {
    async fn until(&mut self, at: BootTime) {
        poll_fn(|_| match self.0.now().boot >= at {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

fn clock() -> ManualClock {
    ManualClock::at(BootTime::from_duration(Duration::from_secs(1_000)))
}

/// The result of a call that does not wait.
fn now<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits"),
    }
}

struct Scene {
    handle: Handle,
    driver: Pin<Box<dyn Future<Output = ()>>>,
    store: Arc<Hanging>,
    clock: ManualClock,
    left: bool,
}

impl Scene {
    /// A candidate that leads, and whose next call will hang.
    fn leading() -> Self {
        Self::leading_on(false)
    }

    fn leading_on(has_random_versions: bool) -> Self {
        let clock = clock();
        let store = Hanging { has_random_versions, ..Hanging::on(&clock) };
        let scene = Self::standing("default", store, clock);
        assert!(scene.leads());
        scene.store.hangs.store(true, Ordering::Relaxed);
        scene
    }

    fn standing(election: &str, store: Hanging, clock: ManualClock) -> Self {
        let (store, timing) = (Arc::new(store), Timing::default());
        let standing = DriverConfig {
            election: election.parse().unwrap(),
            candidate: Candidate { identity: "me".to_owned(), incarnation: "1".to_owned() },
            origin: None,
            holder_url: None,
            timing,
            rank: None,
            gated: None,
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::new(clock.clone()),
            health: Health::default(),
            metrics: Metrics::new("memory", &timing, clock.now().boot).unwrap(),
            url: None,
        };
        let (handle, driver) = stand_by(standing, ByHand(clock.clone()), FixedOrder);
        let mut scene = Self { handle, driver: Box::pin(driver.run()), store, clock, left: false };
        scene.turn();
        scene
    }

    /// A candidate with a renewal under way, whose deadline passes while the process is paused.
    fn at_the_deadline() -> Self {
        let mut scene = Self::leading();
        let timing = Timing::default();
        scene.passes(timing.retry_period());
        scene.clock.advance(timing.call_timeout());
        scene
    }

    fn turn(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..20 {
            self.left = self.left || self.driver.as_mut().poll(&mut context).is_ready();
        }
    }

    fn passes(&mut self, time: Duration) {
        self.clock.advance(time);
        self.turn();
    }

    /// The store answers again, and everything that is due is done.
    fn heals(&mut self) {
        self.store.hangs.store(false, Ordering::Relaxed);
        for _ in 0..4 {
            self.passes(Timing::default().retry_period() / 2);
        }
    }

    fn request(&self, request: impl Future) {
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(request).poll(&mut context).is_ready(), "there is room");
    }

    fn leads(&self) -> bool {
        self.handle.leadership().is_leading(self.handle.now())
    }

    fn record(&self) -> LeaseRecord {
        now(self.store.store.observe(self.handle.election())).unwrap().unwrap().record
    }
}

#[test]
fn work_that_begins_as_a_call_times_out_is_never_vacated_under() {
    let mut scene = Scene::at_the_deadline();
    let work = scene.handle.begin_work();
    scene.turn();
    scene.request(scene.handle.resign(Duration::from_secs(60), None));
    scene.heals();
    assert!(!scene.leads());
    assert!(scene.record().holder.is_some(), "the work continues");
    drop(work);
    scene.heals();
    assert!(scene.record().holder.is_none());
}

#[test]
fn work_that_ends_as_a_call_times_out_does_not_keep_the_lease() {
    let mut scene = Scene::leading();
    let work = scene.handle.begin_work();
    scene.passes(Timing::default().retry_period());
    scene.clock.advance(Timing::default().call_timeout());
    drop(work);
    scene.turn();
    scene.request(scene.handle.resign(Duration::from_secs(60), None));
    scene.heals();
    assert!(scene.record().holder.is_none());
}

#[test]
fn a_resignation_as_a_call_times_out_is_not_forgotten() {
    let mut scene = Scene::at_the_deadline();
    scene.request(scene.handle.resign(Duration::from_secs(60), None));
    scene.heals();
    assert!(!scene.leads());
    assert!(scene.record().holder.is_none());
}

#[test]
fn a_gate_that_closes_as_a_call_times_out_is_closed() {
    let mut scene = Scene::at_the_deadline();
    scene.request(scene.handle.set_gate(false));
    scene.heals();
    assert!(!scene.leads());
}

#[test]
fn a_shutdown_as_a_call_times_out_is_carried_out() {
    let mut scene = Scene::at_the_deadline();
    scene.request(scene.handle.shut_down(Duration::from_secs(30)));
    scene.heals();
    assert!(scene.left && scene.record().holder.is_none());
}

#[test]
fn an_election_that_has_left_accepts_no_request() {
    let mut scene = Scene::leading();
    scene.store.hangs.store(false, Ordering::Relaxed);
    scene.request(scene.handle.shut_down(Duration::from_secs(30)));
    scene.turn();
    assert!(scene.left);
    drop(std::mem::replace(&mut scene.driver, Box::pin(async {})));
    let mut context = Context::from_waker(Waker::noop());
    let resigned = pin!(scene.handle.resign(Duration::ZERO, None)).poll(&mut context);
    assert_eq!(resigned, Poll::Ready(Err(Left)));
}

#[test]
fn a_renewal_is_announced_only_where_its_version_could_not_be_known_before() {
    let listeners = Listeners::Candidates(3);
    let renewed = Renewed { term: Term::new(1), version: Version::new("next"), listeners };
    for has_random_versions in [false, true] {
        let scene = Scene::leading_on(has_random_versions);
        let event = scene.handle.announcement(renewed.clone());
        assert_eq!(matches!(event, Event::Renewed(_)), has_random_versions);
        let counted = matches!(event, Event::Counted(counted) if counted == listeners);
        assert_eq!(counted, !has_random_versions);
        scene.request(scene.handle.announce(renewed.clone()));
        assert_eq!(REQUESTS - scene.handle.0.requests.capacity(), 1);
    }
}

/// When a standby looks, in tenths of a second, while the renewals of another one are pushed for a minute.
fn looks(election: &str, combines_calls: bool) -> Vec<u64> {
    let clock = clock();
    let store = Hanging { has_random_versions: true, combines_calls, ..Hanging::on(&clock) };
    let other = Candidate { identity: "other".to_owned(), incarnation: "2".to_owned() };
    let record = LeaseRecord {
        holder: Some(other),
        term: Term::new(1),
        ..LeaseRecord::without_holder(Duration::from_secs(15), WallTime::EPOCH)
    };
    let election_name = election.parse().unwrap();
    let write = |store: &Hanging, last: Option<&Version>| {
        let swapped = now(store.store.swap(&election_name, last, &record)).unwrap();
        let Swapped::Won(version) = swapped else { panic!("{swapped:?}") };
        version
    };
    let mut version = write(&store, None);
    let mut scene = Scene::standing(election, store, clock);
    let mut looks = Vec::new();
    for tenth in 0..600 {
        if tenth % 20 == 0 {
            version = write(&scene.store, Some(&version));
            let listeners = Listeners::Sessions(20);
            let renewed = Renewed { term: Term::new(1), version: version.clone(), listeners };
            scene.request(scene.handle.announce(renewed));
        }
        let before = scene.store.looks.load(Ordering::Relaxed);
        scene.passes(Duration::from_millis(100));
        if scene.store.looks.load(Ordering::Relaxed) > before {
            looks.push(tenth);
        }
    }
    looks
}

#[test]
fn elections_of_a_process_look_together_only_where_the_store_combines_their_calls() {
    let last = |election, combines_calls| looks(election, combines_calls).pop().unwrap();
    assert_eq!(last("a", true), last("b", true));
    assert!(last("a", false).abs_diff(last("b", false)) > 5);
}

#[test]
fn a_swap_that_is_refused_although_nothing_changed_is_a_failed_call() {
    let record = || Observed {
        record: LeaseRecord {
            term: Term::new(1),
            ..LeaseRecord::without_holder(Duration::from_secs(15), WallTime::EPOCH)
        },
        version: Version::new("a"),
        remaining: None,
        outlived: false,
    };
    let refused = |expected, seen| refused_for_a_reason(Swapped::Lost(seen), expected);
    let version = |name: &str| Some(Version::new(name));
    assert!(refused(version("a"), Some(record())).is_err());
    assert!(refused(None, None).is_err(), "a first write");
    assert!(refused(version("b"), Some(record())).is_ok());
    assert!(refused(None, Some(record())).is_ok());
    assert!(refused(version("a"), None).is_ok());
}
