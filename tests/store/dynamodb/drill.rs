//! The whole drill with real processes: each has a proxy of its own on its way to the emulator.

use std::thread;
use std::time::Duration;

use support::dynamodb::Emulator;
use support::dynamodb::proxy::{Fault, Proxy};
use support::{
    self, Flock, QUICK_LEASE, QUICK_RENEW_DEADLINE, Sidecar, Witness, eventually, get, now,
    with_credentials,
};

/// Bears a call that hangs, and one more, on a machine that is busy.
const STEADY: [&str; 6] =
    ["--lease-duration", "9s", "--renew-deadline", "7s", "--retry-period", "500ms"];

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

    pub fn term(&self, place: usize) -> u64 {
        self.flock.members[place].leader().term()
    }

    fn kill_all(&mut self) {
        self.flock.members.iter_mut().for_each(Sidecar::kill);
    }
}

#[test]
fn of_three_exactly_one_leads_and_the_others_name_it() {
    let pasture = Pasture::new(&["a", "b", "c"], &[]);
    let leader = pasture.flock.settled();
    for (place, sidecar) in pasture.flock.members.iter().enumerate() {
        let answer = sidecar.leader();
        assert_eq!(answer.leads(), place == leader, "{answer:?}");
        assert_eq!(sidecar.status("/ready"), 200);
        assert_eq!(sidecar.status("/started"), 200);
    }
}

#[test]
fn a_killed_leader_is_replaced_under_a_larger_term() {
    let mut pasture = Pasture::new(&["a", "b", "c"], &[]);
    let leader = pasture.flock.settled();
    let witness = Witness::of(&pasture.flock);
    let term = pasture.term(leader);
    let killed = now();
    pasture.flock.members[leader].kill();
    pasture.flock.members.remove(leader);
    let next = pasture.flock.led_by_one_of(&[0, 1]);
    println!("crash to next leader: {:?}, with a lease of {QUICK_LEASE:?}", now().since(killed));
    assert!(pasture.term(next) > term);
    witness.saw_never_two();
}

#[test]
fn a_terminated_leader_says_no_frees_the_lease_and_exits_zero() {
    let mut pasture = Pasture::new(&["a", "b"], &[]);
    let leader = pasture.flock.settled();
    let witness = Witness::of(&pasture.flock);
    let term = pasture.term(leader);
    let told = now();
    pasture.flock.members[leader].signal("TERM");
    let next = pasture.flock.led_by_one_of(&[1 - leader]);
    println!("SIGTERM to next leader: {:?}, with a retry period of 300ms", now().since(told));
    assert!(pasture.flock.members[leader].wait().success());
    assert_eq!(pasture.flock.members[leader].log().events("vacated"), 1);
    assert_eq!(pasture.term(next), term + 1, "handed over, not run out");
    witness.saw_never_two();
}

#[test]
fn a_leader_that_was_frozen_says_no_with_its_first_answer() {
    let pasture = Pasture::new(&["a", "b"], &[]);
    let leader = pasture.flock.settled();
    let frozen = &pasture.flock.members[leader];
    frozen.signal("STOP");
    pasture.flock.led_by_one_of(&[1 - leader]);
    let url = format!("{}/leader", frozen.url);
    let first = thread::spawn(move || get(&url));
    thread::sleep(Duration::from_millis(100));
    frozen.signal("CONT");
    let first = first.join().unwrap().expect("it answers");
    assert!(!first.leads(), "{first:?}");
    assert_eq!(pasture.flock.settled(), 1 - leader, "the frozen one follows");
}

/// Everybody dies, and all of lease, skew and a second of the date's step pass.
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
    assert!(answer.term() > last_term, "the term goes on: {answer:?}");
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
    assert_eq!(log.events("store_answers"), 1);
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
    // A renewal may have been sent just before; its answer came before ours was asked for.
    let asked = no.asked.since(since);
    println!("throttled to no: {asked:?}, with a renew deadline of {QUICK_RENEW_DEADLINE:?}");
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

/// One fault of every kind, on a renewal, then on a look: the leader stays, by itself.
#[test]
fn a_single_fault_costs_no_leadership() {
    let pasture = Pasture::new(&["a", "b"], &STEADY);
    let leader = pasture.flock.settled();
    let term = pasture.term(leader);
    let witness = Witness::of(&pasture.flock);
    for fault in [
        Fault::DropAnswer,
        Fault::DropRequest,
        Fault::Reset,
        Fault::Hang,
        Fault::HangAfterwards,
        Fault::Delay(Duration::from_secs(3)),
        Fault::Refuse(400, "ProvisionedThroughputExceededException", ""),
        Fault::Refuse(400, "RequestLimitExceeded", ""),
        Fault::Refuse(400, "ThrottlingException", ""),
        Fault::Refuse(500, "InternalServerError", ""),
        Fault::Refuse(503, "ServiceUnavailable", ""),
        Fault::Refuse(400, "ExpiredTokenException", ""),
        Fault::Refuse(400, "RequestTimeTooSkewed", ""),
    ] {
        let (renewals, looks) = (&pasture.proxies[leader], &pasture.proxies[1 - leader]);
        let (puts, gets) = (renewals.count("PutItem"), looks.count("GetItem"));
        renewals.once("PutItem", fault.clone());
        looks.once("GetItem", fault.clone());
        eventually("both go on", || {
            let gone_on = renewals.count("PutItem") > puts + 2 && looks.count("GetItem") > gets + 2;
            gone_on.then_some(())
        });
        assert_eq!(pasture.flock.settled(), leader, "{fault:?}");
        assert_eq!(pasture.term(leader), term, "{fault:?}");
    }
    assert_eq!(pasture.flock.members[leader].log().events("lost"), 0);
    witness.saw_never_two();
}

/// The faults that leave the outcome of a write open, at random, on everything.
#[test]
fn under_a_storm_of_faults_there_are_never_two_and_afterwards_one() {
    let pasture = Pasture::new(&["a", "b", "c"], &[]);
    pasture.flock.settled();
    let witness = Witness::of(&pasture.flock);
    for (place, proxy) in pasture.proxies.iter().enumerate() {
        let mut random = fastrand::Rng::with_seed(place as u64);
        proxy.on(move |_| match random.u8(0..10) {
            0 => Fault::DropAnswer,
            1 => Fault::DropRequest,
            2 => Fault::HangAfterwards,
            3 => Fault::Delay(Duration::from_millis(random.u64(0..1500))),
            4 => Fault::Refuse(503, "ServiceUnavailable", ""),
            5 => Fault::Reset,
            _ => Fault::Pass,
        });
    }
    thread::sleep(Duration::from_secs(20));
    for proxy in &pasture.proxies {
        proxy.always(Fault::Pass);
    }
    pasture.flock.settled();
    witness.saw_never_two();
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
    assert!(reads <= periods, "{reads} in {periods} periods");
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

#[test]
fn eight_at_once_do_it_once() {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    support::eight::do_it_once(&proxy.url(), with_credentials);
}
