//! The faults of a run.

use std::time::Duration;

use fastrand::Rng;

use super::Theme;
use crate::simulation::time::{MS, TrueTime};

/// What the network path to the store does to calls while it is broken.
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
    /// Looks are answered; swaps are refused, and the record has not changed.
    Contrary,
}

/// When a process crashes, with regard to one of its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before it leaves the host.
    Unsent,
    /// It is on its way.
    Sent,
    /// It was applied, and the answer is on its way.
    Applied,
}

impl Point {
    pub const ALL: [Self; 3] = [Self::Unsent, Self::Sent, Self::Applied];
}

/// A crash at a write to a record of a work, renewals apart.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// Which one of the run, from 0.
    pub write: u64,
    pub point: Point,
}

impl Crash {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self { write: rng.u64(0..16), point: Point::ALL[rng.usize(0..3)] }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Stall {
        lasts: TrueTime,
    },
    /// Its machine is paused, and the boot clock with it.
    StandStill {
        lasts: TrueTime,
    },
    Crash {
        down_for: Option<TrueTime>,
    },
    Shutdown {
        grace: Duration,
        /// How long the application beside it may still act.
        delay: Duration,
        down_for: Option<TrueTime>,
    },
    Resign {
        cooldown: Duration,
        /// The number of the host whose candidate it names, or of none.
        successor: Option<usize>,
    },
    CloseGate {
        lasts: TrueTime,
    },
    Cut {
        how: Broken,
        lasts: TrueTime,
    },
    Outage {
        how: Broken,
        lasts: TrueTime,
    },
    HintFlood {
        hints: u64,
    },
    StepClock {
        by: i64,
    },
    LoseWrites,
    /// An operator pauses the election.
    Pause {
        lasts: Option<Duration>,
        /// How far its wall clock is off, in nanoseconds.
        skew: i64,
        /// How long after its look its write arrives.
        delay: TrueTime,
        /// When another operator resumes it, after that.
        resumed: Option<TrueTime>,
    },
    /// The store can no longer report what it could, or can report it again.
    Hide {
        clock: bool,
        losses: bool,
    },
}

pub(super) fn draw(
    rng: &mut Rng,
    theme: Theme,
    lease: TrueTime,
    started: TrueTime,
    calm_at: TrueTime,
) -> Vec<(TrueTime, Fault)> {
    let kinds: Vec<u8> = (0..10).filter(|_| rng.u8(0..10) < 4).collect();
    let restarts = matches!(theme, Theme::Faults | Theme::Outlived);
    let mut faults = Vec::new();
    for kind in kinds {
        for _ in 0..rng.u8(1..=4) {
            let lasts = rng.u64(MS..lease * 3 / 2);
            let down_for = (restarts && rng.u8(0..10) < 7).then_some(lasts);
            let how =
                [Broken::Hangs, Broken::Refuses, Broken::Deaf, Broken::ReadOnly, Broken::Contrary]
                    [rng.usize(0..5)];
            let fault = match kind {
                0 => Fault::Stall { lasts },
                1 => Fault::Crash { down_for },
                2 => {
                    let mut within = |longest| Duration::from_nanos(rng.u64(0..longest));
                    Fault::Shutdown { grace: within(lease), delay: within(lease / 2), down_for }
                }
                3 => {
                    let cooldown = Duration::from_nanos(rng.u64(0..lease));
                    Fault::Resign { cooldown, successor: None }
                }
                4 => Fault::CloseGate { lasts },
                5 => Fault::Cut { how, lasts },
                6 => Fault::Outage { how, lasts },
                7 => Fault::StandStill { lasts },
                // A store that cannot report lost writes is safe only if all candidates know.
                8 => Fault::Hide { clock: rng.bool(), losses: theme == Theme::LostWrites },
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
            Theme::LostWrites | Theme::Outlived => {
                faults.push((rng.u64(started..calm_at), Fault::LoseWrites))
            }
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// Pauses by operators, in some of the runs. Many are soon after the store lost writes, and many are
/// soon resumed: while the leader still steps down.
pub(super) fn pauses(
    rng: &mut Rng,
    lease: TrueTime,
    (started, calm_at): (TrueTime, TrueTime),
    faults: &[(TrueTime, Fault)],
) -> Vec<(TrueTime, Fault)> {
    let lost: Vec<_> = faults
        .iter()
        .filter(|(_, fault)| matches!(fault, Fault::LoseWrites))
        .map(|(at, _)| *at)
        .collect();
    if rng.u8(0..3) > 0 && lost.is_empty() {
        return Vec::new();
    }
    let pause = |rng: &mut Rng| {
        let most = i64::try_from(lease).unwrap();
        let slowest = if rng.bool() { lease / 50 } else { lease };
        let latest = if rng.bool() { lease / 8 } else { lease * 2 };
        let fault = Fault::Pause {
            lasts: rng.bool().then(|| Duration::from_nanos(rng.u64(MS..lease * 2))),
            skew: if rng.bool() { 0 } else { rng.i64(-most..most) },
            delay: rng.u64(0..slowest),
            resumed: rng.bool().then(|| rng.u64(0..latest)),
        };
        let at = match rng.choice(&lost).filter(|_| rng.bool()) {
            Some(lost) => (lost + rng.u64(0..lease / 2)).min(calm_at - 1),
            None => rng.u64(started..calm_at),
        };
        (at, fault)
    };
    (0..rng.u8(1..=3)).map(|_| pause(rng)).collect()
}
