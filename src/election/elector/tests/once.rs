//! Work that is done once, and its outcome.

use super::*;

impl World {
    /// A candidate for work that may fail three times, on a store with this record.
    fn once_on(record: LeaseRecord) -> Self {
        let mut world = Self::on(Some(record));
        world.elector = Elector::new(candidate("me", "1"), Timing::default(), 7).once(3);
        world.call = None;
        world.send(Event::Wake);
        world
    }

    fn finish(&mut self, succeeded: bool) {
        self.send(Event::Finish { outcome: outcome(succeeded, 0) });
    }
}

#[test]
fn an_outcome_is_written_by_the_write_that_vacates_and_belief_ends_before() {
    let mut world = World::leading();
    world.finish(true);
    assert!(!world.leads());
    let written = world.writes();
    assert!(written.holder.is_none());
    let outcome = written.outcome.as_ref().unwrap();
    assert_eq!((outcome.succeeded, outcome.term, outcome.attempts), (true, Term::new(1), 1));
    world.store_answers();
    assert_eq!(world.elector.leadership().outcome.unwrap().attempts, 1);
}

#[test]
fn nobody_stands_for_work_that_is_done_or_has_failed_for_good() {
    for (last, goes_on) in
        [(outcome(true, 1), false), (outcome(false, 3), false), (outcome(false, 2), true)]
    {
        let mut world = World::once_on(LeaseRecord { outcome: Some(last), ..vacated(4) });
        world.run_until(60_000);
        assert_eq!(world.leads(), goes_on);
    }
}

#[test]
fn attempts_are_counted_through_the_terms() {
    let mut world = World::once_on(LeaseRecord { outcome: Some(outcome(false, 1)), ..vacated(4) });
    world.run_until(30);
    assert_eq!(
        world.stored().outcome.as_ref().unwrap().attempts,
        1,
        "kept while it is tried again"
    );
    world.finish(false);
    let written = world.writes().outcome.clone().unwrap();
    assert_eq!((written.attempts, written.term), (2, Term::new(5)));
}

#[test]
fn work_in_flight_keeps_the_outcome_waiting_like_any_vacating() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.finish(true);
    assert!(world.call.is_none());
    world.send(Event::Work { under_way: false });
    assert!(world.writes().outcome.is_some());
}

#[test]
fn an_outcome_is_written_after_a_lapse_if_the_record_is_still_the_own_one() {
    let mut world = World::leading();
    world.run_without_store_until(11_000);
    world.finish(true);
    world.run_until(40_000);
    let outcome = world.stored().outcome.as_ref().unwrap();
    assert_eq!((outcome.succeeded, outcome.term), (true, Term::new(1)), "before it stood again");
}

#[test]
fn an_outcome_whose_write_got_no_answer_is_looked_up_and_written_once() {
    for applied in [true, false] {
        let mut world = World::leading();
        world.finish(true);
        if applied {
            world.answer_is_lost()
        } else {
            world.request_is_lost()
        }
        world.run_until(20_000);
        assert_eq!(world.stored().outcome.as_ref().unwrap().attempts, 1, "applied: {applied}");
    }
}

#[test]
fn an_outcome_that_the_store_does_not_take_is_tried_until_the_lease_ends() {
    for answers_again in [true, false] {
        let mut world = World::leading();
        world.finish(true);
        // Over long before the lease, which ends at 15 s; so is the time of one call.
        world.send(shutdown(1_000));
        world.run_without_store_until(14_000);
        assert!(!world.finished, "the work would be done once more");
        if answers_again {
            world.run_until(15_000);
            assert!(world.stored().outcome.as_ref().is_some_and(|outcome| outcome.succeeded));
        } else {
            world.run_without_store_until(15_000);
            let (term, _) = world.elector.left_to_run_out().unwrap();
            assert_eq!(term, Term::new(1));
        }
        assert!(world.finished);
        let calls = world.calls.len();
        assert!(calls < 30, "{calls} calls");
    }
}

#[test]
fn an_outcome_is_dropped_when_somebody_else_took_over() {
    let mut world = World::leading();
    world.run_without_store_until(11_000);
    world.somebody_writes(rival(2));
    world.finish(true);
    world.run_until(24_000);
    assert!(world.stored().outcome.is_none());
    assert!(world.stored().holder.is_some(), "the other one is left alone");
}

#[test]
fn a_record_of_another_environment_is_reported_once() {
    let origin = |text: &str| Origin::new(text).unwrap();
    let (staging, prod) = (origin("Kubernetes namespace staging"), origin("ECS cluster prod"));
    let of = |origin: Option<&Origin>, term| LeaseRecord { origin: origin.cloned(), ..rival(term) };
    let met = |own: Option<&Origin>, records: [LeaseRecord; 2]| {
        let [first, second] = records;
        let mut world = World::on(Some(first));
        world.elector = Elector::new(candidate("me", "1"), Timing::default(), 7);
        world.elector = world.elector.clone().running_in(own.cloned(), None);
        world.call = None;
        world.send(Event::Wake);
        world.store_answers();
        world.somebody_writes(second);
        world.run_until(10_000);
        let is_stranger = |news: &News| matches!(news, News::Stranger { .. });
        world.take_news().into_iter().filter(is_stranger).collect::<Vec<_>>()
    };
    let stranger = News::Stranger { origin: prod.clone(), own: staging.clone() };
    let own = Some(&staging);
    assert_eq!(met(own, [of(Some(&prod), 4), of(Some(&prod), 5)]), std::slice::from_ref(&stranger));
    assert_eq!(met(own, [of(own, 4), of(Some(&prod), 5)]), [stranger]);
    assert_eq!(met(own, [of(own, 4), of(None, 5)]), []);
    assert_eq!(met(None, [of(own, 4), of(Some(&prod), 5)]), []);
}

#[test]
fn work_whose_end_is_learned_while_the_next_term_is_acquired_is_not_begun_again() {
    for record in [Some(vacated(4)), None] {
        let mut world = World::leading();
        world.run_without_store_until(11_000);
        world.somebody_writes(record.unwrap_or_else(|| held_by(candidate("me", "1"), 1)));
        while !matches!(&world.call, Some(Call::Swap { .. })) {
            if world.call.is_some() {
                world.store_answers()
            } else {
                world.run_until_asked();
            }
        }
        let term = world.writes().term;
        world.finish(true);
        world.store_answers();
        assert!(!world.leads(), "the work is done");
        let written = world.writes();
        assert_eq!((&written.holder, written.term), (&None, term));
        assert!(written.outcome.as_ref().unwrap().succeeded);
        assert!(!world.news.contains(&News::Elected { term }));
    }
}

#[test]
fn nobody_stands_again_before_the_outcome_of_the_last_attempt_is_written() {
    let mut world = World::leading();
    world.run_without_store_until(11_000);
    world.finish(false);
    while world.stored().outcome.is_none() {
        if world.call.is_some() {
            if let Some(Call::Swap { record, .. }) = &world.call {
                assert_eq!(record.holder, None, "it stands before the outcome is written");
            }
            world.store_answers();
        } else {
            world.run_until_asked();
        }
    }
    world.run_until(60_000);
    assert_eq!(world.stored().outcome.as_ref().unwrap().attempts, 1);
    assert!(world.leads(), "and then again");
}
