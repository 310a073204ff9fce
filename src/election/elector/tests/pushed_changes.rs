//! What a change of leader shows about pushes: whether the renewals of the next leader are expected by push.

use super::acquired::{acquired, sends};
use super::announced::{CROWD, FEW, MANY, calls_since, one_of};
use super::*;
use crate::election::lease::Listeners;

/// Another candidate takes the lease then, and nothing says so. Returns when a look shows it.
fn seen_late(world: &mut World, ms: u64) -> u64 {
    world.run_until(ms);
    world.candidate_writes(rival(6));
    (ms..ms + 20_000)
        .find(|ms| {
            world.run_until(*ms);
            world.elector.leadership().term == Some(Term::new(6))
        })
        .unwrap()
}

/// Whether few of fifty standbys look. A check of the pushes may come by chance.
#[track_caller]
fn few_look(looks: impl Fn(u64) -> bool) {
    let looks = (0..50).filter(|seed| looks(*seed)).count();
    assert!(looks <= 20, "{looks} of 50 look within 1.9 s");
}

#[test]
fn a_change_that_was_pushed_does_not_end_the_trust_in_pushes() {
    for listeners in [Listeners::Unknown, FEW, MANY, CROWD] {
        let mut world = one_of(listeners, 3);
        world.run_until(21_000);
        world.candidate_writes(rival(6));
        world.send(Event::Changed);
        world.run_until(33_000);
        let seen = world.elector.leadership().term;
        assert_eq!(seen, Some(Term::new(6)));
        let looks = calls_since(&world, 21_000);
        assert!((1..=3).contains(&looks), "{listeners:?}: {looks} looks in 12 s");
    }
}

#[test]
fn a_change_that_was_seen_before_its_push_does_not_end_the_trust_either() {
    let mut world = one_of(Listeners::Unknown, 3);
    world.run_until(21_000);
    world.candidate_writes(rival(6));
    world.send(Event::MayBeVacated);
    world.run_until(21_100);
    assert_eq!(world.elector.leadership().term, Some(Term::new(6)));
    let shown = world.record.clone().unwrap();
    sends(&mut world, shown);
    world.run_until(32_000);
    let looks = calls_since(&world, 21_100);
    assert!((1..=2).contains(&looks), "{looks} looks in 11 s");
}

/// The first renewal of the next leader is overdue a retry period later.
#[test]
fn after_a_pushed_change_a_standby_waits_for_the_next_renewal_as_after_a_push() {
    for shows_record in [false, true] {
        few_look(|seed| {
            let mut world = one_of(FEW, seed);
            // The last push came in second 20.
            world.run_until(21_900);
            let has_seen = if shows_record {
                acquired(&mut world, 6);
                21_899
            } else {
                world.candidate_writes(rival(6));
                world.send(Event::Changed);
                22_100
            };
            world.run_until(23_800);
            calls_since(&world, has_seen) > 0
        });
    }
}

#[test]
fn a_change_that_was_not_pushed_ends_the_trust_in_pushes() {
    for seed in 0..50 {
        let mut world = one_of(Listeners::Unknown, seed);
        let seen = seen_late(&mut world, 21_000);
        world.run_until(seen + 2_100);
        assert!(calls_since(&world, seen) >= 1, "{seed}: as often as without pushes");
    }
}

#[test]
fn a_late_push_of_a_change_restores_the_trust() {
    few_look(|seed| {
        let mut world = one_of(Listeners::Unknown, seed);
        let seen = seen_late(&mut world, 21_000);
        let shown = world.record.clone().unwrap();
        sends(&mut world, shown);
        world.run_until(seen + 1_900);
        calls_since(&world, seen) > 0
    });
}

#[test]
fn a_leader_to_which_its_own_record_is_pushed_renews_as_before() {
    let mut world = one_of(Listeners::Unknown, 1);
    took_over_at(&mut world, 100_000);
    let leads_since = u64::try_from(world.now.as_duration().as_millis()).unwrap();
    let own = world.record.clone().unwrap();
    sends(&mut world, own);
    world.run_until(leads_since + 2_100);
    assert!(calls_since(&world, leads_since) >= 1 && world.leads());
}

/// Nothing is announced, so the pushes that told of a change need not tell of a renewal.
#[test]
fn a_pushed_change_gives_no_trust_where_no_renewal_was_announced() {
    let mut world = World::standby();
    world.run_until(21_000);
    world.candidate_writes(rival(6));
    world.send(Event::Changed);
    world.run_until(33_000);
    let looks = calls_since(&world, 21_000);
    assert!((6..=8).contains(&looks), "{looks} looks in 12 s");
}
