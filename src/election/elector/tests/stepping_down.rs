//! Resigning, a closed gate, and work that has to end.

use super::*;
use crate::election::pause::Pause;

#[test]
fn resigning_says_no_at_once_then_vacates_then_stays_down_for_the_cooldown() {
    let mut world = World::leading();
    world.now = at(1_000);
    world.send(Event::Resign { cooldown: Duration::from_secs(30), successor: None });
    assert!(!world.leads());
    assert_eq!((&world.writes().holder, world.writes().term), (&None, Term::new(1)));
    world.now = at(1_400);
    world.store_answers();
    let lost = News::Lost { term: Term::new(1), reason: LossReason::Resigned };
    assert_eq!(world.take_news(), [lost, News::Vacated { term: Term::new(1), successor: None }]);
    world.run_until(31_399);
    assert_eq!(world.take_news(), [], "the cooldown counts from the vacating");
    world.run_until(31_426);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn resigning_without_a_cooldown_still_gives_up_the_term() {
    let mut world = World::leading();
    world.send(Event::Resign { cooldown: Duration::ZERO, successor: None });
    assert!(!world.leads());
    assert_eq!(world.writes().holder, None);
    world.run_until(26);
    let lost = News::Lost { term: Term::new(1), reason: LossReason::Resigned };
    assert_eq!(
        world.take_news(),
        [
            lost,
            News::Vacated { term: Term::new(1), successor: None },
            News::Elected { term: Term::new(2) }
        ],
        "with no other candidate it leads again, under a new term"
    );
}

#[test]
fn resigning_waits_for_work_and_keeps_the_lease_meanwhile() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.now = at(1_000);
    world.send(Event::Resign { cooldown: Duration::from_secs(1), successor: None });
    assert!(!world.leads());
    world.run_until(9_000);
    assert!(!world.leads());
    assert!(world.stored().is_held_by(&candidate("me", "1")));
    assert_eq!(world.stored().renew_time.to_string(), "1970-01-01T00:00:08.000Z");
    world.send(Event::Work { under_way: false });
    assert_eq!(world.writes().holder, None);
    world.store_answers();
    assert_eq!(
        world.take_news().last(),
        Some(&News::Vacated { term: Term::new(1), successor: None })
    );
    world.run_until(9_999);
    assert!(world.stored().holder.is_none());
}

#[test]
fn work_that_does_not_end_is_left_to_the_end_of_the_lease() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(Event::Overdue);
    assert!(world.leads(), "nothing had to end");
    world.now = at(1_000);
    world.send(Event::Resign { cooldown: Duration::from_secs(60), successor: None });
    world.run_until(5_000);
    let renewed = world.stored().renew_time.to_string();
    assert_ne!(renewed, "1970-01-01T00:00:00.000Z", "renewed for the work");
    world.send(Event::Overdue);
    world.run_until(30_000);
    assert!(world.stored().is_held_by(&candidate("me", "1")), "not vacated under the work");
    assert_eq!(world.stored().renew_time.to_string(), renewed, "not renewed either");
    world.send(Event::Work { under_way: false });
    world.run_until(50_000);
    assert!(world.stored().is_held_by(&candidate("me", "1")), "it has run out: nothing to free");
    world.run_until(120_000);
    assert_eq!(world.stored().term, Term::new(2), "it stands again, under a new term");
}

#[test]
fn work_that_ends_late_but_within_the_lease_frees_it() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(Event::Resign { cooldown: Duration::from_secs(60), successor: None });
    world.send(Event::Overdue);
    world.run_until(12_000);
    assert!(world.stored().is_held_by(&candidate("me", "1")));
    world.send(Event::Work { under_way: false });
    world.store_answers();
    assert_eq!(
        world.take_news().last(),
        Some(&News::Vacated { term: Term::new(1), successor: None })
    );
}

#[test]
fn overdue_work_is_left_to_the_end_of_a_lease_that_outlived_a_fail_over() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.run_without_store_until(11_000);
    world.record =
        world.record.map(|o| Observed { outlived: true, version: Version::new("old"), ..o });
    world.run_until(15_000);
    world.send(Event::Overdue);
    // An operator writes it again, on the new primary.
    let pause = Some(Pause::new(WallTime::EPOCH, None, None));
    world.stores(LeaseRecord { pause, ..world.stored().clone() });
    world.run_until(31_000);
    world.send(Event::Work { under_way: false });
    world.run_until(60_000);
    assert!(world.stored().is_held_by(&candidate("me", "1")), "not vacated under the work");
}

#[test]
fn a_shutdown_leaves_when_a_lease_that_runs_out_has_nothing_to_wait_for() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(shutdown(60_000));
    world.send(Event::Overdue);
    world.run_until(20_000);
    assert!(!world.finished, "the work may still end");
    world.send(Event::Work { under_way: false });
    assert!(world.finished && world.stored().holder.is_some());
}

#[test]
fn a_vacate_that_was_not_applied_is_repeated() {
    let mut world = World::leading();
    world.send(Event::Resign { cooldown: Duration::from_secs(30), successor: None });
    world.request_is_lost();
    world.run_until(700);
    assert!(world.stored().holder.is_none());
    let lost = News::Lost { term: Term::new(1), reason: LossReason::Resigned };
    let vacated = News::Vacated { term: Term::new(1), successor: None };
    assert_eq!(world.take_news(), [lost, vacated], "the look before it showed the own lease");
}

#[test]
fn a_closed_gate_steps_down_and_an_open_one_stands_again_at_once() {
    let mut world = World::leading();
    world.send(Event::Gate { open: false });
    assert!(!world.leads());
    world.run_until(0);
    let lost = News::Lost { term: Term::new(1), reason: LossReason::GateClosed };
    assert_eq!(world.take_news(), [lost, News::Vacated { term: Term::new(1), successor: None }]);
    world.run_until(60_000);
    assert_eq!(world.take_news(), []);
    assert!(world.elector.leadership().standing_down(world.now).is_some());
    world.send(Event::Gate { open: true });
    world.run_until(60_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn behind_a_gate_that_never_opened_a_candidate_looks_and_does_not_stand() {
    for (gated, why, reason) in [
        (Gated::ByHealth, StandingDown::GateClosed, LossReason::GateClosed),
        (Gated::ByWork, StandingDown::NothingToDo, LossReason::NothingToDo),
    ] {
        let mut world = World::new();
        world.elector = world.elector.clone().behind_gate(gated);
        world.run_until(60_000);
        assert_eq!(world.take_news(), []);
        assert!(world.record.is_none() && !world.calls.is_empty());
        assert_eq!(world.elector.leadership().standing_down(world.now), Some(why));
        world.send(Event::Gate { open: true });
        world.run_until(60_000);
        assert_eq!(world.take_news(), [News::Elected { term: Term::new(1) }]);
        world.send(Event::Gate { open: false });
        world.run_until(60_000);
        let lost = News::Lost { term: Term::new(1), reason };
        assert_eq!(
            world.take_news(),
            [lost, News::Vacated { term: Term::new(1), successor: None }]
        );
    }
}

#[test]
fn a_candidate_that_steps_down_while_it_acquires_frees_the_lease_and_never_leads() {
    let mut world = World::new();
    world.store_answers();
    world.send(Event::Gate { open: false });
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(world.writes().holder, None);
    world.store_answers();
    assert_eq!(world.take_news(), [News::Vacated { term: Term::new(1), successor: None }]);
}

#[test]
fn a_look_that_fails_does_not_keep_a_leader_that_resigned_from_vacating_soon() {
    let mut world = World::leading();
    world.now = at(100);
    world.send(Event::Changed);
    assert!(world.looks());
    world.send(Event::Resign { cooldown: Duration::from_secs(5), successor: None });
    world.request_is_lost();
    assert!(world.stored().holder.is_some());
    world.run_until(100 + 600);
    assert_eq!(
        world.stored().holder,
        None,
        "after the pause of one failure, not at its next renewal"
    );
}

#[test]
fn who_is_to_claim_next_is_shown_while_work_ends_and_after() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    let cooldown = Duration::from_secs(60);
    world.send(Event::Resign { cooldown, successor: Some("next".into()) });
    assert_eq!(world.elector.leadership().successor(world.now), Some("next"));
    world.elector.pace.turn.rank = Some(Rank { order: None, since: at(0), preference: None });
    world.send(Event::Work { under_way: false });
    world.store_answers();
    assert_eq!(world.stored().holder, None);
    assert_eq!(world.elector.leadership().successor(world.now), Some("next"));
}

#[test]
fn a_gate_that_is_reported_open_again_changes_nothing() {
    let mut world = World::leading();
    for ms in [100, 200, 300] {
        world.now = at(ms);
        world.send(Event::Gate { open: true });
        assert!(world.call.is_none() && world.leads());
    }
}

#[test]
fn a_vacate_whose_answer_is_lost_begins_the_cooldown() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.now = at(1_000);
    world.send(Event::Resign { cooldown: Duration::from_secs(5), successor: None });
    world.run_until(9_000);
    world.send(Event::Work { under_way: false });
    world.answer_is_lost();
    world.run_until(13_000);
    assert!(!world.leads() && world.stored().holder.is_none());
    let vacated = |news: &News| matches!(news, News::Vacated { .. });
    assert_eq!(world.news.iter().filter(|news| vacated(news)).count(), 1);
    world.run_until(20_000);
    assert!(world.leads());
}

#[test]
fn a_pause_that_is_over_hides_no_resignation() {
    let mut world = World::leading();
    world.send(Event::Resign { cooldown: Duration::from_secs(600), successor: None });
    world.run_until(0);
    let lasts = Some(Duration::from_secs(60));
    let pause = Some(crate::election::pause::Pause::new(WallTime::EPOCH, lasts, None));
    world.stores(LeaseRecord { pause, ..world.stored().clone() });
    world.send(Event::Changed);
    world.run_until(30_000);
    let down = |world: &World| world.elector.leadership().standing_down(world.now);
    assert!(matches!(down(&world), Some(StandingDown::Paused { .. })));
    world.run_until(100_000);
    assert!(matches!(down(&world), Some(StandingDown::Resigned { .. })), "{:?}", down(&world));
}
