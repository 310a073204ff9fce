//! When a standby looks to which no renewals are announced.

use super::*;

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

/// How long after the last renewal, sent then, the next leader follows, beside the lease.
fn takes_over_late_by(world: &mut World, last: u64) -> u64 {
    let over_at = last + 15_000;
    world.run_until(over_at);
    assert!(!world.leads(), "too early");
    let late = (0..3_000).find(|ms| {
        world.run_until(over_at + ms);
        world.leads()
    });
    late.expect("it takes over")
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
        // Except where it had looked too early.
        assert!(late.iter().filter(|late| **late <= 60).count() >= 13, "{first}: {late:?}");
        assert!(late.iter().all(|late| *late <= 150), "{first}: {late:?}");
        assert!(looks.len() <= 19, "{first}: {} looks at 15 renewals", looks.len());
    }
}

#[test]
fn after_a_crash_a_standby_takes_over_soon_after_the_end_of_the_lease() {
    for first in (100..2_000).step_by(300) {
        let mut world = following();
        world.rival_renews(renewals(first, 20));
        let late = takes_over_late_by(&mut world, first + 19 * PERIOD);
        assert!(late <= 70, "{first}: {late} ms");
    }
}

#[test]
fn a_holder_that_crashed_is_looked_for_a_few_times_and_then_at_an_even_pace() {
    let mut world = following();
    world.rival_renews(renewals(700, 20));
    let last = 700 + 19 * PERIOD;
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
        let mut world = following();
        world.rival_renews(renewals(300, 20));
        // Once later than a period, or sooner.
        let again = 300 + 19 * PERIOD + delay;
        world.rival_renews(renewals(again, 20));
        let late = takes_over_late_by(&mut world, again + 19 * PERIOD);
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
    let mut world = following();
    world.rival_renews(renewals(300, 20));
    let from = 300 + 19 * PERIOD;
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
    let mut world = following();
    world.rival_renews(renewals(300, 20));
    world.candidate_writes(LeaseRecord { holder: Some(candidate("another", "1")), ..rival(6) });
    let changed = 300 + 19 * PERIOD;
    world.run_until(changed + 2 * PERIOD);
    let looks = world.looks_between(changed, changed + 2 * PERIOD);
    assert!(looks.len() <= 3, "{looks:?}");
}

#[test]
fn where_hints_show_the_renewals_a_standby_looks_at_an_even_pace() {
    let mut world = following();
    // A little sooner than the look that would be due.
    for renewed in (0..20).map(|k| 300 + k * (PERIOD - 10)) {
        world.run_until(renewed);
        world.candidate_writes(rival(5));
        world.send(Event::Changed);
    }
    let looks = world.looks_between(300 + 5 * (PERIOD - 10), 300 + 19 * (PERIOD - 10));
    assert_eq!(looks.len(), 14);
}
