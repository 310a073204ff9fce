//! How a leader keeps its term.

use super::*;

#[test]
fn a_leader_renews_once_a_retry_period_and_keeps_term_and_acquire_time() {
    let mut world = World::leading();
    let acquired = world.stored().acquire_time.to_string();
    world.run_until(60_000);
    assert!(world.leads());
    assert_eq!(world.take_news(), []);
    let renewals = &world.calls[2..];
    assert_eq!(renewals.len(), 30);
    for (k, (sent, call)) in (1..).zip(renewals) {
        assert_eq!(*sent, at(k * 2_000));
        assert!(matches!(call, Call::Swap { .. }), "a leader in peace has no need to look");
    }
    assert_eq!(world.stored().term, Term::new(1));
    assert_eq!(world.stored().acquire_time.to_string(), acquired);
    assert_ne!(world.stored().renew_time.to_string(), acquired);
}

#[test]
fn the_pace_of_renewals_does_not_drift_with_slow_answers() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.now = at(3_000);
    world.store_answers();
    assert_eq!(world.wake_at, at(4_000));
}

#[test]
fn a_renewal_whose_answer_was_lost_is_renewed_from_there_without_losing_belief() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.answer_is_lost();
    assert!(world.leads());
    assert!(!world.leads_at(10_000), "an unknown outcome prolongs nothing");
    world.run_until(2_700);
    assert!(matches!(world.calls[3].1, Call::Observe { .. }), "a look comes first");
    let Call::Swap { expected, record, .. } = &world.calls[4].1 else { panic!("no renewal") };
    assert_eq!(world.calls[4].0, world.calls[3].0, "the next renewal is sent at once");
    assert_eq!((expected.as_ref().unwrap().as_str(), record.term), ("2", Term::new(1)));
    assert!(world.leads_at(12_500));
    assert_eq!(world.take_news(), []);
}

#[test]
fn a_renewal_that_was_not_applied_is_tried_again_in_time() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.run_without_store_until(2_000 + CALL_TIMEOUT + 1);
    world.run_until(8_000);
    assert!(world.leads_at(12_000));
    assert_eq!(world.take_news(), []);
}

#[test]
fn a_renewal_that_collides_with_an_own_late_write_continues_from_it() {
    let mut world = World::leading();
    let own = world.stored().clone();
    world.wake_at(2_000);
    world.request_is_lost();
    world.run_until(2_000);
    // The look shows the old version; the write that was given up is applied only now.
    world.now = at(2_700);
    world.send(Event::Wake);
    world.store_answers();
    world.candidate_writes(own);
    world.run_until(4_000);
    assert!(world.leads_at(12_000));
    assert_eq!(world.take_news(), []);
}

#[test]
fn every_write_of_a_holder_carries_its_url_and_a_vacated_record_has_none() {
    let url: HolderUrl = "http://me:8080".parse().unwrap();
    let origin = Origin::new("ECS cluster prod");
    let mut world = World::new();
    world.elector = world.elector.running_in(origin.clone(), Some(url.clone()));
    world.run_until(0);
    assert_eq!((&world.stored().holder_url, &world.stored().origin), (&Some(url.clone()), &origin));
    world.run_until(6_000);
    assert!(world.leads());
    assert_eq!(world.stored().origin, origin);
    assert_eq!(world.stored().holder_url, Some(url.clone()));
    let holder = world.elector.leadership().holder(world.now).unwrap().url.clone();
    assert_eq!(holder, Some(url));
    world.send(Event::Shutdown { give_up_at: at(30_000) });
    world.run_until(7_000);
    assert_eq!((world.stored().holder.as_ref(), &world.stored().holder_url), (None, &None));
    let of_rival: HolderUrl = "http://rival:8080".parse().unwrap();
    let held = LeaseRecord { holder_url: Some(of_rival.clone()), ..rival(5) };
    let mut standby = World::on(Some(held));
    standby.store_answers();
    let view = standby.elector.leadership();
    assert_eq!(view.holder(standby.now).unwrap().url, Some(of_rival));
}

#[test]
fn each_outcome_of_a_renewal_has_a_label() {
    let labels = Renewal::ALL.map(Renewal::as_str);
    assert_eq!(labels, ["on_time", "late", "refused", "failed"]);
}

#[test]
fn elections_that_begin_together_spread_their_renewals_over_a_period() {
    let renewed = (0..50).map(|seed| {
        let mut world = World::seeded(seed, None);
        world.elector = world.elector.spreading_renewals();
        world.run_until(0);
        assert!(world.leads());
        world.run_until_request()
    });
    let (first, last) = renewed
        .fold((at(9_000), at(0)), |(first, last), renewed| (first.min(renewed), last.max(renewed)));
    assert!(at(200) <= first && first < at(400), "{first:?}");
    assert!(at(1_800) < last && last <= at(2_000), "{last:?}");
}
