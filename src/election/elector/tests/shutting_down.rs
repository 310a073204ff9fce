//! Leaving the election.

use super::*;

#[test]
fn shutting_down_says_no_at_once_then_vacates_then_leaves() {
    let mut world = World::leading();
    world.send(shutdown(20_000));
    assert!(!world.leads());
    assert_eq!(world.writes().holder, None);
    world.store_answers();
    assert!(world.finished);
    assert_eq!(
        world.take_news().last(),
        Some(&News::Vacated { term: Term::new(1), successor: None })
    );
}

#[test]
fn shutting_down_waits_for_work() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(shutdown(20_000));
    world.run_until(12_000);
    assert!(!world.finished && world.stored().holder.is_some());
    world.send(Event::Work { under_way: false });
    world.store_answers();
    assert!(world.finished && world.stored().holder.is_none());
}

#[test]
fn shutting_down_under_work_that_never_ends_gives_up_and_leaves_the_lease_to_run_out() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(shutdown(20_000));
    world.run_until(19_999);
    assert!(!world.finished);
    world.run_until(20_000);
    assert!(world.finished && world.stored().holder.is_some());
    let left = Some((Term::new(1), "leader-only work did not end"));
    assert_eq!(world.elector.left_to_run_out(), left);
}

#[test]
fn a_candidate_that_left_without_freeing_its_lease_says_why() {
    let mut world = World::leading();
    world.send(shutdown(20_000));
    world.run_without_store_until(CALL_TIMEOUT + 1);
    let left = Some((Term::new(1), "the store did not apply the write that frees it"));
    assert_eq!(world.elector.left_to_run_out(), left);

    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(shutdown(20_000));
    world.send(Event::Overdue);
    world.run_until(16_000);
    world.send(Event::Work { under_way: false });
    world.run_until(16_100);
    assert!(world.finished);
    let left = Some((Term::new(1), "leader-only work ended too late"));
    assert_eq!(world.elector.left_to_run_out(), left);

    let mut world = World::leading();
    world.send(shutdown(20_000));
    world.store_answers();
    assert_eq!(world.elector.left_to_run_out(), None, "the lease was freed");
}

#[test]
fn a_second_shutdown_can_only_shorten_the_first() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(shutdown(5_000));
    world.send(shutdown(60_000));
    world.run_until(5_000);
    assert!(world.finished);
}

#[test]
fn a_store_that_hangs_cannot_hang_a_shutdown() {
    let mut world = World::leading();
    world.send(shutdown(20_000));
    world.run_without_store_until(CALL_TIMEOUT + 1);
    assert!(world.finished);

    let mut world = World::leading();
    world.wake_at(2_000);
    world.send(shutdown(60_000));
    world.run_without_store_until(2_000 + 2 * CALL_TIMEOUT + 2_000);
    assert!(world.finished, "also when a renewal hung before");
}

#[test]
fn a_shutdown_looks_up_an_unknown_acquisition_and_frees_it() {
    let mut world = World::new();
    world.store_answers();
    world.send(shutdown(20_000));
    assert!(!world.finished, "the acquisition may be applied");
    world.answer_is_lost();
    world.run_until(700);
    assert!(world.finished && world.stored().holder.is_none());
}

#[test]
fn a_standby_shuts_down_at_once() {
    let mut world = World::standby();
    world.send(shutdown(20_000));
    assert!(world.finished);
}
