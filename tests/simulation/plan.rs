//! What a run is made of, all of it drawn from its seed: hosts, network, store and faults.
//!
//! Not every run has every fault: most mistakes show only where few things go wrong. A leader
//! without a drift margin is caught by dense looks, short delays and a lost store, and hidden by
//! nearly everything else.

use std::time::Duration;

use bellwether::election::timing::Timing;
use fastrand::Rng;

use crate::time::{MS, SkewedClock, TrueTime};

/// How far the rates of two clocks may be apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rates {
    /// As far as the timing promises to bear.
    WithinMargin,
    /// Farther than that.
    BeyondMargin,
}

/// What kind of world it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Any mix of faults of hosts, network and store, but the store keeps its promises.
    Faults,
    /// The store's clock is stepped. Rule 4 protects the belief of a live leader that has standbys,
    /// no more: a candidate that just started knows nothing but the store's clock. So it happens
    /// when everybody has seen the record change, nobody restarts, and there is no work.
    SteppedClock,
    /// The store goes back to an earlier state. Only who saw the later one can tell: it happens
    /// when everybody knows the current term, and nobody restarts.
    LostWrites,
}

#[derive(Debug)]
pub struct Plan {
    pub hosts: Vec<Host>,
    pub network: Network,
    pub store_clock: Option<SkewedClock>,
    /// Whether leaders have leader-only work under way now and then.
    pub work: bool,
    /// Whether the driver wakes the elector right after it started a call, for a time to wait until.
    pub wakes_after_call: bool,
    /// Whether processes start behind a closed gate.
    pub gated: bool,
    pub faults: Vec<(TrueTime, Fault)>,
    /// When the last fault ends.
    pub calm_at: TrueTime,
    /// From when on there is a leader.
    pub led_at: TrueTime,
    pub ends_at: TrueTime,
}

#[derive(Debug)]
pub struct Host {
    pub clock: SkewedClock,
    pub timing: Timing,
    pub starts_at: TrueTime,
    /// Timers fire up to this much late.
    pub lateness: TrueTime,
}

/// Chances are in a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// An ordinary way takes up to this long.
    pub delay: TrueTime,
    /// A way that takes up to one and a half call timeouts.
    pub slow: u64,
    /// A way that takes up to one and a half leases: the request is applied long after.
    pub late: u64,
    pub lose_request: u64,
    pub lose_answer: u64,
    /// Of a hint to each candidate after a write.
    pub hint: u64,
    /// A hint takes up to this long.
    pub hint_delay: TrueTime,
}

/// What the way to the store does to calls while it is broken.
#[derive(Clone, Copy, Debug)]
pub enum Broken {
    /// They vanish.
    Hangs,
    /// They fail at once.
    Refuses,
    /// They are carried out, and the answers vanish.
    Deaf,
    /// Looks are answered; swaps vanish.
    ReadOnly,
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Stall { lasts: TrueTime },
    Crash { down_for: Option<TrueTime> },
    Shutdown { grace: Duration, down_for: Option<TrueTime> },
    Resign { cooldown: Duration },
    CloseGate { lasts: TrueTime },
    Cut { how: Broken, lasts: TrueTime },
    Outage { how: Broken, lasts: TrueTime },
    HintFlood { hints: u64 },
    StepClock { by: i64 },
    LoseWrites,
}

impl Plan {
    pub fn new(seed: u64, rates: Rates) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let theme = match rng.u8(0..10) {
            _ if rates == Rates::BeyondMargin => Theme::Faults,
            0 => Theme::SteppedClock,
            1 => Theme::LostWrites,
            _ => Theme::Faults,
        };
        let work = theme != Theme::SteppedClock && rates == Rates::WithinMargin && rng.bool();
        let hosts = hosts(rng, theme, rates, work);
        let store_clock = (theme == Theme::SteppedClock || rng.bool())
            .then(|| skewed_clock(rng, rate_range(theme, rates, work)));

        let widest = |of: fn(&Host) -> TrueTime| hosts.iter().map(of).max().unwrap_or(0);
        let lease = widest(|host| host.clock.span(host.timing.lease_duration()));
        let retry = widest(|host| host.clock.span(host.timing.retry_period()));
        let timeout = widest(|host| host.clock.span(host.timing.call_timeout()));
        let started = widest(|host| host.starts_at);

        let network = network(rng, retry);
        let dense =
            hosts.iter().any(|host| host.clock.span(host.timing.retry_period()) < lease / 20);
        let calm_at = started + lease * if dense { 4 } else { rng.u64(4..10) };
        let faults = faults(rng, theme, lease, started, calm_at);

        // The longest way to a leader: resigned under work, it takes its time to end, the cooldown
        // passes or the shutdown gives up, the lease is watched to its end, and calls that began before the
        // calm time out with their backoff.
        let mut bound = lease + 4 * retry + 2 * timeout + 6 * network.delay + 300 * MS;
        bound += if work { 2 * lease } else { 0 };
        for (_, fault) in &faults {
            bound += match fault {
                Fault::Resign { cooldown } => span(*cooldown),
                Fault::Shutdown { grace, .. } => span(*grace),
                _ => 0,
            };
        }
        let led_at = calm_at + bound;
        let ends_at = led_at + lease + 3 * retry;
        let wakes_after_call = rng.bool();
        let gated = rng.u8(0..10) < 3;
        Self {
            hosts,
            network,
            store_clock,
            work,
            wakes_after_call,
            gated,
            faults,
            calm_at,
            led_at,
            ends_at,
        }
    }

    /// The true time that a lease lasts at most.
    pub fn lease(&self) -> TrueTime {
        self.hosts.iter().map(|h| h.clock.span(h.timing.lease_duration())).max().unwrap_or(0)
    }
}

fn span(duration: Duration) -> TrueTime {
    // No clock here is slower than three quarters of true time.
    u64::try_from(duration.as_nanos()).unwrap() * 4 / 3
}

/// The slowest and the fastest rate, in millionths.
fn rate_range(theme: Theme, rates: Rates, work: bool) -> (u64, u64) {
    match (rates, theme, work) {
        // Beside a wrong clock, the margin for rates is smaller: 4 %.
        (_, Theme::SteppedClock, _) => (981_000, 1_020_000),
        // Belief ends at four fifths of a lease: the rates may differ by a quarter.
        (Rates::WithinMargin, _, false) => (880_000, 1_099_000),
        // Work is killed at nine tenths: the rates may differ by a ninth.
        (Rates::WithinMargin, _, true) => (940_000, 1_044_000),
        (Rates::BeyondMargin, ..) => (780_000, 1_150_000),
    }
}

fn skewed_clock(rng: &mut Rng, (slowest, fastest): (u64, u64)) -> SkewedClock {
    // The extremes are what matters.
    let rate = match rng.u8(0..4) {
        0 => slowest,
        1 => fastest,
        _ => rng.u64(slowest..=fastest),
    };
    SkewedClock { offset: rng.u64(0..1_000_000_000_000), rate }
}

fn hosts(rng: &mut Rng, theme: Theme, rates: Rates, work: bool) -> Vec<Host> {
    let lease = [200, 1_000, 15_000, 60_000][rng.usize(0..4)];
    let mixed = rng.u8(0..10) < 4;
    let shared = timing(rng, lease);
    // Share of the retry period: much later would be a stall.
    let late = [1_000, 50, 5][rng.usize(0..3)];
    (0..rng.usize(2..=5))
        .map(|_| {
            let clock = skewed_clock(rng, rate_range(theme, rates, work));
            let own = lease * rng.u64(1..=3) / 2;
            let timing = if mixed { timing(rng, own) } else { shared };
            let retry = clock.span(timing.retry_period());
            let lateness = retry / late;
            Host { clock, timing, starts_at: rng.u64(0..lease * MS), lateness }
        })
        .collect()
}

/// A timing that [`Timing`] accepts. Often the boldest that it does: whatever it lets pass has to
/// be safe.
fn timing(rng: &mut Rng, lease_ms: u64) -> Timing {
    let lease = Duration::from_millis(lease_ms);
    let calls = [2, 3, 5, 5, 8, 25][rng.usize(0..6)];
    let boldest = rng.u8(0..10) < 6;
    let from = if boldest { 1_000 } else { rng.u32(400..=800) };
    (1..=from)
        .rev()
        .find_map(|share| {
            let renew = lease * share / 1_000;
            Timing::new(lease, renew, (renew / calls).max(Duration::from_millis(10))).ok()
        })
        .unwrap()
}

fn network(rng: &mut Rng, retry: TrueTime) -> Network {
    let sometimes = |rng: &mut Rng, up_to: u64| {
        if rng.u8(0..10) < 6 { 0 } else { rng.u64(1..=up_to) }
    };
    Network {
        slow: sometimes(rng, 200),
        late: sometimes(rng, 100),
        lose_request: sometimes(rng, 200),
        lose_answer: sometimes(rng, 200),
        delay: match rng.u8(0..3) {
            0 => MS / 2,
            1 => (retry / 50).max(MS / 2),
            _ => retry / 4,
        },
        hint: [0, 500, 1_000][rng.usize(0..3)],
        hint_delay: [MS, retry][rng.usize(0..2)],
    }
}

fn faults(
    rng: &mut Rng,
    theme: Theme,
    lease: TrueTime,
    started: TrueTime,
    calm_at: TrueTime,
) -> Vec<(TrueTime, Fault)> {
    let kinds: Vec<u8> = (0..8).filter(|_| rng.u8(0..10) < 4).collect();
    let restarts = theme == Theme::Faults;
    let mut faults = Vec::new();
    for kind in kinds {
        for _ in 0..rng.u8(1..=4) {
            let lasts = rng.u64(MS..lease * 3 / 2);
            let down_for = (restarts && rng.u8(0..10) < 7).then_some(lasts);
            let how =
                [Broken::Hangs, Broken::Refuses, Broken::Deaf, Broken::ReadOnly][rng.usize(0..4)];
            let fault = match kind {
                0 => Fault::Stall { lasts },
                1 => Fault::Crash { down_for },
                2 => Fault::Shutdown { grace: Duration::from_nanos(rng.u64(0..lease)), down_for },
                3 => Fault::Resign { cooldown: Duration::from_nanos(rng.u64(0..lease)) },
                4 => Fault::CloseGate { lasts },
                5 => Fault::Cut { how, lasts },
                6 => Fault::Outage { how, lasts },
                _ => Fault::HintFlood { hints: rng.u64(1..100) },
            };
            faults.push((rng.u64(started..calm_at), fault));
        }
    }
    for _ in 0..rng.u8(1..=3) {
        match theme {
            Theme::Faults => {}
            Theme::SteppedClock => {
                let far = i64::try_from(lease * 3).unwrap();
                let fault = Fault::StepClock { by: rng.i64(-far..far) };
                faults.push((rng.u64(started..calm_at), fault));
            }
            Theme::LostWrites => faults.push((rng.u64(started..calm_at), Fault::LoseWrites)),
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}
