//! What is searched: how many candidates, their clocks, what may go wrong, and how often.

use std::time::Duration;

use bellwether::election::timing::Timing;

/// The parameters of one search.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub timing: fn() -> Timing,
    /// The clock of each candidate.
    pub clocks: &'static [Rate],
    /// The same for every draw of a step, so that it decides nothing that is not in the state.
    pub jitter: Jitter,
    /// How many faults there are in all. Between two of them any time may pass.
    pub faults: u8,
    pub kinds: &'static [Fault],
    /// The store judges leases by a clock of its own.
    pub store_clock: bool,
    /// The store's hints arrive at once, or never.
    pub hints: bool,
}

/// What goes wrong, or happens from outside. Each costs one of the faults that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The store refuses a call at once.
    Refused,
    /// A call reaches the store never, and is given up at its deadline.
    Lost,
    /// A swap is applied at once, and its answer never received.
    Unheard,
    /// A swap is given up at its deadline, and may be applied at any time, as long as the record is
    /// as it expects.
    Late,
    /// The answer is received at the deadline.
    SlowAnswer,
    /// The request reaches the store at the deadline, and is answered then.
    SlowRequest,
    /// The process stands still: with a call that is not yet sent, or before what is due.
    Pause,
    /// The process ends, and another one of the same name begins.
    Restart,
    /// The candidate gets a request to resign.
    Resign,
    /// The store's clock steps forward, by what is left of the lease. Rule `store-clock` protects the leader
    /// from those that saw the record change: a candidate that just started knows nothing but the store's
    /// clock.
    ClockStep,
}

/// What a candidate's clock counts while `of` pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub counts: u64,
    pub of: u64,
}

impl Rate {
    pub const TRUE: Self = Self { counts: 1, of: 1 };
    /// The slowest clock beside a right one at which a belief, of four fifths of the lease, ends when a
    /// rival may begin. With it there is no time to spare, and whatever takes some away shows.
    pub const SLOWEST: Self = Self { counts: 4, of: 5 };

    /// What this clock shows.
    pub fn shows(self, time: u64) -> u64 {
        time * self.counts / self.of
    }

    /// The first time at which it shows this.
    pub fn when(self, shown: u64) -> u64 {
        (shown * self.of).div_ceil(self.counts)
    }
}

/// The extremes: what a candidate draws first in each step is as little or as much as it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    Least,
    Most,
}

impl Jitter {
    /// Found by a search: `the_seeds_draw_the_extremes`.
    pub fn seed(self) -> u64 {
        match self {
            Self::Least => 0xd2ca_7233_5593_875b,
            Self::Most => 25_349_959,
        }
    }
}

/// The outcomes of a call other than an answer at once.
pub const CALLS: &[Fault] = &[
    Fault::Refused,
    Fault::Lost,
    Fault::Unheard,
    Fault::Late,
    Fault::SlowAnswer,
    Fault::SlowRequest,
];

pub const EVERYTHING: &[Fault] = &[
    Fault::Refused,
    Fault::Lost,
    Fault::Unheard,
    Fault::Late,
    Fault::SlowAnswer,
    Fault::SlowRequest,
    Fault::Pause,
    Fault::Restart,
    Fault::Resign,
];

/// With a clock that steps. No candidate restarts: see [`Fault::ClockStep`].
pub const STEPS: &[Fault] = &[
    Fault::Refused,
    Fault::Lost,
    Fault::Unheard,
    Fault::Late,
    Fault::SlowAnswer,
    Fault::SlowRequest,
    Fault::Pause,
    Fault::Resign,
    Fault::ClockStep,
];

/// Two candidates whose clocks differ as much as they may, and a store without one.
const PAIR: Setup = Setup {
    name: "two, one with a slow clock",
    timing: tight,
    clocks: &[Rate::SLOWEST, Rate::TRUE],
    jitter: Jitter::Least,
    faults: 1,
    kinds: EVERYTHING,
    store_clock: false,
    hints: false,
};

/// Two candidates that are alike: which of them is which makes no difference.
const ALIKE: Setup = Setup { name: "two alike", clocks: &[Rate::TRUE, Rate::TRUE], ..PAIR };

const THREE: Setup =
    Setup { name: "three alike", clocks: &[Rate::TRUE, Rate::TRUE, Rate::TRUE], ..PAIR };

/// The searches, each with the faults that `make model` allows.
pub const SEARCHES: &[(Setup, u8)] = &[
    (PAIR, 2),
    (
        Setup {
            name: "two, one with a slow clock: calls only",
            timing: coarse,
            kinds: CALLS,
            faults: 2,
            ..PAIR
        },
        3,
    ),
    (Setup { name: "two alike: most jitter", jitter: Jitter::Most, ..ALIKE }, 2),
    (Setup { name: "two, one with a slow clock: hints", hints: true, ..PAIR }, 2),
    (
        Setup {
            name: "two, one with a slow clock: a store with a clock",
            store_clock: true,
            ..PAIR
        },
        2,
    ),
    (
        Setup {
            name: "two alike: a store with a clock that steps",
            store_clock: true,
            kinds: STEPS,
            ..ALIKE
        },
        3,
    ),
    (Setup { name: "two alike: the default timing", timing: default, ..ALIKE }, 2),
    (Setup { name: "two alike: calls only", timing: coarse, kinds: CALLS, faults: 2, ..ALIKE }, 4),
    (
        Setup { name: "three alike: calls only", timing: coarse, kinds: CALLS, faults: 2, ..THREE },
        3,
    ),
    (THREE, 2),
];

fn timing(lease: u64, renew: u64, retry: u64) -> Timing {
    let ms = Duration::from_millis;
    Timing::new(ms(lease), ms(renew), ms(retry)).unwrap()
}

/// The defaults: 15 s, 10 s, 2 s.
pub fn default() -> Timing {
    Timing::default()
}

/// Belief as long as it may be, and a call that takes longer than a rival then waits after it ends.
pub fn tight() -> Timing {
    timing(10_000, 8_000, 1_700)
}

/// As few renewals as there may be: two calls that fail in a row can end a belief.
pub fn coarse() -> Timing {
    timing(10_000, 8_000, 3_800)
}

#[test]
fn the_seeds_draw_the_extremes() {
    let draws = |jitter: Jitter| fastrand::Rng::with_seed(jitter.seed()).f64();
    assert!(draws(Jitter::Least) <= 0.0);
    assert!(draws(Jitter::Most) > 0.999_999_999);
}
