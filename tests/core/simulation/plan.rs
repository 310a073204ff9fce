//! What a run is made of, all of it drawn from its seed: hosts, network, store and faults.
//!
//! Not every run has every fault: most mistakes show only where few things go wrong. A leader
//! without a drift margin is caught by dense looks, short delays and a lost store, and hidden by
//! nearly everything else.

use std::time::Duration;

use bellwether::election::lease::Listeners;
use bellwether::election::timing::Timing;
use bellwether::gate::Rules;
use fastrand::Rng;

use crate::simulation::time::{MS, SkewedClock, TrueTime};

mod faults;
mod ranks;

pub use faults::{Broken, Crash, Fault, Point};
pub use ranks::Seat;

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
    /// The store's clock is stepped. Rule `store-clock` protects the belief of a live leader that has standbys,
    /// no more: a candidate that just started knows nothing but the store's clock. So it happens
    /// when all have seen the record change, none restarts, and there is no work.
    SteppedClock,
    /// The store goes back to an earlier state. Only a candidate that saw the later one can know: it
    /// happens when all know the current term, and none restarts.
    LostWrites,
    /// The same, but the store knows and reports it, and processes restart in between. Then all
    /// leases are of one length: a candidate that has just started knows only the one in the
    /// record.
    Outlived,
}

/// What leaders do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    None,
    /// Commands beside the sidecar hold.
    Holds,
    /// Each wants a key of a work to be done, or taken back.
    Once,
}

#[derive(Debug)]
pub struct Plan {
    pub hosts: Vec<Host>,
    pub network: Network,
    pub store_clock: Option<SkewedClock>,
    pub theme: Theme,
    pub work: Work,
    /// How many works there are: contests of their own.
    pub works: usize,
    /// A process of a work crashes at a write.
    pub crash: Option<Crash>,
    /// The gate before every process, if there is one.
    pub gate: Option<Rules>,
    /// How many of ten thousand polls of a task find the process paused.
    pub pauses: u64,
    /// How many of a thousand polls come late.
    pub throttled: u64,
    /// Hints never cease: false announcements from the calm on, others from when there is a leader.
    pub hints_in_peace: bool,
    /// Leaders leave or crash and nothing else goes wrong, so that it can be judged who claims first.
    pub undisturbed: bool,
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
    /// How long work may take to end if the process steps down on purpose.
    pub grace: Duration,
    /// When it claims a vacated lease; none: at once.
    pub seat: Option<Seat>,
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
    /// A request is carried out twice.
    pub twice: u64,
    /// The chance of a hint to each candidate after a write.
    pub hint: u64,
    /// A hint takes up to this long.
    pub hint_delay: TrueTime,
    /// The hint of a renewal says that it is one.
    pub announces: bool,
    /// And that so many listen.
    pub listeners: Listeners,
    /// The hint of a new holder shows the record.
    pub shows: bool,
}

impl Plan {
    pub fn new(seed: u64, rates: Rates) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let theme = match rng.u8(0..12) {
            _ if rates == Rates::BeyondMargin => Theme::Faults,
            0 => Theme::SteppedClock,
            1 => Theme::LostWrites,
            2 => Theme::Outlived,
            _ => Theme::Faults,
        };
        // Drawn apart, so that the rest of a run does not depend on it.
        let mut seats = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 13);
        let ranked = seats.bool();
        let calm = theme == Theme::Faults && rates == Rates::WithinMargin;
        let undisturbed = ranked && calm && seats.u8(0..5) == 0;
        let work = match (theme, rng.u8(0..4)) {
            _ if undisturbed => Work::None,
            (Theme::SteppedClock, _) | (_, 0 | 1) => Work::None,
            _ if rates == Rates::BeyondMargin => Work::None,
            (Theme::Faults, 2) => Work::Once,
            _ => Work::Holds,
        };
        let works = if work == Work::Once { rng.usize(1..=2) } else { 1 };
        let mut hosts = hosts(rng, (theme, rates, work), works);
        let crash = (work == Work::Once && rng.bool()).then(|| Crash::draw(rng));
        if ranked && work != Work::Once {
            let (orders, preferences) = (seats.bool(), seats.bool());
            let seated = |host: &mut Host| {
                host.seat = Some(ranks::seat(&mut seats, orders, preferences));
            };
            hosts.iter_mut().for_each(seated);
        }
        if undisturbed {
            ranks::undisturbed(&mut hosts);
        }
        let store_clock = (theme == Theme::SteppedClock || rng.bool())
            .then(|| skewed_clock(rng, rate_range(theme, rates, work)));

        let widest = |of: fn(&Host) -> TrueTime| hosts.iter().map(of).max().unwrap_or(0);
        let lease = widest(|host| host.clock.span(host.timing.lease_duration()));
        let retry = widest(|host| host.clock.span(host.timing.retry_period()));
        let timeout = widest(|host| host.clock.span(host.timing.call_timeout()));
        let started = widest(|host| host.starts_at);

        let network = if undisturbed { ranks::UNDISTURBED } else { network(rng, retry) };
        // Of its own seed, so that runs without them stay what they were.
        let pushes = &mut Rng::with_seed(seed ^ 0x70_75_73_68);
        let announces = pushes.bool();
        // One of many may claim later than its turn.
        let number = if undisturbed { 0 } else { [0, 0, 3, 100, 1_000][pushes.usize(0..5)] };
        let network = Network {
            announces,
            listeners: match number {
                0 => Listeners::Unknown,
                some if seed.is_multiple_of(2) => Listeners::Sessions(some),
                some => Listeners::Candidates(some),
            },
            shows: pushes.bool() && !undisturbed,
            ..network
        };
        let dense =
            hosts.iter().any(|host| host.clock.span(host.timing.retry_period()) < lease / 20);
        let calm_at = started + lease * if dense { 4 } else { rng.u64(4..10) };
        let mut faults = match undisturbed {
            true => ranks::departures(&mut seats, lease, started, calm_at),
            false => faults::draw(rng, theme, lease, started, calm_at),
        };
        if ranked {
            ranks::name_successors(&mut seats, &mut faults, hosts.len());
        }
        // Drawn from a seed of their own, so that runs without them stay as they were. An operator's command that
        // just started knows nothing but the store's clock.
        if theme != Theme::SteppedClock && work != Work::Once && !undisturbed {
            let operator = &mut Rng::with_seed(seed ^ 0x70_61_75_73_65);
            let pauses = faults::pauses(operator, lease, (started, calm_at), &faults);
            faults.extend(pauses);
            faults.sort_by_key(|(at, _)| *at);
        }

        // An instance of `once` has a gate of its own.
        let gate = (rng.u8(0..10) < 4).then(|| rules(rng, lease)).filter(|_| work != Work::Once);
        // A look for each of them in a long lease takes too long to simulate.
        let hints_in_peace = lease < 3_000 * MS && rng.u8(0..8) == 0;
        let pauses = [0, 0, 10, 40][rng.usize(0..4)] * u64::from(!undisturbed);
        let throttled = [0, 0, 100][rng.usize(0..3)] * u64::from(!undisturbed);

        // The longest way to a leader: resigned under work, it takes its time to end, the cooldown
        // passes or the shutdown gives up, the lease is watched to its end, and calls that began
        // before the calm time out with their backoff.
        let mut bound = lease + 4 * retry + 2 * timeout + 6 * network.delay + 300 * MS;
        bound += match work {
            Work::None => 0,
            // And pauses after failures, and leaves what was begun to others first.
            Work::Once => 2 * lease + 16 * retry,
            // And the end of a hold is not seen.
            Work::Holds => 4 * lease + HOLD_TOLERANCE,
        };
        if network.announces {
            // A candidate that counts on announcements finds out that they are lost, or are false.
            let checked = || widest(|host| host.clock.span(host.timing.renew_deadline()));
            bound += if hints_in_peace { checked() } else { retry };
            // One of many does not look at once: within half of that after a hint, or after an overdue push. Nor
            // does it when a lease ends, if it expects many others.
            bound += match network.listeners {
                Listeners::Unknown => 0,
                Listeners::Sessions(_) => 2 * checked(),
                Listeners::Candidates(_) => 3 * checked(),
            };
        }
        bound += gate.map_or(0, |rules| 4 * span(rules.period));
        for (_, fault) in &faults {
            bound += match fault {
                Fault::Resign { cooldown, successor: None } => span(*cooldown),
                // And the one that it names is waited for.
                Fault::Resign { cooldown, .. } => span(*cooldown + Duration::from_secs(1)),
                Fault::Shutdown { grace, .. } => span(*grace),
                // After lost writes a lease passes before it can be resumed.
                Fault::Pause { lasts, .. } => lasts.map_or(lease, span),
                _ => 0,
            };
        }
        let led_at = calm_at + bound;
        let ends_at = led_at + lease + 3 * retry;
        Self {
            hosts,
            network,
            store_clock,
            theme,
            work,
            works,
            crash,
            gate,
            pauses,
            throttled,
            hints_in_peace,
            undisturbed,
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

/// How much later than the grace the driver gives up on a hold.
const HOLD_TOLERANCE: TrueTime = 2_000 * MS * 4 / 3;

fn rules(rng: &mut Rng, lease: TrueTime) -> Rules {
    let period = Duration::from_nanos(lease / rng.u64(3..6));
    Rules {
        period,
        timeout: period / 2,
        failures: rng.u32(1..=3),
        successes: rng.u32(1..=2),
        grace: Duration::ZERO,
    }
}

fn span(duration: Duration) -> TrueTime {
    // No clock here is slower than three quarters of true time.
    u64::try_from(duration.as_nanos()).unwrap() * 4 / 3
}

/// The slowest and the fastest rate, in millionths.
fn rate_range(theme: Theme, rates: Rates, work: Work) -> (u64, u64) {
    match (rates, theme, work) {
        // Beside a wrong clock, the margin for rates is smaller: 4 %.
        (_, Theme::SteppedClock, _) => (981_000, 1_020_000),
        // Belief ends at four fifths of a lease: the rates may differ by a quarter.
        (Rates::WithinMargin, _, Work::None) => (880_000, 1_099_000),
        // Work is killed at nine tenths: the rates may differ by a ninth.
        (Rates::WithinMargin, ..) => (940_000, 1_044_000),
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
    // A clock that stands still has to have run before, and a process may be days old.
    let offset = 1_000_000_000_000_000 + rng.u64(10_000_000_000_000..11_000_000_000_000);
    SkewedClock { offset, rate }
}

fn hosts(rng: &mut Rng, (theme, rates, work): (Theme, Rates, Work), works: usize) -> Vec<Host> {
    let lease = [200, 1_000, 15_000, 60_000][rng.usize(0..4)];
    let mixed = theme != Theme::Outlived && rng.u8(0..10) < 4;
    let shared = timing(rng, lease);
    // Share of the retry period: much later would be a stall.
    let late = [1_000, 50, 5][rng.usize(0..3)];
    (0..rng.usize(2..=5) + 2 * (works - 1))
        .map(|_| {
            let clock = skewed_clock(rng, rate_range(theme, rates, work));
            let own = lease * rng.u64(1..=3) / 2;
            let timing = if mixed { timing(rng, own) } else { shared };
            let retry = clock.span(timing.retry_period());
            let lateness = retry / late;
            let grace = Duration::from_nanos(rng.u64(0..lease * MS));
            let starts_at = rng.u64(0..lease * MS);
            Host { clock, timing, starts_at, lateness, grace, seat: None }
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
        twice: sometimes(rng, 100),
        delay: match rng.u8(0..3) {
            0 => MS / 2,
            1 => (retry / 50).max(MS / 2),
            _ => retry / 4,
        },
        hint: [0, 500, 1_000][rng.usize(0..3)],
        hint_delay: [MS, retry][rng.usize(0..2)],
        announces: false,
        listeners: Listeners::Unknown,
        shows: false,
    }
}
