//! Who claims a vacated lease first.

use super::*;
use crate::election::handover::{Handover, Preference, Rank};
use crate::election::lease::Listeners;

const DAY_MS: u64 = 24 * 3600 * 1_000;
const DAY: Duration = Duration::from_millis(DAY_MS);
const MINUTE: Duration = Duration::from_secs(60);

/// A day after the boot, when the script of these tests begins.
fn after(ms: u64) -> BootTime {
    BootTime::from_duration(DAY + Duration::from_millis(ms))
}

fn rank(started: BootTime, order: Option<u64>) -> Rank {
    Rank { order, since: started, preference: None }
}

/// A standby that follows the rival of term 5.
fn standby(rank: Rank) -> World {
    let mut world = World::standby();
    world.elector = world.elector.ranked(Some(rank));
    world.now = after(0);
    world.candidate_writes(rival(5));
    world.send(Event::Changed);
    world.store_answers();
    world.news.clear();
    world
}

/// The record as the rival leaves it after a day.
fn left(order: Option<u64>, successor: Option<&str>) -> LeaseRecord {
    let leaver = rank(BootTime::ZERO, order);
    let successor = successor.map(Into::into);
    let handover = Some(Handover::new(Term::new(5), &leaver, after(0), successor));
    LeaseRecord { handover, ..vacated(5) }
}

/// The rival leaves after a day, and a push says all of it.
fn leaves(world: &mut World) {
    let record = left(None, None);
    let handover = record.handover.clone();
    let version = world.candidate_writes(record);
    world.send(Event::Vacated(Vacated { term: Term::new(5), version, handover }));
}

/// How long after the record was vacated the standby claims it, by a hint and a look or by none.
fn claims_after(mut world: World, record: LeaseRecord, hinted: bool) -> Duration {
    let vacated_at = world.now;
    world.candidate_writes(record);
    if hinted {
        world.send(Event::Changed);
    }
    while !matches!(world.call, Some(Call::Swap { .. })) {
        assert!(world.now.since(vacated_at) < MINUTE, "it never claims");
        if world.call.is_some() {
            world.store_answers();
        } else {
            world.now = world.now.max(world.wake_at);
            world.send(Event::Wake);
        }
    }
    world.now.since(vacated_at)
}

#[test]
fn the_newest_claims_at_once_and_an_old_one_in_its_turn() {
    let (new, old) = (rank(after(0), None), rank(BootTime::ZERO, None));
    let at_once = claims_after(standby(new), left(None, None), true);
    assert!(at_once <= Duration::from_millis(5), "{at_once:?}");
    let later = claims_after(standby(old), left(None, None), true);
    assert!(
        later >= Duration::from_millis(100) && later <= Duration::from_millis(500),
        "{later:?}"
    );
    let newer_release = rank(BootTime::ZERO, Some(2));
    let sooner = claims_after(standby(newer_release), left(Some(1), None), true);
    assert!(sooner < later, "{sooner:?}");
}

#[test]
fn without_a_push_it_claims_as_well() {
    let old = rank(BootTime::ZERO, Some(1));
    let later = claims_after(standby(old), left(Some(2), None), false);
    let longest = Timing::default().retry_period() + Duration::from_millis(500);
    assert!(later <= longest, "{later:?}");
}

#[test]
fn looking_again_does_not_defer_a_turn() {
    let mut world = standby(rank(BootTime::ZERO, Some(1)));
    world.candidate_writes(left(Some(2), None));
    for ms in 0..500 {
        world.now = after(ms);
        world.send(Event::Changed);
        if world.call.is_some() {
            world.store_answers();
        }
    }
    world.run_until(DAY_MS + 500);
    assert!(world.leads());
}

#[test]
fn news_of_a_vacated_lease_without_a_look_are_acted_upon_in_turn() {
    let mut world = standby(rank(BootTime::ZERO, None));
    leaves(&mut world);
    assert!(world.call.is_none(), "{:?}", world.call);
    world.run_until(DAY_MS + 500);
    assert!(world.leads());
}

#[test]
fn after_a_crash_there_is_no_turn() {
    let old = rank(BootTime::ZERO, Some(1));
    let waited = claims_after(standby(old), rival(5), true);
    let lease = Timing::default().lease_duration();
    assert!(waited <= lease + Duration::from_millis(61), "{waited:?}");
}

#[test]
fn a_named_successor_is_alone_for_a_second_and_a_retry_period() {
    let old = || standby(rank(BootTime::ZERO, Some(1)));
    let named = claims_after(old(), left(Some(2), Some("me")), true);
    assert!(named <= Duration::from_millis(5), "{named:?}");
    let other = claims_after(old(), left(Some(2), Some("ghost")), true);
    let alone = Duration::from_secs(1) + Timing::default().retry_period();
    assert!(other >= alone && other <= alone + Duration::from_millis(500), "{other:?}");
}

#[test]
fn a_leader_leaves_its_order_its_uptime_and_its_successor() {
    let mut world = World::leading();
    world.elector.pace.turn.rank = Some(rank(BootTime::ZERO, Some(3)));
    world.now = at(1_500);
    let cooldown = Duration::ZERO;
    world.send(Event::Resign { cooldown, successor: Some("b".into()) });
    let text = r#"{"term":1,"uptimeMs":1500,"order":3,"successor":"b"}"#;
    assert_eq!(world.writes().handover, Handover::from_store(text, Term::new(1)));
    world.store_answers();
    world.run_until(4_400);
    assert!(!world.leads(), "it leaves the lease to its successor");
    world.run_until(6_500);
    assert!(world.leads());
    assert_eq!(world.stored().handover, None);
    world.send(shutdown(60_000));
    let left = world.writes().handover.as_ref();
    assert_eq!(left.map(Handover::successor), Some(None), "it was named for one resignation");
}

#[test]
fn candidates_of_different_ranks_try_closer_together_where_the_retry_period_is_short() {
    let [lease, deadline, retry] = [1_500, 1_000, 200].map(Duration::from_millis);
    let timing = Timing::new(lease, deadline, retry).unwrap();
    let claims = (0..30).map(|seed| {
        let mut world = World::standby();
        world.now = after(0);
        let elector = Elector::new(candidate("me", "1"), timing, seed);
        world.elector = elector.ranked(Some(rank(BootTime::ZERO, None)));
        world.send(Event::Wake);
        world.store_answers();
        claims_after(world, left(None, None), true)
    });
    let (first, last) = claims.fold((MINUTE, Duration::ZERO), |(first, last), claimed| {
        (first.min(claimed), last.max(claimed))
    });
    assert!(last > first && last - first <= retry / 50, "{first:?} {last:?}");
}

#[test]
fn candidates_of_one_preference_in_a_crowd_keep_to_their_turn() {
    let spread = |preference: Option<Preference>| {
        let claims = (0..20).map(|seed| {
            let mut world = World::with(candidate("me", &seed.to_string()), seed, Some(rival(5)));
            let rank = Rank { preference, ..rank(BootTime::ZERO, None) };
            world.elector = world.elector.ranked(Some(rank));
            world.now = after(0);
            world.store_answers();
            world.send(Event::Counted(Listeners::Candidates(1_000)));
            leaves(&mut world);
            world.run_until_swap();
            world.now
        });
        let claims: Vec<_> = claims.collect();
        claims.iter().max().unwrap().since(*claims.iter().min().unwrap())
    };
    let of_one = spread(Preference::new(0));
    assert!(of_one > Duration::ZERO && of_one <= Duration::from_millis(8), "{of_one:?}");
    assert!(spread(None) > Duration::from_millis(100), "nothing else spreads these");
}
