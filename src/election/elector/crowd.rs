//! How candidates keep from calling together, however many they are.
//!
//! Some things happen to all of them at one moment: a lease ends, the leader changes, a renewal is missing. What
//! is decided here is when each of them calls then, and nothing else.

use std::ops::Range;
use std::time::Duration;

use crate::election::projection::Projection;
use crate::election::time::BootTime;
use crate::election::timing::Timing;

/// Candidates that wait for the end of a lease look within this time after it, and then swap. So most of a few
/// see the winner, and do not swap against it: a commit takes a few milliseconds. Longer, and it would be the
/// most of what a take-over takes.
const TAKEOVER_SPREAD: Duration = Duration::from_millis(8);

/// The same where nothing says how many wait, as a part of the retry period, and at least: 25 ms at the default
/// durations, a six hundredth of the lease. A candidate that waits alone waits for most of that.
const TAKEOVER_SPREAD_BLIND: u32 = 80;
const TAKEOVER_SPREAD_BLIND_LEAST: Duration = Duration::from_millis(5);

/// How many are expected where nothing says it. For fewer, a higher number would bring the moments of all of them
/// close to the end; of more, each thirtieth looks at the beginning.
const CROWD_BLIND: u32 = 30;

/// The same among many, for each listener: one commit and its notification take about as long.
const TAKEOVER_SPREAD_EACH: Duration = Duration::from_millis(4);

/// Of the renew deadline, the longest of these: 156 ms at the default durations.
const TAKEOVER_SPREAD_SHARE: u32 = 64;

/// After a hand-over, candidates of one turn look within this time after its beginning, and then claim.
const TURN_SPREAD: Duration = Duration::from_millis(8);

/// Of the retry period, the longest of these: the distance of two preferences.
const TURN_SPREAD_SHARE: u32 = 100;

/// Of more candidates, few are to call in one turn.
const FEW: u32 = 10;

/// All listeners learn of a change in the same moment, and each reads in its turn. A round of turns takes about
/// this time for each pair of them, and a renew deadline at most: 0.1 s for ten, and 10 s for a hundred and more.
/// So a few see the change at once, and many read no more often than while nothing changes.
const ROUND_EACH_PAIR: Duration = Duration::from_millis(1);

/// In retry periods, how long after the last push the next one is overdue: no sooner, because a
/// renewal may take a while, and no later than it takes to see a renewal without pushes.
const OVERDUE: Range<f64> = 1.25..2.0;

/// One candidate among those of its election.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    retry_period: Duration,
    /// A renew deadline: a candidate looks once in this time while renewals are pushed.
    check_period: Duration,
    /// About how many wait for the same pushes; 0 if that is not known.
    listeners: u32,
    /// When its turn is, as a part of each round.
    place: f64,
}

impl Crowd {
    /// All elections of one incarnation have one place: so they read in the same turn, and a store can send their
    /// calls together.
    pub(super) fn new(timing: &Timing, incarnation: &str) -> Self {
        // FNV-1a: also names that are alike have different places.
        let mixed = incarnation.bytes().fold(0xcbf2_9ce4_8422_2325, |mixed: u64, byte| {
            (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            retry_period: timing.retry_period(),
            check_period: timing.renew_deadline(),
            listeners: 0,
            place: fastrand::Rng::with_seed(mixed).f64(),
        }
    }

    /// A push says how many wait for it.
    pub(super) fn counted(&mut self, listeners: u32) {
        self.listeners = listeners;
    }

    /// Whether they look at a change one after the other.
    pub(super) fn takes_turns(&self) -> bool {
        self.listeners > 0
    }

    /// How long after the end of a lease it looks, and then claims.
    ///
    /// Of N candidates, few draw an early moment, and most a late one: an exponential distribution, cut off such
    /// that one of them is expected at the very beginning. So few call before they learn of the winner: N^(d/T),
    /// where that takes d of the whole time T. From a uniform distribution N * d/T call.
    pub(super) fn takes_over_after(&self, jitter: &mut fastrand::Rng) -> Duration {
        let (longest, of) = if self.listeners == 0 {
            let share = self.retry_period / TAKEOVER_SPREAD_BLIND;
            (share.max(TAKEOVER_SPREAD_BLIND_LEAST), CROWD_BLIND)
        } else {
            let all = TAKEOVER_SPREAD_EACH * self.listeners;
            let most = self.check_period / TAKEOVER_SPREAD_SHARE;
            (all.min(most).max(TAKEOVER_SPREAD), self.listeners)
        };
        let drawn = jitter.f64();
        // Of two, one is the leader.
        let share = if of > 2 { 1.0 + drawn.ln() / f64::from(of).ln() } else { drawn };
        longest.mul_f64(share.clamp(0.0, 1.0))
    }

    /// How long after the beginning of its turn it looks at a lease that was handed over, and then claims. Where
    /// candidates have preferences, a longer time would mix up their turns.
    pub(super) fn claims_after(
        &self,
        has_preference: bool,
        jitter: &mut fastrand::Rng,
    ) -> Duration {
        if self.listeners > FEW && !has_preference {
            return self.takes_over_after(jitter);
        }
        TURN_SPREAD.min(self.retry_period / TURN_SPREAD_SHARE).mul_f64(jitter.f64())
    }

    /// When it looks at a change that is known to all.
    pub(super) fn after_change(&self, now: BootTime) -> BootTime {
        self.turn(now, self.round())
    }

    /// When to look because a push is overdue: once in this time after the last push, which all of them got at one
    /// moment. For a few that is within two retry periods. For many, or an unknown number, it is within a renew
    /// deadline: most of them look in that time anyway.
    pub(super) fn overdue(&self, last_push: BootTime) -> Range<BootTime> {
        let end = if self.listeners == 0 {
            self.check_period
        } else {
            self.retry_period.mul_f64(OVERDUE.end).max(self.round()).min(self.check_period)
        };
        last_push + self.retry_period.mul_f64(OVERDUE.start)..last_push + end
    }

    /// A moment in that time.
    pub(super) fn looks_for_overdue(
        &self,
        overdue: Range<BootTime>,
        jitter: &mut fastrand::Rng,
    ) -> BootTime {
        let after = overdue.end.since(overdue.start).mul_f64(jitter.f64());
        self.turn(overdue.start + after, self.round().min(self.retry_period / 4))
    }

    fn round(&self) -> Duration {
        if !self.takes_turns() {
            return Duration::ZERO;
        }
        let pairs = self.listeners.saturating_mul(self.listeners);
        let most = ROUND_EACH_PAIR.saturating_mul(pairs);
        // The same for nearly the same number: the announcements of two elections may differ by one.
        let mut round = self.check_period;
        while round > most {
            round /= 2;
        }
        round
    }

    /// The first turn from then on.
    fn turn(&self, from: BootTime, round: Duration) -> BootTime {
        let Some(into) = from.as_duration().as_nanos().checked_rem(round.as_nanos()) else {
            return from;
        };
        let into = Duration::from_nanos(u64::try_from(into).unwrap_or(0));
        let place = round.mul_f64(self.place);
        let wait = if into <= place { place - into } else { round - into + place };
        from + wait
    }

    pub(super) fn project(&self, now: BootTime, onto: &mut dyn Projection) {
        let Self { retry_period: _, check_period: _, listeners, place: _ } = self;
        onto.flag(*listeners > 0);
        // Its turns are at fixed times.
        let round = self.round();
        onto.duration(round);
        onto.duration(self.turn(now, round).since(now));
        onto.duration(TAKEOVER_SPREAD_EACH.saturating_mul(*listeners));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of(listeners: u32) -> Crowd {
        let mut crowd = Crowd::new(&Timing::default(), "1");
        crowd.counted(listeners);
        crowd
    }

    /// The moments at which so many candidates take over, the first one first.
    fn take_overs(listeners: u32, candidates: u64) -> Vec<Duration> {
        let crowd = one_of(listeners);
        let mut late: Vec<_> = (0..candidates)
            .map(|seed| crowd.takes_over_after(&mut fastrand::Rng::with_seed(seed)))
            .collect();
        late.sort_unstable();
        late
    }

    #[test]
    fn few_of_a_crowd_take_over_before_they_learn_of_the_winner() {
        let commit = Duration::from_millis(8);
        for (listeners, candidates) in [(10, 10), (100, 100), (1_000, 1_000), (100, 300)] {
            let late = take_overs(listeners, candidates);
            let vain = late.iter().filter(|after| **after <= late[0] + commit).count();
            assert!(vain <= 10, "{vain} of {candidates}");
        }
        // Without a number.
        for (candidates, most) in [(2, 2), (10, 6), (100, 20), (1_000, 130)] {
            let late = take_overs(0, candidates);
            let vain = late.iter().filter(|after| **after <= late[0] + commit).count();
            assert!(vain <= most, "{vain} of {candidates}");
        }
    }

    #[test]
    fn many_without_preferences_claim_a_lease_that_is_handed_over_at_different_moments() {
        let longest = |listeners, has_preference| {
            let crowd = one_of(listeners);
            let after =
                |seed| crowd.claims_after(has_preference, &mut fastrand::Rng::with_seed(seed));
            (0..100).map(after).max().unwrap().as_millis()
        };
        assert_eq!([longest(0, false), longest(10, false), longest(1_000, true)], [7; 3]);
        assert!((100..=156).contains(&longest(1_000, false)));
    }

    #[test]
    fn the_first_of_a_crowd_takes_over_at_once() {
        for (listeners, candidates, ms) in [(2, 1, 8), (3, 2, 12), (10, 9, 20), (1_000, 999, 40)] {
            let first = take_overs(listeners, candidates)[0];
            assert!(first <= Duration::from_millis(ms), "{first:?} of {candidates}");
        }
        assert!(take_overs(0, 1_000).iter().all(|after| *after <= Duration::from_millis(25)));
    }

    #[test]
    fn processes_with_names_that_are_alike_have_different_turns() {
        let place = |number: u32| Crowd::new(&Timing::default(), &format!("web-{number}")).place;
        let places: Vec<_> = (0..1_000).map(place).collect();
        for tenth in 0..10 {
            let begins = f64::from(tenth) / 10.0;
            let within = places.iter().filter(|place| (begins..begins + 0.1).contains(*place));
            assert!((60..=140).contains(&within.count()), "from {begins} on");
        }
    }

    #[test]
    fn a_turn_comes_once_in_a_round() {
        let crowd = one_of(1_000);
        let from = BootTime::from_duration(Duration::from_millis(12_345));
        let turn = crowd.after_change(from);
        assert!(turn >= from && turn.since(from) <= Duration::from_secs(10));
        assert_eq!(crowd.after_change(turn), turn);
        let next = crowd.after_change(turn + Duration::from_nanos(1));
        assert_eq!(next.since(turn), Duration::from_secs(10));
    }
}
