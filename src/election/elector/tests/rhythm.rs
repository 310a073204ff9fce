//! When a standby looks to which no renewals are announced.

use super::*;
use crate::election::elector::rhythm::Rhythm;

const PERIOD: u64 = 2_000;

/// A standby that follows the renewals of a rival, which has just written.
fn following() -> World {
    let mut world = World::standby();
    world.elector = world.elector.clone().following_renewals();
    world
}

impl World {
    /// The rival renews at these times.
    fn rival_renews(&mut self, times: impl Iterator<Item = u64>) {
        for ms in times {
            self.run_until(ms);
            self.candidate_writes(rival(5));
        }
    }

    fn looks_between(&self, from: u64, to: u64) -> Vec<BootTime> {
        let sent = self.calls.iter().map(|(sent, _)| *sent);
        sent.filter(|sent| (at(from)..at(to)).contains(sent)).collect()
    }
}

/// The times at which the rival renews, from `first` on.
fn renewals(first: u64, times: u64) -> impl Iterator<Item = u64> {
    (0..times).map(move |k| first + k * PERIOD)
}

/// A standby that has followed twenty renewals, the first of them then.
fn following_since(first: u64) -> World {
    let mut world = following();
    world.rival_renews(renewals(first, 20));
    world
}

/// From the first of twenty to the last.
const SINCE: u64 = 19 * PERIOD;

/// How long after the last renewal, sent then, the next leader follows, beside the lease.
fn takes_over_late_by(world: &mut World, last: u64) -> u128 {
    let over_at = last + 15_000;
    world.run_until(over_at);
    assert!(!world.leads(), "too early");
    let took_over = took_over_at(world, over_at + 3_000);
    assert!(world.leads(), "it takes over");
    took_over.since(at(over_at)).as_millis()
}

#[test]
fn a_standby_learns_when_the_holder_renews_and_looks_soon_after() {
    for first in (100..2_000).step_by(100) {
        let mut world = following();
        world.rival_renews(renewals(first, 30));
        let looks = world.looks_between(first + 14 * PERIOD, first + 29 * PERIOD);
        let late = renewals(first + 14 * PERIOD, 15).map(|renewed| {
            let soon = looks.iter().find(|sent| **sent >= at(renewed)).unwrap();
            soon.since(at(renewed)).as_millis()
        });
        let late: Vec<_> = late.collect();
        assert!(late.iter().all(|late| *late <= 50), "{first}: {late:?}");
        assert!(looks.len() <= 19, "{first}: {} looks at 15 renewals", looks.len());
    }
}

#[test]
fn a_few_renewals_show_when_the_next_ones_come() {
    for first in (100..2_000).step_by(100) {
        let mut world = following();
        world.rival_renews(renewals(first, 6));
        let late = takes_over_late_by(&mut world, first + 5 * PERIOD);
        assert!(late <= 70, "{first}: {late} ms");
    }
}

#[test]
fn after_a_crash_a_standby_takes_over_soon_after_the_end_of_the_lease() {
    for first in (100..2_000).step_by(300) {
        let mut world = following_since(first);
        let late = takes_over_late_by(&mut world, first + SINCE);
        assert!(late <= 50, "{first}: {late} ms");
    }
}

/// A crowd follows the same renewals: all of them know to a millisecond when the lease ends.
#[test]
fn candidates_of_a_crowd_take_over_at_different_moments() {
    let mut late: Vec<_> = (0..100)
        .map(|seed| {
            let mut world = World::seeded(seed, Some(rival(5)));
            world.elector = world.elector.clone().following_renewals();
            world.rival_renews(renewals(300, 20));
            takes_over_late_by(&mut world, 300 + SINCE)
        })
        .collect();
    late.sort_unstable();
    assert!(late[90] - late[10] >= 20, "{late:?}");
    // Within the time of a write, few of them.
    assert!(late.windows(25).all(|some| some[24] - some[0] >= 2), "{late:?}");
}

#[test]
fn a_holder_that_crashed_is_looked_for_a_few_times_and_then_at_an_even_pace() {
    let mut world = following_since(700);
    let last = 700 + SINCE;
    world.run_until(last + 15_000);
    let looks = world.looks_between(last, last + 14_900);
    assert!((7..=13).contains(&looks.len()), "{looks:?}");
    let apart = looks.windows(2).map(|two| two[1].since(two[0])).collect::<Vec<_>>();
    assert!(
        apart[apart.len() - 3..].iter().all(|apart| *apart == Duration::from_secs(2)),
        "{apart:?}"
    );
}

#[test]
fn a_holder_that_renews_later_or_sooner_than_before_is_followed_again() {
    for delay in [50, 700, 1_990, 2_010, 2_700, 5_000] {
        let mut world = following_since(300);
        // Once later than a period, or sooner.
        let again = 300 + SINCE + delay;
        world.rival_renews(renewals(again, 20));
        let late = takes_over_late_by(&mut world, again + SINCE);
        assert!(late <= 70, "{delay}: {late} ms");
    }
    // Sooner by two milliseconds in each period.
    let mut world = following();
    world.rival_renews((0..200).map(|k| 300 + k * (PERIOD - 2)));
    let late = takes_over_late_by(&mut world, 300 + 199 * (PERIOD - 2));
    assert!(late <= 70, "{late} ms");
}

#[test]
fn a_holder_with_another_retry_period_causes_four_times_as_many_looks_at_most() {
    for period in [300, 1_000, 1_900, 2_100, 3_000, 4_000, 5_500] {
        let mut world = following();
        world.rival_renews((0..).map(|k| 300 + k * period).take_while(|ms| *ms < 120_000));
        let looks = world.looks_between(0, 120_000).len();
        assert!(looks <= 240, "{period} ms: {looks} looks in 60 retry periods");
    }
}

#[test]
fn hints_between_two_renewals_change_nothing() {
    let mut world = following_since(300);
    let from = 300 + SINCE;
    for k in 1..=9 {
        world.run_until(from + k * 150);
        world.send(Event::Changed);
    }
    world.run_until(from + PERIOD - 200);
    let before = world.looks_between(from + 1_400, from + PERIOD - 200);
    assert_eq!(before, [], "the next renewal is not due");
    world.rival_renews(renewals(from + PERIOD, 1));
    let late = takes_over_late_by(&mut world, from + PERIOD);
    assert!(late <= 70, "{late} ms");
}

#[test]
fn a_change_of_the_holder_begins_at_an_even_pace() {
    let mut world = following_since(300);
    world.candidate_writes(LeaseRecord { holder: Some(candidate("another", "1")), ..rival(6) });
    let changed = 300 + SINCE;
    world.run_until(changed + 2 * PERIOD);
    let looks = world.looks_between(changed, changed + 2 * PERIOD);
    assert!(looks.len() <= 3, "{looks:?}");
}

/// A look at a record of this version, at these milliseconds. Returns when the next one is due, in
/// microseconds.
fn looks(rhythm: &mut Rhythm, versions: (u64, u64), sent: u64, received: u64) -> Option<u128> {
    let shown = |version: u64| {
        let version = Version::new(version.to_string());
        Observed { record: rival(5), version, remaining: None, outlived: false }
    };
    let (last, now) = (shown(versions.0), shown(versions.1));
    rhythm.looked(Some(&last), Some(&now), at(sent), at(received));
    rhythm.next_look().map(|next| next.since(BootTime::ZERO).as_micros())
}

#[test]
fn looks_come_no_closer_to_a_renewal_than_reads_and_timers_are_exact() {
    let mut rhythm = Rhythm::new(Duration::from_millis(100));
    assert_eq!(looks(&mut rhythm, (1, 1), 0, 1), None, "no renewal was seen");
    // It came between 0 and 103, and the next one is looked for in the middle of that, a period later.
    assert_eq!(looks(&mut rhythm, (1, 2), 100, 103), Some(148_500));
    assert_eq!(looks(&mut rhythm, (2, 2), 148, 149), Some(148_500), "it was not due yet");
    assert_eq!(looks(&mut rhythm, (2, 2), 150, 151), Some(175_750), "in the middle of the rest");
    assert_eq!(looks(&mut rhythm, (2, 2), 176, 177), Some(201_750), "at its end");
    assert_eq!(looks(&mut rhythm, (2, 2), 202, 203), Some(204_000), "soon again");
    let near = |next: Option<u128>| next.map(|next| next / 1_000);
    assert_eq!(near(looks(&mut rhythm, (2, 2), 204, 205)), Some(212), "a twelfth of a period");
    assert_eq!(near(looks(&mut rhythm, (2, 2), 213, 214)), Some(279), "two thirds of a period");
    assert_eq!(looks(&mut rhythm, (2, 2), 280, 281), Some(380_000), "as without a rhythm");
    // Close enough: four milliseconds after the last look that did not show it.
    assert_eq!(looks(&mut rhythm, (2, 3), 283, 284), Some(383_000));
    assert_eq!(looks(&mut rhythm, (3, 4), 383, 385), Some(480_500), "five are not");
    assert_eq!(looks(&mut rhythm, (4, 4), 481, 482), Some(483_500));
    // After eight in a row it is less exactly known: by a thousandth of the period, then by two of them.
    for k in 0..11 {
        let sent = 483 + k * 100;
        let next = u128::from(sent + 100) * 1_000;
        assert_eq!(looks(&mut rhythm, (4 + k, 5 + k), sent, sent + 1), Some(next), "look {k}");
    }
    // Fifteen of them, beside the three milliseconds from the look before to the first renewal.
    let next = looks(&mut rhythm, (15, 16), 1_583, 1_584).unwrap();
    let sooner = (3_000 + 100_000 / 1_024 * 15) / 2;
    assert!(next.abs_diff(1_683_000 - sooner) < 10, "{next}");
}

#[test]
fn a_short_rest_is_not_halved() {
    let mut rhythm = Rhythm::new(Duration::from_millis(100));
    assert_eq!(looks(&mut rhythm, (1, 1), 0, 1), None);
    assert_eq!(looks(&mut rhythm, (1, 2), 7, 8), Some(103_000), "it came in these eight");
    assert_eq!(looks(&mut rhythm, (2, 2), 103, 104), Some(107_000), "at their end");
}

#[test]
fn after_a_long_time_without_the_store_no_pause_is_longer_than_a_period() {
    let mut rhythm = Rhythm::new(Duration::from_millis(100));
    assert_eq!(looks(&mut rhythm, (1, 1), 0, 1), None);
    assert_eq!(looks(&mut rhythm, (1, 90), 9_000, 9_001), Some(9_000_000), "at once");
    assert_eq!(looks(&mut rhythm, (90, 90), 9_002, 9_003), Some(9_052_000), "half a period");
    assert_eq!(looks(&mut rhythm, (90, 90), 9_052, 9_053), Some(9_102_000), "at its end");
}
