//! A gate without further checks closes by the clock, in front of a real election.

use std::sync::Arc;
use std::time::Duration;

use bellwether::driver::{DriverConfig, Handle, Health, obey, stand};
use bellwether::election::leadership::{Gated, StandingDown};
use bellwether::election::timing::Timing;
use bellwether::gate::{GateChange, GateState, Rules};
use bellwether::metrics::Metrics;
use bellwether::platform::identity;
use bellwether::store::memory::MemoryStore;
use bellwether::time::alarm::Alarm;
use bellwether::time::clock::HostClock;

use support::{LIMIT, now};

/// A success keeps the gate open for a second and a half.
const RULES: Rules = Rules {
    period: Duration::from_millis(500),
    timeout: Duration::from_millis(500),
    failures: 1,
    successes: 1,
    grace: Duration::ZERO,
};

/// An election behind a gate that is opened by hand.
fn gated() -> (Handle, GateState) {
    let clock = Arc::new(HostClock);
    let (handle, driver) = stand(DriverConfig {
        election: "default".parse().unwrap(),
        candidate: identity::candidate("a".to_owned()),
        origin: None,
        holder_url: None,
        timing: Timing::default(),
        rank: None,
        gated: Some(Gated::ByHealth),
        store: Arc::new(MemoryStore::new(clock.clone())),
        clock,
        metrics: Metrics::new("memory", &Timing::default(), now()).unwrap(),
        health: Health::default(),
        url: None,
    })
    .unwrap();
    let (gate_state, gate) = GateState::new(RULES, now());
    tokio::spawn(obey(gate, handle.clone(), Alarm::new().unwrap()));
    tokio::spawn(driver.run());
    (handle, gate_state)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let give_up = now() + LIMIT;
    while !condition() {
        assert!(now() < give_up, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_closed(election: &Handle) -> bool {
    let (view, now) = (election.leadership(), election.now());
    view.standing_down(now) == Some(StandingDown::GateClosed) && !view.is_leading(now)
}

fn leads(election: &Handle) -> bool {
    election.leadership().is_leading(election.now())
}

#[tokio::test]
async fn a_check_that_gets_no_answer_keeps_no_gate_open() {
    let (election, mut gate_state) = gated();
    until("the store has answered", || election.leadership().store_silence(now()).is_some()).await;
    assert!(is_closed(&election), "from the start");
    let began = now();
    assert_eq!(gate_state.record(began, now(), &Ok(())), GateChange::Opened);
    until("it leads", || leads(&election)).await;
    until("it is closed", || is_closed(&election)).await;
    assert!(now() >= began + RULES.open_for(), "not before its time");
    assert_eq!(gate_state.record(now(), now(), &Ok(())), GateChange::Opened);
    until("it leads again", || leads(&election)).await;
}

#[tokio::test]
async fn a_check_that_is_gone_keeps_no_gate_open() {
    let (election, mut gate_state) = gated();
    assert_eq!(gate_state.record(now(), now() + RULES.open_for() / 2, &Ok(())), GateChange::Opened);
    until("it leads", || leads(&election)).await;
    drop(gate_state);
    until("it is closed", || is_closed(&election)).await;
}
