//! How a leader loses its term, and what is reported of its renewals.

use super::*;

#[test]
fn every_renewal_is_reported_once_and_none_on_time_while_all_is_well() {
    let mut world = World::leading();
    world.run_until(10_000);
    assert_eq!(world.renewals, [Renewal::OnTime; 5]);
    let mut standby = World::standby();
    standby.run_until(10_000);
    assert_eq!(standby.renewals, []);
}

#[test]
fn a_renewal_that_fails_at_once_and_is_repeated_is_failed_but_not_late() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.request_is_lost();
    world.run_until(3_000);
    assert_eq!(world.renewals, [Renewal::Failed, Renewal::OnTime]);
}

#[test]
fn a_renewal_that_follows_one_that_hung_is_late() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.run_without_store_until(2_000 + CALL_TIMEOUT + 1);
    world.run_until(6_000);
    assert_eq!(world.renewals, [Renewal::Failed, Renewal::Late]);
    world.run_until(8_000);
    assert_eq!(world.renewals.last(), Some(&Renewal::OnTime), "counted from the late one");
}

#[test]
fn a_renewal_that_is_sent_late_because_the_process_did_not_run_is_late() {
    let mut world = World::leading();
    world.wake_at(2_000 + CALL_TIMEOUT + 1);
    world.store_answers();
    assert_eq!((world.renewals.as_slice(), world.leads()), ([Renewal::Late].as_slice(), true));
}

#[test]
fn a_renewal_answered_after_the_renew_deadline_is_late() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.now = at(10_000);
    world.store_answers();
    assert_eq!((world.renewals.as_slice(), world.leads()), ([Renewal::Late].as_slice(), false));
}

#[test]
fn a_renewal_that_finds_another_holder_is_refused() {
    let mut world = World::leading();
    world.candidate_writes(rival(2));
    world.run_until(2_000);
    assert_eq!(world.renewals, [Renewal::Refused]);
}

#[test]
fn a_store_outage_demotes_by_the_deadline_and_the_candidate_rejoins() {
    let mut world = World::leading();
    world.run_without_store_until(9_999);
    assert!(world.leads());
    assert_eq!(world.take_news(), []);
    world.run_without_store_until(10_000);
    assert!(!world.leads());
    world.run_without_store_until(120_000);
    assert_eq!(world.take_news(), [LOST_BY_DEADLINE]);
    world.run_until(124_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn a_wake_that_comes_late_finds_the_answer_already_turned_to_no() {
    let mut world = World::leading();
    let published = world.elector.leadership();
    world.now = at(47_000);
    assert!(!published.is_leading(world.now), "no one had to notify the readers");
    world.send(Event::Wake);
    assert_eq!(world.take_news(), [LOST_BY_DEADLINE]);
    assert!(world.looks());
    world.run_until(47_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn a_renewal_answered_after_the_renew_deadline_does_not_revive_the_term() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.now = at(10_000);
    world.store_answers();
    assert!(!world.leads());
    world.run_until(10_000);
    assert_eq!(world.take_news(), [LOST_BY_DEADLINE, News::Elected { term: Term::new(2) }]);
}

#[test]
fn a_superseded_leader_stops_at_once() {
    for record in [rival(2), vacated(1), held_by(candidate("me", "other"), 2)] {
        let mut world = World::leading();
        world.candidate_writes(record);
        world.wake_at(2_000);
        world.store_answers();
        assert!(!world.leads());
        assert_eq!(
            world.news[0],
            News::Lost { term: Term::new(1), reason: LossReason::Superseded }
        );
    }
}

#[test]
fn a_hint_lets_a_leader_see_that_it_is_superseded_before_the_next_renewal() {
    let mut world = World::leading();
    world.candidate_writes(rival(2));
    world.now = at(100);
    world.send(Event::Changed);
    assert!(world.looks());
    world.store_answers();
    assert!(!world.leads());
}

#[test]
fn a_record_that_vanished_ends_belief_and_is_written_again_with_a_higher_term() {
    let mut world = World::leading();
    world.record = None;
    world.wake_at(2_000);
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(
        world.take_news(),
        [News::Lost { term: Term::new(1), reason: LossReason::RecordGone }]
    );
    world.run_until(20_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn a_term_that_went_backwards_is_reported_and_no_record_is_trusted_for_a_lease() {
    let mut world = World::standby();
    world.candidate_writes(vacated(2));
    world.now = at(1_000);
    world.send(Event::Changed);
    world.store_answers();
    assert_eq!(
        world.take_news(),
        [News::TermWentBackwards { seen: Term::new(5), record: Term::new(2) }]
    );
    world.run_until(15_999);
    assert_eq!(world.take_news(), []);
    world.run_until(16_061);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(6) }]);
}

/// A candidate that never saw the higher term renews the lower one.
#[test]
fn a_term_that_went_backwards_is_reported_once_each_time() {
    let mut world = World::standby();
    let regressions = |world: &mut World| {
        let news = world.take_news().into_iter();
        news.filter(|item| matches!(item, News::TermWentBackwards { .. })).collect::<Vec<_>>()
    };
    let reported = |term| News::TermWentBackwards { seen: Term::new(5), record: Term::new(term) };
    let writings = [(2, true), (2, false), (3, false), (3, false), (1, true), (1, false)];
    for (second, (term, is_new)) in (1_u64..).zip(writings) {
        world.candidate_writes(rival(term));
        world.now = at(second * 2_000);
        world.send(Event::Changed);
        world.store_answers();
        let expected = if is_new { vec![reported(term)] } else { Vec::new() };
        assert_eq!(regressions(&mut world), expected, "term {term}, after {second}");
    }
}
