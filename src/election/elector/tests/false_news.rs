//! What a push says that is not true: that a lease was vacated.

use super::*;

fn says_vacated(world: &mut World, version: Version) {
    let news = Vacated { term: Term::new(5), version, handover: None };
    world.send(Event::Vacated(news));
}

#[test]
fn the_version_that_was_seen_with_a_holder_is_not_vacated() {
    let mut world = World::standby();
    world.run_until(3_000);
    let version = world.record.clone().unwrap().version;
    says_vacated(&mut world, version);
    assert!(world.looks(), "it is a hint like any other");
    world.run_until(3_100);
    assert!(!world.leads(), "the rival's lease is live");
}

/// Each time is one refused swap, until the holder writes again.
#[test]
fn false_news_keeps_no_lease_alive_and_is_believed_once() {
    for with_clock in [false, true] {
        let mut world = World::standby();
        let mut swaps = 0;
        for k in 1..=40 {
            world.run_until(k * 300);
            world.remaining =
                with_clock.then(|| Duration::from_secs(15).saturating_sub(world.now.as_duration()));
            says_vacated(&mut world, Version::new(format!("none-{k}")));
            swaps += u32::from(!world.looks() && world.call.is_some());
            world.store_answers();
        }
        assert_eq!(swaps, 1);
        let took_over = took_over_at(&mut world, 40_000);
        assert!((at(15_000)..=at(15_061)).contains(&took_over), "{took_over:?}");
    }
}

#[test]
fn news_after_false_news_is_believed_once_the_holder_has_written() {
    let mut world = World::standby();
    world.run_until(3_000);
    says_vacated(&mut world, Version::new("none"));
    world.store_answers();
    world.run_until(3_500);
    world.candidate_writes(rival(5));
    world.run_until(6_000);
    let version = world.candidate_writes(vacated(5));
    says_vacated(&mut world, version);
    assert!(!world.looks(), "it claims without a look");
    world.store_answers();
    assert!(world.leads());
}

#[test]
fn news_about_a_paused_election_is_looked_up() {
    let pause = Some(crate::election::pause::Pause::new(WallTime::EPOCH, None, None));
    let mut world = World::on(Some(LeaseRecord { pause, ..rival(5) }));
    world.store_answers();
    world.run_until(100);
    says_vacated(&mut world, Version::new("none"));
    assert!(world.looks());
}
