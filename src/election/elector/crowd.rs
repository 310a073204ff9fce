//! How candidates keep from calling together, however many they are.
//!
//! Some things happen to all of them at one moment: a lease ends, the leader changes, a renewal is missing. What
//! is decided here is when each of them calls then, and nothing else.

use std::ops::Range;
use std::time::Duration;

use crate::election::lease::Listeners;
use crate::election::projection::Projection;
use crate::election::time::BootTime;
use crate::election::timing::Timing;

/// Candidates that wait for the end of a lease look within this time after it, and then swap. So most of a few
/// see the winner, and do not swap against it: a commit takes a few milliseconds. Longer, and it would be the
/// most of what a take-over takes.
const TAKEOVER_SPREAD: Duration = Duration::from_millis(8);

/// Where nothing says how many wait, a candidate may be alone, and then it waits for most of the spread. Where pushes
/// show the winner to the others, that is what is left of this part of a lease, within which one is to lead, when a
/// look and a claim have taken this long: 60 ms at the default durations. Else it is this part of a retry period:
/// 25 ms. And at least this.
const TAKEOVER_PUSHED: f64 = 0.005;
const LOOK_AND_CLAIM: Duration = Duration::from_millis(15);
const TAKEOVER_SPREAD_BLIND: u32 = 80;
const TAKEOVER_SPREAD_BLIND_LEAST: Duration = Duration::from_millis(5);

/// There, e times as many are expected for each [`TAKEOVER_SPREAD`], because the winner is seen in that time, and at
/// most this many: with a higher number, fewer all draw moments close to the end.
const CROWD_BLIND: f64 = 1_000.0;

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
    lease_duration: Duration,
    retry_period: Duration,
    /// A renew deadline: a candidate looks once in this time while renewals are pushed.
    check_period: Duration,
    /// Those of the last push; none before the first.
    listeners: Option<Listeners>,
    /// When its turn is, as a part of each round.
    pub(super) place: f64,
}

impl Crowd {
    /// All elections of one incarnation have one place, unless they are given others: so they read in the same turn,
    /// and a store can send their calls together.
    pub(super) fn new(timing: &Timing, incarnation: &str) -> Self {
        // FNV-1a: also names that are alike have different places.
        let mixed = incarnation.bytes().fold(0xcbf2_9ce4_8422_2325, |mixed: u64, byte| {
            (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            lease_duration: timing.lease_duration(),
            retry_period: timing.retry_period(),
            check_period: timing.renew_deadline(),
            listeners: None,
            place: fastrand::Rng::with_seed(mixed).f64(),
        }
    }

    /// A push says how many wait for it. What the holder says is the most exact.
    pub(super) fn counted(&mut self, listeners: Listeners) {
        let is_exact = matches!(listeners, Listeners::Candidates(_));
        if is_exact || !matches!(self.listeners, Some(Listeners::Candidates(_))) {
            self.listeners = Some(listeners);
        }
    }

    /// Another holds the lease. Who listened to the last holder may not reach this one.
    pub(super) fn follows_another(&mut self) {
        if let Some(Listeners::Candidates(_)) = self.listeners {
            self.listeners = Some(Listeners::Unknown);
        }
    }

    /// Whether they look at a change one after the other.
    pub(super) fn takes_turns(&self) -> bool {
        self.number().is_some()
    }

    fn number(&self) -> Option<u32> {
        match self.listeners? {
            Listeners::Unknown => None,
            Listeners::Sessions(number) | Listeners::Candidates(number) => Some(number),
        }
        .filter(|number| *number > 0)
    }

    /// When it looks at a lease that is over, and then claims it.
    ///
    /// Where the holder counts them, all wait for this lease, and no store may show them the winner: about ten of them
    /// look at once, and the others in turn.
    pub(super) fn takes_over_at(&self, over_at: BootTime, jitter: &mut fastrand::Rng) -> BootTime {
        let Some(Listeners::Candidates(all)) = self.listeners else {
            return over_at + self.takes_over_after(self.number(), jitter);
        };
        if all > FEW && jitter.u32(..all) >= FEW {
            return self.turn(over_at, self.round());
        }
        over_at + self.takes_over_after(Some(all.min(FEW)), jitter)
    }

    /// How long after the end of a lease one of so many looks.
    ///
    /// Of N candidates, few draw an early moment, and most a late one: an exponential distribution, cut off such
    /// that one of them is expected at the very beginning. So few call before they learn of the winner: N^(d/T),
    /// where that takes d of the whole time T. From a uniform distribution N * d/T call.
    fn takes_over_after(&self, number: Option<u32>, jitter: &mut fastrand::Rng) -> Duration {
        let (longest, least) = match number {
            Some(number) => (TAKEOVER_SPREAD_EACH.saturating_mul(number), TAKEOVER_SPREAD),
            None if self.listeners.is_some() => {
                let most = self.lease_duration.mul_f64(TAKEOVER_PUSHED);
                (most.saturating_sub(LOOK_AND_CLAIM), TAKEOVER_SPREAD_BLIND_LEAST)
            }
            None => (self.retry_period / TAKEOVER_SPREAD_BLIND, TAKEOVER_SPREAD_BLIND_LEAST),
        };
        let longest = longest.min(self.check_period / TAKEOVER_SPREAD_SHARE).max(least);
        let of = number.map_or_else(
            || longest.div_duration_f64(TAKEOVER_SPREAD).exp().min(CROWD_BLIND),
            f64::from,
        );
        let drawn = jitter.f64();
        // Of two, one is the leader.
        let share = if of > 2.0 { 1.0 + drawn.ln() / of.ln() } else { drawn };
        longest.mul_f64(share.clamp(0.0, 1.0))
    }

    /// When it looks at a lease that was handed over, and then claims it, if its turn begins then. Where candidates
    /// have preferences, a longer time would mix up their turns.
    pub(super) fn claims_at(
        &self,
        turn: BootTime,
        has_preference: bool,
        jitter: &mut fastrand::Rng,
    ) -> BootTime {
        if self.number().is_some_and(|number| number > FEW) && !has_preference {
            return self.takes_over_at(turn, jitter);
        }
        turn + TURN_SPREAD.min(self.retry_period / TURN_SPREAD_SHARE).mul_f64(jitter.f64())
    }

    /// When it looks at a change that is known to all.
    pub(super) fn after_change(&self, now: BootTime) -> BootTime {
        self.turn(now, self.round())
    }

    /// When it checks the pushes after its last look, if it looks in turn: a check period later at most. All may have
    /// looked within one short round, and would check together from then on.
    pub(super) fn checks_at(&self, last_look: BootTime) -> Option<BootTime> {
        let soon = last_look + self.retry_period / 4;
        let turn = self.turn(soon, self.check_period).min(last_look + self.check_period);
        self.takes_turns().then_some(turn)
    }

    /// When to look because a push is overdue: once in this time after the last push, which all of them got at one
    /// moment. For a few that is within two retry periods. For more, or an unknown number, it is within a renew
    /// deadline: most of them look in that time anyway.
    pub(super) fn overdue(&self, last_push: BootTime) -> Range<BootTime> {
        let end = if self.number().is_some_and(|number| number <= FEW) {
            self.retry_period.mul_f64(OVERDUE.end).min(self.check_period)
        } else {
            self.check_period
        };
        last_push + self.retry_period.mul_f64(OVERDUE.start)..last_push + end
    }

    /// A moment in that time. All elections of a process have few of them, because a crash of one leader may concern
    /// many.
    pub(super) fn looks_for_overdue(
        &self,
        overdue: Range<BootTime>,
        jitter: &mut fastrand::Rng,
    ) -> BootTime {
        let length = overdue.end.since(overdue.start);
        let round = (self.retry_period / 2).min(length / 2);
        self.turn(overdue.start + (length - round).mul_f64(jitter.f64()), round)
    }

    fn round(&self) -> Duration {
        let Some(number) = self.number() else { return Duration::ZERO };
        let pairs = number.saturating_mul(number);
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
        let Self { lease_duration: _, retry_period: _, check_period: _, listeners, place: _ } =
            self;
        onto.flag(self.takes_turns());
        onto.flag(listeners.is_some());
        onto.flag(matches!(listeners, Some(Listeners::Candidates(_))));
        // Its turns are at fixed times.
        let round = self.round();
        onto.duration(round);
        onto.duration(self.turn(now, round).since(now));
        onto.duration(TAKEOVER_SPREAD_EACH.saturating_mul(self.number().unwrap_or_default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeSet;

    use Listeners::{Candidates, Sessions, Unknown};

    const LEASE_ENDS: BootTime = BootTime::from_duration(Duration::from_millis(12_345));

    fn one_of(listeners: Option<Listeners>, number: u64) -> (Crowd, fastrand::Rng) {
        let mut crowd = Crowd::new(&Timing::default(), &number.to_string());
        if let Some(listeners) = listeners {
            crowd.counted(listeners);
        }
        (crowd, fastrand::Rng::with_seed(number))
    }

    /// How late each of so many candidates takes over, the first one first.
    fn take_overs(listeners: Option<Listeners>, candidates: u64) -> Vec<Duration> {
        let late = |number| {
            let (crowd, mut jitter) = one_of(listeners, number);
            crowd.takes_over_at(LEASE_ENDS, &mut jitter).since(LEASE_ENDS)
        };
        let mut late: Vec<_> = (0..candidates).map(late).collect();
        late.sort_unstable();
        late
    }

    fn within(late: &[Duration], first: Duration) -> usize {
        late.iter().filter(|after| **after <= first).count()
    }

    #[test]
    fn what_the_holder_counts_is_the_most_exact_while_it_holds_the_lease() {
        let (mut crowd, _) = one_of(Some(Sessions(9)), 1);
        for (counted, number) in [
            (Candidates(5), Some(5)),
            (Sessions(9), Some(5)),
            (Unknown, Some(5)),
            (Candidates(4), Some(4)),
        ] {
            crowd.counted(counted);
            assert_eq!(crowd.number(), number, "{counted:?}");
        }
        crowd.follows_another();
        assert_eq!(crowd.number(), None);
        crowd.counted(Sessions(9));
        crowd.follows_another();
        assert_eq!(crowd.number(), Some(9), "the store counts on");
    }

    #[test]
    fn few_of_a_crowd_take_over_before_they_learn_of_the_winner() {
        let commit = Duration::from_millis(8);
        for (listeners, candidates, most) in [
            (Some(Sessions(10)), 10, 8),
            (Some(Sessions(100)), 100, 8),
            (Some(Sessions(1_000)), 1_000, 8),
            (Some(Sessions(100)), 300, 8),
            (Some(Candidates(10)), 10, 8),
            (Some(Candidates(100)), 100, 8),
            (Some(Candidates(1_000)), 1_000, 8),
            (Some(Unknown), 10, 8),
            (Some(Unknown), 100, 8),
            (Some(Unknown), 1_000, 8),
            (None, 10, 6),
            (None, 100, 20),
            (None, 1_000, 130),
        ] {
            let late = take_overs(listeners, candidates);
            let vain = within(&late, late[0] + commit);
            assert!(vain <= most, "{listeners:?}: {vain} of {candidates}");
        }
    }

    #[test]
    fn the_first_of_a_crowd_takes_over_at_once() {
        for (listeners, candidates, ms) in [
            (Some(Sessions(2)), 1, 8),
            (Some(Sessions(3)), 2, 12),
            (Some(Sessions(10)), 9, 20),
            (Some(Sessions(1_000)), 999, 40),
            (Some(Candidates(2)), 1, 8),
            (Some(Candidates(10)), 9, 20),
            (Some(Candidates(11)), 10, 20),
            (Some(Candidates(100)), 99, 20),
            (Some(Candidates(1_000)), 999, 20),
            (Some(Unknown), 1_000, 10),
            (None, 1_000, 10),
        ] {
            let first = take_overs(listeners, candidates)[0];
            assert!(first <= Duration::from_millis(ms), "{listeners:?}: {first:?} of {candidates}");
        }
    }

    #[test]
    fn one_that_may_be_alone_takes_over_within_a_two_hundredth_of_the_lease() {
        let longest = |listeners, ms| {
            let lease = Duration::from_millis(ms);
            let timing = Timing::new(lease, lease * 2 / 3, lease * 2 / 15).unwrap();
            let mut crowd = Crowd::new(&timing, "1");
            crowd.listeners = listeners;
            let after = |seed| crowd.takes_over_after(None, &mut fastrand::Rng::with_seed(seed));
            (0..200).map(after).max().unwrap().as_millis()
        };
        let pushed = [3_000, 9_000, 15_000, 60_000].map(|lease| longest(Some(Unknown), lease));
        assert_eq!(pushed, [4, 29, 59, 284]);
        let not_pushed = [3_000, 15_000, 60_000].map(|lease| longest(None, lease));
        assert_eq!(not_pushed, [4, 24, 99]);
    }

    /// No store shows the winner to them.
    #[test]
    fn the_others_of_a_crowd_that_listens_to_its_leader_look_in_turn() {
        let late = take_overs(Some(Candidates(1_000)), 999);
        assert!(within(&late, Duration::from_millis(100)) <= 30, "{late:?}");
        for second in 1..10 {
            let looks = within(&late, Duration::from_secs(second + 1))
                - within(&late, Duration::from_secs(second));
            assert!(looks <= 140, "{looks} in second {second}");
        }
        assert!(late.iter().all(|after| *after <= Duration::from_secs(10)));
    }

    #[test]
    fn many_without_preferences_claim_a_lease_that_is_handed_over_at_different_moments() {
        let longest = |listeners, has_preference| {
            let after = |number| {
                let (crowd, mut jitter) = one_of(listeners, number);
                crowd.claims_at(LEASE_ENDS, has_preference, &mut jitter).since(LEASE_ENDS)
            };
            (0..100).map(after).max().unwrap().as_millis()
        };
        for (listeners, has_preference) in [
            (None, false),
            (Some(Unknown), false),
            (Some(Sessions(10)), false),
            (Some(Candidates(10)), false),
            (Some(Sessions(1_000)), true),
            (Some(Candidates(1_000)), true),
        ] {
            assert_eq!(longest(listeners, has_preference), 7, "{listeners:?}");
        }
        assert!((100..=156).contains(&longest(Some(Sessions(1_000)), false)));
        assert!((9_000..=10_000).contains(&longest(Some(Candidates(1_000)), false)));
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
    fn the_elections_of_a_process_look_for_an_overdue_push_in_the_same_turns() {
        let (crowd, mut jitter) = one_of(Some(Sessions(20)), 1);
        let overdue = crowd.overdue(LEASE_ENDS);
        let looks: BTreeSet<_> =
            (0..100).map(|_| crowd.looks_for_overdue(overdue.clone(), &mut jitter)).collect();
        assert!(looks.len() <= 8 && looks.iter().all(|at| overdue.contains(at)), "{looks:?}");
    }

    #[test]
    fn more_than_a_few_look_for_an_overdue_push_within_a_renew_deadline() {
        for (listeners, seconds) in
            [(Sessions(1), 4), (Candidates(10), 4), (Sessions(11), 10), (Unknown, 10)]
        {
            let (crowd, _) = one_of(Some(listeners), 1);
            let overdue = crowd.overdue(LEASE_ENDS);
            assert_eq!(overdue.start.since(LEASE_ENDS), Duration::from_millis(2_500));
            assert_eq!(overdue.end.since(LEASE_ENDS), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn a_count_of_zero_is_no_count() {
        for listeners in [Sessions(0), Candidates(0), Unknown] {
            let (crowd, _) = one_of(Some(listeners), 1);
            assert_eq!(crowd.number(), None, "{listeners:?}");
        }
    }

    #[test]
    fn processes_check_the_pushes_at_different_times_after_they_looked_together() {
        let mut of_second = [0; 10];
        for number in 0..100 {
            let (crowd, _) = one_of(Some(Sessions(20)), number);
            let first = crowd.checks_at(LEASE_ENDS).unwrap();
            let second = usize::try_from(first.since(LEASE_ENDS).as_secs()).unwrap();
            of_second[second.min(9)] += 1;
            let later = crowd.checks_at(first + Duration::from_millis(3)).unwrap();
            assert!(later.since(first) <= Duration::from_secs(10) + Duration::from_millis(3));
        }
        assert!(of_second.iter().all(|checks| (3..=25).contains(checks)), "{of_second:?}");
        assert_eq!(one_of(Some(Unknown), 1).0.checks_at(LEASE_ENDS), None);
    }

    #[test]
    fn a_turn_comes_once_in_a_round() {
        let (crowd, _) = one_of(Some(Sessions(1_000)), 1);
        let from = LEASE_ENDS;
        let turn = crowd.after_change(from);
        assert!(turn >= from && turn.since(from) <= Duration::from_secs(10));
        assert_eq!(crowd.after_change(turn), turn);
        let next = crowd.after_change(turn + Duration::from_nanos(1));
        assert_eq!(next.since(turn), Duration::from_secs(10));
    }
}
