//! Whole elections on DynamoDB: each process has a proxy of its own on its way to the emulator.
//!
//! What every store has is in the drill (`tests/program/drill`).

use std::thread;
use std::time::Duration;

use crate::faults::{Paths, STEADY};
use support::dynamodb::Emulator;
use support::http_proxy::{Fault, Proxy};
use support::{
    Flock, QUICK_LEASE, QUICK_RENEW_DEADLINE, Sidecar, Witness, eventually, now, with_credentials,
};

pub fn start(name: &str, url: &str, more: &[&str]) -> Sidecar {
    Sidecar::start_as(name, url, more, with_credentials())
}

/// Sidecars on one table, and the proxies on their ways to it.
pub struct Pasture {
    pub flock: Flock,
    pub proxies: Vec<Proxy>,
    pub emulator: Emulator,
}

impl Pasture {
    pub fn new(names: &[&str], more: &[&str]) -> Self {
        let emulator = Emulator::start();
        let proxies: Vec<_> = names.iter().map(|_| Proxy::before(emulator.port())).collect();
        let members = names.iter().zip(&proxies);
        let members = members.map(|(name, proxy)| start(name, &proxy.url(), more)).collect();
        Self { flock: Flock { members }, proxies, emulator }
    }

    fn paths(&self) -> Paths<'_> {
        Paths { flock: &self.flock, proxies: &self.proxies, write: "PutItem", read: "GetItem" }
    }

    pub fn term(&self, place: usize) -> u64 {
        self.flock.members[place].leader().term()
    }

    fn kill_all(&mut self) {
        self.flock.members.iter_mut().for_each(Sidecar::kill);
    }
}

/// All die, and all of lease, skew and a second of the date's step pass.
fn after_a_night(skew: &str) -> (Sidecar, Proxy, u64, Emulator) {
    let more = ["--max-clock-skew", skew];
    let mut pasture = Pasture::new(&["a", "b"], &more);
    let leader = pasture.flock.settled();
    let last_term = pasture.term(leader);
    pasture.kill_all();
    let dead_since = now();
    let night = QUICK_LEASE + Duration::from_secs(3);
    eventually("the night is over", || (now().since(dead_since) > night).then_some(()));
    let proxy = Proxy::before(pasture.emulator.port());
    let fresh = start("fresh", &proxy.url(), &more);
    (fresh, proxy, last_term, pasture.emulator)
}

#[test]
fn after_a_night_at_zero_the_first_instance_leads_in_three_requests() {
    let (fresh, proxy, last_term, _emulator) = after_a_night("500ms");
    let started = now();
    let answer = eventually("it leads", || Some(fresh.leader()).filter(|answer| answer.leads()));
    println!("cold start to leader: {:?}", now().since(started));
    assert!(answer.term() > last_term, "the term continues: {answer:?}");
    assert_eq!((proxy.count("DescribeTable"), proxy.count("GetItem")), (1, 1));
}

#[test]
fn with_off_the_first_instance_waits_for_one_lease() {
    let (fresh, proxy, last_term, emulator) = after_a_night("off");
    let answer = eventually("it leads", || Some(fresh.leader()).filter(|answer| answer.leads()));
    assert!(answer.term() > last_term, "{answer:?}");
    assert!(proxy.count("GetItem") > 2, "it watched: {:?}", proxy.counts());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(!runtime.block_on(emulator.item("default")).contains("expires"));
}

#[test]
fn a_leader_throttled_for_half_its_deadline_stays_and_says_so_once() {
    let pasture = Pasture::new(&["a"], &STEADY);
    let before = eventually("it leads", || {
        Some(pasture.flock.members[0].leader()).filter(|answer| answer.leads())
    });
    pasture.proxies[0].always(Fault::Refuse(400, "ThrottlingException", "Rate exceeded"));
    thread::sleep(Duration::from_millis(3500));
    let throttled = pasture.flock.members[0].leader();
    pasture.proxies[0].always(Fault::Pass);
    let renewed = throttled.body["renewTime"].clone();
    let after = eventually("it renews again", || {
        Some(pasture.flock.members[0].leader()).filter(|a| a.body["renewTime"] != renewed)
    });
    assert_eq!((after.leads(), after.term()), (true, before.term()));
    let log = pasture.flock.members[0].log();
    assert_eq!(log.events("lost"), 0);
    assert_eq!(log.events("store_unreachable"), 1, "once per change: {}", log.text());
    log.await_events("store_answers", 1);
}

#[test]
fn a_leader_throttled_for_longer_says_no_on_time_and_rejoins() {
    let pasture = Pasture::new(&["a", "b"], &[]);
    let leader = pasture.flock.settled();
    let witness = Witness::of(&pasture.flock);
    let since = now();
    for proxy in &pasture.proxies {
        proxy.always(Fault::Refuse(400, "ProvisionedThroughputExceededException", "exceeded"));
    }
    let sidecar = &pasture.flock.members[leader];
    let no = eventually("it says no", || Some(sidecar.leader()).filter(|a| !a.leads()));
    // A renewal may have been sent just before; its answer came before our request.
    let sent = no.sent.since(since);
    println!("throttled to no: {sent:?}, with a renew deadline of {QUICK_RENEW_DEADLINE:?}");
    for sidecar in &pasture.flock.members {
        assert_eq!(sidecar.status("/started"), 200);
        assert_eq!(sidecar.status("/livez"), 200);
    }
    for proxy in &pasture.proxies {
        proxy.always(Fault::Pass);
    }
    pasture.flock.settled();
    witness.saw_never_two();
}

/// One fault of every kind, on a renewal, then on a look: the leader stays, without help.
#[test]
fn a_single_fault_costs_no_leadership() {
    let pasture = Pasture::new(&["a", "b"], &STEADY);
    pasture.paths().bear_each_once(&[
        Fault::Refuse(400, "ProvisionedThroughputExceededException", ""),
        Fault::Refuse(400, "RequestLimitExceeded", ""),
        Fault::Refuse(400, "ThrottlingException", ""),
        Fault::Refuse(500, "InternalServerError", ""),
        Fault::Refuse(503, "ServiceUnavailable", ""),
        Fault::Refuse(400, "ExpiredTokenException", ""),
        Fault::Refuse(400, "RequestTimeTooSkewed", ""),
    ]);
}

/// The faults that leave the outcome of a write open, at random, on everything.
#[test]
fn under_a_storm_of_faults_there_are_never_two_and_afterwards_one() {
    let pasture = Pasture::new(&["a", "b", "c"], &[]);
    pasture.paths().weather(Fault::Refuse(503, "ServiceUnavailable", ""));
}

/// At most one write a retry period by the leader, one read by a standby, and nothing else.
#[test]
fn requests_are_as_few_as_the_retry_period_says() {
    let pasture = Pasture::new(&["a", "b"], &[]);
    let leader = pasture.flock.settled();
    let (before, since) = (pasture.proxies.iter().map(Proxy::counts).collect::<Vec<_>>(), now());
    thread::sleep(Duration::from_secs(9));
    let periods = now().since(since).as_millis().div_ceil(300) as usize + 1;
    let made = |place: usize, operation: &str| {
        let before = before[place].get(operation).copied().unwrap_or(0);
        pasture.proxies[place].count(operation) - before
    };
    let (writes, reads) = (made(leader, "PutItem"), made(1 - leader, "GetItem"));
    println!(
        "in {periods} retry periods: {writes} writes of the leader, {reads} reads of a standby"
    );
    assert!(writes <= periods, "{writes} in {periods} periods");
    // Some look for a renewal that is not there yet.
    assert!(reads <= 2 * periods, "{reads} in {periods} periods");
    assert!(writes > periods / 2 && reads > periods / 2, "the count means something");
    let others = [made(leader, "GetItem"), made(1 - leader, "PutItem")];
    assert_eq!(others, [0, 0], "standbys never write, the leader never reads");
    let total =
        |place: usize| pasture.proxies[place].total() - before[place].values().sum::<usize>();
    assert_eq!(
        total(leader) + total(1 - leader),
        made(leader, "PutItem") + made(1 - leader, "GetItem")
    );
    assert_eq!(pasture.flock.settled(), leader, "nothing happened meanwhile");
}
