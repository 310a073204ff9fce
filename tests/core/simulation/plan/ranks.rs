//! Who is to claim a vacated lease first, and the runs in which that can be checked.

use std::time::Duration;

use bellwether::election::lease::Listeners;
use bellwether::election::timing::Timing;
use fastrand::Rng;

use super::{Fault, Host, Network};
use crate::simulation::time::{MS, TrueTime};

/// The settings and the age of a host's candidate.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// How long its first process has been running when the run begins.
    pub age: Duration,
    pub order: Option<u64>,
    pub preference: Option<u8>,
}

const AGES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(20),
    Duration::from_secs(20 * 60),
    Duration::from_secs(3 * 24 * 3600),
    Duration::from_secs(3 * 24 * 3600),
];

pub(super) fn seat(rng: &mut Rng, orders: bool, preferences: bool) -> Seat {
    let age = AGES[rng.usize(0..AGES.len())].mul_f64(1.0 + 0.05 * rng.f64());
    Seat {
        age,
        order: (orders && rng.u8(0..8) > 0).then(|| rng.u64(1..=3)),
        preference: (preferences && rng.u8(0..8) > 0).then(|| rng.u8(0..=3)),
    }
}

/// Nothing disturbs these hosts and their network.
pub(super) fn undisturbed(hosts: &mut [Host]) {
    for host in hosts {
        host.timing = Timing::default();
        host.lateness = MS / 2;
        host.clock.rate = 1_000_000;
        host.starts_at = host.starts_at.min(2_000 * MS);
    }
}

pub(super) const UNDISTURBED: Network = Network {
    delay: MS / 5,
    slow: 0,
    late: 0,
    lose_request: 0,
    lose_answer: 0,
    twice: 0,
    hint: 1_000,
    hint_delay: MS / 2,
    announces: false,
    listeners: Listeners::Unknown,
    shows: false,
};

/// Leaders leave in peace or crash, and nothing else happens.
pub(super) fn departures(
    rng: &mut Rng,
    lease: TrueTime,
    started: TrueTime,
    calm_at: TrueTime,
) -> Vec<(TrueTime, Fault)> {
    let faults = (0..rng.u8(2..=6)).map(|_| {
        let down_for = (rng.u8(0..4) > 0).then(|| rng.u64(MS..lease));
        let fault = match rng.u8(0..4) {
            0 => Fault::Crash { down_for },
            1 => {
                let grace = Duration::from_nanos(lease);
                Fault::Shutdown { grace, delay: Duration::ZERO, down_for }
            }
            _ => {
                let cooldown = Duration::from_nanos(rng.u64(0..lease));
                Fault::Resign { cooldown, successor: None }
            }
        };
        (rng.u64(started..calm_at), fault)
    });
    let mut faults: Vec<_> = faults.collect();
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// Some of those that resign name a host, or one that is not there.
pub(super) fn name_successors(rng: &mut Rng, faults: &mut [(TrueTime, Fault)], hosts: usize) {
    for (_, fault) in faults {
        if let Fault::Resign { successor, .. } = fault {
            *successor = (rng.u8(0..3) == 0).then(|| rng.usize(0..=hosts));
        }
    }
}
