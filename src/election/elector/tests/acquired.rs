//! What a standby takes from a store that sends it the record of a new holder: rule `pushed-record`.

use super::*;
use crate::election::timing::HINT_GAP;

/// The store sends the record as it was written then.
pub(super) fn sends(world: &mut World, written: Observed) {
    world.send(Event::Acquired(Observed { remaining: None, ..written }));
}

/// Another candidate takes the lease with this term, and the store sends the record.
pub(super) fn acquired(world: &mut World, term: u64) {
    world.candidate_writes(rival(term));
    let written = world.record.clone().unwrap();
    sends(world, written);
}

/// After a second another candidate has written this term, and a hint makes it seen.
fn seen(world: &mut World, term: u64) {
    world.run_until(1_000);
    world.candidate_writes(rival(term));
    world.send(Event::Changed);
    world.run_until(1_100);
}

fn looks_within_the_gap(world: &mut World) -> bool {
    let until = world.now + HINT_GAP + Duration::from_millis(1);
    // It may have begun at once.
    let calls = world.calls.len() - usize::from(world.call.is_some());
    world.run_until(u64::try_from(until.as_duration().as_millis()).unwrap());
    world.calls.len() > calls
}

fn saw_the_term_go_backwards(world: &World) -> bool {
    world.news.iter().any(|news| matches!(news, News::TermWentBackwards { .. }))
}

#[test]
fn the_record_of_a_new_holder_spares_a_look_and_its_lease_counts_from_there() {
    let mut world = World::standby();
    world.run_until(21_000 - 6_100);
    acquired(&mut world, 6);
    assert!(!looks_within_the_gap(&mut world));
    let view = world.elector.leadership();
    assert_eq!(view.term, Some(Term::new(6)));
    assert!(view.holder(world.now).is_some());
    let took_over = took_over_at(&mut world, 100_000);
    assert!((at(29_900)..=at(29_961)).contains(&took_over), "{took_over:?}");
    assert_eq!(world.stored().term, Term::new(7));
}

#[test]
fn an_old_record_is_only_a_hint() {
    let mut world = World::standby();
    world.run_until(1_000);
    world.candidate_writes(rival(6));
    let old = world.record.clone().unwrap();
    seen(&mut world, 7);
    assert_eq!(world.elector.leadership().term, Some(Term::new(7)));
    let claimable_at = world.elector.leadership().claimable_at;
    for _ in 0..2 {
        sends(&mut world, old.clone());
        assert!(looks_within_the_gap(&mut world));
    }
    assert_eq!(world.elector.leadership().claimable_at, claimable_at);
    assert!(!saw_the_term_go_backwards(&world), "{:?}", world.news);
}

#[test]
fn a_record_of_the_term_that_was_seen_is_only_a_hint() {
    let mut world = World::standby();
    let old = world.record.clone().unwrap();
    seen(&mut world, 5);
    let claimable_at = world.elector.leadership().claimable_at;
    sends(&mut world, old);
    assert!(looks_within_the_gap(&mut world));
    assert_eq!(world.elector.leadership().claimable_at, claimable_at);
}

#[test]
fn a_record_that_arrives_before_the_answer_of_a_call_is_only_a_hint() {
    let mut world = World::standby();
    world.run_until_request();
    let before = world.show();
    acquired(&mut world, 6);
    world.call = None;
    world.send(Event::Observed(Ok(before)));
    assert_eq!(world.elector.leadership().term, Some(Term::new(5)));
    assert!(looks_within_the_gap(&mut world));
    assert_eq!(world.elector.leadership().term, Some(Term::new(6)));
    assert!(!saw_the_term_go_backwards(&world), "{:?}", world.news);
}

#[test]
fn a_lost_claim_that_shows_the_same_record_spares_the_look() {
    for changes_again in [false, true] {
        let mut world = World::standby();
        world.run_until_swap();
        acquired(&mut world, 6);
        if changes_again {
            world.send(Event::Changed);
        }
        world.store_answers();
        assert_eq!(world.elector.leadership().term, Some(Term::new(6)));
        assert_eq!(looks_within_the_gap(&mut world), changes_again);
    }
}

#[test]
fn a_lost_claim_that_shows_an_older_record_does_not() {
    let mut world = World::standby();
    world.run_until_swap();
    world.candidate_writes(rival(6));
    let refused = world.show();
    acquired(&mut world, 7);
    world.call = None;
    world.send(Event::Swapped(Ok(Swapped::Lost(refused))));
    assert_eq!(world.elector.leadership().term, Some(Term::new(6)));
    assert!(looks_within_the_gap(&mut world));
    assert_eq!(world.elector.leadership().term, Some(Term::new(7)));
}

#[test]
fn a_record_that_a_look_has_shown_spares_the_next_look() {
    let mut world = World::standby();
    seen(&mut world, 6);
    let shown = world.record.clone().unwrap();
    sends(&mut world, shown);
    assert!(!looks_within_the_gap(&mut world));
}

/// The store's clock says that the next write of this holder is over: the look before the pushed record says more.
#[test]
fn a_pushed_record_does_not_make_the_clock_of_a_store_believed_sooner() {
    let mut world = World::standby();
    seen(&mut world, 5);
    acquired(&mut world, 6);
    world.run_until(2_000);
    world.candidate_writes(rival(6));
    world.remaining = Some(Duration::ZERO);
    world.send(Event::Changed);
    world.run_until(2_100);
    let claimable_at = world.elector.leadership().claimable_at;
    assert!(claimable_at >= Some(at(16_000)), "{claimable_at:?}");
}

#[test]
fn a_record_gives_no_answer_to_a_claim_whose_outcome_is_unknown() {
    let mut world = World::standby();
    world.run_until_swap();
    world.request_is_lost();
    acquired(&mut world, 6);
    assert_eq!(world.elector.leadership().term, Some(Term::new(5)));
    world.run_until_request();
    assert!(world.looks());
}

#[test]
fn a_leader_looks_when_another_holder_is_shown() {
    let mut world = World::leading();
    world.run_until(500);
    acquired(&mut world, 9);
    assert!(world.leads(), "a push takes nothing away");
    assert!(looks_within_the_gap(&mut world) && !world.leads());
}

#[test]
fn before_its_first_look_a_candidate_takes_no_record() {
    let mut world = World::new();
    let call = world.call.take();
    acquired(&mut world, 6);
    assert_eq!(world.elector.leadership().term, None);
    world.call = call;
    world.store_answers();
    assert_eq!(world.elector.leadership().term, Some(Term::new(6)));
}
