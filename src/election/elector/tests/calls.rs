//! How the elector behaves towards the store.

use super::*;

fn freed(term: Term, version: Version) -> Event {
    Event::Vacated(Vacated { term, version, handover: None })
}

#[test]
fn failed_calls_are_repeated_ever_more_slowly_up_to_the_retry_period() {
    let mut world = World::new();
    for (at_least, at_most) in [(500, 600), (1_000, 1_200), (2_000, 2_400), (2_000, 2_400)] {
        let failed_at = world.now;
        world.request_is_lost();
        world.run_until_request();
        assert!(world.looks());
        let waited = world.now.since(failed_at).as_millis();
        assert!((at_least..=at_most).contains(&waited), "{waited} ms");
    }
}

#[test]
fn after_an_answer_the_first_repetition_comes_soon_again() {
    let mut world = World::standby();
    for _ in 0..2 {
        for failures in 0..3 {
            world.run_until_request();
            let failed_at = world.now;
            world.request_is_lost();
            if failures == 0 {
                let waited = world.wake_at.since(failed_at).as_millis();
                assert!((500..=600).contains(&waited), "{waited} ms");
            }
        }
        world.run_until_request();
        world.store_answers();
    }
}

#[test]
fn it_calls_at_the_moment_at_which_it_wanted_to_wake() {
    let mut world = World::new();
    world.request_is_lost();
    let wakes_at = world.wake_at;
    assert_eq!(world.run_until_request(), wakes_at);
}

#[test]
fn looks_that_only_clear_up_after_failed_writes_do_not_reset_the_backoff() {
    let mut world = World::new();
    while world.now < at(60_000) {
        if world.looks() {
            world.store_answers();
        } else if world.call.is_some() {
            world.request_is_lost();
        } else {
            world.now = world.wake_at;
            world.send(Event::Wake);
        }
    }
    assert!(world.calls.len() < 70, "{} calls in 60 s", world.calls.len());
}

#[test]
fn a_flood_of_hints_causes_few_looks_and_keeps_no_leader_from_renewing() {
    let mut world = World::leading();
    for ms in 1..=20_000 {
        world.now = at(ms);
        world.send(Event::Changed);
        if world.call.is_some() {
            world.store_answers();
        }
    }
    assert!(world.leads());
    assert_eq!(world.take_news(), []);
    let swaps = world.calls.iter().filter(|(_, call)| matches!(call, Call::Swap { .. })).count();
    assert_eq!(swaps, 11);
    assert!(world.calls.len() <= 20_000 / 5 + 12, "{} calls", world.calls.len());
}

#[test]
fn news_of_a_vacated_lease_is_acted_upon_without_a_look() {
    let mut world = World::standby();
    let version = world.candidate_writes(vacated(5));
    world.now = at(1_000);
    world.send(freed(Term::new(5), version.clone()));
    assert_eq!(world.writes().term, Term::new(6));
    let Some(Call::Swap { expected, .. }) = &world.call else { panic!("it claims") };
    assert_eq!(expected.as_ref(), Some(&version));
    world.store_answers();
    assert!(world.leads());
}

#[test]
fn false_news_of_a_vacated_lease_costs_a_refused_swap() {
    let mut world = World::standby();
    world.now = at(1_000);
    world.send(freed(Term::new(5), Version::new("never")));
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(world.record.as_ref().map(|o| o.record.term), Some(Term::new(5)), "it is as it was");
    world.run_until(14_999);
    assert_eq!(
        world.take_news(),
        [News::Following { holder: "rival".to_owned(), term: Term::new(5) }]
    );
}

#[test]
fn a_leader_that_gets_news_of_its_own_end_renews_as_before() {
    let mut world = World::leading();
    world.send(freed(Term::new(1), Version::new("never")));
    world.run_until(9_000);
    assert!(world.leads());
    assert!(world.renewals.iter().all(|renewal| *renewal == Renewal::OnTime));
    assert!(world.renewals.len() >= 4, "{:?}", world.renewals);
}

#[test]
fn a_candidate_that_cannot_judge_news_of_a_vacated_lease_looks() {
    // A leader; a candidate whose call is under way; one that does not know what it last wrote.
    let news = || freed(Term::new(5), Version::new("freed"));
    let mut leader = World::leading();
    leader.now = at(100);
    leader.send(news());
    assert!(leader.leads());
    assert!(matches!(leader.call, Some(Call::Observe { .. })));

    let mut looking = World::on(Some(rival(5)));
    looking.send(news());
    looking.store_answers();
    assert!(!looking.leads() && looking.call.is_none());
    looking.run_until(20);
    assert_eq!(looking.calls.len(), 2, "another look, because of the news");

    let mut unsure = World::on(None);
    unsure.store_answers();
    unsure.answer_is_lost();
    unsure.wake_at(1_000);
    unsure.send(freed(Term::new(1), Version::new("freed")));
    assert!(matches!(unsure.call, Some(Call::Observe { .. })), "{:?}", unsure.call);
}

#[test]
fn hints_are_no_reason_to_ask_a_failing_store_sooner() {
    let mut world = World::standby();
    world.now = at(1_000);
    world.send(Event::Changed);
    world.request_is_lost();
    for ms in 1_001..1_500 {
        world.now = at(ms);
        world.send(Event::Changed);
        assert!(world.call.is_none());
    }
}

/// [`World::send`] checks every step; here it is sent everything, in any order, at any time.
#[test]
fn whatever_happens_it_never_spins_and_every_call_is_bounded() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let mut world = World::new();
        for _ in 0..300 {
            if world.finished {
                break;
            }
            match random.u32(0..16) {
                0 if random.bool() => world.send(Event::Changed),
                0 => {
                    let (term, version) =
                        (Term::new(random.u64(1..9)), random.u64(0..50).to_string());
                    world.send(freed(term, Version::new(version)));
                }
                1 => world.send(Event::Gate { open: random.bool() }),
                2 => {
                    let cooldown = Duration::from_millis(random.u64(0..5_000));
                    let successor = random.bool().then(|| "me".into());
                    world.send(Event::Resign { cooldown, successor });
                }
                3 => world.send(Event::Work { under_way: random.bool() }),
                4 if random.u8(..) < 8 => {
                    let give_up_at = world.now + Duration::from_millis(random.u64(0..30_000));
                    world.send(Event::Shutdown { give_up_at });
                }
                5 => {
                    world.candidate_writes(rival(random.u64(1..9)));
                }
                6 => world.now = world.now + Duration::from_millis(random.u64(0..20_000)),
                7 if world.call.is_some() => world.request_is_lost(),
                8 if world.call.is_some() => world.answer_is_lost(),
                _ if world.call.is_some() => {
                    world.now = world.now + Duration::from_millis(random.u64(0..3));
                    world.store_answers();
                }
                _ => {
                    world.now = world.now.max(world.wake_at);
                    world.send(Event::Wake);
                }
            }
        }
    }
}

#[test]
fn a_new_term_does_not_begin_beside_work_of_the_old_one() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.run_without_store_until(20_000);
    assert_eq!(world.take_news(), [LOST_BY_DEADLINE]);
    world.run_until(30_000);
    assert!(!world.leads(), "the store is back, the work is not gone");
    assert!(world.elector.leadership().awaits_work(), "readers see what it waits for");
    world.send(Event::Work { under_way: false });
    world.run_until(30_050);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
    world.send(Event::Work { under_way: true });
    assert!(!world.elector.leadership().awaits_work(), "the work of a leader holds nothing up");
}
