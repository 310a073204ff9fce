//! What a standby does until the lease is over.

use super::*;

#[test]
fn a_standby_takes_over_at_the_end_of_the_lease_and_not_before() {
    let mut world = World::standby();
    world.run_until(14_999);
    assert_eq!(world.stored().term, Term::new(5));
    assert_eq!(world.elector.leadership().holder(at(14_999)).unwrap().identity, "rival");
    assert!(world.elector.leadership().holder(at(15_000)).is_none());
    world.run_until(15_026);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(6) }]);
}

#[test]
fn a_standby_waits_for_the_lease_in_the_record_not_for_its_own() {
    for seconds in [5, 60] {
        let lease_duration = Duration::from_secs(seconds);
        let mut world = World::on(Some(LeaseRecord { lease_duration, ..rival(5) }));
        world.run_until(seconds * 1_000 - 1);
        assert_eq!(world.stored().term, Term::new(5));
        world.run_until(seconds * 1_000 + 26);
        assert!(world.leads());
    }
}

#[test]
fn a_renewal_by_the_holder_restarts_the_wait() {
    let mut world = World::standby();
    world.run_until(13_900);
    world.candidate_writes(rival(5));
    world.run_until(28_900);
    assert!(!world.leads());
    world.run_until(31_000);
    assert!(world.leads());
}

#[test]
fn a_lease_that_the_store_says_is_over_is_taken_at_once() {
    let mut world = World::on(Some(rival(5)));
    world.remaining = Some(Duration::ZERO);
    world.run_until(0);
    assert_eq!(world.take_news().last(), Some(&News::Elected { term: Term::new(6) }));
}

#[test]
fn a_vacated_lease_is_taken_as_soon_as_a_hint_arrives() {
    let mut world = World::standby();
    world.candidate_writes(vacated(5));
    world.now = at(500);
    world.send(Event::Changed);
    world.run_until(500);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(6) }]);
}

#[test]
fn a_standby_looks_once_a_retry_period_and_never_writes() {
    let mut world = World::standby();
    world.remaining = Some(Duration::from_secs(15));
    for k in 1..=15 {
        world.candidate_writes(rival(5));
        world.run_until(k * 2_000);
    }
    assert!((14..=16).contains(&world.calls.len()), "{} looks", world.calls.len());
    assert!(world.calls.iter().all(|(_, call)| matches!(call, Call::Observe { .. })));
    assert_eq!(world.take_news(), [], "a holder that renews is no news");
}

/// A lease that is vacated just after a look was answered is taken within a retry period.
#[test]
fn a_standby_looks_again_a_retry_period_after_its_request_however_late_the_answer() {
    let mut world = World::standby();
    world.remaining = Some(Duration::from_secs(15));
    for k in 1..=8 {
        world.candidate_writes(rival(5));
        let looked = world.run_until_request();
        if k > 1 {
            let period = looked.since(world.calls[world.calls.len() - 2].0);
            assert_eq!(period, Duration::from_secs(2), "look {k}");
        }
        world.now = looked + Duration::from_millis(700);
        world.store_answers();
    }
}

#[test]
fn candidates_that_saw_the_same_hand_over_look_at_different_times_ever_after() {
    let looks = |seed| {
        let mut world = World::seeded(seed, Some(rival(5)));
        world.store_answers();
        world.remaining = Some(Duration::from_secs(15));
        let first = world.run_until_request();
        world.store_answers();
        (first, world.run_until_request().since(first))
    };
    let all: Vec<_> = (1..=20).map(looks).collect();
    assert!(all.iter().all(|(first, _)| *first <= at(2_000)));
    assert!(all.iter().all(|(_, period)| *period == Duration::from_secs(2)));
    let in_half = |half: u64| all.iter().filter(|(first, _)| *first <= at(half)).count();
    assert!((4..=16).contains(&in_half(1_000)), "{all:?}");
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
        world.candidate_writes(second);
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
    let task = |cluster: &str| origin(&format!("ECS task arn:aws:ecs:eu-1:1:task/{cluster}"));
    let (one, two, other) = (task("prod/0a"), task("prod/1b"), task("staging/0a"));
    assert_eq!(met(Some(&one), [of(Some(&two), 4), of(Some(&one), 5)]), []);
    assert_eq!(met(Some(&one), [of(Some(&two), 4), of(Some(&other), 5)]).len(), 1);
}

#[test]
fn a_holder_out_of_a_backup_is_reported_again() {
    let mut world = World::standby();
    world.run_until(16_000);
    assert!(world.leads());
    world.news.clear();
    world.candidate_writes(rival(5));
    world.run_until(20_000);
    let follows = News::Following { holder: "rival".to_owned(), term: Term::new(5) };
    assert!(world.take_news().contains(&follows));
}
