//! How a candidate gains leadership.

use super::*;

#[test]
fn the_first_candidate_looks_then_acquires_term_one_and_leads() {
    let mut world = World::new();
    assert!(world.looks());
    world.store_answers();
    assert_eq!((world.writes().term, world.leads()), (Term::new(1), false));
    world.store_answers();
    assert!(world.leads());
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(1) }]);
    assert!(world.elector.leadership().was_ever_decided());
}

#[test]
fn belief_counts_from_before_the_write_was_sent() {
    let mut world = World::new();
    world.store_answers();
    world.now = at(1_500);
    world.store_answers();
    assert!(world.leads_at(9_999));
    assert!(!world.leads_at(10_000), "1.5 s more would be counting from the reply");
}

#[test]
fn a_look_at_the_own_record_never_grants_belief() {
    let mut world = World::on(Some(vacated(3)));
    world.store_answers();
    world.answer_is_lost();
    world.run_until_request();
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(world.writes().term, Term::new(5), "it leads again only under a new term");
    assert_eq!(world.take_news(), []);
}

#[test]
fn a_restarted_process_does_not_take_itself_for_the_holder_it_was() {
    let mut world = World::on(Some(held_by(candidate("me", "earlier"), 4)));
    world.run_until(14_999);
    assert!(!world.leads());
    assert_eq!(world.elector.leadership().holder(world.now).unwrap().identity, "me");
    world.run_until(15_026);
    assert_eq!(world.take_news().last(), Some(&News::Elected { term: Term::new(5) }));
}

#[test]
fn an_acquisition_whose_answer_was_lost_is_looked_up_and_claimed_under_a_new_term() {
    let mut world = World::new();
    world.store_answers();
    world.answer_is_lost();
    assert_eq!((world.stored().term, world.leads()), (Term::new(1), false));
    world.run_until(600);
    assert!(matches!(world.calls[2].1, Call::Observe { .. }), "a look comes first");
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn an_acquisition_that_was_not_applied_is_looked_up_and_tried_again() {
    let mut world = World::new();
    world.store_answers();
    world.request_is_lost();
    world.run_until(600);
    assert!(matches!(world.calls[2].1, Call::Observe { .. }), "a look comes first");
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(1) }]);
}

#[test]
fn an_acquisition_answered_after_the_renew_deadline_means_nothing() {
    let mut world = World::new();
    world.store_answers();
    world.now = at(10_000);
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(world.take_news(), []);
    world.run_until(10_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn a_lost_race_is_followed_not_fought() {
    let mut world = World::on(Some(vacated(3)));
    world.store_answers();
    world.candidate_writes(rival(4));
    world.store_answers();
    assert!(!world.leads());
    let following = News::Following { holder: "rival".to_owned(), term: Term::new(4) };
    assert_eq!(world.take_news(), [following]);
    assert!(world.call.is_none());
}

#[test]
fn an_election_is_undecided_before_a_candidate_leads() {
    let mut world = World::on(Some(vacated(3)));
    assert!(!world.elector.leadership().was_ever_decided(), "before the first look");
    world.store_answers();
    assert!(!world.elector.leadership().was_ever_decided(), "the record has no holder");
    world.store_answers();
    assert!(world.elector.leadership().was_ever_decided());
}
